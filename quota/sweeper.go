package quota

import (
	"cmp"
	"context"
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
	Store    Store
	Registry account.Registry
	Apps     *account.Apps
	Catalog  func() *catalog.Snapshot
	Now      func() time.Time
}

// The work of one Step at most. Redis runs nothing else while it removes a
// slice of keys, which takes about a millisecond.
const (
	appsOfStep   = 100  // looked at
	keysOfStep   = 2000 // looked at
	keysOfSlice  = 500
	keysOfDelete = 1000 // of Remove, for whose end a caller waits
)

// SweepStep is what a Step did.
type SweepStep struct {
	Gone        []GoneApp // whose last counter was removed, or would be
	Next        string    // position to go on from; empty: all apps were looked at
	Done, Total int64     // parts of the walk over all apps
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
	p, err := parsePosition(at)
	if err != nil {
		return nil, err
	}
	page, err := s.Registry.Walk(ctx, p.cursor, appsOfStep)
	if err != nil {
		return nil, err
	}
	step := &SweepStep{Done: page.Done, Total: page.Total}
	gone, err := s.find(ctx, p, page.Apps)
	if err != nil {
		return nil, err
	}
	budget := int64(keysOfStep)
	for _, g := range gone {
		if dryRun {
			step.Gone = append(step.Gone, g)
			continue
		}
		from := int64(0)
		if g.App.ID == p.app {
			from = p.from
		}
		app, next, err := s.remove(ctx, g, from, &budget, keysOfSlice, by)
		if err != nil {
			return nil, account.ForApp(g.App.ID, err)
		}
		if next != 0 {
			step.Next = position{p.cursor, app.ID, next}.String()
			return step, nil
		}
		if !app.Swept.IsZero() {
			step.Gone = append(step.Gone, GoneApp{app, g.State})
		}
		if budget <= 0 {
			step.Next = position{p.cursor, app.ID, 0}.String()
			return step, nil
		}
	}
	if page.Next != "" {
		step.Next = position{cursor: page.Next}.String()
	}
	return step, nil
}

// find returns those of a page's apps that are gone and not swept, from the
// position on. What it cannot read of one app it leaves alone.
func (s *Sweeper) find(ctx context.Context, p position, ids []uint32) ([]GoneApp, error) {
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id uint32) bool { return id < p.app || id == p.app && p.from == 0 })
	var candidates []*account.App
	for i, l := range s.Registry.Load(ctx, ids) {
		switch {
		case account.IsOfRecord(l.Err):
		case l.Err != nil:
			return nil, account.ForApp(ids[i], l.Err)
		case l.App.Swept.IsZero():
			candidates = append(candidates, l.App)
		}
	}
	return s.gone(ctx, candidates)
}

// gone returns those apps that are gone.
func (s *Sweeper) gone(ctx context.Context, apps []*account.App) ([]GoneApp, error) {
	var names []string
	for _, app := range apps {
		names = append(names, app.Account)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	owners := make(map[string]*account.Account, len(names))
	for i, l := range s.Registry.Accounts(ctx, names) {
		if l.Err != nil && !account.IsOfRecord(l.Err) {
			return nil, l.Err
		}
		owners[names[i]] = l.Account
	}
	now, cat := s.Now(), s.Catalog()
	var gone []GoneApp
	for _, app := range apps {
		owner := owners[app.Account]
		if owner == nil {
			continue
		}
		if state := app.StateAt(now, owner, cat); state.IsGone() {
			gone = append(gone, GoneApp{app, state})
		}
	}
	return gone, nil
}

// Remove removes all counters of an app that is deleted.
func (s *Sweeper) Remove(ctx context.Context, app *account.App, by account.Origin) (*account.App, error) {
	state := &account.State{Stage: account.Deleted, Since: app.Deleted}
	by.Change = account.Change{} // the request deleted the app; this is another change
	for from := int64(0); ; {
		budget := int64(keysOfDelete)
		swept, next, err := s.remove(ctx, GoneApp{app, state}, from, &budget, keysOfDelete, by)
		if err != nil || next == 0 {
			return swept, account.ForApp(app.ID, err)
		}
		from = next
	}
}

// remove removes counters of an app as long as the budget of keys lasts, and
// answers where to go on; zero: none is left, and the record says so.
func (s *Sweeper) remove(ctx context.Context, g GoneApp, from int64, budget *int64, slice int, by account.Origin) (app *account.App, next int64, err error) {
	app = g.App
	if g.State.Stage == account.Reclaimed {
		// Before the first counter goes: no payment brings them back.
		if app, err = s.Apps.Reclaim(ctx, app.ID, by); err != nil {
			return nil, 0, err
		}
		if app.Reclaimed.IsZero() {
			return app, 0, nil // it was paid in time after all, by a clock that is behind
		}
	} else if err := s.Registry.FreePlace(ctx, app); err != nil {
		return nil, 0, err
	}
	sweep := Sweep{App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Counters: s.counters(), From: from, Limit: slice}
	for *budget > 0 {
		swept, err := s.Store.Sweep(ctx, sweep)
		if err != nil {
			return nil, 0, err
		}
		*budget -= int64(slice)
		if swept.Next == 0 {
			app, err = s.Apps.Sweep(ctx, app.ID, by)
			return app, 0, err
		}
		sweep.From = swept.Next
	}
	return app, sweep.From, nil
}

// Windows of which counters may be left: days are kept for two, months for
// thirteen; one more of each, for clocks that differ.
const (
	sweptDays   = 4
	sweptMonths = 14
)

// counters are all that the catalog has apps count, but for their own monthly
// totals.
func (s *Sweeper) counters() []Counter {
	cat, now := s.Catalog(), s.Now()
	var counters []Counter
	for _, q := range cat.Quotas() {
		if q.Kind == catalog.KindStatic || q.Scope == catalog.ScopeApp && q.Kind == catalog.KindMonth {
			continue
		}
		for _, w := range sweptWindows(q.Kind, now, cat.Zone()) {
			counters = append(counters, Counter{Quota: q.Key, Scope: q.Scope, Window: w})
		}
	}
	// A sweep that goes on counts keys in this sequence. When a window ends in
	// between, what is left moves up, and is looked at again: nothing is skipped.
	slices.SortFunc(counters, func(a, b Counter) int {
		return cmp.Or(cmp.Compare(a.Quota, b.Quota), b.Window.Start.Compare(a.Window.Start))
	})
	return counters
}

// sweptWindows are the windows of a kind, from the next one back.
func sweptWindows(k catalog.Kind, now time.Time, zone *time.Location) []catalog.Window {
	w := catalog.WindowAt(k, now, zone)
	if w.IsStock() {
		return []catalog.Window{w}
	}
	n := sweptDays
	if k == catalog.KindMonth {
		n = sweptMonths
	}
	windows := []catalog.Window{catalog.WindowAt(k, w.End, zone)}
	for range n {
		windows = append(windows, w)
		w = catalog.WindowAt(k, w.Start.Add(-1), zone)
	}
	return windows
}

// sweepLease is for how long one process has the sweeping to itself.
const sweepLease = 10 * time.Second

// Run sweeps in the background, a step each time that tick ticks, as long as no
// other process does. It tells report of every step that removed something or
// failed.
func (s *Sweeper) Run(ctx context.Context, tick <-chan time.Time, report func(*SweepStep, error)) {
	var at string
	var rest time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		if s.Now().Before(rest) {
			continue
		}
		isOurs, err := s.Store.Lease(ctx, "sweep", sweepLease)
		if err == nil && !isOurs {
			at = "" // who has it begins at the beginning
			continue
		}
		var step *SweepStep
		if err == nil {
			step, err = s.Step(ctx, at, false, account.Origin{})
		}
		if ctx.Err() != nil {
			return // what was broken off the next one ends
		}
		if err != nil {
			report(nil, err)
			at, rest = "", s.Now().Add(sweepRest)
			continue
		}
		if len(step.Gone) > 0 {
			report(step, nil)
		}
		if at = step.Next; at == "" {
			rest = s.Now().Add(sweepRest)
		}
	}
}

// sweepRest is how long a sweeper waits after it has looked at all apps.
const sweepRest = time.Minute
