package quota_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
)

// withTiers is the default catalog with more editions, up to n, all of which the
// standard edition can be upgraded to, and none of which allows more friends.
func withTiers(tb testing.TB, n int) *catalog.Snapshot {
	tb.Helper()
	var keys, editions strings.Builder
	for i := range n - 3 {
		fmt.Fprintf(&keys, ", tier_%d", i)
		fmt.Fprintf(&editions, `  - key: tier_%d
    title: Tier
    monthly_price: "%d"
    limits: {users: unlimited, free_mau: 10000, friends: 3000, groups: unlimited, live_groups: 50, joined_groups: 500, group_members: 200, daily_net_broadcast_groups: 5, daily_net_groups: 10000, history_days: 7}
    features: [global_coverage]
`, i, 700+i)
	}
	text := string(catalog.DefaultYAML())
	text = strings.Replace(text, "upgrade: [premium]", "upgrade: [premium"+keys.String()+"]", 1)
	head, tail, ok := strings.Cut(text, "\n# Usage billed after the month.")
	if !ok {
		tb.Fatal("the default catalog has changed: nowhere to put editions")
	}
	s, err := catalog.Parse([]byte(head + "\n" + editions.String() + "\n# Usage billed after the month." + tail))
	if err != nil {
		tb.Fatal(err)
	}
	if got := len(s.Editions()); got != n {
		tb.Fatalf("%d editions, want %d", got, n)
	}
	return s
}

// BenchmarkCheckManyEditions shows that a decision costs the same whether the
// catalog has three editions or a thousand. Only a denial in full, which names the
// cheapest edition that would have allowed the request, looks at all that there
// are.
func BenchmarkCheckManyEditions(b *testing.B) {
	user, friend := ids(2)[0], ids(2)[1]
	for _, c := range []benchCase{
		{"feature", quota.Request{App: standardApp, Action: &quota.UseFeature{Feature: "global_coverage"}}, 0, "allowed"},
		{"feature-denied", quota.Request{App: standardApp, Action: &quota.UseFeature{Feature: "user_status"}, Basic: true}, 0, "denied"},
		{"feature-denied-in-full", quota.Request{App: standardApp, Action: &quota.UseFeature{Feature: "user_status"}}, 0, "denied"},
		{"add_friend", quota.Request{App: standardApp, Action: &quota.AddFriend{UserID: user, FriendID: friend}}, 3, "allowed"},
		{"add_friend-denied", quota.Request{App: standardApp, Action: &quota.AddFriend{UserID: user, FriendID: friend}, Basic: true}, 3000, "denied"},
		{"add_friend-denied-in-full", quota.Request{App: standardApp, Action: &quota.AddFriend{UserID: user, FriendID: friend}}, 3000, "denied"},
	} {
		for _, n := range []int{3, 1000} {
			b.Run(fmt.Sprintf("%s/editions=%d", c.name, n), func(b *testing.B) {
				m := &storetest.Instant{Model: storetest.NewModel(), Used: c.used}
				e := quota.New(quota.Options{Catalog: withTiers(b, n), Store: m, Registry: m})
				e.Confirmed(time.Now().Add(time.Hour))
				now := time.Now()
				app := &account.App{
					ID: standardApp, Account: "a", Region: "sg", Edition: "standard", Created: now, FanoutBits: 8,
					Orders: []account.Order{{ID: "1", Edition: "standard", Months: 1, Start: now.Add(-time.Hour), End: now.AddDate(0, 1, 0)}},
				}
				ctx := context.Background()
				if err := m.CreateApp(ctx, app, account.Event{}, 10, false); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if got := verdict(e.Check(ctx, &c.request)); got != c.want {
						b.Fatalf("%s, want %s", got, c.want)
					}
				}
			})
		}
	}
}
