package catalog

import "slices"

// GroupType is a kind of group and what creating one counts (FACTS §2).
type GroupType struct {
	Key     string
	Title   string
	Code    byte     // a lower-case letter that stands for the type in stored records; never reused
	Aliases []string // the vendor's names; compared without regard to case
	Index   int

	// Counts are the app quotas that one more group of this type charges, in
	// the catalog's order of quotas.
	Counts []*Quota
	// Requires is the feature that creating a group of this type needs.
	Requires *Feature
	// HasMembers: members are counted, given at creation, and added by others.
	// Without it users join by themselves and only their joined groups count.
	HasMembers bool
}

// CountsOn reports whether one more group of this type charges the quota.
func (t *GroupType) CountsOn(q *Quota) bool { return slices.Contains(t.Counts, q) }
