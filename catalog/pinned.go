package catalog

import (
	"fmt"
	"maps"
	"slices"
)

// With returns the catalog with other ones beside it, which it finds by their
// versions: apps in the legacy billing mode go by those that they pin. The error
// names a version that two different files call theirs, or one of another
// currency or zone.
func (s *Snapshot) With(others ...*Snapshot) (*Snapshot, error) {
	with := *s
	with.pinned = make(map[string]*Snapshot, len(others))
	for _, other := range others {
		if before, ok := with.Pinned(other.version); ok && before.digest != other.digest {
			return nil, fmt.Errorf("two catalogs call themselves version %q", other.version)
		}
		if other.currency != s.currency {
			return nil, fmt.Errorf("catalog %q is in %s, and catalog %q in %s: apps are billed in one currency", other.version, other.currency, s.version, s.currency)
		}
		if other.zone.String() != s.zone.String() {
			return nil, fmt.Errorf("days of catalog %q begin in %v, and those of catalog %q in %v: totals of a month would be of two", other.version, other.zone, s.version, s.zone)
		}
		with.pinned[other.version] = other
	}
	delete(with.pinned, s.version)
	return &with, nil
}

// PinnedVersions lists the versions of the catalogs beside this one.
func (s *Snapshot) PinnedVersions() []string { return slices.Sorted(maps.Keys(s.pinned)) }

// Pinned finds a catalog by its version: this one, or one beside it.
func (s *Snapshot) Pinned(version string) (*Snapshot, bool) {
	if version == s.version {
		return s, true
	}
	other, ok := s.pinned[version]
	return other, ok
}
