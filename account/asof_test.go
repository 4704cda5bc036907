package account_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// What was done after an instant is not there as of it; afterwards the app is as
// it is now.
func TestApp_AsOf(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	bought, renewed := p.order("standard", "2024-06-01", "2024-07-01"), p.order("standard", "2024-07-01", "2024-08-01")
	bought.Ordered, renewed.Ordered = p.at("2024-06-01"), p.at("2024-06-10")
	bought.Upgrades = []account.Upgrade{{At: p.at("2024-06-16"), Edition: "premium"}}
	bought.Refunded, bought.Refund = p.at("2024-06-20"), account.Refund{Cash: decimal.NewFromInt(1)}
	bought.Rejected = account.Rejection{Reason: "again", At: p.at("2024-06-18")}
	imported := p.order("standard", "2025-01-01", "2025-02-01")
	app := &account.App{
		ID: 7, Orders: []account.Order{bought, renewed, imported},
		AddOns:   map[string]time.Time{"av_call": p.at("2024-06-05")},
		Disabled: []account.Spell{{From: p.at("2024-06-12"), Until: p.at("2024-06-14")}},
		Deleted:  p.at("2024-07-01"), Migrated: p.at("2024-06-02"), Reclaimed: p.at("2024-07-01"),
	}
	plain := bought
	plain.Upgrades, plain.Refunded, plain.Refund, plain.Rejected = []account.Upgrade{}, time.Time{}, account.Refund{}, account.Rejection{}
	upgraded := plain
	upgraded.Upgrades = bought.Upgrades
	for _, tt := range []struct {
		at   string
		want *account.App
	}{
		{"2024-05-31", &account.App{ID: 7, Orders: []account.Order{imported}, AddOns: map[string]time.Time{}, Disabled: []account.Spell{}}},
		{"2024-06-13", &account.App{ID: 7, Orders: []account.Order{plain, renewed, imported}, AddOns: app.AddOns, Disabled: []account.Spell{{From: p.at("2024-06-12")}}, Migrated: app.Migrated}},
		{"2024-06-16", &account.App{ID: 7, Orders: []account.Order{upgraded, renewed, imported}, AddOns: app.AddOns, Disabled: app.Disabled, Migrated: app.Migrated}},
		{"2024-07-01", app},
	} {
		if diff := cmp.Diff(tt.want, app.AsOf(p.at(tt.at)), cmp.AllowUnexported(catalog.Limit{})); diff != "" {
			t.Errorf("as of %s (-want +got):\n%s", tt.at, diff)
		}
	}
	if len(app.Orders) != 3 || len(app.Orders[0].Upgrades) != 1 || len(app.AddOns) != 1 {
		t.Errorf("the record itself was changed: %+v", app)
	}
}
