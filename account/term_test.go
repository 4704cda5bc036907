package account_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

func TestServiceMonths(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	of := func(months int, start, end string) account.Order {
		o := p.order("standard", start, end)
		o.Months = months
		return o
	}
	for _, tt := range []struct {
		name   string
		orders []account.Order // the last is asked for
		want   string
	}{
		{"a month", []account.Order{of(1, "2024-06-01", "2024-07-01")}, "2024-06-01 2024-07-01"},
		// FACTS §7, V9.
		{"from January 31", []account.Order{of(4, "2024-01-31", "2024-05-31")}, "2024-01-31 2024-02-29 2024-03-31 2024-04-30 2024-05-31"},
		{"a renewal keeps the first day", []account.Order{of(1, "2024-01-31", "2024-02-29"), of(2, "2024-02-29", "2024-04-30")}, "2024-02-29 2024-03-31 2024-04-30"},
		{"bought anew on the same day", []account.Order{of(1, "2023-12-31", "2024-01-31"), of(2, "2024-02-29", "2024-04-29")}, "2024-02-29 2024-03-29 2024-04-29"},
		{"after one that was returned", []account.Order{p.returned("standard", "2024-01-31", "2024-02-29", "2024-02-10"), of(2, "2024-02-29", "2024-04-29")}, "2024-02-29 2024-03-29 2024-04-29"},
		{"brought along, and longer", []account.Order{of(2, "2024-01-31", "2024-04-10")}, "2024-01-31 2024-02-29 2024-04-10"},
		{"brought along, and shorter", []account.Order{of(2, "2024-01-31", "2024-03-10")}, "2024-01-31 2024-02-29 2024-03-10"},
		{"brought along, and no months at all", []account.Order{of(4, "2024-06-01", "2024-06-09")}, "2024-06-01 2024-06-03 2024-06-05 2024-06-07 2024-06-09"},
		{"a renewal after an odd end", []account.Order{of(1, "2024-01-31", "2024-02-20"), of(2, "2024-02-20", "2024-04-20")}, "2024-02-20 2024-03-20 2024-04-20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, at := range account.ServiceMonths(tt.orders, len(tt.orders)-1, p.cat.Zone()) {
				got = append(got, p.text(at))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("months (-want +got):\n%s", diff)
			}
		})
	}
}
