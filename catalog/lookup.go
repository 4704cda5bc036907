package catalog

import "strings"

// GroupType finds a type of group by its key or one of its aliases, without
// regard to case.
func (s *Snapshot) GroupType(name string) (*GroupType, bool) {
	if t, ok := s.groupTypeByKey[name]; ok {
		return t, true
	}
	t, ok := s.groupTypeByKey[strings.ToLower(name)]
	return t, ok
}

// EditionNames lists the keys of all editions, for a message.
func (s *Snapshot) EditionNames() string {
	keys := make([]string, len(s.editions))
	for i, e := range s.editions {
		keys[i] = e.Key
	}
	return strings.Join(keys, ", ")
}

// GroupTypeNames lists the keys of all types of groups, for a message.
func (s *Snapshot) GroupTypeNames() string {
	keys := make([]string, len(s.groupTypes))
	for i, t := range s.groupTypes {
		keys[i] = t.Key
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
