package quota_test

import (
	"context"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
)

// BenchmarkCheck shows what a decision costs in the process, without a store.
func BenchmarkCheck(b *testing.B) {
	for name, action := range map[string]quota.Action{
		"feature":    &quota.UseFeature{Feature: "user_status"},
		"add_friend": &quota.AddFriend{UserID: "a", FriendID: "b"},
	} {
		b.Run(name, func(b *testing.B) {
			m := storetest.NewModel()
			e := quota.New(quota.Options{Catalog: catalog.Default(), Store: m, Registry: m, Now: func() time.Time { return noon }})
			e.Confirmed(time.Now().Add(time.Hour))
			app := &account.App{
				ID: 7, Account: "a", Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8,
				Overrides: map[string]account.Override{"friends": {Limit: catalog.Unlimited()}},
			}
			for i := range 12 { // a year of months
				start := noon.AddDate(0, i-6, 0)
				app.Orders = append(app.Orders, account.Order{ID: string(rune('a' + i)), Edition: "premium", Months: 1, Start: start, End: noon.AddDate(0, i-5, 0)})
			}
			if err := m.CreateApp(context.Background(), app, account.Event{}, 1, false); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if d, err := e.Check(context.Background(), &quota.Request{App: 7, Action: action, Basic: true}); err != nil || !d.Allowed {
					b.Fatal(d, err)
				}
			}
		})
	}
}
