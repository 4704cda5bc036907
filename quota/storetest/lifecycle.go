package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/shopspring/decimal"
)

// done is an event that a clause tells from others by its action.
func done(action string) account.Event {
	return account.Event{
		At: noon.UTC(), Action: action, Actor: "ann", Certified: true, RequestID: "r",
		Changes: []account.FieldChange{{Field: "name", Before: "a", After: "b"}},
	}
}

// events reads the whole log of an app, by pages of two.
func (f *fixture) events(id uint32) (actions []string) {
	f.Helper()
	for before := uint64(0); ; {
		page, err := f.store.Events(f.Context(), id, before, 2)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range page {
			actions = append(actions, fmt.Sprint(e.Revision, " ", e.Action))
			before = e.Revision
		}
		if len(page) < 2 {
			return actions
		}
	}
}

// change updates the fixture's app.
func (f *fixture) change(action string) {
	f.Helper()
	if err := f.store.UpdateApp(f.Context(), f.app, done(action)); err != nil {
		f.Fatal(err)
	}
}

// delete deletes an app.
func (f *fixture) delete(app *account.App) {
	f.Helper()
	app.Deleted = noon.UTC()
	if err := f.store.DeleteApp(f.Context(), app, done("DeleteApp")); err != nil {
		f.Fatal(err)
	}
}

// listed are the ids of an account's apps, or of its deleted ones.
func (f *fixture) listed(name string, deleted bool) (ids []uint32) {
	f.Helper()
	apps, err := f.store.Apps(f.Context(), name, 0, 1000, deleted)
	if err != nil {
		f.Fatal(err)
	}
	for _, app := range apps {
		ids = append(ids, app.ID)
	}
	return ids
}

// owner reads an account.
func (f *fixture) owner(name string) *account.Account {
	f.Helper()
	loaded := f.store.Accounts(f.Context(), []string{name})
	if len(loaded) != 1 || loaded[0].Err != nil {
		f.Fatalf("account %s: %+v", name, loaded)
	}
	return loaded[0].Account
}

func bill(id string) account.Bill {
	return account.Bill{ID: id, Month: "2024-05", Amount: decimal.RequireFromString("12.30"), Pushed: noon.UTC()}
}

// sweep sweeps the fixture's app to the end.
func (f *fixture) sweep(limit int, counters ...quota.Counter) (calls int, removed int64) {
	f.Helper()
	s := quota.Sweep{App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, Counters: counters, Limit: limit}
	for {
		swept, err := f.store.Sweep(f.Context(), s)
		if err != nil {
			f.Fatal(err)
		}
		calls++
		removed += swept.Removed
		if s.From = swept.Next; s.From == 0 {
			return calls, removed
		}
	}
}

// lifecycleClauses are those of account.Registry that apps and accounts live and
// end by.
var lifecycleClauses = map[string]func(*fixture){
	"a change is logged with itself": func(f *fixture) {
		app := newApp(unique("acct"))
		if err := f.store.CreateApp(f.Context(), app, done("CreateApp"), roomy, false); err != nil {
			f.Fatal(err)
		}
		stale := app.Clone()
		f.app = app
		f.change("DisableApp")
		f.change("EnableApp")
		f.wantRegistryErr(f.store.UpdateApp(f.Context(), stale, done("Never")), account.ErrConflict)
		f.wantSame("log", []string{"3 EnableApp", "2 DisableApp", "1 CreateApp"}, f.events(app.ID))
		page, err := f.store.Events(f.Context(), app.ID, 3, 1)
		want := done("DisableApp")
		want.Revision = 2
		if err != nil || len(page) != 1 {
			f.Fatalf("page %+v, %v", page, err)
		}
		f.wantSame("event", want, page[0])
		page, err = f.store.Events(f.Context(), app.ID, 1, 10)
		if err != nil || len(page) != 0 {
			f.Errorf("before the first: %+v, %v", page, err)
		}
	},
	"the log of an app that never was": func(f *fixture) {
		_, err := f.store.Events(f.Context(), f.app.ID+1<<30, 0, 10)
		f.wantRegistryErr(err, account.ErrAppNotFound)
	},
	"a deleted app leaves its place": func(f *fixture) {
		small := unique("small")
		first, second := newApp(small), newApp(small)
		if err := f.store.CreateApp(f.Context(), first, account.Event{}, 1, false); err != nil {
			f.Fatal(err)
		}
		f.wantRegistryErr(f.store.CreateApp(f.Context(), second, account.Event{}, 1, false), account.ErrAccountFull)
		f.delete(first)
		if err := f.store.CreateApp(f.Context(), second, account.Event{}, 1, false); err != nil {
			f.Errorf("into the place of the deleted one: %v", err)
		}
		f.wantSame("apps", []uint32{second.ID}, f.listed(small, false))
		f.wantSame("deleted apps", []uint32{first.ID}, f.listed(small, true))
		owner := f.owner(small)
		f.wantSame("numbers", []int{1, 1}, []int{owner.Apps, owner.Deleted})
		got, err := f.store.App(f.Context(), first.ID)
		if err != nil || !got.Deleted.Equal(noon) {
			f.Errorf("the tombstone: %+v, %v", got, err)
		}
		f.wantSame("log", []string{"2 DeleteApp", "1 "}, f.events(first.ID))
	},
	"a place is given back once": func(f *fixture) {
		f.delete(f.app)
		for range 2 {
			if err := f.store.FreePlace(f.Context(), f.app); err != nil {
				f.Fatal(err)
			}
		}
		owner := f.owner(f.app.Account)
		f.wantSame("numbers", []int{0, 1}, []int{owner.Apps, owner.Deleted})
	},
	"a deleted app's id is not used again": func(f *fixture) {
		f.delete(f.app)
		for _, name := range []string{f.app.Account, unique("another")} {
			again := newApp(name)
			again.ID = f.app.ID
			f.wantRegistryErr(f.store.CreateApp(f.Context(), again, account.Event{}, roomy, false), account.ErrAppExists)
			f.wantRegistryErr(f.store.CreateApp(f.Context(), again, account.Event{}, roomy, true), account.ErrAppExists)
			f.wantSame("apps of "+name, []uint32(nil), f.listed(name, false))
		}
	},
	"a deletion needs the version it was made from": func(f *fixture) {
		stale := f.app.Clone()
		f.change("Rename")
		stale.Deleted = noon.UTC()
		f.wantRegistryErr(f.store.DeleteApp(f.Context(), stale, done("DeleteApp")), account.ErrConflict)
		f.wantSame("apps", []uint32{f.app.ID}, f.listed(f.app.Account, false))
		f.wantRegistryErr(f.store.CreateApp(f.Context(), newApp(f.app.Account), account.Event{}, 1, false), account.ErrAccountFull)
	},
	"nothing is counted by the record of before a deletion": func(f *fixture) {
		before := f.txn(on(groups, 1, catalog.Unlimited()))
		f.delete(f.app)
		f.wantErr(before, quota.ErrStale)
	},
	"an account is full to the last place while apps come and go": func(f *fixture) {
		const places, callers, rounds = 5, 12, 6
		crowd := unique("crowd")
		var living atomic.Int64
		f.race(callers, func(int) {
			for range rounds {
				app := newApp(crowd)
				if err := f.store.CreateApp(f.Context(), app, account.Event{}, places, false); err != nil {
					f.wantRegistryErr(err, account.ErrAccountFull)
					continue
				}
				if n := living.Add(1); n > places {
					f.Errorf("%d apps in %d places", n, places)
				}
				living.Add(-1) // before the place is free
				app.Deleted = noon.UTC()
				if err := f.store.DeleteApp(f.Context(), app, account.Event{}); err != nil {
					f.Error(err)
				}
			}
		})
		f.wantSame("apps", []uint32(nil), f.listed(crowd, false))
		for range places {
			if err := f.store.CreateApp(f.Context(), newApp(crowd), account.Event{}, places, false); err != nil {
				f.Errorf("a place was lost: %v", err)
			}
		}
		f.wantRegistryErr(f.store.CreateApp(f.Context(), newApp(crowd), account.Event{}, places, false), account.ErrAccountFull)
	},
	"an account that nobody heard of": func(f *fixture) {
		never := f.owner(unique("never"))
		if never.Exists() || never.Version != (account.Version{}) || len(never.Bills) != 0 {
			f.Errorf("%+v", never)
		}
		theirs := f.owner(f.app.Account)
		if !theirs.Exists() || theirs.Apps != 1 || theirs.ID != f.app.Account {
			f.Errorf("%+v", theirs)
		}
	},
	"what an account owes is stored and read": func(f *fixture) {
		names := []string{unique("acct"), unique("other"), f.app.Account}
		for _, name := range names[:2] {
			if err := f.store.UpdateAccount(f.Context(), &account.Account{ID: name, Bills: []account.Bill{bill(name)}}); err != nil {
				f.Fatal(err)
			}
		}
		for i, l := range f.store.Accounts(f.Context(), names) {
			if l.Err != nil || l.Account.ID != names[i] || (i < 2) != (len(l.Account.Bills) == 1) || (i < 2) != (l.Account.Version.Revision == 1) {
				f.Errorf("account %s: %+v, %v", names[i], l.Account, l.Err)
			}
		}
		got := f.owner(names[0]).Bills[0]
		if want := bill(names[0]); got.ID != want.ID || !got.Amount.Equal(want.Amount) || !got.Pushed.Equal(want.Pushed) || !got.IsOpen() {
			f.Errorf("bill %+v, want %+v", got, want)
		}
		f.wantSame("of none", 0, len(f.store.Accounts(f.Context(), nil)))
	},
	"a change of an account needs the version it was made from": func(f *fixture) {
		first := f.owner(f.app.Account)
		second := first.Clone()
		first.Bills = append(first.Bills, bill("first"))
		if err := f.store.UpdateAccount(f.Context(), first); err != nil {
			f.Fatal(err)
		}
		second.Bills = append(second.Bills, bill("second"))
		f.wantRegistryErr(f.store.UpdateAccount(f.Context(), second), account.ErrConflict)
		got := f.owner(f.app.Account)
		if len(got.Bills) != 1 || got.Bills[0].ID != "first" || got.Version != first.Version || got.Apps != 1 {
			f.Errorf("%+v", got)
		}
		first.Bills[0].Paid = noon.UTC()
		if err := f.store.UpdateAccount(f.Context(), first); err != nil {
			f.Fatal(err)
		}
		if got := f.owner(f.app.Account); got.Bills[0].IsOpen() || got.Version.Revision != 2 {
			f.Errorf("%+v", got)
		}
	},
	"of racing changes of an account one wins": func(f *fixture) {
		name := unique("raced")
		var won atomic.Int64
		f.race(16, func(i int) {
			err := f.store.UpdateAccount(f.Context(), &account.Account{ID: name, Bills: []account.Bill{bill(fmt.Sprint(i))}})
			if err == nil {
				won.Add(1)
			} else {
				f.wantRegistryErr(err, account.ErrConflict)
			}
		})
		f.wantSame("winners", int64(1), won.Load())
	},
	"a walk finds every app": func(f *fixture) {
		want := []uint32{f.app.ID}
		for range 20 {
			want = append(want, f.create(unique("walked")).ID)
		}
		f.delete(f.app)
		var found []uint32
		pages, last := 0, account.Page{}
		for cursor := ""; ; {
			page, err := f.store.Walk(f.Context(), cursor, 4)
			if err != nil {
				f.Fatal(err)
			}
			if page.Done < last.Done || page.Done > page.Total || (page.Next == "") != (page.Done == page.Total) {
				f.Errorf("page %d: %d of %d done, after %d; next %q", pages, page.Done, page.Total, last.Done, page.Next)
			}
			found = append(found, page.Apps...)
			pages, last = pages+1, page
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		for _, id := range want {
			if !slices.Contains(found, id) {
				f.Errorf("app %d was not found in %d pages", id, pages)
			}
		}
		if pages < 2 {
			f.Errorf("all of %d apps on one page", len(found))
		}
	},
	"who watches is told before a change is acknowledged": func(f *fixture) {
		w := newWatcher()
		ctx, stop := context.WithCancel(f.Context())
		var running sync.WaitGroup
		running.Go(func() { f.store.Watch(ctx, w) })
		defer running.Wait()
		defer stop()
		w.await(f, func() bool { return !w.confirmed.IsZero() })
		f.change("DisableApp")
		if !w.heard(account.Subject{App: f.app.ID}) {
			f.Error("the change of an app was not announced")
		}
		owner := &account.Account{ID: unique("acct")}
		if err := f.store.UpdateAccount(f.Context(), owner); err != nil {
			f.Fatal(err)
		}
		if !w.heard(account.Subject{Account: owner.ID}) {
			f.Error("the change of an account was not announced")
		}
		second := f.create(unique("acct"))
		f.delete(second)
		if !w.heard(account.Subject{App: second.ID}) {
			f.Error("the deletion was not announced")
		}
		was := w.last()
		w.await(f, func() bool { return w.confirmed.After(was) || was.After(time.Now().AddDate(1, 0, 0)) })
	},
	"a sweep removes what was counted and keeps monthly totals": func(f *fixture) {
		other := f.create(unique("other"))
		for _, app := range []*account.App{other, f.app} {
			f.app = app
			f.one(f.userTxn(quota.UsersLogin, month, "alice", "bob"))
			f.count(groups, 3)
			f.count(friends, 4, "alice", "bob")
			f.count(stickers, 2, "alice")
			f.count(dailyNet, -2)
			f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 1))
			f.one(f.once('x', 1, on(groups, 1, catalog.Unlimited())))
		}
		calls, removed := f.sweep(200, friends, groups, users, dailyNet, stickers)
		if calls < 2 && f.app.FanoutBits > 8 || removed == 0 {
			f.Errorf("%d keys removed in %d calls", removed, calls)
		}
		f.wantUsed(mau, 2) // bills are made from it
		for _, c := range []quota.Counter{groups, users, dailyNet} {
			f.wantUsed(c, 0)
		}
		f.wantUsed(friends, 0, "alice")
		f.wantUsed(stickers, 0, "alice")
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 1))                  // it is not there
		again := f.one(f.once('x', 1, on(groups, 1, catalog.Unlimited()))) // it is not remembered
		f.wantSame("replayed", false, again.Replayed)
		if _, removed := f.sweep(1000, friends, groups, users, dailyNet, stickers); removed == 0 {
			f.Error("what was counted since was not removed")
		}
		if _, removed := f.sweep(1000, friends, groups, users, dailyNet, stickers); removed != 0 {
			f.Errorf("%d keys removed where nothing is left", removed)
		}
		f.app = other
		f.wantUsed(groups, 4)
		f.wantUsed(friends, 4, "bob")
		f.wantUsed(users, 2)
	},
	"a sweep needs the record's version": func(f *fixture) {
		f.count(groups, 3)
		s := quota.Sweep{App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, Counters: []quota.Counter{groups}, Limit: 1 << 20}
		f.change("Rename")
		_, err := f.store.Sweep(f.Context(), s)
		f.wantRegistryErr(err, quota.ErrStale)
		f.wantUsed(groups, 3)
	},
	"who has a lease keeps it": func(f *fixture) {
		for range 2 {
			if ok, err := f.store.Lease(f.Context(), unique("lease"), time.Minute); !ok || err != nil {
				f.Errorf("%v, %v", ok, err)
			}
		}
		name := unique("lease")
		for range 2 {
			if ok, err := f.store.Lease(f.Context(), name, time.Minute); !ok || err != nil {
				f.Errorf("again: %v, %v", ok, err)
			}
		}
	},
}

// watcher remembers what it was told.
type watcher struct {
	mu        sync.Mutex
	announced map[account.Subject]int
	confirmed time.Time
	told      chan struct{} // one at a time
}

func newWatcher() *watcher {
	return &watcher{announced: make(map[account.Subject]int), told: make(chan struct{}, 1)}
}

func (w *watcher) note(do func()) {
	w.mu.Lock()
	do()
	w.mu.Unlock()
	select {
	case w.told <- struct{}{}:
	default:
	}
}

// Announced implements account.Watcher.
func (w *watcher) Announced(s account.Subject, _ time.Time) { w.note(func() { w.announced[s]++ }) }

// Confirmed implements account.Watcher.
func (w *watcher) Confirmed(until time.Time) { w.note(func() { w.confirmed = until }) }

// Missed implements account.Watcher.
func (w *watcher) Missed() { w.note(func() { w.confirmed = time.Time{} }) }

func (w *watcher) heard(s account.Subject) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.announced[s] > 0
}

func (w *watcher) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.confirmed
}

// await waits until a condition holds, which is looked at under the lock.
func (w *watcher) await(f *fixture, holds func() bool) {
	f.Helper()
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for {
		w.mu.Lock()
		ok := holds()
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.told:
		case <-patience.C:
			f.Fatal("the watcher was not told in time")
		}
	}
}
