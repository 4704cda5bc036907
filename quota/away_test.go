package quota_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

var (
	errAway = &account.Fault{Reason: account.StoreUnavailable, Detail: "it is away", RetryAfter: time.Second}
	// counted is decided by a counter, denied by the plan before a counter is.
	counted = &quota.Login{UserID: "a"}
	denied  = &quota.AddGroupMembers{GroupID: "live", GroupType: "live", UserIDs: []string{"a"}}
)

// leave has the store go away; what was confirmed is over.
func (f *fixture) leave() {
	f.store.away = errAway
	f.Missed()
}

// outcome is what a request came to: a decision and its source, or the reason of
// a fault.
func (f *fixture) outcome(r *quota.Request) string {
	f.t.Helper()
	d, err := f.Check(f.t.Context(), r)
	switch fault, ok := errors.AsType[*account.Fault](err); {
	case ok:
		return string(fault.Reason)
	case err != nil:
		return err.Error()
	}
	verdict := map[bool]string{true: "allowed", false: "denied"}[d.Allowed]
	return verdict + map[quota.Source]string{
		quota.SourceStore: " by the store", quota.SourceCache: " from cache", quota.SourceDegraded: " degraded",
	}[d.Source]
}

func (f *fixture) want(when, want string, r quota.Request) {
	f.t.Helper()
	if r.App == 0 {
		r.App = 7
	}
	if got := f.outcome(&r); got != want {
		f.t.Errorf("%s: %T %s, want %s", when, r.Action, got, want)
	}
}

// TestAway: what the record decides alone is decided by the one at hand; what a
// counter decides is not.
func TestAway(t *testing.T) {
	t.Parallel()
	const unavailable = "STORE_UNAVAILABLE"
	for _, tt := range []struct {
		name, want string
		request    quota.Request
	}{
		{"a feature of the plan", "allowed degraded", quota.Request{Action: feature}},
		{"one that is not", "denied degraded", quota.Request{Action: &quota.UseFeature{Feature: "group_read_receipt", GroupType: "live"}}},
		{"with a request id, which a feature does not need", "allowed degraded", quota.Request{Action: feature, ID: "r"}},
		{"one that a group decides", unavailable, quota.Request{Action: &quota.UseFeature{Feature: "group_read_receipt", GroupType: "work", GroupID: "g"}}},
		{"a counter", unavailable, quota.Request{Action: counted}},
		{"a counter that is only looked at", unavailable, quota.Request{Action: counted, Mode: quota.CheckOnly}},
		{"a counter beyond its limit", unavailable, quota.Request{Action: counted, Mode: quota.Adjust}},
		{"a hold", unavailable, quota.Request{Action: &quota.AddFriend{UserID: "a", FriendID: "b"}, Mode: quota.Reserve}},
		{"a release", unavailable, quota.Request{Action: &quota.RemoveFriend{UserID: "a", FriendID: "b"}}},
		{"what the plan denies whatever is counted", "denied degraded", quota.Request{Action: denied}},
		{"the same with a request id, which may have taken effect before", unavailable, quota.Request{Action: denied, ID: "r"}},
		{"the same, only looked at", "denied degraded", quota.Request{Action: denied, ID: "r", Mode: quota.CheckOnly}},
		{"an app that was never read", unavailable, quota.Request{App: 8, Action: feature}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.leave()
			f.want("away", tt.want, tt.request)
		})
	}
}

// TestAwayInOneBatch: each item is answered for itself, and the store is asked
// once.
func TestAwayInOneBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.leave()
	results := f.CheckAll(t.Context(), []*quota.Request{{App: 7, Action: feature}, {App: 7, Action: counted}, {App: 8, Action: feature}, {App: 7, Action: feature}})
	for i, want := range []bool{true, false, false, true} {
		if got := results[i]; (got.Err == nil) != want || want && got.Decision.Source != quota.SourceDegraded {
			t.Errorf("item %d: %+v", i, got)
		}
	}
	if f.store.applies != 0 {
		t.Errorf("%d steps of the store with an account that is not known", f.store.applies)
	}
}

// TestHowLongWhileAway: from the last instant at which the record was known to be
// current, which what is confirmed is to the second.
func TestHowLongWhileAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(*fixture)
		until  time.Time
	}{
		"from the reading":            {func(f *fixture) { f.Missed() }, noon.Add(time.Minute)},
		"from the loss of the log":    {func(f *fixture) { f.clock = noon.Add(20 * time.Second) }, noon.Add(79 * time.Second)},
		"from the last confirmation":  {func(f *fixture) { f.Confirmed(noon.Add(10 * time.Second)); f.clock = noon.Add(20 * time.Second) }, noon.Add(69 * time.Second)},
		"from one before it was read": {func(f *fixture) { f.Confirmed(noon.Add(-time.Hour)) }, noon.Add(time.Minute)},
		"not from one after a miss": {func(f *fixture) {
			f.Missed()
			f.Confirmed(noon.Add(30 * time.Second))
			f.clock = noon.Add(20 * time.Second)
		}, noon.Add(time.Minute)},
		"however often it is away yet": {func(f *fixture) { f.Missed(); f.Missed() }, noon.Add(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			tt.before(f)
			f.leave()
			f.clock = tt.until.Add(-1)
			f.want("just recent", "allowed degraded", quota.Request{Action: feature})
			f.want("and still", "allowed degraded", quota.Request{Action: feature})
			f.clock = tt.until
			f.want("too old", "STORE_UNAVAILABLE", quota.Request{Action: feature})
			f.want("too old", "STORE_UNAVAILABLE", quota.Request{Action: denied})
		})
	}
}

// TestAwayWithStaleMaxOff: zero is never.
func TestAwayWithStaleMaxOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Enforcer = quota.New(quota.Options{Catalog: catalog.Default(), Store: f.store, Registry: f.store, Now: func() time.Time { return f.now }, Clock: func() time.Time { return f.clock }})
	f.Confirmed(noon.Add(time.Hour))
	f.check(feature)
	f.leave()
	f.want("away", "STORE_UNAVAILABLE", quota.Request{Action: feature})
}

// TestAwayAfterAnAnnouncement: a record that is about to change, or has changed,
// is not used unread, however young it is.
func TestAwayAfterAnAnnouncement(t *testing.T) {
	t.Parallel()
	for name, subject := range map[string]account.Subject{"of the app": theApp, "of its account": theOwner} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.Announced(subject, noon.Add(2*time.Second))
			f.clock = noon.Add(time.Second)
			f.check(feature) // may be of before the change
			f.leave()
			f.want("announced", "STORE_UNAVAILABLE", quota.Request{Action: feature})
			f.clock = noon.Add(3 * time.Second)
			f.want("when the change is made", "STORE_UNAVAILABLE", quota.Request{Action: feature})
			f.store.away = nil
			f.check(feature)
			f.leave()
			f.want("read since", "allowed degraded", quota.Request{Action: feature})
		})
	}
}

// TestAwayReasons: only a store that says nothing leaves what was known as it is.
func TestAwayReasons(t *testing.T) {
	t.Parallel()
	for reason, away := range map[account.FaultReason]bool{
		account.StoreUnavailable: true, account.StoreReadOnly: true, account.SlotMoving: true,
		account.StoreEvicting: false, account.StoreNotInitialized: false, account.UsageUnknown: false,
		account.ClockSkew: false, account.RecordNewer: false, account.OutcomeUnknown: false, account.CallerGone: false,
	} {
		f := newFixture(t)
		f.leave()
		f.store.away = &account.Fault{Reason: reason}
		want := string(reason)
		if away {
			want = "allowed degraded"
		}
		f.want(string(reason), want, quota.Request{Action: feature})
		f.store.away = errAway
		if want = "allowed degraded"; !away && reason != account.CallerGone {
			want = "STORE_UNAVAILABLE" // what was at hand was refuted
		}
		f.want("away after "+string(reason), want, quota.Request{Action: feature})
	}
}

// TestTimeDecidesWhileAway: to the second, by the record at hand.
func TestTimeDecidesWhileAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.endPlan(noon.Add(-24*time.Hour + 30*time.Second))
	f.check(feature)
	f.leave()
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{{30*time.Second - 1, "allowed degraded"}, {30 * time.Second, "denied degraded"}} {
		f.now = noon.Add(tt.after)
		f.want(tt.after.String(), tt.want, quota.Request{Action: feature})
	}
	f.want("suspended", "denied degraded", quota.Request{Action: counted})
	f.want("suspended, with an id", "STORE_UNAVAILABLE", quota.Request{Action: counted, ID: "r"})
	e, err := f.Entitlements(t.Context(), 7, quota.Client{})
	if err != nil || e.Source != quota.SourceDegraded || e.Lifecycle.Stage != account.Suspended {
		t.Errorf("entitlements: %+v, %v", e, err)
	}
}

// TestBackAgain: the first answer after the store is back is by what it holds.
func TestBackAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.leave()
	f.want("away", "allowed degraded", quota.Request{Action: feature})
	f.store.away = nil
	f.want("back", "allowed from cache", quota.Request{Action: feature})
	f.want("back", "allowed by the store", quota.Request{Action: counted})
	if f.store.reads != 1 || f.store.owners != 3 {
		t.Errorf("%d reads of apps and %d of accounts", f.store.reads, f.store.owners)
	}
	if e, err := f.Entitlements(t.Context(), 7, quota.Client{}); err != nil || e.Source != quota.SourceCache {
		t.Errorf("entitlements: %+v, %v", e, err)
	}
}

// TestCallerWhoDoesNotWait: that a caller's time is up says nothing of the store.
func TestCallerWhoDoesNotWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := f.Check(ctx, &quota.Request{App: 7, Action: feature}); !account.IsAway(err) {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := f.Usage(t.Context(), quota.UsageQuery{App: 7}); !account.IsAway(err) {
		t.Errorf("usage: %v", err)
	}
}
