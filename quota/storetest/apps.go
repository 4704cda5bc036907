package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// testRegistry runs the clauses of account.Registry.
func testRegistry(t *testing.T, h Harness) {
	t.Helper()
	all := maps.Clone(registryClauses)
	maps.Copy(all, lifecycleClauses)
	maps.Copy(all, quoteClauses)
	maps.Copy(all, restoreClauses)
	for name, clause := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clause(newFixture(t, h))
		})
	}
}

// unique makes the name of an account that no other test has: tests may share
// a store.
func unique(name string) string { return fmt.Sprintf("%s.%08x", name, rand.Uint32()) }

// newApp describes an app that does not exist.
func newApp(name string) *account.App {
	return &account.App{
		ID: 1 + rand.Uint32N(1<<31), Account: name, Name: "näme {x}:\n\"", Region: "sg", Edition: "standard",
		Created: noon.UTC(), FanoutBits: 9, Overrides: map[string]account.Override{"friends": {Limit: catalog.Unlimited()}, "groups": {Limit: catalog.Max(0), Until: noon.UTC()}},
	}
}

func (f *fixture) wantRegistryErr(got, want error) {
	f.Helper()
	if !errors.Is(got, want) {
		f.Errorf("error %v, want %v", got, want)
	}
}

const roomy = 1 << 30

var registryClauses = map[string]func(*fixture){
	"what was stored is read": func(f *fixture) {
		app := newApp(unique("acct"))
		if err := f.store.CreateApp(f.Context(), app, account.Event{}, roomy, false); err != nil {
			f.Fatal(err)
		}
		got, err := f.store.App(f.Context(), app.ID)
		if err != nil {
			f.Fatal(err)
		}
		f.wantSame("app", text(app), text(got))
		if got.Version != app.Version || got.Version.Revision != 1 {
			f.Errorf("version %v, want %v", got.Version, app.Version)
		}
	},
	"an app that never was": func(f *fixture) {
		app := newApp(unique("acct"))
		_, err := f.store.App(f.Context(), app.ID)
		f.wantRegistryErr(err, account.ErrAppNotFound)
		f.wantRegistryErr(f.store.UpdateApp(f.Context(), app, account.Event{}), account.ErrAppNotFound)
	},
	"many apps are loaded together": func(f *fixture) {
		second := f.create(unique("acme"))
		ids := []uint32{f.app.ID, f.app.ID + 1<<30, second.ID, f.app.ID}
		got := f.store.Load(f.Context(), ids)
		f.wantSame("results", len(ids), len(got))
		for i, want := range []*account.App{f.app, nil, second, f.app} {
			if want == nil {
				f.wantRegistryErr(got[i].Err, account.ErrAppNotFound)
				continue
			}
			if got[i].Err != nil || got[i].App.ID != want.ID || got[i].App.Version != want.Version {
				f.Errorf("app %d: %+v, %v", ids[i], got[i].App, got[i].Err)
			}
		}
		f.wantSame("of none", 0, len(f.store.Load(f.Context(), nil)))
	},
	"only what is lost is accepted as lost": func(f *fixture) {
		app := newApp(unique("never"))
		f.wantRegistryErr(f.store.CreateApp(f.Context(), app, account.Event{}, roomy, true), account.ErrAppNotFound)
		_, err := f.store.App(f.Context(), app.ID)
		f.wantRegistryErr(err, account.ErrAppNotFound)
	},
	"an id is taken once": func(f *fixture) {
		again := newApp(unique("another"))
		again.ID = f.app.ID
		f.wantRegistryErr(f.store.CreateApp(f.Context(), again, account.Event{}, roomy, false), account.ErrAppExists)
		f.wantRegistryErr(f.store.CreateApp(f.Context(), again, account.Event{}, roomy, true), account.ErrAppExists)
		apps, err := f.store.Apps(f.Context(), again.Account, 0, 10, false)
		if err != nil || len(apps) != 0 {
			f.Errorf("the refused app holds a place: %v, %v", apps, err)
		}
	},
	"a change needs the version it was made from": func(f *fixture) {
		first, second := f.app.Clone(), f.app.Clone()
		first.Edition, second.Edition = "premium", "standard"
		if err := f.store.UpdateApp(f.Context(), first, account.Event{}); err != nil {
			f.Fatal(err)
		}
		f.wantRegistryErr(f.store.UpdateApp(f.Context(), second, account.Event{}), account.ErrConflict)
		got, err := f.store.App(f.Context(), f.app.ID)
		if err != nil || got.Edition != "premium" || got.Version != first.Version || got.Version.Revision != 2 {
			f.Errorf("app %+v, %v", got, err)
		}
	},
	"a change keeps the counters": func(f *fixture) {
		f.count(groups, 3)
		f.count(friends, 4, "alice")
		if err := f.store.UpdateApp(f.Context(), f.app, account.Event{}); err != nil {
			f.Fatal(err)
		}
		f.wantUsed(groups, 3)
		f.wantUsed(friends, 4, "alice")
	},
	"of racing changes one wins": func(f *fixture) {
		var won atomic.Int64
		f.race(16, func(i int) {
			app := f.app.Clone()
			app.Name = fmt.Sprint(i)
			if err := f.store.UpdateApp(f.Context(), app, account.Event{}); err == nil {
				won.Add(1)
			} else if !errors.Is(err, account.ErrConflict) {
				f.Error(err)
			}
		})
		f.wantSame("winners", int64(1), won.Load())
	},
	"an account holds no more than it may": func(f *fixture) {
		const places, callers = 20, 50
		crowd := unique("crowd")
		var created, full atomic.Int64
		f.race(callers, func(int) {
			switch err := f.store.CreateApp(f.Context(), newApp(crowd), account.Event{}, places, false); {
			case err == nil:
				created.Add(1)
			case errors.Is(err, account.ErrAccountFull):
				full.Add(1)
			default:
				f.Error(err)
			}
		})
		f.wantSame("created", int64(places), created.Load())
		f.wantSame("refused", int64(callers-places), full.Load())
		apps, err := f.store.Apps(f.Context(), crowd, 0, 100, false)
		if err != nil || len(apps) != places {
			f.Errorf("%d apps, %v", len(apps), err)
		}
		if err := f.store.CreateApp(f.Context(), newApp(unique("elsewhere")), account.Event{}, places, false); err != nil {
			f.Errorf("another account: %v", err)
		}
	},
	"one id by many callers": func(f *fixture) {
		owners := []string{unique("one"), unique("two")}
		app := newApp("")
		var created atomic.Int64
		f.race(16, func(i int) {
			mine := app.Clone()
			mine.Account = owners[i%2]
			if err := f.store.CreateApp(f.Context(), mine, account.Event{}, roomy, false); err == nil {
				created.Add(1)
			} else if !errors.Is(err, account.ErrAppExists) {
				f.Error(err)
			}
		})
		f.wantSame("created", int64(1), created.Load())
		listed := 0
		for _, name := range owners {
			apps, err := f.store.Apps(f.Context(), name, 0, 10, false)
			if err != nil {
				f.Fatal(err)
			}
			listed += len(apps)
			if len(apps) > 0 {
				continue
			}
			if err := f.store.CreateApp(f.Context(), newApp(name), account.Event{}, 1, false); err != nil {
				f.Errorf("the account that did not get it: %v", err)
			}
		}
		f.wantSame("listed", 1, listed)
	},
	"an account's apps come by id, a page at a time": func(f *fixture) {
		var want, listed []uint32
		paged := unique("paged")
		for range 5 {
			app := newApp(paged)
			want = append(want, app.ID)
			if err := f.store.CreateApp(f.Context(), app, account.Event{}, roomy, false); err != nil {
				f.Fatal(err)
			}
		}
		for after := uint32(0); ; {
			page, err := f.store.Apps(f.Context(), paged, after, 2, false)
			if err != nil {
				f.Fatal(err)
			}
			for _, app := range page {
				listed = append(listed, app.ID)
				after = app.ID
			}
			if len(page) < 2 {
				break
			}
		}
		slices.Sort(want)
		f.wantSame("ids", want, listed)
	},
	"accounts whose names begin alike are apart": func(f *fixture) {
		short := unique("a")
		for _, name := range []string{short, short + "b", short + ".b", short + "-b", short + strings.Repeat("a", 64-len(short))} {
			if err := f.store.CreateApp(f.Context(), newApp(name), account.Event{}, 1, false); err != nil {
				f.Fatalf("%s: %v", name, err)
			}
			apps, err := f.store.Apps(f.Context(), name, 0, 10, false)
			if err != nil || len(apps) != 1 || apps[0].App.Account != name {
				f.Errorf("%s: %v, %v", name, apps, err)
			}
		}
	},
	"an app whose record is lost is not unknown": func(f *fixture) {
		f.count(groups, 3)
		f.harness.Lose(f.T, f.store, f.app)
		_, err := f.store.App(f.Context(), f.app.ID)
		f.wantRegistryErr(err, account.ErrUsageUnknown)
		f.wantRegistryErr(f.store.UpdateApp(f.Context(), f.app, account.Event{}), account.ErrUsageUnknown)
		f.wantErr(f.txn(on(groups, 1, catalog.Unlimited())), quota.ErrStale)
		anew := newApp(f.app.Account)
		anew.ID = f.app.ID
		f.wantRegistryErr(f.store.CreateApp(f.Context(), anew, account.Event{}, roomy, false), account.ErrUsageUnknown)
		theirs := newApp(unique("another"))
		theirs.ID = f.app.ID
		f.wantRegistryErr(f.store.CreateApp(f.Context(), theirs, account.Event{}, roomy, true), account.ErrAppExists)
		// It holds its place still, so a full account can take it back.
		if err := f.store.CreateApp(f.Context(), anew, account.Event{}, 1, true); err != nil {
			f.Fatal(err)
		}
		if anew.Version == f.app.Version {
			f.Error("the app created anew has the lost one's version")
		}
		f.app = anew
		f.one(f.txn(on(groups, 1, catalog.Unlimited())))
	},
	"an app that was deleted and lost is none of the deleted when it is created anew": func(f *fixture) {
		name := f.app.Account
		f.delete(f.app)
		f.wantSame("deleted", 1, f.owner(name).Deleted)
		f.harness.Lose(f.T, f.store, f.app)
		anew := newApp(name)
		anew.ID = f.app.ID
		if err := f.store.CreateApp(f.Context(), anew, account.Event{}, roomy, true); err != nil {
			f.Fatal(err)
		}
		owner := f.owner(name)
		f.wantSame("numbers", []int{1, 0}, []int{owner.Apps, owner.Deleted})
		f.wantSame("apps", []uint32{anew.ID}, f.listed(name, false))
		f.wantSame("deleted apps", []uint32(nil), f.listed(name, true))
	},
	"a list shows the apps beside the one that is lost": func(f *fixture) {
		other := f.create(f.app.Account)
		f.harness.Lose(f.T, f.store, f.app)
		apps, err := f.store.Apps(f.Context(), f.app.Account, 0, 10, false)
		if err != nil || len(apps) != 2 {
			f.Fatalf("%v, %v", apps, err)
		}
		for _, l := range apps {
			if l.ID == other.ID {
				f.wantRegistryErr(l.Err, nil)
				continue
			}
			f.wantRegistryErr(l.Err, account.ErrUsageUnknown)
			if want := fmt.Sprintf("app %d", f.app.ID); l.Err == nil || l.ID != f.app.ID || l.App != nil || !strings.Contains(l.Err.Error(), want) {
				f.Errorf("%+v is not of %s", l, want)
			}
		}
	},
	"a creation that is refused takes no place": func(f *fixture) {
		small := unique("small")
		taken, first, second := newApp(small), newApp(small), newApp(small)
		taken.ID = f.app.ID
		f.wantRegistryErr(f.store.CreateApp(f.Context(), taken, account.Event{}, 1, false), account.ErrAppExists)
		f.wantRegistryErr(f.store.CreateApp(f.Context(), newApp(small), account.Event{}, 1, true), account.ErrAppNotFound)
		if err := f.store.CreateApp(f.Context(), first, account.Event{}, 1, false); err != nil {
			f.Fatal(err)
		}
		f.wantRegistryErr(f.store.CreateApp(f.Context(), second, account.Event{}, 1, false), account.ErrAccountFull)
		if err := f.store.CreateApp(f.Context(), second, account.Event{}, 2, false); err != nil {
			f.Errorf("with one place more: %v", err)
		}
	},
}

// text is a record as it is stored, to compare.
func text(app *account.App) string {
	b, err := json.Marshal(app)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
