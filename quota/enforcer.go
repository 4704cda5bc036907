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

// batch is the work of one CheckAll.
type batch struct {
	e        *Enforcer
	catalog  *catalog.Snapshot
	now      time.Time
	requests []*Request
	results  []Result
	apps     map[uint32]*loadedApp // read once, so that items of an app share a version
}

// loadedApp is an app as the items of a batch see it.
type loadedApp struct {
	app *account.App
	err error
	// isCurrent: the record was read or confirmed so recently that it may
	// decide by itself. A step of the store confirms it in any case.
	isCurrent bool
	// now is the batch's instant, or the app's clock when that is ahead: one
	// app's clock must not move another's.
	now time.Time
}

// round plans and applies the pending requests, and returns those that must
// be planned anew.
func (b *batch) round(ctx context.Context, pending []int) []int {
	plans := make([]*planner, 0, len(pending))
	txns := make([]Txn, 0, len(pending))
	asked := make([]int, 0, len(pending))
	for _, i := range pending {
		p, err := b.plan(ctx, b.requests[i], &b.results[i].Decision)
		if err != nil {
			b.results[i].Err = err
		}
		if p == nil {
			continue
		}
		plans, txns, asked = append(plans, p), append(txns, p.txn), append(asked, i)
	}
	if len(txns) == 0 {
		return nil
	}
	endTogether(txns)
	var again []int
	for k, o := range b.e.store.Apply(ctx, txns) {
		i, t, passed := asked[k], &txns[k], (*WindowPassedError)(nil)
		switch {
		case o.Err == nil:
			b.e.apps.confirm(plans[k].app, b.now)
			plans[k].decide(b.requests[i], &o, &b.results[i].Decision)
		case errors.Is(o.Err, ErrStale):
			b.e.apps.refused(plans[k].app)
			delete(b.apps, t.App)
			again = append(again, i)
		case errors.As(o.Err, &passed):
			if loaded := b.apps[t.App]; loaded != nil {
				loaded.now = passed.Clock
			}
			again = append(again, i)
		case plans[k].isDeniedAnyway(o.Err):
			plans[k].denyUnjudged(b.requests[i], &b.results[i].Decision)
		default:
			b.results[i].Err = describe(o.Err, t)
		}
	}
	return again
}

// endTogether gives the transactions of an app the earliest end of a window
// among them: when the day turns under a batch, all of them are planned anew
// and keep their order.
func endTogether(txns []Txn) {
	if len(txns) == 1 {
		return
	}
	ends := make(map[uint32]time.Time)
	for i := range txns {
		if end := txns[i].WindowEnd; !end.IsZero() && (ends[txns[i].App].IsZero() || end.Before(ends[txns[i].App])) {
			ends[txns[i].App] = end
		}
	}
	for i := range txns {
		txns[i].WindowEnd = ends[txns[i].App]
	}
}

// isDeniedAnyway reports whether a request that plan or state deny is denied
// though the store could not judge the rest of it. One with an id may have
// taken effect before, which only the store knows: it finds that out before it
// looks at the group.
func (p *planner) isDeniedAnyway(err error) bool {
	if len(p.violations) == 0 {
		return false
	}
	return errors.Is(err, ErrGroupExists) || errors.Is(err, ErrGroupType) || p.txn.Request.IsZero()
}

// describe names the group in an error of the store about it.
func describe(err error, t *Txn) error {
	if errors.Is(err, ErrGroupExists) || errors.Is(err, ErrGroupType) {
		return fmt.Errorf("group %s: %w", quote(t.Group.ID), err)
	}
	return err
}

// app returns an app's record, the same one for all items of the batch.
func (b *batch) app(ctx context.Context, id uint32) *loadedApp {
	if l, ok := b.apps[id]; ok {
		return l
	}
	l := &loadedApp{now: b.now}
	if l.app, l.isCurrent = b.e.apps.peek(id, b.now); l.app == nil {
		l.app, l.err = b.e.apps.read(ctx, id, b.now)
		l.isCurrent = true
	}
	b.apps[id] = l
	return l
}

// plan plans one request. Without a plan the request is decided, or failed.
func (b *batch) plan(ctx context.Context, r *Request, d *Decision) (*planner, error) {
	l := b.app(ctx, r.App)
	p, err := b.draft(l, r)
	if !l.isCurrent && (err != nil || p.isLocal() || len(p.violations) > 0) {
		// What the record decides without the store's confirmation needs a
		// current one.
		l.app, l.err = b.e.apps.read(ctx, r.App, b.now)
		l.isCurrent = true
		p, err = b.draft(l, r)
	}
	if errors.Is(err, account.ErrAppNotFound) {
		*d = b.unknownApp(r)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if p.isLocal() {
		p.decideLocally(r, d)
		return nil, nil
	}
	// A local denial still goes to the store, to find what else denies the
	// action; with a request id, because an effect it had before comes first.
	switch {
	case r.Mode == CheckOnly, p.txn.Group.Op == GroupRead:
		p.txn.Mode = ModeJudge
	case len(p.violations) > 0:
		p.txn.Mode = ModeJudge
		p.txn.Request = r.key()
	default:
		p.txn.Mode = ModeConsume
		if r.Mode == Adjust {
			p.txn.Mode = ModeForce
		}
		p.txn.Request = r.key()
	}
	return p, nil
}

// draft plans a request for an app and judges what needs no store.
func (b *batch) draft(l *loadedApp, r *Request) (*planner, error) {
	if l.err != nil {
		return nil, l.err
	}
	edition, ok := b.catalog.Edition(l.app.Edition)
	if !ok {
		return nil, unknownEdition(l.app, b.catalog)
	}
	p := &planner{
		catalog: b.catalog, app: l.app, edition: edition, client: r.Client, now: l.now,
		adjust: r.Mode == Adjust,
	}
	if err := p.plan(r.Action); err != nil {
		return nil, err
	}
	p.suspend()
	p.sortViolations()
	return p, nil
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

// unknownApp is the denial of every request for an app that does not exist.
func (b *batch) unknownApp(r *Request) Decision {
	d := Decision{
		Source: SourceStore, ViolationCount: 1,
		Violations: []Violation{{
			Reason: AppNotFound, UpstreamCode: b.catalog.Codes().AppNotFound,
			Message: fmt.Sprintf("there is no app %d", r.App),
		}},
	}
	if !r.Basic {
		d.CatalogVersion = b.catalog.Version()
	}
	return d
}
