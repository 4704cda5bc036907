package quota_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
	"github.com/shopspring/decimal"
)

// feature is decided without the store: by the record alone.
var feature = &quota.UseFeature{Feature: "user_status"}

// wantReads has the fixture decide by the record, and expects how often records
// of apps and accounts are read for it.
func (f *fixture) wantReads(when string, apps, owners int) {
	f.t.Helper()
	f.store.reads, f.store.owners = 0, 0
	f.check(feature)
	if f.store.reads != apps || f.store.owners != owners {
		f.t.Errorf("%s: %d reads of apps and %d of accounts, want %d and %d", when, f.store.reads, f.store.owners, apps, owners)
	}
}

var theApp, theOwner = account.Subject{App: 7}, account.Subject{Account: "a"}

func TestRecordsAtHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.wantReads("confirmed", 0, 0)
	f.clock = noon.Add(59 * time.Second)
	f.wantReads("within a minute of the reading", 0, 0)
	f.clock = noon.Add(60 * time.Second)
	f.wantReads("after it", 1, 1)
	f.wantReads("read again", 0, 0)

	f.Confirmed(f.clock.Add(800 * time.Millisecond))
	if !f.IsCurrent() {
		t.Error("it is confirmed")
	}
	f.clock = f.clock.Add(800*time.Millisecond - 1)
	f.wantReads("just confirmed", 0, 0)
	f.clock = f.clock.Add(1)
	f.wantReads("not any more", 1, 1)
	if f.IsCurrent() {
		t.Error("it is not confirmed any more")
	}
	f.wantReads("and still not", 1, 1)
	f.Confirmed(f.clock.Add(time.Hour))
	f.wantReads("confirmed again", 0, 0)

	f.Missed()
	f.wantReads("something was missed", 1, 1)
	f.Confirmed(f.clock.Add(time.Hour))
	f.wantReads("read since the miss", 0, 0)
}

func TestAnnouncedRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Announced(account.Subject{App: 8}, noon.Add(time.Second))
	f.Announced(account.Subject{Account: "b"}, noon.Add(time.Second))
	f.wantReads("others are announced", 0, 0)

	f.Announced(theApp, noon.Add(2*time.Second))
	f.wantReads("announced", 1, 0)
	f.clock = noon.Add(2*time.Second - 1)
	f.wantReads("until it is settled", 1, 0)
	f.clock = noon.Add(2 * time.Second)
	f.wantReads("what was read before that is not kept", 1, 0)
	f.wantReads("what is read after it is", 0, 0)

	f.Announced(theOwner, noon.Add(4*time.Second))
	f.wantReads("its account is announced", 0, 1)
	f.clock = noon.Add(4 * time.Second)
	f.wantReads("what was read before is not kept", 0, 1)
	f.wantReads("what is read after is", 0, 0)

	f.Announced(theApp, time.Time{})
	f.wantReads("announced when it is over", 1, 0)
	f.wantReads("read since", 0, 0)
}

// TestReadingThatIsOvertaken: what was on its way when a change was announced is
// not kept.
func TestReadingThatIsOvertaken(t *testing.T) {
	t.Parallel()
	for name, overtake := range map[string]func(*fixture){
		"announced": func(f *fixture) { f.Announced(theApp, time.Time{}) },
		"missed":    func(f *fixture) { f.Missed(); f.Confirmed(noon.Add(time.Hour)) },
		"slow":      func(f *fixture) { f.clock = f.clock.Add(11 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.Announced(theApp, time.Time{})
			f.store.during = func() { overtake(f) }
			f.check(feature)
			f.store.reads = 0
			f.check(feature)
			if f.store.reads != 1 {
				t.Errorf("%d reads, want 1", f.store.reads)
			}
		})
	}
}

// TestAccountThatIsKeptNoMore: whoever has decided by an account is told of its
// changes also when another reading of it was kept instead, or none for want of room.
func TestAccountThatIsKeptNoMore(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(f *fixture){
		"read again for another app": func(f *fixture) {
			f.clock = f.clock.Add(2 * time.Hour) // of the confirmation
			if _, err := f.Check(f.t.Context(), &quota.Request{App: 8, Action: feature}); err != nil {
				f.t.Fatal(err)
			}
			f.clock = noon
		},
		"no room": func(f *fixture) {
			for range 2 {
				if _, err := f.Check(f.t.Context(), &quota.Request{App: 9, Action: feature}); err != nil {
					f.t.Fatal(err)
				}
				f.Announced(account.Subject{Account: "b"}, time.Time{}) // it alone is read again,
				f.KeepAtMost(1)                                         // and takes the place of the other
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for id, owner := range map[uint32]string{8: "a", 9: "b"} {
				app := &account.App{ID: id, Account: owner, Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8}
				if err := f.store.CreateApp(t.Context(), app, account.Event{}, 2, false); err != nil {
					t.Fatal(err)
				}
			}
			replace(f)
			owner := &account.Account{ID: "a", Bills: []account.Bill{{ID: "b", Amount: decimal.NewFromInt(1), Pushed: noon.Add(-24 * time.Hour)}}}
			if err := f.store.UpdateAccount(context.Background(), owner); err != nil {
				t.Fatal(err)
			}
			f.Announced(theOwner, time.Time{})
			if d := f.check(feature); d.Allowed {
				t.Errorf("overdue, and allowed: %+v", d)
			}
		})
	}
}

// TestLookThatIsOvertaken: a change that is announced while somebody looks is seen,
// when what they look at was confirmed after it.
func TestLookThatIsOvertaken(t *testing.T) {
	t.Parallel()
	var during func()
	m := &counting{Model: storetest.NewModel()}
	e := quota.New(quota.Options{
		Catalog: catalog.Default(), Store: m, Registry: m, Now: func() time.Time { return noon },
		Clock: func() time.Time {
			if then := during; then != nil {
				during = nil
				then()
			}
			return noon
		},
	})
	e.Confirmed(noon.Add(time.Second))
	if err := m.CreateApp(t.Context(), &account.App{ID: 7, Account: "a", Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8}, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0, 1} { // it is read, at hand, announced
		m.reads = 0
		if d, err := e.Check(t.Context(), &quota.Request{App: 7, Action: feature}); err != nil || !d.Allowed {
			t.Fatalf("%+v, %v", d, err)
		}
		if m.reads != want {
			t.Errorf("%d reads, want %d", m.reads, want)
		}
		if want == 0 {
			during = func() {
				e.Announced(theApp, time.Time{})
				e.Confirmed(noon.Add(2 * time.Second))
			}
		}
	}
}

// TestReadingFromBeforeTheChange: an answer that comes when an announced change
// must have been made, and was asked for before, may be of before the change.
func TestReadingFromBeforeTheChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Announced(theApp, noon.Add(2*time.Second))
	f.clock = noon.Add(time.Second)
	f.store.during = func() { f.clock = noon.Add(3 * time.Second) }
	f.wantReads("while it may change", 1, 0)
	f.wantReads("the answer was late", 1, 0)
	f.wantReads("read since", 0, 0)
}

// TestOneClock: where one clock serves decisions and records, what is not confirmed
// any more is read.
func TestOneClock(t *testing.T) {
	t.Parallel()
	m := &counting{Model: storetest.NewModel()}
	e := quota.New(quota.Options{Catalog: catalog.Default(), Store: m, Registry: m})
	if err := m.CreateApp(t.Context(), &account.App{ID: 7, Account: "a", Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8}, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		confirmed time.Duration
		reads     int
	}{{time.Hour, 1}, {time.Hour, 0}, {-time.Nanosecond, 1}, {time.Hour, 0}} {
		m.reads = 0
		e.Confirmed(time.Now().Add(tt.confirmed))
		if d, err := e.Check(t.Context(), &quota.Request{App: 7, Action: feature}); err != nil || !d.Allowed || m.reads != tt.reads {
			t.Errorf("confirmed for %v: %+v, %v, after %d reads; want %d", tt.confirmed, d, err, m.reads, tt.reads)
		}
	}
}

// TestUnwatched: without a registry that says what is current, every record is
// read each time.
func TestUnwatched(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Missed()
	for range 3 {
		f.wantReads("unwatched", 1, 1)
	}
}

func TestUnknownAppsAreNotKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		if d, err := f.Check(t.Context(), &quota.Request{App: 8, Action: feature}); err != nil || d.Allowed {
			t.Errorf("an unknown app: %+v, %v", d, err)
		}
	}
	if f.store.reads != 3 {
		t.Errorf("%d reads, want 3", f.store.reads)
	}
}

// TestCountingConfirmsTheRecord: a counted check costs one step of the store
// however old the record at hand is, as long as its account's is current; what
// the record alone denies is not denied by an old one.
func TestCountingConfirmsTheRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Announced(theApp, noon.Add(time.Hour))
	for range 5 {
		f.check(&quota.Login{UserID: "a"})
	}
	if f.store.applies != 5 || f.store.reads != 0 || f.store.owners != 0 {
		t.Errorf("%d steps and %d and %d reads, want 5, 0, 0", f.store.applies, f.store.reads, f.store.owners)
	}
	f.check(&quota.AddGroupMembers{GroupID: "live", GroupType: "live", UserIDs: []string{"a"}})
	if f.store.reads != 1 {
		t.Errorf("a denial by the plan alone came from a record %d reads old", f.store.reads)
	}
}

// TestOverdueAccountIsSeenByCounting: no step of the store confirms an account,
// so it is read when it is not current.
func TestOverdueAccountIsSeenByCounting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	owner := &account.Account{ID: "a", Bills: []account.Bill{{ID: "b", Amount: decimal.NewFromInt(1), Pushed: noon.Add(-24 * time.Hour)}}}
	if err := f.store.UpdateAccount(context.Background(), owner); err != nil {
		t.Fatal(err)
	}
	if d := f.check(&quota.Login{UserID: "a"}); !d.Allowed {
		t.Errorf("the account is at hand, and was not announced: %+v", d)
	}
	f.Announced(theOwner, time.Time{})
	d := f.check(&quota.Login{UserID: "a"})
	if d.Allowed || d.Violations[0].Reason != quota.AppSuspended || d.Violations[0].UpstreamCode != 60016 {
		t.Errorf("an overdue account: %+v", d)
	}
}

// endPlan has the app hold a plan that ends then.
func (f *fixture) endPlan(end time.Time) {
	f.t.Helper()
	current, err := f.store.App(f.t.Context(), 7)
	if err != nil {
		f.t.Fatal(err)
	}
	app := current.Clone()
	app.Orders = []account.Order{{ID: "o", Edition: "premium", Start: noon.AddDate(0, -1, 0), End: end}}
	if err := f.store.UpdateApp(f.t.Context(), app, account.Event{}); err != nil {
		f.t.Fatal(err)
	}
	f.Announced(theApp, time.Time{})
}

// TestTimeAloneSuspends: what a record says of an instant to come holds from it
// on, however long ago the record was read.
func TestTimeAloneSuspends(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.endPlan(noon.Add(time.Minute))
	f.check(feature)
	f.store.reads = 0
	expiry := noon.Add(time.Minute)
	for _, tt := range []struct {
		now  time.Time
		want account.Stage
	}{
		{expiry.Add(-1), account.Active},
		{expiry, account.Grace},
		{expiry.Add(24*time.Hour - 1), account.Grace},
		{expiry.Add(24 * time.Hour), account.Suspended},
		{expiry.AddDate(0, 0, 200), account.Reclaimed},
	} {
		f.now = tt.now
		for _, action := range []quota.Action{feature, &quota.AddFriend{UserID: "a", FriendID: "b"}} {
			d := f.check(action)
			if d.Lifecycle.Stage != tt.want || d.Allowed != (tt.want <= account.Grace) {
				t.Errorf("at %v: %+v, want stage %v", tt.now, d, tt.want)
			}
		}
		d := f.check(&quota.RemoveFriend{UserID: "a", FriendID: "b"})
		if d.Allowed != (tt.want != account.Reclaimed) {
			t.Errorf("a release at %v: %+v", tt.now, d)
		}
	}
	if f.store.reads != 0 {
		t.Errorf("%d reads", f.store.reads)
	}
}

// TestGoneByAnOldRecord: an app that its old record says is reclaimed by now is not
// called gone by that when the record was changed.
func TestGoneByAnOldRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.endPlan(noon.Add(time.Minute))
	f.check(feature)
	f.endPlan(noon.AddDate(2, 0, 0))
	f.now = noon.AddDate(1, 0, 0)
	if d := f.check(&quota.AddFriend{UserID: "a", FriendID: "b"}); !d.Allowed {
		t.Errorf("renewed, and denied: %+v", d)
	}
}

// TestOverrideEnds: to the instant, without a reading.
func TestOverrideEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	current, err := f.store.App(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	app, until := current.Clone(), noon.Add(time.Hour)
	app.Overrides = map[string]account.Override{"friends": {Until: until}}
	if err := f.store.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	f.Announced(theApp, time.Time{})
	for now, want := range map[time.Time]bool{until.Add(-1): false, until: true} {
		f.now = now
		if d := f.check(&quota.AddFriend{UserID: "a", FriendID: "b"}); d.Allowed != want {
			t.Errorf("at %v: %+v", now, d)
		}
		e, err := f.Entitlements(t.Context(), 7, quota.Client{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range e.Limits {
			if l.Quota == "friends" && l.Overridden == want {
				t.Errorf("entitlement at %v: %+v", now, l)
			}
		}
	}
}

// TestReadingOfAnAccountFromBeforeTheChange is the same for an account.
func TestReadingOfAnAccountFromBeforeTheChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Announced(theOwner, noon.Add(2*time.Second))
	f.clock = noon.Add(time.Second)
	f.store.duringOwners = func() { f.clock = noon.Add(3 * time.Second) }
	f.wantReads("while it may change", 0, 1)
	f.wantReads("the answer was late", 0, 1)
	f.wantReads("read since", 0, 0)
}

// TestManyAnnouncements: those that are over are forgotten, and not those that an
// answer on its way may still need.
func TestManyAnnouncements(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Announced(theApp, noon.Add(2*time.Second))
	f.clock = noon.Add(time.Second)
	f.store.during = func() {
		f.clock = noon.Add(10500 * time.Millisecond)
		for id := range uint32(1000) {
			f.Announced(account.Subject{App: 1000 + id}, f.clock)
		}
	}
	f.wantReads("while it may change", 1, 0)
	f.wantReads("the answer was late", 1, 0)
}

// TestClocksThatDiffer: a change that was made by a clock that is ahead holds by
// one that is behind, from the change on.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ahead := noon.Add(4 * time.Second)
	apps := &account.Apps{Registry: f.store, Catalog: f.Catalog, Now: func() time.Time { return ahead }}
	accounts := &account.Accounts{Registry: f.store, Catalog: f.Catalog, Now: apps.Now}
	expect := func(what string, want bool) {
		t.Helper()
		f.Missed()
		for _, action := range []quota.Action{feature, &quota.Login{UserID: "a"}} {
			if d := f.check(action); d.Allowed != want {
				t.Errorf("%s: %+v", what, d)
			}
		}
	}
	if _, err := apps.Disable(t.Context(), 7, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	expect("disabled", false)
	if _, err := apps.Enable(t.Context(), 7, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	expect("enabled", true)
	bill := account.NewBill{ID: "b", Amount: decimal.NewFromInt(1), Pushed: ahead.Add(-24 * time.Hour)}
	if _, err := accounts.RecordBill(t.Context(), "a", bill, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	expect("overdue", false)
	if _, err := accounts.RecordPayment(t.Context(), "a", "b", time.Time{}, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	expect("paid", true)
}

// TestLostAccount: an app whose account the store has lost is not taken for one
// that owes nothing.
func TestLostAccount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Missed()
	f.store.lostOwners = true
	for _, action := range []quota.Action{feature, &quota.Login{UserID: "a"}} {
		_, err := f.Check(t.Context(), &quota.Request{App: 7, Action: action})
		var fault *account.Fault
		if !errors.As(err, &fault) || fault.Reason != account.UsageUnknown {
			t.Errorf("%T: %v", action, err)
		}
	}
	if f.store.reads != 1 {
		t.Errorf("the app was read %d times: it may be lost with its account", f.store.reads)
	}
}
