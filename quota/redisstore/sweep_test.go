package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// sweepAll sweeps an app to the end.
func sweepAll(t testing.TB, s *Store, app *account.App, limit int, counters ...quota.Counter) (removed int64) {
	t.Helper()
	sweep := quota.Sweep{App: app.ID, FanoutBits: app.FanoutBits, Version: app.Version, Counters: counters, Limit: limit}
	for {
		swept, err := s.Sweep(t.Context(), sweep)
		if err != nil {
			t.Fatal(err)
		}
		removed += swept.Removed
		if sweep.From = swept.Next; sweep.From == 0 {
			return removed
		}
	}
}

// TestSweepLeavesNothing of all kinds of keys but what is needed still: the
// record, its log, and the months that bills are made from.
func TestSweepLeavesNothing(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	now := time.Now().Truncate(time.Second)
	day, month := catalog.WindowAt(catalog.KindDay, now, time.UTC), catalog.WindowAt(catalog.KindMonth, now, time.UTC)
	counter := func(name string, scope catalog.Scope, w catalog.Window) quota.Counter {
		return quota.Counter{Quota: name, Scope: scope, Window: w}
	}
	stock := catalog.Window{}
	counters := []quota.Counter{
		counter("users", catalog.ScopeApp, stock), counter("sent", catalog.ScopeApp, day), counter("mau", catalog.ScopeApp, month),
		counter("friends", catalog.ScopeUser, stock), counter("sent", catalog.ScopeUser, day), counter("sent", catalog.ScopeUser, month),
		counter("marks", catalog.ScopeGroup, stock), counter("users", catalog.ScopeApp, stock),
	}
	for _, bits := range []uint8{8, 10} {
		app := newAppOf(t, s, uint32(bits), bits)
		users := names(3000, "user%d")
		for _, at := range []time.Time{now, now.Add(generation)} { // of two generations of ids
			for i := range 20 {
				txn := txnOf(app)
				txn.Now, txn.Mode = at, quota.ModeForce
				txn.Request = requestOf(fmt.Sprint(i, at.Unix()))
				for k := range counters[:len(counters)-1] {
					c := quota.Charge{Counter: counters[k], Delta: 1}
					if c.Scope != catalog.ScopeApp {
						c.Subjects = users[i*100 : i*100+100]
					}
					txn.Charges = append(txn.Charges, c)
				}
				txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: users[i*100 : i*100+100], Month: 24314}
				txn.Group = quota.GroupStep{Op: quota.GroupTouch, ID: users[i], Type: 'p'}
				mustApply(t, s, txn)
			}
		}
		stored := func() (names []string) {
			for _, key := range client.Keys(t.Context(), s.appPrefix(app.ID)+"*").Val() {
				names = append(names, strings.TrimPrefix(key, s.appPrefix(app.ID)))
			}
			slices.Sort(names)
			return names
		}
		before := stored()
		removed := sweepAll(t, s, app, 300, counters...)
		want := []string{"app", "e", "rec", "w:" + windowName(month)}
		if diff := cmp.Diff(want, stored()); diff != "" {
			t.Errorf("%d bits: what is left (-want +got):\n%s", bits, diff)
		}
		if want := int64(len(before) - len(want)); removed != want {
			t.Errorf("%d bits: %d keys were removed, want %d", bits, removed, want)
		}
		if again := sweepAll(t, s, app, 300, counters...); again != 0 {
			t.Errorf("%d bits: %d keys were removed again", bits, again)
		}
	}
}

// TestSweptNames are each key once, in the largest app too.
func TestSweptNames(t *testing.T) {
	t.Parallel()
	sweep := &quota.Sweep{FanoutBits: 20, Counters: []quota.Counter{
		{Quota: "friends", Scope: catalog.ScopeUser}, {Quota: "friends", Scope: catalog.ScopeUser}, {Quota: "users", Scope: catalog.ScopeApp},
	}}
	n := sweptNames(sweep, time.UnixMilli(5*generation.Milliseconds()))
	if want := int64(4 + 3<<20 + 6<<19); n.total() != want {
		t.Errorf("%d keys, want %d", n.total(), want)
	}
	for i, want := range map[int64]string{
		0: "c", 1: "o", 2: "h", 3: "he", 4: "u:0", 1<<20 + 3: "u:" + bucketName(1<<20-1), 1<<20 + 4: "g:0", 2<<20 + 4: "r:4:0",
		2<<20 + 4 + 3<<19: "v:0:0", n.total() - 1: "s:friends:" + bucketName(1<<20-1),
		n.total(): "",
	} {
		if got, _ := n.at(i); got != want {
			t.Errorf("key %d is %q, want %q", i, got, want)
		}
	}
}

// TestSweepIsBounded whatever the caller asks for, and goes on where it was.
func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	sweep := quota.Sweep{App: 1, FanoutBits: app.FanoutBits, Version: app.Version}
	here := sweptNames(&sweep, time.UnixMilli(0)).token(0) // the app's clock has not begun
	for _, tt := range []struct {
		from  int64
		limit int
		next  int64
	}{
		{0, 1 << 20, here + maxSweep},
		{here + 10, 0, here + 11},
		{here ^ 1<<positionBits + 10, 3, here + 3}, // of another sequence
		{-5, 3, here + 3},
		{here + 1<<40, 3, 0},
	} {
		sweep.From, sweep.Limit = tt.from, tt.limit
		swept, err := s.Sweep(t.Context(), sweep)
		if err != nil || swept.Next != tt.next {
			t.Errorf("from %d, limit %d: %+v, %v; want %d", tt.from, tt.limit, swept, err, tt.next)
		}
	}
}

// TestSweepOfAnotherCatalog: a quota that comes or goes between two calls moves
// the names of all that follow it, and none of them is left out.
func TestSweepOfAnotherCatalog(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	counters := []quota.Counter{
		{Quota: "blocked", Scope: catalog.ScopeUser}, {Quota: "friends", Scope: catalog.ScopeUser}, {Quota: "muted", Scope: catalog.ScopeUser},
	}
	for i, tt := range []struct {
		name          string
		before, after []quota.Counter
	}{
		{"with a quota less", counters, counters[1:]},
		{"with a quota more", counters[1:], counters},
		{"with another one", []quota.Counter{counters[0], counters[2]}, counters[:2]},
		{"in another order", counters[1:], []quota.Counter{counters[2], counters[1]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := newAppOf(t, s, uint32(i+1), 8)
			mustApply(t, s, txnOf(app, addEach("friends", 1, names(1000, "user%d")...)))
			sweep := quota.Sweep{App: app.ID, FanoutBits: 8, Version: app.Version, Counters: tt.before, Limit: 1000}
			swept, err := s.Sweep(t.Context(), sweep)
			if err != nil || swept.Next <= 0 {
				t.Fatalf("%+v, %v", swept, err)
			}
			sweep.Counters, sweep.Limit = tt.after, 100
			calls := 0
			for sweep.From = swept.Next; sweep.From != 0; sweep.From = swept.Next {
				if swept, err = s.Sweep(t.Context(), sweep); err != nil || swept.Next < 0 || calls > 20 {
					t.Fatalf("after %d calls: %+v, %v", calls, swept, err)
				}
				calls++
			}
			if left := server.Client().Keys(t.Context(), s.appPrefix(app.ID)+"s:friends:*").Val(); len(left) != 0 {
				t.Errorf("%d buckets are left", len(left))
			}
		})
	}
}

// TestSweepNeedsTheVersion until it removes: a payment may have come meanwhile.
func TestSweepNeedsTheVersion(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, add("users", 1)))
	reply, err := s.repeatable(t.Context(), sweepScript, []string{s.headerKey(1), s.appPrefix(1) + "c"}, "another.1")
	if err != nil || reply != int64(-1) {
		t.Errorf("answered %v, %v", reply, err)
	}
	if got := used(t, s, app, "users"); got != 1 {
		t.Errorf("users %d, want 1", got)
	}
}

// TestSweepOfNoAppLosesARace: an app that is created after the sweep looked is
// not swept.
func TestSweepOfNoAppLosesARace(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	reply, err := s.repeatable(t.Context(), sweepScript, []string{s.headerKey(app.ID), s.eventsKey(app.ID)}, "")
	if err != nil || reply != int64(-1) {
		t.Errorf("%v, %v", reply, err)
	}
	if _, err := s.App(t.Context(), app.ID); err != nil {
		t.Error(err)
	}
}

// TestRestoredWindowsExpire as those that were counted.
func TestRestoredWindowsExpire(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	now := time.Now()
	day := catalog.WindowAt(catalog.KindDay, now, time.UTC)
	restoration := quota.Restoration{App: 7, FanoutBits: 8, Now: now, Entries: []quota.Entry{
		{Kind: quota.EntryCounter, Counter: quota.Counter{Quota: "daily", Scope: catalog.ScopeApp, Window: day}, Used: 3},
		{Kind: quota.EntryCounter, Counter: quota.Counter{Quota: "friends", Scope: catalog.ScopeUser}, ID: "a", Used: 3},
	}}
	if err := s.Restore(t.Context(), restoration); err != nil {
		t.Fatal(err)
	}
	left := server.Client().PTTL(t.Context(), s.appPrefix(7)+"w:"+windowName(day)).Val()
	if want := day.KeptUntil().Sub(now); left > want || left < want-time.Minute {
		t.Errorf("the day goes in %v, want %v", left, want)
	}
	if left := server.Client().PTTL(t.Context(), s.appPrefix(7)+"s:friends:"+bucket("a", 8)).Val(); left != -1 {
		t.Errorf("a stock goes in %v", left)
	}
}
