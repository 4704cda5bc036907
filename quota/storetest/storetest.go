package storetest

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Driver is what is tested.
type Driver interface {
	quota.Store
	account.Registry
}

// Harness is how the suite gets at a driver.
type Harness struct {
	// Open makes a store that is empty and ready, and closes it when the test
	// is over.
	Open func(t testing.TB) Driver
	// Damage puts something in the place of a stored value that is no value.
	Damage func(t testing.TB, d Driver, app *account.App, v Value)
	// Lose takes an app's record away, as a store does that lost it.
	Lose func(t testing.TB, d Driver, app *account.App)
}

// Value names one stored value: a counter, a user, a group or a gateway's report.
type Value struct {
	Counter       quota.Counter
	Subject       string // of the counter
	User, GroupID string
	Gateway       string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, clauses := range []map[string]func(*fixture){
		headerClauses, requestClauses, limitClauses, addingClauses, loginClauses, userClauses, groupClauses, batchClauses, damageClauses, raceClauses, onlineClauses, holdClauses, entryClauses,
	} {
		for name, clause := range clauses {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				clause(newFixture(t, h))
			})
		}
	}
	t.Run("registry", func(t *testing.T) {
		t.Parallel()
		testRegistry(t, h)
	})
	t.Run("random transactions", func(t *testing.T) {
		t.Parallel()
		testTransactions(t, h.Open(t))
	})
	t.Run("random actions", func(t *testing.T) {
		t.Parallel()
		testActions(t, h.Open(t))
	})
}

// zone and noon are where the suite's days begin and when its time does.
var (
	zone = time.FixedZone("UTC+08:00", 8*60*60)
	noon = time.Date(2024, 6, 15, 12, 0, 0, 0, zone)
)

// The counters that the clauses count on.
var (
	friends  = quota.Counter{Quota: "friends", Scope: catalog.ScopeUser}
	groups   = quota.Counter{Quota: "groups", Scope: catalog.ScopeApp}
	users    = quota.Counter{Quota: "users", Scope: catalog.ScopeApp}
	members  = quota.Counter{Quota: "group_members", Scope: catalog.ScopeGroup}
	dailyNet = quota.Counter{Quota: "daily_net_groups", Scope: catalog.ScopeApp, Window: catalog.WindowAt(catalog.KindDay, noon, zone)}
	mau      = quota.Counter{Quota: "free_mau", Scope: catalog.ScopeApp, Window: catalog.WindowAt(catalog.KindMonth, noon, zone)}
	stickers = quota.Counter{Quota: "stickers", Scope: catalog.ScopeUser, Window: catalog.WindowAt(catalog.KindDay, noon, zone)}
)

// fixture is one app on one store, at one instant.
type fixture struct {
	*testing.T
	harness Harness
	store   Driver
	app     *account.App
	now     time.Time
}

func newFixture(t *testing.T, h Harness) *fixture {
	t.Helper()
	f := &fixture{T: t, harness: h, store: h.Open(t), now: noon}
	f.app = f.create(unique("suite"))
	return f
}

// create makes an app under a random id.
func (f *fixture) create(name string) *account.App {
	f.Helper()
	return createApp(f.T, f.store, name)
}

func createApp(t testing.TB, r account.Registry, name string) *account.App {
	t.Helper()
	return createAppOf(t, r, name, anyApp())
}

func anyApp() uint32 { return 1 + rand.Uint32N(1<<31) }

func createAppOf(t testing.TB, r account.Registry, name string, id uint32) *account.App {
	t.Helper()
	app := &account.App{
		ID: id, Account: name, Region: "sg", Edition: "developer",
		Created: noon.UTC(), FanoutBits: 8,
	}
	if err := r.CreateApp(t.Context(), app, account.Event{}, 1<<30, false); err != nil {
		t.Fatal(err)
	}
	return app
}

// txn is a transaction that consumes, at the fixture's instant.
func (f *fixture) txn(charges ...quota.Charge) quota.Txn {
	return quota.Txn{
		App: f.app.ID, FanoutBits: f.app.FanoutBits, Version: f.app.Version, Now: f.now,
		Mode: quota.ModeConsume, Charges: charges,
	}
}

// on charges one counter of some subjects.
func on(c quota.Counter, delta int64, limit catalog.Limit, subjects ...string) quota.Charge {
	return quota.Charge{Counter: c, Subjects: subjects, Delta: delta, Limit: limit, Signed: c.Quota == dailyNet.Quota}
}

// apply carries transactions out, whatever becomes of them.
func (f *fixture) apply(txns ...quota.Txn) []quota.Outcome {
	f.Helper()
	outcomes := f.store.Apply(f.Context(), txns)
	if len(outcomes) != len(txns) {
		f.Fatalf("%d outcomes of %d transactions", len(outcomes), len(txns))
	}
	return outcomes
}

// one carries out one transaction that must not fail.
func (f *fixture) one(t quota.Txn) quota.Outcome {
	f.Helper()
	o := f.apply(t)[0]
	if o.Err != nil {
		f.Fatalf("%+v: %v", t, o.Err)
	}
	return o
}

// count adds to a counter, whatever its limit.
func (f *fixture) count(c quota.Counter, n int64, subjects ...string) {
	f.Helper()
	t := f.txn(on(c, n, catalog.Unlimited(), subjects...))
	t.Mode = quota.ModeForce
	f.one(t)
}

// used reads one counter.
func (f *fixture) used(c quota.Counter, subjects ...string) int64 {
	f.Helper()
	t := f.txn(on(c, 0, catalog.Unlimited(), subjects...))
	t.Mode = quota.ModeJudge
	return f.one(t).Charges[0].Used[0]
}

func (f *fixture) wantUsed(c quota.Counter, want int64, subjects ...string) {
	f.Helper()
	if got := f.used(c, subjects...); got != want {
		f.Errorf("%s of %q: %d, want %d", c.Quota, subjects, got, want)
	}
}

func (f *fixture) wantErr(t quota.Txn, want error) {
	f.Helper()
	o := f.apply(t)[0]
	if !errors.Is(o.Err, want) {
		f.Errorf("error %v, want %v", o.Err, want)
	}
	if o.Applied || o.Replayed || o.Charges != nil {
		f.Errorf("an outcome beside an error: %+v", o)
	}
}

// wantSame compares outcomes.
func (f *fixture) wantSame(what string, want, got any) {
	f.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
