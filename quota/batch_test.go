package quota_test

import (
	"slices"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// TestBatchOfManyApps: their records are read together, those that are not
// known and those that decide by themselves and are not current any more.
func TestBatchOfManyApps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var features, logins []*quota.Request
	for id := uint32(100); id < 150; id++ {
		app := &account.App{ID: id, Account: "a", Region: "sg", Edition: "standard", Created: noon, FanoutBits: 8}
		if id%2 == 0 {
			if err := f.store.CreateApp(t.Context(), app, account.Event{}, 1000, false); err != nil {
				t.Fatal(err)
			}
		}
		features = append(features, &quota.Request{App: id, Action: &quota.UseFeature{Feature: "user_status"}})
		logins = append(logins, &quota.Request{App: id, Action: &quota.Login{UserID: "alice"}})
	}
	for _, want := range []struct {
		before                 func()
		reads, owners, applies int
		loaded                 int // each app once, or twice
	}{
		{func() {}, 1, 0, 1, 50}, // all of them for the first time
		{func() {}, 1, 0, 1, 25}, // the unknown ones
		{f.Missed, 2, 1, 1, 50},  // the unknown ones, their account, then those that deny a feature
	} {
		want.before()
		f.store.reads, f.store.owners, f.store.applies, f.store.loaded = 0, 0, 0, 0
		for i, r := range f.CheckAll(t.Context(), slices.Concat(features, logins)) {
			isLogin, isKnown := i >= len(features), i%2 == 0
			if r.Err != nil || r.Decision.Allowed != (isLogin && isKnown) {
				t.Errorf("item %d: %+v", i, r)
			}
		}
		if f.store.reads != want.reads || f.store.owners != want.owners || f.store.applies != want.applies {
			t.Errorf("%d and %d reads and %d steps, want %d, %d, %d", f.store.reads, f.store.owners, f.store.applies, want.reads, want.owners, want.applies)
		}
		if f.store.loaded != want.loaded {
			t.Errorf("%d apps were read, want %d", f.store.loaded, want.loaded)
		}
	}
}

// TestBatchAcrossMidnight: when the day turns under a batch, its items keep
// their order, and an app's clock moves no other app.
func TestBatchAcrossMidnight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other := &account.App{ID: 8, Account: "a", Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8}
	if err := f.store.CreateApp(t.Context(), other, account.Event{}, 2, false); err != nil {
		t.Fatal(err)
	}
	midnight := noon.Add(12 * time.Hour)
	at := func(app uint32, now time.Time) {
		t.Helper()
		f.now = now
		if _, err := f.Check(t.Context(), &quota.Request{App: app, Action: &quota.Login{UserID: "early"}}); err != nil {
			t.Fatal(err)
		}
	}
	at(7, midnight.Add(time.Second))
	at(8, midnight.AddDate(0, 3, 0))
	f.now = midnight.Add(-time.Millisecond)
	create := func(app uint32) *quota.Request {
		return &quota.Request{App: app, Action: &quota.CreateGroup{GroupID: "g", GroupType: "work"}}
	}
	results := f.CheckAll(t.Context(), []*quota.Request{
		create(7), {App: 7, Action: &quota.JoinGroup{GroupID: "g", GroupType: "work", UserID: "u"}}, create(8),
	})
	for i, r := range results {
		if r.Err != nil || !r.Decision.Allowed {
			t.Fatalf("item %d: %+v, %v", i, r.Decision, r.Err)
		}
	}
	for _, q := range results[0].Decision.Quotas {
		if q.Quota == "daily_net_groups" && !q.Reset.Equal(midnight.AddDate(0, 0, 1)) {
			t.Errorf("app 7 was counted in a day that ends at %v", q.Reset)
		}
	}
	f.now = midnight.Add(time.Minute)
	if d := f.check(&quota.CreateGroup{GroupID: "h", GroupType: "work"}); d.Quotas[len(d.Quotas)-1].Used != 2 {
		t.Errorf("app 7's clock was moved: %+v", d.Quotas)
	}
}

// TestOrderAcrossMidnight: an item that is in no window waits for those before it
// whose windows are over.
func TestOrderAcrossMidnight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.now = noon.Add(13 * time.Hour)
	f.check(&quota.CreateGroup{GroupID: "early", GroupType: "work"}) // the app's clock is there
	f.now = noon
	results := f.CheckAll(t.Context(), []*quota.Request{
		{App: 7, Action: &quota.Login{UserID: "a"}}, // in a window that ends later
		{App: 7, Action: &quota.CreateGroup{GroupID: "late", GroupType: "live"}},
		{App: 7, Action: &quota.UseFeature{Feature: "group_read_receipt", GroupID: "late"}}, // in no window
	})
	for i, r := range results {
		if isLast := i == 2; r.Err != nil || r.Decision.Allowed == isLast {
			t.Errorf("item %d was not judged after those before it: %+v, %v", i, r.Decision, r.Err)
		}
	}
	for _, q := range results[1].Decision.Quotas {
		if q.Quota == "daily_net_groups" && q.Used != 2 {
			t.Errorf("counted on a day that is over: %+v", q)
		}
	}
}
