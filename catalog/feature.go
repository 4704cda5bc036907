package catalog

import "time"

// Feature is something an app may use or not, with the conditions under which
// it may (FACTS §1, Conditions). A condition that is not set always holds.
type Feature struct {
	Key          string
	Title        string
	Index        int
	UpstreamCode int32 // when the edition does not have the feature

	// AddOn grants the feature while its trial runs, instead of the edition.
	AddOn *AddOn

	Approval   *ApprovalCondition
	Regions    *RegionCondition
	Platforms  *PlatformCondition
	SDK        *SDKCondition
	GroupTypes *GroupTypeCondition
	GroupSize  *GroupSizeCondition
}

// ApprovalCondition needs an approval, which takes effect after a while.
type ApprovalCondition struct {
	ActiveAfter  time.Duration
	UpstreamCode int32
}

// RegionCondition excludes data centres.
type RegionCondition struct {
	Excluded     map[string]bool
	UpstreamCode int32
}

// PlatformCondition admits platforms by name.
type PlatformCondition struct {
	Allowed      map[string]bool
	Names        []string // Allowed, in the catalog's order
	UpstreamCode int32
}

// SDKCondition needs a version of the SDK, by family of platform. A family
// without an entry has no minimum.
type SDKCondition struct {
	Min          map[string]SDKVersion
	UpstreamCode int32
}

// GroupTypeCondition admits types of groups.
type GroupTypeCondition struct {
	Allowed      map[string]bool // by GroupType.Key
	Names        []string
	UpstreamCode int32
}

// GroupSizeCondition admits groups by the members they have now.
type GroupSizeCondition struct {
	MaxMembers   int64
	UpstreamCode int32
}

// AddOn is sold beside an edition; for now as a trial, once an app.
type AddOn struct {
	Key       string
	Title     string
	Trial     time.Duration
	Editions  map[string]bool
	Activates []string // services activated with it, billed elsewhere
	Features  []*Feature
}
