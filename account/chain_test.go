package account

import (
	"testing"
	"time"
)

// A chain keeps the day of its first start as long as its orders follow each
// other, renewed in force or in grace (FACTS §6).
func TestChain(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 8*3600)
	day := func(text string) time.Time {
		at, err := time.ParseInLocation(time.DateOnly, text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	order := func(months int, start, end string) Order {
		return Order{Edition: "standard", Start: day(start), End: day(end), Months: months}
	}
	returned := func(o Order, at string) Order {
		o.Refunded = day(at)
		return o
	}
	for _, tt := range []struct {
		name            string
		orders          []Order
		at              string
		end, one, three string // of the plan, and with so many months more
	}{
		{"one", []Order{order(1, "2024-01-31", "2024-02-29")}, "2024-02-01", "2024-02-29", "2024-03-31", "2024-05-31"},
		{"one, in grace", []Order{order(1, "2024-01-31", "2024-02-29")}, "2024-02-29", "2024-02-29", "2024-03-31", "2024-05-31"},
		{"renewed once", []Order{order(1, "2024-01-31", "2024-02-29"), order(1, "2024-02-29", "2024-03-31")}, "2024-02-01", "2024-03-31", "2024-04-30", "2024-06-30"},
		{"renewed once, in the second order", []Order{order(1, "2024-01-31", "2024-02-29"), order(1, "2024-02-29", "2024-03-31")}, "2024-03-01", "2024-03-31", "2024-04-30", "2024-06-30"},
		{"renewed for months", []Order{order(1, "2024-01-31", "2024-02-29"), order(12, "2024-02-29", "2025-02-28")}, "2024-02-01", "2025-02-28", "2025-03-31", "2025-05-31"},
		{"a leap day", []Order{order(12, "2024-02-29", "2025-02-28")}, "2024-06-01", "2025-02-28", "2025-03-29", "2025-05-29"},
		{"bought after a suspension: a new one", []Order{order(1, "2024-01-31", "2024-02-29"), order(1, "2024-03-02", "2024-04-02")}, "2024-03-05", "2024-04-02", "2024-05-02", "2024-07-02"},
		{"before the next begins", []Order{order(1, "2024-01-31", "2024-02-29"), order(1, "2024-03-02", "2024-04-02")}, "2024-02-10", "2024-02-29", "2024-03-31", "2024-05-31"},
		{"between two, the one that was", []Order{order(1, "2024-01-31", "2024-02-29"), order(1, "2024-03-02", "2024-04-02")}, "2024-03-01", "2024-02-29", "2024-03-31", "2024-05-31"},
		{"an odd end, brought along: counted from it", []Order{order(1, "2024-01-31", "2024-02-20")}, "2024-02-01", "2024-02-20", "2024-03-20", "2024-05-20"},
		{"an odd end in the middle", []Order{order(1, "2024-01-31", "2024-02-20"), order(1, "2024-02-20", "2024-03-20")}, "2024-02-01", "2024-03-20", "2024-04-20", "2024-06-20"},
		{"an order that was returned breaks it", []Order{returned(order(1, "2024-01-31", "2024-02-29"), "2024-02-15"), order(1, "2024-02-29", "2024-03-29")}, "2024-03-01", "2024-03-29", "2024-04-29", "2024-06-29"},
		{"a future order that was returned is none of it", []Order{order(1, "2024-01-31", "2024-02-29"), returned(order(1, "2024-02-29", "2024-03-31"), "2024-02-15")}, "2024-02-20", "2024-02-29", "2024-03-31", "2024-05-31"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := chainAt(tt.orders, day(tt.at))
			for _, got := range []struct {
				of   string
				at   time.Time
				want string
			}{
				{"the end", c.end, tt.end},
				{"with a month", c.after(1, zone), tt.one},
				{"with three months", c.after(3, zone), tt.three},
			} {
				if !got.at.Equal(day(got.want)) {
					t.Errorf("%s: %v, want %s", got.of, got.at, got.want)
				}
			}
		})
	}
	if c := chainAt([]Order{order(1, "2024-01-31", "2024-02-29")}, day("2024-01-30")); c != (chain{}) {
		t.Errorf("before the first order: %+v", c)
	}
	if c := chainAt(nil, day("2024-01-30")); c != (chain{}) {
		t.Errorf("without orders: %+v", c)
	}
}

// One order of n months and n orders of one month end together.
func TestChain_MonthByMonth(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 8*3600)
	for day := range 366 {
		start := time.Date(2024, 1, 1+day, 15, 4, 5, 0, zone)
		orders := []Order{{Start: start, End: AddMonths(start, 1, zone), Months: 1}}
		for n := 2; n <= 24; n++ {
			c := chainAt(orders, start)
			end := c.after(1, zone)
			if want := AddMonths(start, n, zone); !end.Equal(want) {
				t.Fatalf("%d months from %v: %v, want %v", n, start, end, want)
			}
			orders = append(orders, Order{Start: c.end, End: end, Months: 1})
		}
	}
}
