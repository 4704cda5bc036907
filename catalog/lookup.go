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
