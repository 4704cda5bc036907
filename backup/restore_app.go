package backup

import (
	"context"
	"errors"
	"slices"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Work at once.
const (
	keysOfSweep     = 1000
	entriesRestored = 2000
)

// restoreAction is the action of the event that a restored app's log goes on with;
// its one change names the backup.
const (
	restoreAction = "RestoreApp"
	restoreField  = "backup"
)

// appRestoration restores one app.
type appRestoration struct {
	*restoration

	app     *account.App
	isLost  bool
	log     []account.Event
	pending []quota.Entry
	// What is counted of users is counted anew, so that it is as many as there are:
	// the totals of the file may be of another moment.
	registered int64
	active     map[int32]int64 // users by the month that they were active in last
	totals     []quota.Entry   // of months, from the file
}

// beginApp looks whether an app is to be restored; nil: it is not.
func (r *restoration) beginApp(ctx context.Context, app *account.App) (*appRestoration, error) {
	if !r.file.wants(app.ID) {
		return nil, nil
	}
	existing, err := r.Store.App(ctx, app.ID)
	isLost := errors.Is(err, account.ErrUsageUnknown)
	switch {
	case err == nil:
		return nil, r.existing(ctx, app, existing)
	case isLost:
		isTheirs, err := r.isLostBy(ctx, app)
		if err != nil {
			return nil, account.ForApp(app.ID, err)
		}
		if !isTheirs {
			r.conflict(app.ID, "is lost, and was another account's; it stays lost")
			return nil, nil
		}
	case errors.Is(err, account.ErrAppNotFound):
	case account.IsOfRecord(err):
		r.conflict(app.ID, "is there and cannot be read: "+err.Error())
		return nil, nil
	default:
		return nil, account.ForApp(app.ID, err)
	}
	a := &appRestoration{restoration: r, app: app, isLost: isLost, active: make(map[int32]int64)}
	if r.DryRun {
		return a, nil
	}
	return a, a.sweep(ctx)
}

// isLostBy reports whether the account of an app has lost it.
func (r *restoration) isLostBy(ctx context.Context, app *account.App) (bool, error) {
	for _, deleted := range []bool{false, true} {
		apps, err := r.Store.Apps(ctx, app.Account, app.ID-1, 1, deleted)
		if err != nil || len(apps) > 0 && apps[0].ID == app.ID {
			return err == nil, err
		}
	}
	return false, nil
}

// existing notes an app that is there: it was restored from this backup before, or
// it is another.
func (r *restoration) existing(ctx context.Context, app, existing *account.App) error {
	after := app.Version.Revision + 1
	events, err := r.Store.Events(ctx, app.ID, after+1, 1)
	if err != nil {
		return account.ForApp(app.ID, err)
	}
	want := []account.FieldChange{{Field: restoreField, After: r.file.Header.ID}}
	if len(events) == 0 || events[0].Revision != after || events[0].Action != restoreAction || !slices.Equal(events[0].Changes, want) {
		r.conflict(app.ID, "is there already; it stays as it is")
		return nil
	}
	r.restored.AppsThere++
	if existing.Deleted.IsZero() || r.DryRun {
		return nil
	}
	// The restoration may have broken off before.
	return account.ForApp(app.ID, r.Store.FreePlace(ctx, existing))
}

// sweep removes what a restoration that broke off has left, or an app that was lost.
func (a *appRestoration) sweep(ctx context.Context) error {
	s := quota.Sweep{App: a.app.ID, FanoutBits: a.app.FanoutBits, Counters: quota.CountersOf(a.Catalog, a.Now()), Limit: keysOfSweep}
	for {
		swept, err := a.Store.Sweep(ctx, s)
		if err != nil {
			return account.ForApp(a.app.ID, err)
		}
		if s.From = swept.Next; s.From == 0 {
			return nil
		}
	}
}

// entries restores what the app counted, but for what is counted anew.
func (a *appRestoration) entries(ctx context.Context, entries []quota.Entry) error {
	for _, e := range entries {
		switch {
		case e.Kind == quota.EntryUser:
			if e.Registered {
				a.registered++
			}
			if e.Month != quota.NeverActive {
				a.active[e.Month]++
			}
		case a.app.IsNotedGone() || e.Kind != quota.EntryCounter || e.Counter.Scope != catalog.ScopeApp:
			// Of an app that is gone the users may be, and its totals stay.
		case e.Counter.Quota == catalog.Users:
			continue
		case e.Counter.Quota == catalog.FreeMAU:
			a.totals = append(a.totals, e)
			continue
		}
		a.pending = append(a.pending, e)
	}
	if len(a.pending) < entriesRestored {
		return nil
	}
	return a.flush(ctx)
}

func (a *appRestoration) flush(ctx context.Context) error {
	pending := a.pending
	a.pending = nil
	if len(pending) == 0 || a.DryRun {
		return nil
	}
	return account.ForApp(a.app.ID, a.Store.Restore(ctx, quota.Restoration{
		App: a.app.ID, FanoutBits: a.app.FanoutBits, Now: a.Now(), Entries: pending,
	}))
}

// counted are the totals that are counted anew: of registered users, and of those
// who were active in the month that ran when the backup was made. Of months that
// were over nobody can say it any more: their totals are the file's.
func (a *appRestoration) counted() []quota.Entry {
	if a.app.IsNotedGone() {
		return nil
	}
	users := quota.Entry{Kind: quota.EntryCounter, Counter: quota.Counter{Quota: catalog.Users, Scope: catalog.ScopeApp}, Used: a.registered}
	zone := a.Catalog.Zone()
	running := catalog.WindowAt(catalog.KindMonth, a.file.Header.Created, zone)
	newest := catalog.Month(running.Start, zone)
	for month := range a.active {
		newest = max(newest, month)
	}
	for catalog.Month(running.Start, zone) < newest { // by the clock of an app that was ahead
		running = catalog.WindowAt(catalog.KindMonth, running.End, zone)
	}
	mau := quota.Counter{Quota: catalog.FreeMAU, Scope: catalog.ScopeApp, Window: running}
	totals := slices.DeleteFunc(a.totals, func(e quota.Entry) bool { return !e.Counter.Window.Start.Before(running.Start) })
	counted := append([]quota.Entry{users, {Kind: quota.EntryCounter, Counter: mau, Used: a.active[newest]}}, totals...)
	if !a.isLost {
		return slices.DeleteFunc(counted, func(e quota.Entry) bool { return e.Used == 0 })
	}
	// Totals of an app that was lost are not swept, and say what nobody was.
	for now := a.Now(); running.End.Before(now); {
		running = catalog.WindowAt(catalog.KindMonth, running.End, zone)
		mau.Window = running
		counted = append(counted, quota.Entry{Kind: quota.EntryCounter, Counter: mau})
	}
	return counted
}

// end restores the rest of the app, and then the app.
func (a *appRestoration) end(ctx context.Context, done *Done) error {
	a.pending = append(a.pending, a.counted()...)
	err := a.flush(ctx)
	if err == nil && !a.DryRun {
		event := account.Event{
			At: a.Now().UTC(), Action: restoreAction, Actor: a.Actor,
			Changes: []account.FieldChange{{Field: restoreField, After: a.file.Header.ID}},
		}
		err = account.ForApp(a.app.ID, a.Store.RestoreApp(ctx, a.app, a.log, event))
	}
	switch {
	case errors.Is(err, account.ErrAppExists):
		a.conflict(a.app.ID, "was made meanwhile, or is another account's; it stays as it is")
		return nil
	case err != nil:
		return err
	}
	a.restored.Apps++
	a.restored.Users += done.Users
	a.restored.Entries += done.Entries
	if done.Moved {
		a.restored.Moved = append(a.restored.Moved, a.app.ID)
	}
	return nil
}
