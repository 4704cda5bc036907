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
)

var noon = time.Date(2024, 6, 15, 12, 0, 0, 0, time.FixedZone("", 8*60*60))

// counting counts the steps and reads of a store, and can answer for it.
type counting struct {
	*storetest.Model
	applies, txns, reads int                   // reads of any number of apps
	loaded               int                   // apps in all reads
	owners               int                   // reads of any number of accounts
	answer               func(quota.Txn) error // nil: the model answers
	arrive               func()                // called once, at the first step
	during               func()                // called once, while apps are read
	duringOwners         func()                // the same for accounts
	lostOwners           bool                  // the store has lost all accounts
	away                 error                 // what everything answers; nil: the model does
}

func (c *counting) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	c.applies++
	c.txns += len(txns)
	if arrive := c.arrive; arrive != nil {
		c.arrive = nil
		arrive()
	}
	if c.answer == nil && c.away == nil {
		return c.Model.Apply(ctx, txns)
	}
	outcomes := make([]quota.Outcome, len(txns))
	for i, t := range txns {
		if outcomes[i].Err = c.away; c.away == nil {
			outcomes[i].Err = c.answer(t)
		}
	}
	return outcomes
}

func (c *counting) Load(ctx context.Context, ids []uint32) []account.Loaded {
	c.reads++
	c.loaded += len(ids)
	loaded := c.Model.Load(ctx, ids)
	if during := c.during; during != nil {
		c.during = nil
		during()
	}
	for i := range loaded {
		if c.away != nil {
			loaded[i] = account.Loaded{Err: c.away}
		}
	}
	return loaded
}

func (c *counting) Accounts(ctx context.Context, names []string) []account.LoadedAccount {
	c.owners++
	loaded := c.Model.Accounts(ctx, names)
	if during := c.duringOwners; during != nil {
		c.duringOwners = nil
		during()
	}
	for i := range loaded {
		if c.lostOwners {
			loaded[i].Account = &account.Account{ID: names[i]}
		}
		if c.away != nil {
			loaded[i] = account.LoadedAccount{Err: c.away}
		}
	}
	return loaded
}

// fixture is an Enforcer with one premium app, 7, whose record is cached.
type fixture struct {
	*quota.Enforcer
	t     *testing.T
	store *counting
	now   time.Time
	clock time.Time // by which records are current
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, store: &counting{Model: storetest.NewModel()}, now: noon, clock: noon}
	f.Enforcer = quota.New(quota.Options{
		Catalog: catalog.Default(), Store: f.store, Registry: f.store,
		Now: func() time.Time { return f.now }, Clock: func() time.Time { return f.clock }, StaleMax: time.Minute,
	})
	f.Confirmed(noon.Add(time.Hour))
	app := &account.App{ID: 7, Account: "a", Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8}
	if err := f.store.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	f.check(&quota.UseFeature{Feature: "user_status"})
	f.store.applies, f.store.txns, f.store.reads, f.store.owners = 0, 0, 0, 0
	return f
}

func (f *fixture) check(a quota.Action) *quota.Decision {
	f.t.Helper()
	d, err := f.Check(f.t.Context(), &quota.Request{App: 7, Action: a})
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// allActions is one of each action and release.
func allActions() map[string]quota.Action {
	return map[string]quota.Action{
		"use_feature":          &quota.UseFeature{Feature: "user_status"},
		"use_feature by size":  &quota.UseFeature{Feature: "group_read_receipt", GroupType: "work", GroupID: "g"},
		"register_users":       &quota.RegisterUsers{UserIDs: []string{"a", "b"}},
		"login":                &quota.Login{UserID: "a"},
		"add_friend":           &quota.AddFriend{UserID: "a", FriendID: "b"},
		"create_group":         &quota.CreateGroup{GroupID: "new", GroupType: "broadcast", OwnerID: "a", MemberIDs: []string{"b", "c"}},
		"join_group":           &quota.JoinGroup{GroupID: "g", GroupType: "work", UserID: "a"},
		"add_group_members":    &quota.AddGroupMembers{GroupID: "g", GroupType: "work", UserIDs: []string{"a", "b"}},
		"remove_friend":        &quota.RemoveFriend{UserID: "a", FriendID: "b"},
		"leave_group":          &quota.LeaveGroup{GroupID: "g", UserID: "a"},
		"remove_group_members": &quota.RemoveGroupMembers{GroupID: "g", UserIDs: []string{"a", "b"}},
		"dissolve_group":       &quota.DissolveGroup{GroupID: "g"},
		"delete_users":         &quota.DeleteUsers{UserIDs: []string{"a", "b"}},
	}
}

// TestOneStepOfTheStore: what a counter decides costs one step of the store,
// what the plan decides none, and the app's record is read once.
func TestOneStepOfTheStore(t *testing.T) {
	t.Parallel()
	for name, action := range allActions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.check(action)
			want := 1
			if name == "use_feature" {
				want = 0
			}
			if f.store.applies != want || f.store.txns != want || f.store.reads+f.store.owners != 0 {
				t.Errorf("%d steps with %d transactions and %d reads, want %d, %d, 0", f.store.applies, f.store.txns, f.store.reads, want, want)
			}
		})
	}
	t.Run("a batch", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		var requests []*quota.Request
		for _, action := range allActions() {
			requests = append(requests, &quota.Request{App: 7, Action: action})
		}
		f.CheckAll(t.Context(), requests)
		if f.store.applies != 1 || f.store.txns != len(requests)-1 {
			t.Errorf("%d steps with %d transactions", f.store.applies, f.store.txns)
		}
	})
}

// TestHeldCountsAsUsed: what a reservation holds is taken, though nothing is used.
func TestHeldCountsAsUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.override(1)
	add := &quota.AddFriend{UserID: "a", FriendID: "b", OneWay: true}
	if d, err := f.Check(t.Context(), &quota.Request{App: 7, Mode: quota.Reserve, Action: add}); err != nil || !d.Allowed {
		t.Fatalf("reserve: %+v, %v", d, err)
	}
	const want = `friends of "a": 0 of 1 used, 1 reserved, 1 more requested`
	if d := f.check(add); d.Allowed || d.Violations[0].Held != 1 || d.Violations[0].Message != want {
		t.Errorf("one more: %+v", d)
	}
}

// TestDenialBeforeFault: what the plan denies is denied, though the group is
// in the way or the store cannot be reached.
func TestDenialBeforeFault(t *testing.T) {
	t.Parallel()
	invite := &quota.AddGroupMembers{GroupID: "g", GroupType: "live", UserIDs: []string{"a"}}
	f := newFixture(t)
	f.check(&quota.CreateGroup{GroupID: "g", GroupType: "work"})
	if d := f.check(invite); d.Allowed || d.Violations[0].Reason != quota.OperationNotAllowed {
		t.Errorf("into a group of another type: %+v", d)
	}
	fault := &account.Fault{Reason: account.StoreUnavailable}
	f.store.answer = func(quota.Txn) error { return fault }
	if d := f.check(invite); d.Allowed || d.Violations[0].Reason != quota.OperationNotAllowed {
		t.Errorf("without the store: %+v", d)
	}
	_, err := f.Check(t.Context(), &quota.Request{App: 7, ID: "r", Action: invite})
	if !errors.Is(err, fault) {
		t.Errorf("with an id that only the store knows: %v", err)
	}
}

// TestRejectedSettingIsNotRemembered: a setting that is refused can be mended
// under the same id.
func TestRejectedSettingIsNotRemembered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := quota.UsageSetting{App: 7, RequestID: "r", Quota: catalog.GroupMembers, Subject: "g", Used: 5}
	var invalid *account.InvalidError
	if _, err := f.SetUsage(t.Context(), s); !errors.As(err, &invalid) || invalid.Field != "group_type" {
		t.Fatalf("a group that nobody knows: %v", err)
	}
	s.GroupType = "work"
	if c, err := f.SetUsage(t.Context(), s); err != nil || c.Replayed || c.After != 5 {
		t.Errorf("with its type: %+v, %v", c, err)
	}
}

// override changes the app's record behind the Enforcer's back.
func (f *fixture) override(limit int64) {
	f.t.Helper()
	f.change(func(app *account.App) {
		app.Overrides = map[string]account.Override{catalog.Friends: {Limit: catalog.Max(limit)}}
	})
}

// edition puts the app into another edition.
func (f *fixture) edition(key string) {
	f.t.Helper()
	f.change(func(app *account.App) { app.Edition = key })
	f.Announced(theApp, time.Time{})
}

func (f *fixture) change(edit func(*account.App)) {
	f.t.Helper()
	app, err := f.store.App(f.t.Context(), 7)
	if err != nil {
		f.t.Fatal(err)
	}
	changed := app.Clone()
	edit(changed)
	if err := f.store.UpdateApp(f.t.Context(), changed, account.Event{}); err != nil {
		f.t.Fatal(err)
	}
}

// TestChangedElsewhere: a cached record that another process changed is found
// out by the step that counts, before anything is counted with it.
func TestChangedElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.override(0)
	if d := f.check(&quota.AddFriend{UserID: "a", FriendID: "b"}); d.Allowed {
		t.Errorf("decided by a record that is over: %+v", d)
	}
	if f.store.applies != 2 {
		t.Errorf("%d steps, want 2: the one refused and the one with the new record", f.store.applies)
	}
}

// TestChangedUnderMany: of two callers whose steps are refused because the
// record changed, the second uses what the first has read.
func TestChangedUnderMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.override(1)
	f.store.reads = 0
	f.store.arrive = func() { // the first step is on its way, and is overtaken
		if d := f.check(&quota.AddFriend{UserID: "a", FriendID: "b", OneWay: true}); !d.Allowed {
			t.Errorf("denied: %+v", d)
		}
	}
	if d := f.check(&quota.AddFriend{UserID: "a", FriendID: "c", OneWay: true}); d.Allowed {
		t.Errorf("a second friend of one: %+v", d)
	}
	if f.store.reads != 1 {
		t.Errorf("the record was read %d times, want once", f.store.reads)
	}
}

func TestStoreThatNeverSettles(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(quota.Txn) error{
		"stale each time": func(quota.Txn) error { return quota.ErrStale },
		"a window further each time": func(t quota.Txn) error {
			return &quota.WindowPassedError{Clock: t.Now.Add(24 * time.Hour)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.store.answer = answer
			_, err := f.Check(t.Context(), &quota.Request{App: 7, Action: &quota.Login{UserID: "a"}})
			if !errors.Is(err, quota.ErrUnsettled) || f.store.applies > 100 {
				t.Errorf("after %d steps: %v", f.store.applies, err)
			}
			if _, err := f.Usage(t.Context(), quota.UsageQuery{App: 7}); !errors.Is(err, quota.ErrUnsettled) {
				t.Errorf("usage: %v", err)
			}
		})
	}
}

// TestFaultsAreNotDenials: what the store cannot answer is an error, whatever
// the request.
func TestFaultsAreNotDenials(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	fault := &account.Fault{Reason: account.OutcomeUnknown}
	f.store.answer = func(quota.Txn) error { return fault }
	for name, action := range allActions() {
		_, err := f.Check(t.Context(), &quota.Request{App: 7, Action: action})
		// Deleting users is not in this edition: the plan denies it.
		if local := name == "use_feature" || name == "delete_users"; (err == nil) != local || !local && !errors.Is(err, fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClockAhead: when the store's clock has reached the next day, the request
// is judged in that day.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tomorrow := noon.Add(24 * time.Hour)
	f.now = tomorrow
	f.check(&quota.CreateGroup{GroupID: "tomorrow", GroupType: "work"})
	f.now = noon
	d := f.check(&quota.CreateGroup{GroupID: "behind", GroupType: "work"})
	for _, q := range d.Quotas {
		if q.Quota == "daily_net_groups" && (q.Used != 2 || !q.Reset.After(tomorrow)) {
			t.Errorf("counted on a day that is over: %+v", q)
		}
	}
}
