package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"pgregory.net/rapid"
)

// tightLimits are low enough that short sequences reach every one of them.
var tightLimits = map[string]int64{
	"users": 4, "free_mau": 3, "friends": 3, "groups": 3, "live_groups": 2, "joined_groups": 3, "group_members": 4,
	"daily_net_broadcast_groups": 1, "daily_net_groups": 4,
}

// testActions draws sequences of actions and releases, has an Enforcer decide
// them on the driver, and compares every decision and every counter with a
// tally of sets and sums, step by step.
func testActions(t *testing.T, d Driver) {
	t.Helper()
	var now time.Time
	enforcer := quota.New(quota.Options{Catalog: catalog.Default(), Store: d, Registry: d, Now: func() time.Time { return now }})
	rapid.Check(t, func(r *rapid.T) {
		now = noon
		app := newApp("actions")
		app.Edition, app.FanoutBits, app.Overrides = "developer", 8, make(map[string]account.Override)
		for key, limit := range tightLimits {
			app.Overrides[key] = account.Override{Limit: catalog.Max(limit)}
		}
		if err := d.CreateApp(t.Context(), app, account.Event{}, roomy, false); err != nil {
			r.Fatal(err)
		}
		w := &walk{t: t, r: r, enforcer: enforcer, app: app, tally: newTally(tightLimits), now: &now}
		for range rapid.IntRange(5, 40).Draw(r, "steps") {
			w.step()
		}
	})
}

// walk is one drawn sequence.
type walk struct {
	t        *testing.T
	r        *rapid.T
	enforcer *quota.Enforcer
	app      *account.App
	tally    *tally
	now      *time.Time
}

var (
	somebody = []string{"a", "b", "c:d", "{}", "e"}
	someType = []string{"work", "public", "live", "community", "broadcast"}
	someID   = []string{"g1", "g2", "g3"}
)

func (w *walk) user() string  { return rapid.SampledFrom(somebody).Draw(w.r, "user") }
func (w *walk) group() string { return rapid.SampledFrom(someID).Draw(w.r, "group") }
func (w *walk) kind() string  { return rapid.SampledFrom(someType).Draw(w.r, "type") }

func (w *walk) usersOf(least int) []string {
	ids := rapid.SliceOfNDistinct(rapid.SampledFrom(somebody), least, len(somebody), rapid.ID[string]).Draw(w.r, "users")
	slices.Sort(ids) // a set: its order is not part of a request
	return ids
}

// action draws an action or a release.
func (w *walk) action() quota.Action {
	pick := rapid.IntRange(0, 11).Draw(w.r, "action")
	if pick == 3 || pick == 4 {
		two := rapid.SliceOfNDistinct(rapid.SampledFrom(somebody), 2, 2, rapid.ID[string]).Draw(w.r, "friends")
		oneWay := rapid.Bool().Draw(w.r, "one way")
		if pick == 3 {
			return &quota.AddFriend{UserID: two[0], FriendID: two[1], OneWay: oneWay}
		}
		return &quota.RemoveFriend{UserID: two[0], FriendID: two[1], OneWay: oneWay}
	}
	switch pick {
	case 0:
		return &quota.RegisterUsers{UserIDs: w.usersOf(1)}
	case 1:
		return &quota.Login{UserID: w.user()}
	case 2:
		return &quota.DeleteUsers{UserIDs: w.usersOf(1)}
	case 5, 6:
		owner := rapid.SampledFrom(append([]string{""}, somebody...)).Draw(w.r, "owner")
		return &quota.CreateGroup{GroupID: w.group(), GroupType: w.kind(), OwnerID: owner, MemberIDs: w.usersOf(0)}
	case 7:
		return &quota.JoinGroup{GroupID: w.group(), GroupType: w.kind(), UserID: w.user()}
	case 8:
		return &quota.AddGroupMembers{GroupID: w.group(), GroupType: w.kind(), UserIDs: w.usersOf(1)}
	case 9:
		return &quota.LeaveGroup{GroupID: w.group(), UserID: w.user()}
	case 10:
		return &quota.RemoveGroupMembers{GroupID: w.group(), UserIDs: w.usersOf(1)}
	}
	return &quota.DissolveGroup{GroupID: w.group()}
}

// step moves the time, asks, and compares.
func (w *walk) step() {
	if rapid.IntRange(0, 9).Draw(w.r, "wait") == 0 {
		*w.now = w.now.Add(time.Duration(rapid.IntRange(1, 40*24).Draw(w.r, "hours")) * time.Hour)
	} else {
		*w.now = w.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(w.r, "seconds")) * time.Second)
	}
	a := w.action()
	request := &quota.Request{App: w.app.ID, Action: a, Mode: rapid.SampledFrom([]quota.Mode{quota.Consume, quota.Consume, quota.Consume, quota.CheckOnly, quota.Adjust}).Draw(w.r, "mode")}
	if rapid.IntRange(0, 2).Draw(w.r, "with id") == 0 {
		request.ID = w.settled(rapid.SampledFrom([]string{"r1", "r2"}).Draw(w.r, "id"))
	}
	if request.Mode == quota.Adjust && isRelease(a) {
		request.Mode = quota.Consume
	}
	w.compare(request, fmt.Sprintf("%T%+v in mode %v", a, a, request.Mode))
	w.compareUsage()
}

func isRelease(a quota.Action) bool {
	switch a.(type) {
	case *quota.RemoveFriend, *quota.LeaveGroup, *quota.RemoveGroupMembers, *quota.DissolveGroup, *quota.DeleteUsers, *quota.ReturnQuota:
		return true
	}
	return false
}

// settled returns the id, or none when it may be remembered but need not.
func (w *walk) settled(id string) string {
	if e, ok := w.tally.effects[id]; ok {
		switch age := w.now.Sub(e.at); {
		case age >= 4*quota.RequestHorizon:
			delete(w.tally.effects, id)
		case age > quota.RequestHorizon:
			return ""
		}
	}
	return id
}

// compare asks the Enforcer and holds its decision against the tally's.
func (w *walk) compare(request *quota.Request, action string) {
	w.r.Helper()
	d, err := w.enforcer.Check(w.t.Context(), request)
	before, known := w.tally.effects[request.ID]
	known = known && request.ID != "" && request.Mode != quota.CheckOnly
	v := w.tally.judge(request.Action, *w.now)
	switch {
	case known && before.action != action:
		if !errors.Is(err, quota.ErrRequestReused) {
			w.r.Fatalf("%s under the id of %s: %v", action, before.action, err)
		}
		return
	case known:
		if err != nil || !d.Replayed || !d.Allowed {
			w.r.Fatalf("%s again: %+v, %v", action, d, err)
		}
		return
	case v.fault && !v.denied:
		if !errors.Is(err, quota.ErrGroupExists) && !errors.Is(err, quota.ErrGroupType) {
			w.r.Fatalf("%s: %v, want a fault of the group", action, err)
		}
		return
	case err != nil:
		w.r.Fatalf("%s: %v", action, err)
	}
	if request.Mode == quota.Adjust {
		v.exceeded = nil
	}
	if want := !v.denied && len(v.exceeded) == 0; d.Allowed != want || d.Replayed {
		w.r.Fatalf("%s: allowed %v, want %v; violations %+v", action, d.Allowed, want, d.Violations)
	}
	if v.fault { // and denied: nothing has compared the group's counters with their limits
		v.exceeded = nil
	}
	if diff := cmp.Diff(v.exceeded, exceeded(d.Violations)); diff != "" {
		w.r.Fatalf("%s: exceeded (-want +got):\n%s", action, diff)
	}
	if !d.Allowed || request.Mode == quota.CheckOnly {
		return
	}
	w.tally.settle(&v)
	if request.ID != "" {
		w.tally.effects[request.ID] = effect{action, *w.now}
	}
}

// compareUsage compares every counter.
func (w *walk) compareUsage() {
	w.r.Helper()
	queries := []quota.UsageQuery{{}}
	for i := range max(len(somebody), len(someID)) {
		q := quota.UsageQuery{UserID: somebody[i]}
		if i < len(someID) {
			q.GroupID = someID[i]
		}
		queries = append(queries, q)
	}
	for _, q := range queries {
		q.App = w.app.ID
		usage, err := w.enforcer.Usage(w.t.Context(), q)
		if err != nil {
			w.r.Fatal(err)
		}
		for _, s := range usage.States {
			known, _ := w.enforcer.Catalog().Quota(s.Quota)
			subject := s.Subject
			if want := w.tally.read(known, subject, *w.now); s.Used != want {
				w.r.Fatalf("%s of %q: %d, want %d", s.Quota, subject, s.Used, want)
			}
		}
	}
}
