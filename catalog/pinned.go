package catalog

import "fmt"

// With returns the catalog with other ones beside it, which it finds by their
// versions: apps in the legacy billing mode go by those that they pin. The error
// names a version that two different files call theirs.
func (s *Snapshot) With(others ...*Snapshot) (*Snapshot, error) {
	with := *s
	with.pinned = make(map[string]*Snapshot, len(others))
	for _, other := range others {
		if before, ok := with.Pinned(other.version); ok && before.digest != other.digest {
			return nil, fmt.Errorf("two catalogs call themselves version %q", other.version)
		}
		with.pinned[other.version] = other
	}
	delete(with.pinned, s.version)
	return &with, nil
}

// Pinned finds a catalog by its version: this one, or one beside it.
func (s *Snapshot) Pinned(version string) (*Snapshot, bool) {
	if version == s.version {
		return s, true
	}
	other, ok := s.pinned[version]
	return other, ok
}
