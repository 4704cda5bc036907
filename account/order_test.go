package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"pgregory.net/rapid"
)

func TestAddMonths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, zone, anchor string
		want               map[int]string // months -> end
	}{
		// FACTS §7, V9.
		{"from January 31", "+08:00", "2024-01-31", map[int]string{0: "2024-01-31", 1: "2024-02-29", 2: "2024-03-31", 3: "2024-04-30", 4: "2024-05-31", 13: "2025-02-28", 24: "2026-01-31"}},
		{"from a leap day", "+08:00", "2024-02-29 23:59:59", map[int]string{1: "2024-03-29 23:59:59", 12: "2025-02-28 23:59:59", 13: "2025-03-29 23:59:59", 48: "2028-02-29 23:59:59"}},
		{"from the day before a leap day", "+08:00", "2024-02-28", map[int]string{12: "2025-02-28", 24: "2026-02-28"}},
		{"over the end of a year", "+08:00", "2023-11-30 00:00:01", map[int]string{1: "2023-12-30 00:00:01", 2: "2024-01-30 00:00:01", 3: "2024-02-29 00:00:01"}},
		{"back", "+08:00", "2024-03-31", map[int]string{-1: "2024-02-29", -3: "2023-12-31"}},
		{"when the clocks have been put forward", "America/New_York", "2024-02-15 12:00:00", map[int]string{1: "2024-03-15 12:00:00", 10: "2024-12-15 12:00:00"}},
		{"to a time that the clocks skip", "America/New_York", "2024-02-10 02:30:00", map[int]string{1: "2024-03-10 03:00:00", 2: "2024-04-10 02:30:00"}},
		{"to a midnight that there is not", "America/Sao_Paulo", "2018-10-04", map[int]string{1: "2018-11-04 01:00:00", 2: "2018-12-04"}},
		{"to a day that there is not", "Pacific/Apia", "2011-11-30 12:00:00", map[int]string{1: "2011-12-31", 2: "2012-01-30 12:00:00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := inZone(t, tt.zone)
			for n, want := range tt.want {
				// In whatever zone the anchor is written.
				for _, anchor := range []time.Time{p.at(tt.anchor), p.at(tt.anchor).UTC()} {
					if got := p.text(account.AddMonths(anchor, n, p.cat.Zone())); got != want {
						t.Errorf("%d months after %s: %s, want %s", n, tt.anchor, got, want)
					}
				}
			}
		})
	}
}

// Clocks that are put back show a time twice: it is the first, east and west of
// Greenwich, where time.Date takes another one each.
func TestAddMonths_ToATimeThatTheClocksShowTwice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ zone, anchor, want, before string }{
		{"America/New_York", "2024-10-03 01:30:00", "2024-11-03T01:30:00-04:00", "2024-11-02 01:30:00"},
		{"Europe/Berlin", "2024-09-27 02:30:00", "2024-10-27T02:30:00+02:00", "2024-10-26 02:30:00"},
		{"Australia/Lord_Howe", "2024-03-07 01:45:00", "2024-04-07T01:45:00+11:00", "2024-04-06 01:45:00"},
		{"America/Sao_Paulo", "2018-01-17 23:30:00", "2018-02-17T23:30:00-02:00", "2018-02-16 23:30:00"},
		{"America/New_York", "2024-10-03 02:00:00", "2024-11-03T02:00:00-05:00", "2024-11-02 02:00:00"},
	} {
		t.Run(tt.zone+" "+tt.want, func(t *testing.T) {
			t.Parallel()
			p := inZone(t, tt.zone)
			months, days := account.AddMonths(p.at(tt.anchor), 1, p.cat.Zone()), account.AddDays(p.at(tt.before), 1, p.cat.Zone())
			if got := months.Format(time.RFC3339); got != tt.want {
				t.Errorf("a month after %s: %s, want %s", tt.anchor, got, tt.want)
			}
			if !days.Equal(months) {
				t.Errorf("a day after %s: %s, want %s", tt.before, days, months)
			}
		})
	}
}

func TestAddDays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, zone, from string
		want             map[int]string // days -> then
	}{
		{"over a leap day", "+08:00", "2024-02-28 12:00:00", map[int]string{0: "2024-02-28 12:00:00", 1: "2024-02-29 12:00:00", 2: "2024-03-01 12:00:00", 366: "2025-02-28 12:00:00"}},
		{"to a time that the clocks skip", "America/New_York", "2024-03-09 02:30:00", map[int]string{1: "2024-03-10 03:00:00", 2: "2024-03-11 02:30:00"}},
		{"to a day that there is not", "Pacific/Apia", "2011-12-29 12:00:00", map[int]string{1: "2011-12-31", 2: "2011-12-31 12:00:00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := inZone(t, tt.zone)
			for n, want := range tt.want {
				if got := p.text(account.AddDays(p.at(tt.from).UTC(), n, p.cat.Zone())); got != want {
					t.Errorf("%d days after %s: %s, want %s", n, tt.from, got, want)
				}
			}
		})
	}
}

// More months end later, at the same time of day, in the next month of the
// calendar.
func TestAddMonths_OneByOne(t *testing.T) {
	t.Parallel()
	places := somePlaces(t)
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom(places).Draw(t, "place").cat.Zone()
		anchor := time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "anchor"), 0).In(zone)
		before := anchor
		for n := 1; n <= 24; n++ {
			end := account.AddMonths(anchor, n, zone)
			y, m, d := end.Date()
			if months := (y-anchor.Year())*12 + int(m-anchor.Month()); months != n || !end.After(before) {
				t.Fatalf("%d months after %v: %v", n, anchor, end)
			}
			if d != anchor.Day() && (d > anchor.Day() || end.AddDate(0, 0, 1).Day() != 1) {
				t.Fatalf("%d months after %v: %v is neither its day nor the month's last", n, anchor, end)
			}
			before = end
		}
	})
}

func TestSortOrders(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	for _, tt := range []struct {
		name   string
		orders []account.Order
		want   string // sequence, or what is wrong
	}{
		{"none", nil, ""},
		{"that touch", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.order("a", "2024-06-01", "2024-06-10")}, "a b"},
		{"that share a second", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.order("a", "2024-06-01", "2024-06-10 00:00:01")}, "overlap"},
		{"one within the other", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.order("a", "2024-06-01", "2024-06-30")}, "overlap"},
		{"the same twice", []account.Order{p.order("a", "2024-06-01", "2024-06-10"), p.order("b", "2024-06-01", "2024-06-10")}, "overlap"},
		{"one returned before the other began", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.returned("a", "2024-06-01", "2024-06-30", "2024-06-10")}, "a b"},
		{"one returned a second too late", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.returned("a", "2024-06-01", "2024-06-30", "2024-06-10 00:00:01")}, "overlap"},
		{"one that never began", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.returned("a", "2024-06-01", "2024-06-30", "2024-05-10")}, "a b"},
		{"one returned after its end counts in full", []account.Order{p.order("b", "2024-06-10", "2024-06-20"), p.returned("a", "2024-06-01", "2024-06-11", "2024-06-30")}, "overlap"},
		{"two with one between them that never began", []account.Order{p.order("a", "2024-06-01", "2024-06-20"), p.returned("b", "2024-06-02", "2024-06-30", "2024-06-01"), p.order("c", "2024-06-19", "2024-06-21")}, "overlap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := account.SortOrders(tt.orders)
			if tt.want == "overlap" {
				if err == nil || !strings.Contains(err.Error(), "overlap") {
					t.Errorf("got %v, want that they overlap", err)
				}
				return
			}
			var got []string
			for _, o := range tt.orders {
				got = append(got, o.Edition)
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
