package account

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// App is the record of one IM application: everything that its decisions are
// made from, counters apart. A record that a Registry or a cache handed out is
// shared and must not be changed; Clone it first.
type App struct {
	// What decisions look at comes first, so that it lies together.

	ID uint32 `json:"id"` // SDKAppID, greater than zero
	// FanoutBits: users and groups are spread over 1<<FanoutBits buckets. It is
	// fixed at creation, because the names of all counters follow from it.
	FanoutBits uint8 `json:"fanoutBits"`
	// Version is set by the Registry, not part of the stored record.
	Version   Version              `json:"-"`
	Overrides map[string]Override  `json:"overrides,omitempty"` // quota -> limit instead of the edition's
	Approvals map[string]time.Time `json:"approvals,omitempty"` // feature -> approved at
	AddOns    map[string]time.Time `json:"addOns,omitempty"`    // add-on -> activated at
	Region    string               `json:"region"`

	Account string `json:"account"`
	Name    string `json:"name,omitempty"`
	// Edition is the app's as long as it has no order that has begun: orders say
	// it by themselves, State.Edition has it at an instant.
	Edition string    `json:"edition"`
	Created time.Time `json:"created"`
	// Catalog is the version of the catalog that the app goes by, whichever is in
	// force, as long as it IsLegacy. Empty: the one in force.
	Catalog string  `json:"catalog,omitempty"`
	Orders  []Order `json:"orders,omitempty"` // by start, not overlapping
	Renewal Renewal `json:"renewal,omitzero"`

	Disabled  []Spell   `json:"disabled,omitempty"` // by its owner, in sequence
	Deleted   time.Time `json:"deleted,omitzero"`   // by its owner: the record is a tombstone
	Reclaimed time.Time `json:"reclaimed,omitzero"` // its data is reclaimed, whatever is paid from then on
	Swept     time.Time `json:"swept,omitzero"`     // no counter of the deleted or reclaimed app is left
	Migrated  time.Time `json:"migrated,omitzero"`  // from the legacy billing mode
	Changed   time.Time `json:"changed,omitzero"`   // the record, last, by the clock of who did

	// Creation is the request that created the app. It is never forgotten:
	// repeated, it must not create another one.
	Creation Change `json:"creation,omitzero"`
	// Changes remembers the newest requests that changed the record, so that
	// repeating one changes nothing.
	Changes []Change `json:"changes,omitempty"`
}

// Spell is a stretch of time, half-open; a zero Until: it has not ended.
type Spell struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"`
}

// Override is a limit that holds for one app instead of the edition's.
type Override struct {
	Limit catalog.Limit `json:"limit"`
	From  time.Time     `json:"from,omitzero"`  // when it was set; zero: nobody noted it
	Until time.Time     `json:"until,omitzero"` // zero: until it is changed
}

// InForce reports whether the override holds at an instant.
func (o Override) InForce(now time.Time) bool { return o.Until.IsZero() || now.Before(o.Until) }

// UnmarshalJSON also reads an override of record format 1, a bare limit.
func (o *Override) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*o = Override{}
		return json.Unmarshal(text, &o.Limit)
	}
	type plain Override // without this method
	return json.Unmarshal(text, (*plain)(o))
}

// Renewal is what happens when the plan ends. The zero value is by hand.
type Renewal struct {
	Mode   RenewalMode `json:"mode,omitempty"`
	Months int         `json:"months,omitempty"` // RenewAutomatically: for how many
}

// WithDefaults is the renewal with what was left out.
func (r Renewal) WithDefaults(rules catalog.AccountRules) Renewal {
	if r.Mode == RenewAutomatically && r.Months == 0 {
		r.Months = rules.AutoRenewalMonths
	}
	return r
}

// RenewalMode says who renews a plan.
type RenewalMode string

// The modes. imquota never renews by itself (FACTS §6).
const (
	RenewByHand        RenewalMode = ""
	RenewAutomatically RenewalMode = "automatic" // the biller, when it is due
	RenewNever         RenewalMode = "never"
)

// isDisabled reports whether the owner has the app disabled at an instant.
func (a *App) isDisabled(at time.Time) bool {
	return slices.ContainsFunc(a.Disabled, func(s Spell) bool { return span{s.From, s.Until}.holds(at) })
}

// disabledNow returns the spell that has not ended.
func (a *App) disabledNow() *Spell {
	if n := len(a.Disabled); n > 0 && a.Disabled[n-1].Until.IsZero() {
		return &a.Disabled[n-1]
	}
	return nil
}

// IsNotedGone reports whether the record itself says that the app is deleted or
// reclaimed, whatever rules it is read by.
func (a *App) IsNotedGone() bool { return !a.Deleted.IsZero() || !a.Reclaimed.IsZero() }

// IsLegacy reports whether the app is billed as apps were before there were
// prepaid plans: it was created then and not migrated since.
func (a *App) IsLegacy(rules catalog.AccountRules) bool {
	return a.Created.Before(rules.LegacyBefore) && a.Migrated.IsZero()
}

// Fan-out of counters: 2^14 buckets hold a million users at 64 a bucket.
const (
	DefaultFanoutBits = 14
	minFanoutBits     = 8
	maxFanoutBits     = 20
	bucketAim         = 64
)

// FanoutBitsFor returns the fan-out for an app that is expected to reach this
// many users, so that a bucket holds about 64 of them.
func FanoutBitsFor(users int64) uint8 {
	if users <= 0 {
		return DefaultFanoutBits
	}
	bits := uint8(minFanoutBits)
	for bits < maxFanoutBits && int64(bucketAim)<<bits < users {
		bits++
	}
	return bits
}

// IsFanout reports whether an app can be spread over 1<<bits buckets.
func IsFanout(bits uint8) bool { return minFanoutBits <= bits && bits <= maxFanoutBits }

// Clone returns a copy that may be changed.
func (a *App) Clone() *App {
	c := *a
	c.Approvals = maps.Clone(a.Approvals)
	c.AddOns = maps.Clone(a.AddOns)
	c.Overrides = maps.Clone(a.Overrides)
	c.Orders = slices.Clone(a.Orders)
	for i := range c.Orders {
		c.Orders[i].Upgrades = slices.Clone(c.Orders[i].Upgrades)
	}
	c.Changes = slices.Clone(a.Changes)
	c.Disabled = slices.Clone(a.Disabled)
	return &c
}

// Remembered reports whether a request has changed the record before. The error
// is ErrRequestReused.
func (a *App) Remembered(c Change) (bool, error) {
	if c.RequestID != "" && a.Creation.RequestID == c.RequestID {
		return remembered([]Change{a.Creation}, c)
	}
	return remembered(a.Changes, c)
}
