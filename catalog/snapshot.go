package catalog

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// Snapshot is a catalog that passed every check. Many goroutines may read it, for
// what it says is never changed; nothing that its methods return may be changed.
type Snapshot struct {
	version  string
	digest   [sha256.Size]byte
	currency string
	zone     *time.Location
	policies Policies
	codes    Codes
	account  AccountRules

	editions   []*Edition
	quotas     []*Quota
	features   []*Feature
	groupTypes []*GroupType
	addOns     []*AddOn
	meters     []*Meter
	regions    []string

	editionByKey   map[string]*Edition
	quotaByKey     map[string]*Quota
	featureByKey   map[string]*Feature
	groupTypeByKey map[string]*GroupType // keys and aliases, lower case
	addOnByKey     map[string]*AddOn
	platforms      map[string]string // name -> family
	families       []string
	regionSet      map[string]bool
	defaultEdition *Edition

	names names // for messages

	pinned map[string]*Snapshot  // by version: others, beside the one in force
	last   *atomic.Pointer[Date] // of DateAt
}

// AccountRules are what holds for accounts and apps whatever the edition.
type AccountRules struct {
	MaxApps int // apps an account may have
	// MaxOrderMonths is the longest that an order can be.
	MaxOrderMonths int
	// AutoRenewalMonths: for how many months a plan renews automatically, unless
	// its owner says more.
	AutoRenewalMonths int
	// QuoteLifetime: for how long a quote can be accepted.
	QuoteLifetime time.Duration
	Grace         time.Duration // full service after expiry
	// LegacyBefore: apps created before this local day keep the legacy billing.
	LegacyBefore time.Time
	// OverdueAfter: an account that a bill was pushed to and that has not paid
	// it for so long is overdue.
	OverdueAfter time.Duration
	// KeptDays: how many local days the data of a suspended app is kept, the day
	// of its suspension included.
	KeptDays int
	Notices  NoticeRules
}

// NoticeRules are the local days on which owners of apps are told something.
type NoticeRules struct {
	ExpiryDaysBefore  int   // before the day on which a plan ends, and on it
	ExpiryDaysAfter   int   // after it
	RenewalDaysBefore int   // before it, an automatic renewal is due
	BillDays          int   // from the day on which a bill is pushed, while it is open
	ReclaimDaysBefore []int // before the day on which data is reclaimed; falling
}

// Codes are upstream codes that belong to no quota or feature (FACTS §4);
// zero for none.
type Codes struct {
	AppNotFound      int32
	SuspendedExpired int32 // suspended, only because expired
	Suspended        int32 // suspended for any other reason
	LiveInvite       int32 // members given to a group that is only joined
	DeleteUsers      int32 // the edition may not delete users
}

// Version is the catalog's own label.
func (s *Snapshot) Version() string { return s.version }

// Digest tells one file from another that calls itself the same version.
func (s *Snapshot) Digest() [sha256.Size]byte { return s.digest }

// Currency is the ISO 4217 code of all prices.
func (s *Snapshot) Currency() string { return s.currency }

// Zone is where days and months begin.
func (s *Snapshot) Zone() *time.Location { return s.zone }

// Policies are the named readings of rules that leave room for more than one.
func (s *Snapshot) Policies() Policies { return s.policies }

// Codes are the upstream codes that belong to no quota or feature.
func (s *Snapshot) Codes() Codes { return s.codes }

// Account returns the rules that hold whatever the edition.
func (s *Snapshot) Account() AccountRules { return s.account }

// Editions lists the editions in the catalog's order.
func (s *Snapshot) Editions() []*Edition { return s.editions }

// Quotas lists the quotas in the catalog's order, which is the order in which
// violations are reported.
func (s *Snapshot) Quotas() []*Quota { return s.quotas }

// Features lists the features in the catalog's order.
func (s *Snapshot) Features() []*Feature { return s.features }

// GroupTypes lists the types of groups in the catalog's order.
func (s *Snapshot) GroupTypes() []*GroupType { return s.groupTypes }

// AddOns lists the add-ons in the catalog's order.
func (s *Snapshot) AddOns() []*AddOn { return s.addOns }

// Meters lists what is billed by usage.
func (s *Snapshot) Meters() []*Meter { return s.meters }

// Regions lists the data centres.
func (s *Snapshot) Regions() []string { return s.regions }

// DefaultEdition is the edition of a new app.
func (s *Snapshot) DefaultEdition() *Edition { return s.defaultEdition }

// Edition finds an edition by key.
func (s *Snapshot) Edition(key string) (*Edition, bool) {
	e, ok := s.editionByKey[key]
	return e, ok
}

// Quota finds a quota by key.
func (s *Snapshot) Quota(key string) (*Quota, bool) {
	q, ok := s.quotaByKey[key]
	return q, ok
}

// Feature finds a feature by key.
func (s *Snapshot) Feature(key string) (*Feature, bool) {
	f, ok := s.featureByKey[key]
	return f, ok
}

// AddOn finds an add-on by key.
func (s *Snapshot) AddOn(key string) (*AddOn, bool) {
	a, ok := s.addOnByKey[key]
	return a, ok
}

// Family returns the family of a platform, which SDK versions are compared in.
func (s *Snapshot) Family(platform string) (string, bool) {
	f, ok := s.platforms[platform]
	return f, ok
}

// PlatformNames lists the platforms, in alphabetical order.
func (s *Snapshot) PlatformNames() []string { return slices.Sorted(maps.Keys(s.platforms)) }

// HasRegion reports whether a data centre exists.
func (s *Snapshot) HasRegion(region string) bool { return s.regionSet[region] }

// Families lists the families of platforms, in alphabetical order.
func (s *Snapshot) Families() []string { return s.families }
