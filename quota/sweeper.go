package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Sweeper removes the counters of apps that are deleted or reclaimed. Nothing
// waits for it: an app's state follows from its record and the instant.
//
// Any number of sweepers may work on one store: what one removes another finds
// gone, and what one breaks off the next one ends.
type Sweeper struct {
	Store Store
	Apps  *account.Apps
}

// The work of one Step at most. Redis runs nothing else while it removes a
// slice of keys, which takes about a millisecond.
const (
	appsOfStep   = 100  // looked at
	keysOfStep   = 2000 // looked at
	keysOfSlice  = 500
	keysOfDelete = 1000 // of Remove, for whose end a caller waits
)

// The work of Run is done in small pieces, with rests, because whoever asks for a
// decision meanwhile waits for the piece at hand.
const (
	appsOfTick    = 20                     // looked at, or as many as lie together
	restOfRemoved = 500 * time.Microsecond // for each key
)

// SweepStep is what a Step did.
type SweepStep struct {
	Gone        []GoneApp   // whose last counter was removed, or would be
	Failed      []FailedApp // that are gone, and could not be swept
	Looked      int         // apps
	Removed     int64       // stored keys
	Next        string      // position to go on from; empty: all apps were looked at
	Done, Total int64       // parts of the walk over all apps
}

// FailedApp is an app that could not be swept, for a reason of its own.
type FailedApp struct {
	ID  uint32
	Err error
}

// GoneApp is an app whose counters nobody may use any more.
type GoneApp struct {
	App   *account.App
	State *account.State
}

// position is where a step goes on: in a page of the walk, after an app, or
// within the counters of one.
type position struct {
	cursor string // of the page
	app    uint32 // the last one looked at, or the one at hand if from is not zero
	from   int64  // Swept.Next of the app at hand
}

func (p position) String() string { return fmt.Sprintf("%s/%d/%d", p.cursor, p.app, p.from) }

func parsePosition(text string) (p position, err error) {
	if text == "" {
		return p, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return p, errPosition
	}
	app, errApp := strconv.ParseUint(parts[1], 10, 32)
	from, errFrom := strconv.ParseInt(parts[2], 10, 64)
	if errApp != nil || errFrom != nil || from < 0 {
		return p, errPosition
	}
	return position{parts[0], uint32(app), from}, nil
}

var errPosition = &account.InvalidError{Field: "page_token", Description: "is not a token of this service"}

// Step looks at some apps from a position on, empty to begin, and removes some
// counters; in a dry run it only looks. Errors: an *account.InvalidError for a
// position that Step did not answer, those of a Registry and a Store.
func (s *Sweeper) Step(ctx context.Context, at string, dryRun bool, by account.Origin) (*SweepStep, error) {
	return s.step(ctx, at, appsOfStep, dryRun, by)
}

func (s *Sweeper) step(ctx context.Context, at string, apps int, dryRun bool, by account.Origin) (*SweepStep, error) {
	p, err := parsePosition(at)
	if err != nil {
		return nil, err
	}
	page, err := s.Apps.Registry.Walk(ctx, p.cursor, apps)
	if err != nil {
		return nil, err
	}
	step := &SweepStep{Looked: len(page.Apps), Done: page.Done, Total: page.Total}
	gone, err := s.find(ctx, p, page.Apps)
	if err != nil {
		return nil, err
	}
	w := &sweepWork{budget: keysOfStep, slice: keysOfSlice, by: by}
	defer func() { step.Removed = w.removed }()
	for _, g := range gone {
		if dryRun {
			step.Gone = append(step.Gone, g)
			continue
		}
		from := int64(0)
		if g.App.ID == p.app {
			from = p.from
		}
		app, next, err := s.remove(ctx, w, g, from)
		switch {
		case isOfApp(err):
			// It must not keep those behind it from being swept.
			step.Failed = append(step.Failed, FailedApp{g.App.ID, err})
		case err != nil:
			return nil, err
		case next != 0:
			step.Next = position{p.cursor, g.App.ID, next}.String()
			return step, nil
		case !app.Swept.IsZero():
			step.Gone = append(step.Gone, GoneApp{app, g.State})
		}
		if w.budget <= 0 {
			step.Next = position{p.cursor, g.App.ID, 0}.String()
			return step, nil
		}
	}
	if page.Next != "" {
		step.Next = position{cursor: page.Next}.String()
	}
	return step, nil
}

// isOfApp reports whether an error is about one app, so that others can be swept.
func isOfApp(err error) bool {
	return err != nil && (account.IsOfRecord(err) || errors.Is(err, ErrStale) || errors.Is(err, account.ErrConflict))
}

// find returns those of a page's apps that are gone and not swept, from the
// position on. What it cannot read of one app it leaves alone.
func (s *Sweeper) find(ctx context.Context, p position, ids []uint32) ([]GoneApp, error) {
	ids = slices.DeleteFunc(ids, func(id uint32) bool { return id < p.app || id == p.app && p.from == 0 })
	apps, err := account.Readable(ctx, s.Apps.Registry, ids)
	if err != nil {
		return nil, err
	}
	apps = slices.DeleteFunc(apps, func(app *account.App) bool { return !app.Swept.IsZero() })
	owners, err := account.Owners(ctx, s.Apps.Registry, apps)
	if err != nil {
		return nil, err
	}
	cat := s.Apps.Catalog()
	var gone []GoneApp
	for _, app := range apps {
		if !app.Deleted.IsZero() {
			gone = append(gone, GoneApp{app, deleted(app)}) // whatever its account says
			continue
		}
		owner := owners[app.Account]
		if owner == nil || account.CheckOwner(app, owner) != nil {
			continue
		}
		if state := app.StateNow(s.Apps.Now(), owner, cat); state.IsGone() {
			gone = append(gone, GoneApp{app, state})
		}
	}
	return gone, nil
}

func deleted(app *account.App) *account.State {
	return &account.State{Stage: account.Deleted, Since: app.Deleted}
}

// Remove removes all counters of an app that is deleted.
func (s *Sweeper) Remove(ctx context.Context, app *account.App, by account.Origin) (*account.App, error) {
	by.Change = account.Change{} // the request deleted the app; this is another change
	for from := int64(0); ; {
		w := &sweepWork{budget: keysOfDelete, slice: keysOfDelete, by: by}
		swept, next, err := s.remove(ctx, w, GoneApp{app, deleted(app)}, from)
		if err != nil || next == 0 {
			return swept, err
		}
		from = next
	}
}

// sweepWork is how much may be done, and what was.
type sweepWork struct {
	budget  int64 // keys to look at
	slice   int   // keys of one call of the store
	removed int64
	by      account.Origin
}

// remove removes counters of an app as long as the budget lasts, and answers
// where to go on; zero: none is left, and the record says so, or it is not gone
// after all.
func (s *Sweeper) remove(ctx context.Context, w *sweepWork, g GoneApp, from int64) (app *account.App, next int64, err error) {
	for range sweepAttempts {
		app, next, err = s.tryRemove(ctx, w, g, from)
		if !errors.Is(err, ErrStale) {
			break
		}
		// Another sweeper was faster, or somebody changed the record.
		current, loadErr := s.Apps.App(ctx, g.App.ID)
		if loadErr != nil || !current.Swept.IsZero() {
			return current, 0, loadErr
		}
		g.App = current
	}
	return app, next, err
}

// sweepAttempts bounds how often an app is begun with anew because its record
// was changed.
const sweepAttempts = 4

func (s *Sweeper) tryRemove(ctx context.Context, w *sweepWork, g GoneApp, from int64) (app *account.App, next int64, err error) {
	app = g.App
	switch {
	case g.State.Stage == account.Reclaimed:
		// Before the first counter goes: no payment brings them back.
		if app, err = s.Apps.Reclaim(ctx, app.ID, w.by); err != nil {
			return nil, 0, err
		}
		if app.Reclaimed.IsZero() || !app.Swept.IsZero() {
			return app, 0, nil // it was paid in time after all, or another was faster
		}
	case from == 0:
		if err := s.Apps.Registry.FreePlace(ctx, app); err != nil {
			return nil, 0, account.ForApp(app.ID, err)
		}
	}
	if from == 0 {
		if err := s.settleOnline(ctx, app); err != nil {
			return nil, 0, account.ForApp(app.ID, err)
		}
	}
	sweep := Sweep{App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Counters: s.counters(), From: from, Limit: w.slice}
	for w.budget > 0 {
		swept, err := s.Store.Sweep(ctx, sweep)
		if err != nil {
			return nil, 0, account.ForApp(app.ID, err)
		}
		w.budget -= int64(w.slice)
		w.removed += swept.Removed
		if swept.Next == 0 {
			app, err = s.Apps.Sweep(ctx, app.ID, w.by)
			return app, 0, err
		}
		sweep.From = swept.Next
	}
	return app, sweep.From, nil
}

// settleOnline has the store note who was online when the running month began: what
// it would be found out from goes with the app's counters. A report of nobody does
// that.
func (s *Sweeper) settleOnline(ctx context.Context, app *account.App) error {
	now := s.Apps.Now()
	running := catalog.WindowAt(catalog.KindMonth, now, app.RulesIn(s.Apps.Catalog()).Zone())
	t := newTxn(app, now)
	t.Mode, t.Online = ModeForce, OnlineStep{Op: OnlineReport, Months: []catalog.Window{running}}
	err := s.Store.Apply(ctx, []Txn{t})[0].Err
	if fault, ok := errors.AsType[*account.Fault](err); ok && (fault.Reason == account.UsageUnknown || fault.Reason == account.StoreOutOfMemory) {
		return nil // what is damaged is not found out any more, and a full store has to be swept
	}
	return err
}

// counters are all that the catalog has apps count, but for their own monthly
// totals.
func (s *Sweeper) counters() []Counter {
	return slices.DeleteFunc(CountersOf(s.Apps.Catalog(), s.Apps.Now()), func(c Counter) bool {
		return c.Scope == catalog.ScopeApp && c.Window.Kind == catalog.KindMonth
	})
}

// sweepLease is for how long one process has the sweeping to itself.
const sweepLease = 10 * time.Second

// Run sweeps in the background, a small step each time that tick ticks, as long as
// no other process does. It tells report of every step that removed an app's last
// counter or failed.
func (s *Sweeper) Run(ctx context.Context, tick <-chan time.Time, report func(*SweepStep, error)) {
	var at string
	var rest time.Time
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-tick:
		}
		if now.Before(rest) {
			continue
		}
		next, pause, err := s.tick(ctx, at, report)
		if ctx.Err() != nil {
			return // what was broken off the next one ends
		}
		if err != nil {
			report(nil, err)
		}
		at, rest = next, now.Add(pause)
	}
}

const (
	// sweepRest is how long a sweeper waits that has looked at all apps, or cannot.
	sweepRest = time.Minute
	// leaseRest is how long one waits that has not the lease.
	leaseRest = time.Second
)

// tick takes a step from a position, and answers where to go on, and after which
// pause.
func (s *Sweeper) tick(ctx context.Context, at string, report func(*SweepStep, error)) (next string, pause time.Duration, err error) {
	isOurs, err := s.Store.Lease(ctx, "sweep", sweepLease)
	if err != nil {
		return "", sweepRest, err
	}
	if !isOurs {
		return "", leaseRest, nil // who has it begins at the beginning
	}
	step, err := s.step(ctx, at, appsOfTick, false, account.Origin{})
	if err != nil {
		return "", sweepRest, err
	}
	if len(step.Gone) > 0 || len(step.Failed) > 0 {
		report(step, nil)
	}
	pause = time.Duration(step.Removed) * restOfRemoved
	if step.Next == "" {
		pause = max(pause, sweepRest)
	}
	return step.Next, pause, nil
}
