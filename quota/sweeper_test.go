package quota_test

import (
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
	"github.com/shopspring/decimal"
)

// slowly is a store whose sweeps take several calls, and whose lease the test
// gives out.
type slowly struct {
	*storetest.Model
	slices  int64 // calls until an app is swept
	sweeps  []quota.Sweep
	isOurs  func() bool
	broken  func(*quota.Sweep) error
	away    error  // of the next reading of accounts
	marked  func() // called once, when an app is noted as reclaimed
	watched func() // called before each sweep
}

func (s *slowly) Sweep(ctx context.Context, sweep quota.Sweep) (quota.Swept, error) {
	if s.watched != nil {
		s.watched()
	}
	s.sweeps = append(s.sweeps, sweep)
	if s.broken != nil {
		if err := s.broken(&sweep); err != nil {
			return quota.Swept{}, err
		}
	}
	if app, err := s.App(ctx, sweep.App); err != nil || app.Version != sweep.Version {
		return quota.Swept{}, quota.ErrStale
	}
	if sweep.From+1 < s.slices {
		return quota.Swept{Next: sweep.From + 1, Removed: 1}, nil
	}
	return s.Model.Sweep(ctx, sweep)
}

func (s *slowly) Lease(context.Context, string, time.Duration) (bool, error) { return s.isOurs(), nil }

func (s *slowly) Accounts(ctx context.Context, names []string) []account.LoadedAccount {
	loaded := s.Model.Accounts(ctx, names)
	if s.away != nil {
		loaded[0], s.away = account.LoadedAccount{Err: s.away}, nil
	}
	return loaded
}

func (s *slowly) UpdateApp(ctx context.Context, app *account.App, event account.Event) error {
	err := s.Model.UpdateApp(ctx, app, event)
	if marked := s.marked; err == nil && marked != nil && !app.Reclaimed.IsZero() && app.ID == 5 {
		s.marked = nil
		marked()
	}
	return err
}

// sweeping is a Sweeper on a model with apps in every state: 1 active, 2
// suspended, 3 reclaimed, 4 deleted, 5 reclaimed because its account owes.
type sweeping struct {
	*quota.Sweeper
	t     *testing.T
	store *slowly
	now   time.Time
}

func newSweeping(t *testing.T) *sweeping {
	t.Helper()
	f := &sweeping{t: t, store: &slowly{Model: storetest.NewModel(), slices: 1, isOurs: func() bool { return true }}, now: noon}
	now := func() time.Time { return f.now }
	apps := &account.Apps{Registry: f.store, Catalog: catalog.Default, Now: now}
	f.Sweeper = &quota.Sweeper{Store: f.store, Apps: apps}
	ended := func(days int) []account.Order {
		return []account.Order{{ID: "o", Edition: "standard", Months: 1, Start: noon.AddDate(-1, 0, 0), End: noon.AddDate(0, 0, -days)}}
	}
	for id, n := range map[uint32]account.NewApp{
		1: {Account: "good"}, 2: {Account: "good", Orders: ended(80)}, 3: {Account: "good", Orders: ended(100)},
		4: {Account: "good"}, 5: {Account: "owing", Created: noon.AddDate(-1, 0, 0)},
	} {
		n.ID = id
		if _, err := apps.Create(t.Context(), n, account.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	owner := &account.Account{ID: "owing", Bills: []account.Bill{{ID: "b", Amount: decimal.NewFromInt(1), Pushed: noon.AddDate(0, 0, -100)}}}
	if err := f.store.UpdateAccount(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if _, err := apps.Disable(t.Context(), 4, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	if _, err := apps.Delete(t.Context(), 4, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// walk takes steps to the end and returns the apps that they name.
func (f *sweeping) walk(dryRun bool) (ids []uint32, steps int) {
	f.t.Helper()
	for at := ""; ; {
		step, err := f.Step(f.t.Context(), at, dryRun, account.Origin{Actor: "ann"})
		if err != nil {
			f.t.Fatal(err)
		}
		for _, g := range step.Gone {
			ids = append(ids, g.App.ID)
		}
		steps++
		if at = step.Next; at == "" {
			return ids, steps
		}
	}
}

func (f *sweeping) app(id uint32) *account.App {
	f.t.Helper()
	app, err := f.store.App(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return app
}

func TestSweepFindsWhatIsGone(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	gone := []uint32{3, 4, 5}
	if ids, _ := f.walk(true); !slices.Equal(ids, gone) || len(f.store.sweeps) != 0 {
		t.Errorf("a dry run names %v and sweeps %v", ids, f.store.sweeps)
	}
	if ids, _ := f.walk(false); !slices.Equal(ids, gone) {
		t.Errorf("swept %v, want %v", ids, gone)
	}
	for id := uint32(1); id <= 5; id++ {
		app := f.app(id)
		if isGone := slices.Contains(gone, id); isGone != !app.Swept.IsZero() || (isGone && id != 4) != !app.Reclaimed.IsZero() {
			t.Errorf("app %d: %+v", id, app)
		}
	}
	if ids, _ := f.walk(false); len(ids) != 0 || len(f.store.sweeps) != len(gone) {
		t.Errorf("swept again: %v, %d sweeps", ids, len(f.store.sweeps))
	}
	events, err := f.store.Events(t.Context(), 3, 0, 10)
	if err != nil || len(events) != 3 || events[0].Action != "RemoveCounters" || events[1].Action != "ReclaimApp" || events[1].Actor != "ann" {
		t.Errorf("log %+v, %v", events, err)
	}
}

// TestSweepIsBoundedAndGoesOn: a large app takes many steps, each of a bounded
// number of keys, and every key is looked at once.
func TestSweepIsBoundedAndGoesOn(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.slices = 11
	ids, steps := f.walk(false)
	if !slices.Equal(ids, []uint32{3, 4, 5}) {
		t.Errorf("swept %v", ids)
	}
	if steps < 9 {
		t.Errorf("33 slices in %d steps", steps)
	}
	var want, got []string
	for _, id := range ids {
		for from := range 11 {
			want = append(want, fmt.Sprint(id, from))
		}
	}
	for _, s := range f.store.sweeps {
		got = append(got, fmt.Sprint(s.App, s.From))
		if s.Limit > 1000 {
			t.Errorf("%d keys at once", s.Limit)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("slices %v, want %v", got, want)
	}
}

// TestPaymentAfterTheFirstCounter: what is about to be swept is reclaimed for
// good before the first counter goes.
func TestPaymentAfterTheFirstCounter(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.watched = func() {
		if f.store.sweeps == nil && f.app(3).Reclaimed.IsZero() {
			t.Error("counters go, and the record does not say so")
		}
	}
	f.walk(false)
	owner := f.store.Accounts(t.Context(), []string{"owing"})[0].Account.Clone()
	owner.Bills[0].Paid = owner.Bills[0].Pushed
	if state := f.app(5).StateAt(f.now, owner, catalog.Default()); state.Stage != account.Reclaimed {
		t.Errorf("a payment that was made before brings it back: %+v", state)
	}
}

// TestSweepThatAnotherEnds: of two sweepers on one app the slower one finds it
// swept, and goes on.
func TestSweepThatAnotherEnds(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.slices = 5
	faster := &quota.Sweeper{Store: f.store.Model, Apps: f.Apps}
	f.store.watched = func() {
		if len(f.store.sweeps) == 2 {
			f.store.watched = nil
			if step, err := faster.Step(t.Context(), "", false, account.Origin{}); err != nil || len(step.Gone) != 3 {
				t.Errorf("the faster one: %+v, %v", step, err)
			}
		}
	}
	f.walk(false)
	if len(f.store.sweeps) > 6 {
		t.Errorf("%d slices where nothing was left", len(f.store.sweeps))
	}
	for _, id := range []uint32{3, 4, 5} {
		if f.app(id).Swept.IsZero() {
			t.Errorf("app %d is not swept", id)
		}
	}
}

// TestSweepBesideChanges: a record that is changed while its app is swept is
// read again.
func TestSweepBesideChanges(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.slices = 3
	f.store.watched = func() {
		if len(f.store.sweeps) == 1 {
			f.store.watched = nil
			if _, err := f.Apps.Disable(t.Context(), 3, account.Origin{}); err != nil {
				t.Error(err)
			}
		}
	}
	if ids, _ := f.walk(false); !slices.Equal(ids, []uint32{3, 4, 5}) {
		t.Errorf("swept %v", ids)
	}
}

// TestSweepPastDamage: an app that cannot be swept keeps no other from it, and
// is told.
func TestSweepPastDamage(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	damage := account.DamagedRecord(3)
	f.store.broken = func(s *quota.Sweep) error {
		if s.App == 3 {
			return damage
		}
		return nil
	}
	step, err := f.Step(t.Context(), "", false, account.Origin{})
	if err != nil || len(step.Gone) != 2 || len(step.Failed) != 1 || step.Failed[0].ID != 3 || !errors.Is(step.Failed[0].Err, damage) || step.Next != "" {
		t.Errorf("%+v, %v", step, err)
	}
	// What is wrong with the store is not of one app.
	away := &account.Fault{Reason: account.StoreUnavailable}
	f.store.broken = func(*quota.Sweep) error { return away }
	if _, err := f.Step(t.Context(), "", false, account.Origin{}); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}

// TestReclaimThatCannotLookAgain: an app is not swept on the strength of a note
// that nobody could hold against its account again.
func TestReclaimThatCannotLookAgain(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	away := &account.Fault{Reason: account.StoreUnavailable}
	f.store.marked = func() { f.store.away = away }
	if _, err := f.Step(t.Context(), "", false, account.Origin{}); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
	if app := f.app(5); !app.Reclaimed.IsZero() || !app.Swept.IsZero() {
		t.Errorf("app %+v", app)
	}
	if ids, _ := f.walk(false); !slices.Contains(ids, 5) {
		t.Errorf("swept %v", ids)
	}
}

// TestPaymentOnItsWay: a payment that is recorded while the data of the account's
// apps is about to be reclaimed saves it; nothing is swept within a minute.
func TestPaymentOnItsWay(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	state := func() *account.State {
		s, err := f.Apps.State(t.Context(), f.app(5))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	f.now = state().Since.Add(time.Minute - 1)
	if step, err := f.Step(t.Context(), "", false, account.Origin{}); err != nil || !f.app(5).Swept.IsZero() || !f.app(5).Reclaimed.IsZero() {
		t.Errorf("within a minute: %+v, %v", step, err)
	}
	f.now = f.now.Add(1)
	f.store.marked = func() { // between the note and the first counter
		accounts := &account.Accounts{Registry: f.store, Catalog: catalog.Default, Now: f.Apps.Now}
		if _, err := accounts.RecordPayment(t.Context(), "owing", "b", f.now.Add(-time.Hour), account.Origin{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.Step(t.Context(), "", false, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	if app := f.app(5); !app.Reclaimed.IsZero() || !app.Swept.IsZero() || state().Stage != account.Active {
		t.Errorf("app %+v is %+v", app, state())
	}
}

func TestPositionsThatAreNone(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	for _, at := range []string{"x", "//", "/1/-1", "/x/1", "/4294967296/0", "a/b/c/d"} {
		var invalid *account.InvalidError
		if _, err := f.Step(t.Context(), at, true, account.Origin{}); !errors.As(err, &invalid) || invalid.Field != "page_token" {
			t.Errorf("position %q: %v", at, err)
		}
	}
}

func TestRemoveDeletedApp(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.slices = 5
	app, err := f.Remove(t.Context(), f.app(4), account.Origin{Actor: "ann"})
	if err != nil || app.Swept.IsZero() || len(f.store.sweeps) != 5 {
		t.Errorf("%+v, %v, after %d slices", app, err, len(f.store.sweeps))
	}
}

// TestSweptWindows: every window whose counters may be left, the next one too.
func TestSweptWindows(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.walk(false)
	days, names := 0, make(map[string]bool)
	for _, c := range f.store.sweeps[0].Counters {
		names[c.Quota] = true
		if c.Quota == "daily_net_groups" {
			days++
			if c.Window.Kind != catalog.KindDay || c.Window.KeptUntil().Before(noon.AddDate(0, 0, -1)) {
				t.Errorf("window %v", c.Window)
			}
		}
		if c.Scope == catalog.ScopeApp && c.Window.Kind == catalog.KindMonth {
			t.Errorf("a total that bills are made from goes: %v", c)
		}
	}
	if days != 5 || !names["friends"] || !names["groups"] || names["history_days"] {
		t.Errorf("%d days, counters %v", days, names)
	}
}

// background has a sweeper run and tells it the time, when it has dealt with the one
// before; until the test ends.
func (f *sweeping) background(report func(*quota.SweepStep, error)) (tell func(time.Duration), end func()) {
	ctx, stop := context.WithCancel(f.t.Context())
	tick, done := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, tick, report)
	}()
	return func(after time.Duration) { tick <- f.now.Add(after) }, func() {
		stop()
		<-done
	}
}

// TestSweepInTheBackground: who has the lease sweeps, a step a tick, and rests
// when all was looked at; who has not asks for it now and then.
func TestSweepInTheBackground(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.slices = 5
	leases := 0
	f.store.isOurs = func() bool { leases++; return leases > 3 }
	var swept []uint32
	tell, end := f.background(func(step *quota.SweepStep, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		for _, g := range step.Gone {
			swept = append(swept, g.App.ID)
		}
	})
	for i := range 3 {
		tell(time.Duration(i) * time.Second)
		tell(time.Duration(i)*time.Second + time.Second - 1) // too early to ask again
	}
	tell(-time.Hour) // is nothing, but comes after the one before
	if leases != 3 {
		t.Errorf("asked for the lease %d times in three seconds", leases)
	}
	tell(3 * time.Second)
	for i := range 100 {
		tell(4*time.Second + time.Duration(i)*time.Millisecond)
	}
	tell(-time.Hour)
	if leases != 3+4 { // 15 slices, 4 a tick
		t.Errorf("asked for the lease %d times, want 7", leases)
	}
	if !slices.Equal(swept, []uint32{3, 4, 5}) {
		t.Errorf("swept %v", swept)
	}
	tell(63 * time.Second)
	tell(-time.Hour)
	if leases != 7 {
		t.Error("asked for the lease again, after less than a minute")
	}
	tell(65 * time.Second)
	end()
	if leases != 8 {
		t.Error("did not begin again after a minute")
	}
}

// TestTicksAreBounded: a tick looks at a bounded number of keys, and after it has
// removed some there is a pause.
func TestTicksAreBounded(t *testing.T) {
	t.Parallel()
	f := newSweeping(t)
	f.store.slices = 1000
	tell, end := f.background(func(*quota.SweepStep, error) {})
	defer end()
	sweeps := func() int {
		tell(-time.Hour) // is nothing, but comes after the one before
		return len(f.store.sweeps)
	}
	tell(0)
	first := sweeps()
	if first != 4 {
		t.Errorf("%d slices in a tick, want 4", first)
	}
	pause := time.Duration(first) * 500 * time.Microsecond // each has removed a key
	tell(pause - 1)
	if n := sweeps(); n != first {
		t.Errorf("%d slices without a pause", n-first)
	}
	tell(pause)
	if n := sweeps(); n == first {
		t.Error("no slice after the pause")
	}
}
