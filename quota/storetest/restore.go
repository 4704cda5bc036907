package storetest

import (
	"fmt"
	"slices"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// logOf is a log of revisions, in no sequence that anybody relies on.
func logOf(revisions ...uint64) []account.Event {
	var log []account.Event
	for _, revision := range revisions {
		e := done(fmt.Sprint("Change", revision))
		e.Revision = revision
		log = append(log, e)
	}
	return log
}

// restoreApp restores an app that was at a revision.
func (f *fixture) restoreApp(app *account.App, revision uint64) {
	f.Helper()
	app.Version = account.Version{Epoch: 7, Revision: revision}
	if err := f.store.RestoreApp(f.Context(), app, logOf(revision, 1), done("RestoreApp")); err != nil {
		f.Fatal(err)
	}
}

// restoreClauses are those of account.Registry that a backup is restored by.
var restoreClauses = map[string]func(*fixture){
	"an app that is restored goes on where it was": func(f *fixture) {
		app := newApp(unique("acct"))
		before := text(app)
		app.Version = account.Version{Epoch: 7, Revision: 5}
		if err := f.store.RestoreApp(f.Context(), app, logOf(5, 1, 2, 4), done("RestoreApp")); err != nil {
			f.Fatal(err)
		}
		got, err := f.store.App(f.Context(), app.ID)
		if err != nil {
			f.Fatal(err)
		}
		f.wantSame("record", before, text(got))
		if got.Version != app.Version || got.Version.Revision != 6 || got.Version.Epoch == 7 {
			f.Errorf("version %v, the caller's %v", got.Version, app.Version)
		}
		f.wantSame("log", []string{"6 RestoreApp", "5 Change5", "4 Change4", "2 Change2", "1 Change1"}, f.events(app.ID))
		page, err := f.store.Events(f.Context(), app.ID, 3, 1)
		if want := logOf(2); err != nil || len(page) != 1 {
			f.Errorf("page %+v, %v", page, err)
		} else {
			f.wantSame("event", want[0], page[0])
		}
		f.app = app
		f.change("DisableApp")
		f.wantSame("log", "7 DisableApp", f.events(app.ID)[0])
		f.one(f.txn(on(groups, 1, catalog.Unlimited())))
		f.wantSame("apps", []uint32{app.ID}, f.listed(app.Account, false))
		f.wantSame("deleted apps", []uint32(nil), f.listed(app.Account, true))
	},
	"an app is restored once": func(f *fixture) {
		deleted := f.create(f.app.Account)
		f.delete(deleted)
		for _, existing := range []*account.App{f.app, deleted} {
			for _, name := range []string{existing.Account, unique("another")} {
				again := newApp(name)
				again.ID = existing.ID
				f.wantRegistryErr(f.store.RestoreApp(f.Context(), again, nil, done("RestoreApp")), account.ErrAppExists)
			}
			got, err := f.store.App(f.Context(), existing.ID)
			if err != nil || got.Version != existing.Version {
				f.Errorf("%+v, %v", got, err)
			}
		}
		owner := f.owner(f.app.Account)
		f.wantSame("numbers", []int{1, 1}, []int{owner.Apps, owner.Deleted})
	},
	"an app is restored into a full account": func(f *fixture) {
		f.wantRegistryErr(f.store.CreateApp(f.Context(), newApp(f.app.Account), account.Event{}, 1, false), account.ErrAccountFull)
		f.restoreApp(newApp(f.app.Account), 3)
		f.wantSame("apps", 2, f.owner(f.app.Account).Apps)
	},
	"an app that was deleted is restored as one": func(f *fixture) {
		app := newApp(f.app.Account)
		app.Deleted = noon.UTC()
		f.restoreApp(app, 3)
		owner := f.owner(app.Account)
		f.wantSame("numbers", []int{1, 1}, []int{owner.Apps, owner.Deleted})
		f.wantSame("apps", []uint32{f.app.ID}, f.listed(app.Account, false))
		f.wantSame("deleted apps", []uint32{app.ID}, f.listed(app.Account, true))
		f.wantSame("log", []string{"4 RestoreApp", "3 Change3", "1 Change1"}, f.events(app.ID))
		again := newApp(app.Account)
		again.ID = app.ID
		f.wantRegistryErr(f.store.CreateApp(f.Context(), again, account.Event{}, roomy, false), account.ErrAppExists)
		if err := f.store.FreePlace(f.Context(), app); err != nil {
			f.Errorf("what is left to do: %v", err)
		}
		f.wantSame("deleted apps", []uint32{app.ID}, f.listed(app.Account, true))
	},
	"an app whose record is lost is restored": func(f *fixture) {
		f.change("Rename")
		f.change("Rename")
		f.harness.Lose(f.T, f.store, f.app)
		theirs := newApp(unique("another"))
		theirs.ID = f.app.ID
		f.wantRegistryErr(f.store.RestoreApp(f.Context(), theirs, nil, done("RestoreApp")), account.ErrAppExists)
		_, err := f.store.App(f.Context(), f.app.ID)
		f.wantRegistryErr(err, account.ErrUsageUnknown)
		lost := f.app
		f.app = newApp(lost.Account)
		f.app.ID, f.app.FanoutBits = lost.ID, lost.FanoutBits
		f.restoreApp(f.app, 1)
		// Of the log of the lost one nothing is left.
		f.wantSame("log", []string{"2 RestoreApp", "1 Change1"}, f.events(f.app.ID))
		stale := f.txn(on(groups, 1, catalog.Unlimited()))
		stale.Version = lost.Version
		f.wantErr(stale, quota.ErrStale)
		f.one(f.txn(on(groups, 1, catalog.Unlimited())))
		owner := f.owner(f.app.Account)
		f.wantSame("numbers", []int{1, 0}, []int{owner.Apps, owner.Deleted})
	},
	"an app that was deleted and lost is restored as deleted": func(f *fixture) {
		f.delete(f.app)
		f.harness.Lose(f.T, f.store, f.app)
		app := newApp(f.app.Account)
		app.ID, app.Deleted = f.app.ID, noon.UTC()
		f.restoreApp(app, 2)
		owner := f.owner(app.Account)
		f.wantSame("numbers", []int{0, 1}, []int{owner.Apps, owner.Deleted})
	},
	"a log that is full is restored without its oldest event": func(f *fixture) {
		app := newApp(unique("acct"))
		var revisions []uint64
		for revision := range uint64(account.EventsKept) {
			revisions = append(revisions, 11+revision)
		}
		app.Version = account.Version{Epoch: 7, Revision: revisions[len(revisions)-1]}
		if err := f.store.RestoreApp(f.Context(), app, logOf(revisions...), done("RestoreApp")); err != nil {
			f.Fatal(err)
		}
		log, err := f.store.Events(f.Context(), app.ID, 0, 2*account.EventsKept)
		if err != nil || len(log) != account.EventsKept || log[0].Revision != app.Version.Revision || log[len(log)-1].Revision != 12 {
			f.Errorf("%d events, %v", len(log), err)
		}
	},
	"of racing restorations one wins": func(f *fixture) {
		app := newApp(unique("raced"))
		won := make(chan account.Version, 16)
		f.race(16, func(int) {
			mine := app.Clone()
			mine.Version = account.Version{Epoch: 7, Revision: 3}
			if err := f.store.RestoreApp(f.Context(), mine, logOf(3), done("RestoreApp")); err == nil {
				won <- mine.Version
			} else {
				f.wantRegistryErr(err, account.ErrAppExists)
			}
		})
		got, err := f.store.App(f.Context(), app.ID)
		if err != nil || len(won) != 1 || got.Version != <-won {
			f.Errorf("%d won; %+v, %v", len(won), got, err)
		}
		f.wantSame("apps", 1, f.owner(app.Account).Apps)
	},
	"a walk finds every account that has a record": func(f *fixture) {
		var want []string
		for i := range 20 {
			owner := &account.Account{ID: unique(fmt.Sprint("walked", i)), Bills: []account.Bill{bill("b")}}
			if err := f.store.UpdateAccount(f.Context(), owner); err != nil {
				f.Fatal(err)
			}
			want = append(want, owner.ID)
		}
		var found []string
		pages := 0
		for _, limit := range []int{1, 4} {
			found, pages = nil, 0
			for cursor := ""; ; {
				page, err := f.store.WalkAccounts(f.Context(), cursor, limit)
				if err != nil {
					f.Fatal(err)
				}
				found, pages = append(found, page.Accounts...), pages+1
				if cursor = page.Next; cursor == "" {
					break
				}
				if pages > 100_000 {
					f.Fatal("a walk without an end")
				}
			}
		}
		for _, name := range want {
			if !slices.Contains(found, name) {
				f.Errorf("account %s was not found in %d pages", name, pages)
			}
		}
		if slices.Contains(found, f.app.Account) {
			f.Error("an account without a record was found")
		}
		if pages < 2 {
			f.Errorf("all of %d accounts on one page", len(found))
		}
	},
}
