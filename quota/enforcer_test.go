package quota_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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

// keeping keeps what it is given, as a store may.
type keeping struct {
	*storetest.Model

	given [][]quota.Txn
	said  []string // of each, when it was given
}

func (k *keeping) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	k.given, k.said = append(k.given, txns), append(k.said, fmt.Sprintf("%+v", txns))
	return k.Model.Apply(ctx, txns)
}

// TestStoreMayKeepTransactions: what a store was given is not used again.
func TestStoreMayKeepTransactions(t *testing.T) {
	t.Parallel()
	k := &keeping{Model: storetest.NewModel()}
	e := quota.New(quota.Options{Catalog: catalog.Default(), Store: k, Registry: k, Now: func() time.Time { return noon }})
	app := &account.App{ID: 7, Account: "a", Region: "sg", Edition: "developer", Created: noon, FanoutBits: 8}
	if err := k.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	if _, err := e.SetUsage(t.Context(), quota.UsageSetting{App: 7, Quota: "friends", Subject: "a", Used: 20}); err != nil {
		t.Fatal(err) // so that other editions are asked about
	}
	var requests []*quota.Request
	for name, action := range allActions() {
		requests = append(requests, &quota.Request{App: 7, ID: name, Action: action})
	}
	for range 3 {
		for _, r := range requests {
			if _, err := e.Check(t.Context(), r); err != nil {
				t.Log(err) // a group that exists, say
			}
		}
		e.CheckAll(t.Context(), requests)
	}
	for i, txns := range k.given {
		if now := fmt.Sprintf("%+v", txns); now != k.said[i] {
			t.Errorf("a store was given\n%s\nand has now\n%s", k.said[i], now)
		}
	}
}

// TestUpgradeBeyondTheNext: the cheapest edition that would allow a request is not
// always the next one.
func TestUpgradeBeyondTheNext(t *testing.T) {
	t.Parallel()
	shipped := catalog.DefaultYAML()
	_, list, _ := bytes.Cut(shipped, []byte("&all_features\n"))
	list, _, _ = bytes.Cut(list, []byte("  - key: standard"))
	text := bytes.Replace(shipped, append([]byte("&all_features\n"), list...), []byte("[global_coverage]\n"), 1)
	text = bytes.Replace(text, []byte("group_members: 2000"), []byte("group_members: {limit: 100, by_group_type: {work: 2000}}"), 1)
	cat, err := catalog.Parse(bytes.Replace(text, []byte("*all_features\n"), append([]byte("\n"), list...), 1))
	if err != nil {
		t.Fatal(err)
	}
	m := &storetest.Instant{Model: storetest.NewModel()}
	e := quota.New(quota.Options{Catalog: cat, Store: m, Registry: m, Now: func() time.Time { return noon }})
	app := &account.App{ID: 7, Account: "a", Region: "sg", Edition: "developer", Created: noon, FanoutBits: 8}
	if err := m.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	const standard, premium, none = "standard", "premium", ""
	community := &quota.CreateGroup{GroupID: "g", GroupType: "community"}
	for _, tt := range []struct {
		name    string
		used    int64 // of every counter
		request quota.Request
		want    string
	}{
		{"friends", 60, quota.Request{Action: &quota.AddFriend{UserID: "a", FriendID: "b"}}, standard},
		{"live groups", 60, quota.Request{Action: &quota.CreateGroup{GroupID: "g", GroupType: "live"}}, premium},
		{"members of a type of group", 500, quota.Request{Action: &quota.JoinGroup{GroupID: "g", GroupType: "work", UserID: "a"}}, premium},
		{"more friends than any", 3000, quota.Request{Action: &quota.AddFriend{UserID: "a", FriendID: "b"}}, none},
		{"users, and active ones that are billed", 20_000, quota.Request{Action: &quota.Login{UserID: "a"}}, standard},
		{"a feature", 0, quota.Request{Action: feature}, premium},
		{"a feature that a group needs", 0, quota.Request{Action: community}, premium},
		{"the same beyond limits that do not deny", 20_000, quota.Request{Action: community, Mode: quota.Adjust}, premium},
	} {
		m.Used = tt.used
		tt.request.App = 7
		d, err := e.Check(t.Context(), &tt.request)
		if err != nil || d.Allowed {
			t.Fatalf("%s: %+v, %v", tt.name, d, err)
		}
		got := none
		if d.Upgrade != nil {
			got = d.Upgrade.Key
		}
		if got != tt.want {
			t.Errorf("%s: upgrade %q, want %q", tt.name, got, tt.want)
		}
	}
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

// TestUnjudgedDenialKnowsNoUpgrade: where the store could not judge the rest of
// a denied action, no edition is said to allow it.
func TestUnjudgedDenialKnowsNoUpgrade(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := &account.App{ID: 8, Account: "a", Region: "sg", Edition: "standard", Created: noon, FanoutBits: 8}
	if err := f.store.CreateApp(t.Context(), app, account.Event{}, 2, false); err != nil {
		t.Fatal(err)
	}
	create := &quota.Request{App: 8, Action: &quota.CreateGroup{GroupID: "g", GroupType: "community"}}
	for _, tt := range []struct {
		name, upgrade string
		before        func()
	}{
		{"judged", "premium", func() {}},
		{"the group exists", "", func() {
			if _, err := f.Check(t.Context(), &quota.Request{App: 8, Action: &quota.CreateGroup{GroupID: "g", GroupType: "work"}}); err != nil {
				t.Fatal(err)
			}
		}},
		{"the store is away", "", func() {
			f.store.answer = func(quota.Txn) error { return &account.Fault{Reason: account.StoreUnavailable} }
		}},
	} {
		tt.before()
		d, err := f.Check(t.Context(), create)
		if err != nil || d.Allowed {
			t.Fatalf("%s: %+v, %v", tt.name, d, err)
		}
		got := ""
		if d.Upgrade != nil {
			got = d.Upgrade.Key
		}
		if got != tt.upgrade {
			t.Errorf("%s: upgrade %q, want %q", tt.name, got, tt.upgrade)
		}
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
