package account_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

// The editions of a month are those that the app was served in, cheapest first.
func TestApp_Held(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	order := p.order("standard", "2024-06-10", "2024-08-10")
	order.Upgrades = []account.Upgrade{{At: p.at("2024-07-31 23:59:59"), Edition: "premium"}}
	app := &account.App{ID: 7, Edition: "developer", Created: p.at("2024-05-20"), Orders: []account.Order{order}}
	for _, tt := range []struct{ from, until, want string }{
		{"2024-04-01", "2024-05-01", ""},
		{"2024-05-01", "2024-06-01", "developer"},
		{"2024-06-01", "2024-07-01", "developer standard"},
		{"2024-06-10", "2024-07-01", "standard"},
		{"2024-07-01", "2024-08-01", "standard premium"},
		{"2024-08-01", "2024-09-01", "premium"},
		{"2024-08-10", "2024-08-11", "premium"}, // in grace
		{"2024-08-11", "2024-09-01", ""},        // suspended
	} {
		var got []string
		for _, e := range app.Held(app.Lifecycle(nil, p.cat), p.cat, p.at(tt.from), p.at(tt.until)) {
			got = append(got, e.Key)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("from %s until %s (-want +got):\n%s", tt.from, tt.until, diff)
		}
	}
}
