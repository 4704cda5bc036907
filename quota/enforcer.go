package quota

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Enforcer decides requests. It is safe for use by many goroutines. It is an
// account.Watcher: a Registry that it watches tells it which of the records that
// it keeps at hand may be used unread; without one, each is read each time.
type Enforcer struct {
	catalog atomic.Pointer[catalog.Snapshot]
	store   Store
	now     func() time.Time
	// isOneClock: now is also by which it is judged how current records are.
	isOneClock bool
	*records
}

// Options configures an Enforcer.
type Options struct {
	Catalog  *catalog.Snapshot
	Store    Store
	Registry account.Registry
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Clock is by which it is judged how current the records at hand are, that
	// of the Registry; time.Now when nil.
	Clock func() time.Time
	// StaleMax is for how long, while the store is away, what a record decides
	// alone is decided by one that is not current any more, from the last instant
	// at which it was. Zero: never.
	StaleMax time.Duration
}

// New returns an Enforcer.
func New(o Options) *Enforcer {
	isOneClock := o.Now == nil && o.Clock == nil
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	e := &Enforcer{store: o.Store, now: o.Now, isOneClock: isOneClock, records: newRecords(o.Registry, o.Clock, o.StaleMax)}
	e.catalog.Store(o.Catalog)
	return e
}

// Catalog returns the catalog in force.
func (e *Enforcer) Catalog() *catalog.Snapshot { return e.catalog.Load() }

// SetCatalog puts another catalog in force, for requests that begin later.
func (e *Enforcer) SetCatalog(s *catalog.Snapshot) { e.catalog.Store(s) }

// Result is the answer to one request of several: a decision, or why there is
// none. Err is an *account.InvalidError, one of the errors of a Store, or an
// *account.Fault.
type Result struct {
	Decision *Decision
	Err      error
}

// Check decides one request.
func (e *Enforcer) Check(ctx context.Context, r *Request) (*Decision, error) {
	b := e.newBatch()
	b.add(r)
	b.run(ctx)
	result := b.tasks[0].Result
	b.free()
	return result.Decision, result.Err
}

// ErrUnsettled says that an app's record or clock moved each time a request
// was judged. Nothing was written.
var ErrUnsettled = errors.New("the app's record changes faster than it can be judged")

func unknownEdition(id uint32, edition string, cat *catalog.Snapshot) error {
	return fmt.Errorf("app %d, edition %s, catalog %s: %w", id, quote(edition), quote(cat.Version()), account.ErrUnknownEdition)
}

// maxRounds bounds how often a request is planned anew because the record or
// the window it was planned with is over: far beyond what a record that is
// changed without a pause brings about.
const maxRounds = 32

// CheckAll decides independent requests with as few steps of the store as
// possible. Those of one app take effect in their order.
func (e *Enforcer) CheckAll(ctx context.Context, requests []*Request) []Result {
	b := e.newBatch()
	for _, r := range requests {
		b.add(r)
	}
	b.run(ctx)
	results := make([]Result, len(requests))
	for i := range results {
		results[i] = b.tasks[i].Result
	}
	b.free()
	return results
}

// violateState returns why an app's state denies whatever it asks for; nothing
// while it is in service.
func violateState(id uint32, state *account.State, cat *catalog.Snapshot) []Violation {
	since := state.Since.In(cat.Zone()).Format(time.RFC3339)
	switch state.Stage {
	case account.Active, account.Grace:
		return nil
	case account.Reclaimed, account.Deleted:
		return []Violation{{
			Reason: AppNotFound, Since: state.Since, UpstreamCode: cat.Codes().AppNotFound,
			Message: fmt.Sprintf("app %d was %s, at %s", id, state.Fate(), since),
		}}
	case account.Suspended:
	}
	why := make([]string, len(state.Suspensions))
	for i, s := range state.Suspensions {
		why[i] = suspensionTexts[s.Reason]
	}
	v := Violation{
		Reason: AppSuspended, Since: state.Since, Suspensions: state.Suspensions, UpstreamCode: cat.Codes().Suspended,
		Message: "the app is suspended since " + since + ": " + strings.Join(why, "; "),
	}
	if state.IsOnly(account.Expired) {
		v.UpstreamCode = cat.Codes().SuspendedExpired
	}
	return []Violation{v}
}

var suspensionTexts = [...]string{
	account.Expired:  "its plan has expired",
	account.Refunded: "its plan was returned",
	account.Overdue:  "a bill of its account is overdue",
	account.Disabled: "it is disabled",
}
