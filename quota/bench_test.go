package quota_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
)

// The apps that the Enforcer's own work is measured for.
const (
	premiumApp   = 7
	standardApp  = 8
	suspendedApp = 9
)

// newBench is an Enforcer whose records are current, on a store that finds every
// counter at a number.
func newBench(tb testing.TB, used int64) *quota.Enforcer {
	tb.Helper()
	m := &storetest.Instant{Model: storetest.NewModel(), Used: used}
	e := quota.New(quota.Options{Catalog: catalog.Default(), Store: m, Registry: m})
	e.Confirmed(time.Now().Add(time.Hour))
	now := time.Now()
	for id, edition := range map[uint32]string{premiumApp: "premium", standardApp: "standard", suspendedApp: "premium"} {
		app := &account.App{ID: id, Account: "a", Region: "sg", Edition: edition, Created: now, FanoutBits: 8}
		for i := range 12 { // a year of months
			app.Orders = append(app.Orders, account.Order{
				ID: string(rune('a' + i)), Edition: edition, Months: 1, Start: now.AddDate(0, i-6, 0), End: now.AddDate(0, i-5, 0),
			})
		}
		if id == suspendedApp {
			app.Disabled = []account.Spell{{From: now.Add(-time.Hour)}}
		}
		if err := m.CreateApp(context.Background(), app, account.Event{}, 10, false); err != nil {
			tb.Fatal(err)
		}
		if _, err := e.Check(context.Background(), &quota.Request{App: id, Action: &quota.UseFeature{Feature: "user_status"}}); err != nil {
			tb.Fatal(err)
		}
	}
	return e
}

// benchCase is a request whose cost is measured.
type benchCase struct {
	name    string
	request quota.Request
	used    int64 // of every counter
	want    string
}

// isLocal reports whether no store is asked.
func (c *benchCase) isLocal() bool {
	f, ok := c.request.Action.(*quota.UseFeature)
	return ok && f.GroupID == ""
}

// ids are user ids as a gateway has them.
func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("user-%014d", i)
	}
	return list
}

func benchCases() []benchCase {
	android := quota.Client{Platform: "android", HasSDK: true}
	android.SDK, _ = catalog.ParseSDKVersion("7.1.3925")
	user, friend := ids(2)[0], ids(2)[1]
	const allowed, denied, fault = "allowed", "denied", "fault"
	return []benchCase{
		{"feature", quota.Request{App: premiumApp, Action: &quota.UseFeature{Feature: "user_status"}}, 0, allowed},
		{"feature-of-device", quota.Request{App: premiumApp, Client: android, Action: &quota.UseFeature{Feature: "group_read_receipt", GroupType: "work"}}, 0, allowed},
		{"feature-denied", quota.Request{App: standardApp, Action: &quota.UseFeature{Feature: "user_status"}}, 0, denied},
		{"feature-suspended", quota.Request{App: suspendedApp, Action: &quota.UseFeature{Feature: "user_status"}}, 0, denied},
		{"feature-unknown", quota.Request{App: premiumApp, Action: &quota.UseFeature{Feature: "no_such"}}, 0, fault},
		{"feature-of-group", quota.Request{App: premiumApp, Action: &quota.UseFeature{Feature: "group_read_receipt", GroupID: "group-0001", GroupType: "work"}}, 0, allowed},
		{"login", quota.Request{App: premiumApp, Action: &quota.Login{UserID: user}}, 3, allowed},
		{"add_friend", quota.Request{App: premiumApp, Action: &quota.AddFriend{UserID: user, FriendID: friend}}, 3, allowed},
		{"add_friend-with-id", quota.Request{App: premiumApp, ID: "0123456789abcdef", Caller: "gateway-1", Action: &quota.AddFriend{UserID: user, FriendID: friend}}, 3, allowed},
		{"add_friend-denied", quota.Request{App: standardApp, Action: &quota.AddFriend{UserID: user, FriendID: friend}}, 3000, denied},
		{"add_friend-reserved", quota.Request{App: premiumApp, Mode: quota.Reserve, Action: &quota.AddFriend{UserID: user, FriendID: friend}}, 3, allowed},
		{"create_group", quota.Request{App: premiumApp, Action: &quota.CreateGroup{GroupID: "group-0001", GroupType: "work", OwnerID: user, MemberIDs: ids(3)}}, 3, allowed},
		{"join_group", quota.Request{App: premiumApp, Action: &quota.JoinGroup{GroupID: "group-0001", GroupType: "public", UserID: user}}, 3, allowed},
		{"add_group_members-30", quota.Request{App: premiumApp, Action: &quota.AddGroupMembers{GroupID: "group-0001", GroupType: "work", UserIDs: ids(30)}}, 3, allowed},
		{"leave_group", quota.Request{App: premiumApp, Action: &quota.LeaveGroup{GroupID: "group-0001", UserID: user}}, 3, allowed},
	}
}

// verdict is what a check came to.
func verdict(d *quota.Decision, err error) string {
	switch {
	case err != nil:
		return "fault"
	case d.Allowed:
		return "allowed"
	}
	return "denied"
}

// eachView runs a benchmark for the BASIC and the FULL view of every case.
func eachView(b *testing.B, run func(b *testing.B, e *quota.Enforcer, c *benchCase)) {
	for _, c := range benchCases() {
		for _, view := range []string{"basic", "full"} {
			b.Run(c.name+"/"+view, func(b *testing.B) {
				c.request.Basic = view == "basic"
				e := newBench(b, c.used)
				b.ReportAllocs()
				run(b, e, &c)
			})
		}
	}
}

// BenchmarkCheck shows what a decision costs in the process, the store's work
// apart.
func BenchmarkCheck(b *testing.B) {
	eachView(b, func(b *testing.B, e *quota.Enforcer, c *benchCase) {
		ctx := context.Background()
		for b.Loop() {
			if got := verdict(e.Check(ctx, &c.request)); got != c.want {
				b.Fatalf("%s, want %s", got, c.want)
			}
		}
	})
}

// BenchmarkCheckParallel shows whether callers wait for each other: with -cpu
// 2,8,64 it must not rise.
func BenchmarkCheckParallel(b *testing.B) {
	eachView(b, func(b *testing.B, e *quota.Enforcer, c *benchCase) {
		if c.name != "feature" && c.name != "login" {
			b.Skip("two show it")
		}
		b.RunParallel(func(pb *testing.PB) {
			ctx := context.Background()
			for pb.Next() {
				if got := verdict(e.Check(ctx, &c.request)); got != c.want {
					b.Errorf("%s, want %s", got, c.want)
					return
				}
			}
		})
	})
}

// BenchmarkCheckManyApps shows what it costs that other apps were asked for before,
// so that what is known of this one is not in the processor's caches: one at a time,
// and 32 together.
func BenchmarkCheckManyApps(b *testing.B) {
	const items = 32
	for _, n := range []uint32{1, 10_000} {
		m := &storetest.Instant{Model: storetest.NewModel()}
		e := quota.New(quota.Options{Catalog: catalog.Default(), Store: m, Registry: m})
		e.Confirmed(time.Now().Add(time.Hour))
		ctx, requests := context.Background(), make([]*quota.Request, items)
		for i := range requests {
			requests[i] = &quota.Request{Action: &quota.UseFeature{Feature: "user_status"}}
		}
		r := requests[0]
		for r.App = 1; r.App <= n; r.App++ {
			app := &account.App{ID: r.App, Account: fmt.Sprint(r.App / 100), Region: "sg", Edition: "premium", Created: time.Now(), FanoutBits: 8}
			if err := m.CreateApp(ctx, app, account.Event{}, 101, false); err != nil {
				b.Fatal(err)
			}
			if _, err := e.Check(ctx, r); err != nil {
				b.Fatal(err)
			}
		}
		drawn := uint32(0)
		draw := func() uint32 {
			drawn = drawn*1664525 + 1013904223
			return 1 + drawn>>8%n
		}
		b.Run(fmt.Sprintf("apps=%d", n), func(b *testing.B) {
			for b.Loop() {
				r.App = draw()
				if d, err := e.Check(ctx, r); err != nil || !d.Allowed {
					b.Fatal(d, err)
				}
			}
		})
		b.Run(fmt.Sprintf("apps=%d/together", n), func(b *testing.B) {
			for b.Loop() {
				for _, r := range requests {
					r.App = draw()
				}
				if results := e.CheckAll(ctx, requests); len(results) != items || !results[0].Decision.Allowed {
					b.Fatal(results)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items, "ns/item")
		})
	}
}

// BenchmarkCheckAll shows what 32 decisions cost together, of one app or of three.
func BenchmarkCheckAll(b *testing.B) {
	const items = 32
	for _, c := range benchCases() {
		if c.name != "feature" && c.name != "add_friend" {
			continue
		}
		for _, apps := range [][]uint32{{premiumApp}, {premiumApp, standardApp, suspendedApp}} {
			b.Run(fmt.Sprintf("%s/apps=%d", c.name, len(apps)), func(b *testing.B) {
				e := newBench(b, c.used)
				requests := make([]*quota.Request, items)
				for i := range requests {
					r := c.request
					r.App, r.Basic = apps[i%len(apps)], true
					requests[i] = &r
				}
				b.ReportAllocs()
				ctx := context.Background()
				for b.Loop() {
					if results := e.CheckAll(ctx, requests); len(results) != items || results[0].Err != nil {
						b.Fatal(results)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items, "ns/item")
			})
		}
	}
}
