package account

import (
	"maps"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// App is the record of one IM application: everything that its decisions are
// made from, counters apart. A record that a Registry or a cache handed out is
// shared and must not be changed; Clone it first.
type App struct {
	ID      uint32    `json:"id"` // SDKAppID, greater than zero
	Account string    `json:"account"`
	Name    string    `json:"name,omitempty"`
	Region  string    `json:"region"`
	Edition string    `json:"edition"`
	Created time.Time `json:"created"`
	// FanoutBits: users and groups are spread over 1<<FanoutBits buckets. It is
	// fixed at creation, because the names of all counters follow from it.
	FanoutBits uint8 `json:"fanoutBits"`

	Approvals map[string]time.Time     `json:"approvals,omitempty"` // feature -> approved at
	AddOns    map[string]time.Time     `json:"addOns,omitempty"`    // add-on -> activated at
	Overrides map[string]catalog.Limit `json:"overrides,omitempty"` // quota -> limit instead of the edition's
	Orders    []Order                  `json:"orders,omitempty"`    // by start, not overlapping

	// Creation is the request that created the app. It is never forgotten:
	// repeated, it must not create another one.
	Creation Change `json:"creation,omitzero"`
	// Changes remembers the newest requests that changed the record, so that
	// repeating one changes nothing.
	Changes []Change `json:"changes,omitempty"`

	// Version is set by the Registry, not part of the stored record.
	Version Version `json:"-"`
}

// Change is a request that changed an app's record.
type Change struct {
	RequestID   string `json:"requestId"`
	Fingerprint uint64 `json:"fingerprint"` // of the request, to tell it from another of the same id
}

// changesKept bounds App.Changes: administrative changes of one app are rare.
const changesKept = 16

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

// Clone returns a copy that may be changed.
func (a *App) Clone() *App {
	c := *a
	c.Approvals = maps.Clone(a.Approvals)
	c.AddOns = maps.Clone(a.AddOns)
	c.Overrides = maps.Clone(a.Overrides)
	c.Orders = slices.Clone(a.Orders)
	c.Changes = slices.Clone(a.Changes)
	return &c
}

// Remember notes a request that changed the record.
func (a *App) Remember(c Change) {
	if c.RequestID == "" {
		return
	}
	a.Changes = append(a.Changes, c)
	if drop := len(a.Changes) - changesKept; drop > 0 {
		a.Changes = slices.Delete(a.Changes, 0, drop)
	}
}

// Remembered finds a request by its id.
func (a *App) Remembered(requestID string) (Change, bool) {
	if requestID == "" {
		return Change{}, false
	}
	if a.Creation.RequestID == requestID {
		return a.Creation, true
	}
	for _, c := range a.Changes {
		if c.RequestID == requestID {
			return c, true
		}
	}
	return Change{}, false
}
