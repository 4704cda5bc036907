package quota

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Enforcer decides requests. It is safe for use by many goroutines.
type Enforcer struct {
	catalog atomic.Pointer[catalog.Snapshot]
	store   Store
	apps    *appCache
	now     func() time.Time
}

// Options configures an Enforcer.
type Options struct {
	Catalog  *catalog.Snapshot
	Store    Store
	Registry account.Registry
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// CacheFor bounds how long an app's record is used without being read
	// again. Zero: for ever, which is right when this process makes all changes.
	CacheFor time.Duration
}

// New returns an Enforcer.
func New(o Options) *Enforcer {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Enforcer{store: o.Store, now: o.Now, apps: newAppCache(o.Registry, o.CacheFor)}
	e.catalog.Store(o.Catalog)
	return e
}

// Catalog returns the catalog in force.
func (e *Enforcer) Catalog() *catalog.Snapshot { return e.catalog.Load() }

// SetCatalog puts another catalog in force, for requests that begin later.
func (e *Enforcer) SetCatalog(s *catalog.Snapshot) { e.catalog.Store(s) }

// Forget drops the cached record of an app that was changed.
func (e *Enforcer) Forget(app uint32) { e.apps.forget(app) }

// Result is the answer to one request of several: a decision, or why there is
// none. Err is an *account.InvalidError, one of the errors of a Store, or an
// *account.Fault.
type Result struct {
	Decision Decision
	Err      error
}

// Check decides one request.
func (e *Enforcer) Check(ctx context.Context, r *Request) (*Decision, error) {
	results := e.CheckAll(ctx, []*Request{r})
	return &results[0].Decision, results[0].Err
}

// ErrUnsettled says that an app's record or clock moved each time a request
// was judged. Nothing was written.
var ErrUnsettled = errors.New("the app's record changes faster than it can be judged")

// ErrUnknownEdition says that the catalog in force does not define the edition
// that an app has.
var ErrUnknownEdition = errors.New("the catalog does not define the app's edition")

func unknownEdition(app *account.App, cat *catalog.Snapshot) error {
	return fmt.Errorf("app %d, edition %s, catalog %s: %w", app.ID, quote(app.Edition), quote(cat.Version()), ErrUnknownEdition)
}

// maxRounds bounds how often a request is planned anew because the record or
// the window it was planned with is over: far beyond what a record that is
// changed without a pause brings about.
const maxRounds = 32

// CheckAll decides independent requests with as few steps of the store as
// possible. Those of one app take effect in their order.
func (e *Enforcer) CheckAll(ctx context.Context, requests []*Request) []Result {
	results := make([]Result, len(requests))
	b := batch{e: e, catalog: e.catalog.Load(), now: e.now(), requests: requests, results: results, apps: make(map[uint32]*loadedApp)}
	pending := make([]int, len(requests))
	for i := range pending {
		pending[i] = i
	}
	for round := 0; len(pending) > 0 && round < maxRounds; round++ {
		pending = b.round(ctx, pending)
	}
	for _, i := range pending {
		results[i].Err = ErrUnsettled
	}
	return results
}

// suspend denies an action of a suspended app. Releases are always accepted.
func (p *planner) suspend() {
	if !p.release {
		p.violations = append(p.violations, violateState(p.app, p.catalog, p.now)...)
	}
}

// violateState returns why an app's state denies whatever it asks for; nothing
// while it is in service.
func violateState(app *account.App, cat *catalog.Snapshot, now time.Time) []Violation {
	state := app.StateAt(now, cat.Account().Grace)
	if state.Stage != account.Suspended {
		return nil
	}
	return []Violation{{
		Reason: AppSuspended, Since: state.Since, UpstreamCode: cat.Codes().SuspendedExpired,
		Message: "the app's plan has expired and it is suspended since " + state.Since.In(cat.Zone()).Format(time.RFC3339),
	}}
}
