package catalog

import (
	"slices"
	"strconv"
	"strings"
)

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

// names are the keys of what a caller may mistype.
type names struct{ editions, groupTypes, features, quotas, monthly, addOns string }

func (s *Snapshot) nameAll() {
	keyOf := func(q *Quota) string { return q.Key }
	isOther := func(q *Quota) bool { return !q.IsMonthly() }
	s.names = names{
		editions:   joined(s.editions, func(e *Edition) string { return e.Key }),
		groupTypes: joined(s.groupTypes, func(t *GroupType) string { return t.Key }),
		features:   joined(s.features, func(f *Feature) string { return f.Key }),
		quotas:     joined(s.quotas, keyOf),
		monthly:    joined(slices.DeleteFunc(slices.Clone(s.quotas), isOther), keyOf),
		addOns:     joined(s.addOns, func(a *AddOn) string { return a.Key }),
	}
}

// EditionNames lists the keys of editions, for a message.
func (s *Snapshot) EditionNames() string { return s.names.editions }

// GroupTypeNames lists the keys of types of groups, for a message.
func (s *Snapshot) GroupTypeNames() string { return s.names.groupTypes }

// FeatureNames lists the keys of features, for a message.
func (s *Snapshot) FeatureNames() string { return s.names.features }

// QuotaNames lists the keys of quotas, for a message.
func (s *Snapshot) QuotaNames() string { return s.names.quotas }

// MonthlyNames lists the keys of the quotas that are counted by the month for an app,
// for a message.
func (s *Snapshot) MonthlyNames() string { return s.names.monthly }

// AddOnNames lists the keys of add-ons, for a message; none, if there are none.
func (s *Snapshot) AddOnNames() string { return s.names.addOns }

// mostNamed is how many keys a message has at most.
const mostNamed = 15

func joined[T any](list []T, key func(T) string) string {
	if len(list) == 0 {
		return "none"
	}
	keys := make([]string, min(len(list), mostNamed))
	for i := range keys {
		keys[i] = key(list[i])
	}
	names := strings.Join(keys, ", ")
	if more := len(list) - len(keys); more > 0 {
		names += " and " + strconv.Itoa(more) + " more"
	}
	return names
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
