package catalog

import "strings"

// GroupType finds a type of group by its key or one of its aliases, without
// regard to case.
func (s *Snapshot) GroupType(name string) (*GroupType, bool) {
	if t, ok := s.groupTypeByKey[name]; ok {
		return t, true
	}
	lower := make([]byte, 0, 64) // keys and aliases are ASCII
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	t, ok := s.groupTypeByKey[string(lower)]
	return t, ok
}

// EditionNames lists the keys of all editions, for a message.
func (s *Snapshot) EditionNames() string {
	return joined(s.editions, func(e *Edition) string { return e.Key })
}

// GroupTypeNames lists the keys of all types of groups, for a message.
func (s *Snapshot) GroupTypeNames() string {
	return joined(s.groupTypes, func(t *GroupType) string { return t.Key })
}

// FeatureNames lists the keys of all features, for a message.
func (s *Snapshot) FeatureNames() string {
	return joined(s.features, func(f *Feature) string { return f.Key })
}

// QuotaNames lists the keys of all quotas, for a message.
func (s *Snapshot) QuotaNames() string {
	return joined(s.quotas, func(q *Quota) string { return q.Key })
}

// AddOnNames lists the keys of all add-ons, for a message.
func (s *Snapshot) AddOnNames() string {
	return joined(s.addOns, func(a *AddOn) string { return a.Key })
}

func joined[T any](list []T, key func(T) string) string {
	if len(list) == 0 {
		return "none"
	}
	keys := make([]string, len(list))
	for i, entry := range list {
		keys[i] = key(entry)
	}
	return strings.Join(keys, ", ")
}

// GroupTypeByCode finds a type of group by the letter that stands for it in
// stored records.
func (s *Snapshot) GroupTypeByCode(code byte) (*GroupType, bool) {
	for _, t := range s.groupTypes {
		if t.Code == code {
			return t, true
		}
	}
	return nil, false
}
