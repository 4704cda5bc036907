package ratings_test

import (
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
)

// The vectors of FACTS §7, by their names there.
func TestFacts_Refunds(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v1 := s.order("a", "standard", "2024-06-01", 1, "399", "")
	v2 := s.order("a", "premium", "2024-01-01", 12, "8000", "388")
	v3 := s.order("a", "standard", "2024-06-01", 3, "857.60", "")
	v3.List, v3.Discount, v3.Voucher = money("1197"), money("239.40"), money("100")
	v4 := s.order("b", "standard", "2024-07-01", 2, "", "798")
	v8 := s.order("a", "standard", "2024-01-20", 1, "399", "")
	for _, tt := range []struct {
		name                string
		shop                shop
		at                  string
		orders              []account.Order
		used, refund, split string
	}{
		{"V1", s, "2024-06-16", []account.Order{v1}, "199.50", "199.50", "a 199.50 + 0.00"},
		{"V2", s, "2024-06-11", []account.Order{v2}, "3728.00", "4660.00", "a 4444.44 + 215.56"},
		{"V3 after two months", s, "2024-08-01", []account.Order{v3}, "798.00", "59.60", "a 59.60 + 0.00"},
		{"V3 later", s, "2024-08-16", []account.Order{v3}, "991.06", "0.00", "a 0.00 + 0.00"},
		{"V4", s, "2024-06-16", []account.Order{v1, v4}, "199.50", "997.50", "a 199.50 + 0.00, b 0.00 + 798.00"},
		{"V7 before the half cent", s, "2024-06-16 00:00:32", []account.Order{v1}, "199.50", "199.50", "a 199.50 + 0.00"},
		{"V7 after it", s, "2024-06-16 00:00:33", []account.Order{v1}, "199.51", "199.49", "a 199.49 + 0.00"},
		{"V8", s, "2024-02-05", []account.Order{v8}, "205.94", "193.06", "a 193.06 + 0.00"},
		{"L of V2", literal(t), "2024-06-11", []account.Order{v2}, "233.00", "8155.00", "a 7777.78 + 377.22"},
		{"L of V3 after two months", literal(t), "2024-08-01", []account.Order{v3}, "0.00", "857.60", "a 857.60 + 0.00"},
		{"L of V3 later", literal(t), "2024-08-16", []account.Order{v3}, "193.06", "664.54", "a 664.54 + 0.00"},
		{"L of V8", literal(t), "2024-02-05", []account.Order{v8}, "55.03", "343.97", "a 343.97 + 0.00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.shop.TB = t
			q := tt.shop.refund(tt.shop.subject(tt.at, tt.orders...))
			if used(q) != tt.used || q.Total.StringFixed(2) != tt.refund || legs(q) != tt.split {
				t.Errorf("used %s, refund %s: %s; want used %s, refund %s: %s", used(q), q.Total.StringFixed(2), legs(q), tt.used, tt.refund, tt.split)
			}
		})
	}
}

// V5: an upgrade in the middle of a month, and its return.
func TestFacts_Upgrade(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june := s.order("a", "standard", "2024-06-01", 1, "399", "")
	price, upgraded := s.upgrade(s.subject("2024-06-16", june), "premium")
	q := s.refund(s.subject("2024-06-21", upgraded...))
	if price != "150.00" || used(q) != "316.00" || q.Total.StringFixed(2) != "233.00" {
		t.Errorf("upgrade %s, used %s, refund %s; want 150.00, 316.00, 233.00", price, used(q), q.Total)
	}
}

// V5b: an upgrade of an order in force and of one to come, and the return of the
// second.
func TestFacts_UpgradeOfTwo(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june, summer := s.order("a", "standard", "2024-06-01", 1, "399", ""), s.order("b", "standard", "2024-07-01", 2, "798", "")
	price, upgraded := s.upgrade(s.subject("2024-06-16", june, summer), "premium")
	q := s.refund(s.subject("2024-07-16", upgraded...))
	if price != "750.00" || q.Total.StringFixed(2) != "1059.77" || len(q.Legs) != 1 {
		t.Errorf("upgrade %s, refund %s in %d legs; want 750.00, 1059.77 in one", price, q.Total, len(q.Legs))
	}
}

// V6: monthly users beyond the free quota, and the peak, which is free for a time.
func TestFacts_Bill(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	app := &account.App{ID: 7, Account: "acme", Edition: "premium", Created: s.at("2023-01-01")}
	for _, tt := range []struct {
		users, peak int64
		want        string
	}{
		{9999, 0, "0.00"}, {10000, 0, "0.00"}, {10001, 0, "0.02"}, {10003, 0, "0.05"}, {25000, 0, "225.00"}, {10000, 500, "0.00"}, {25000, 500, "225.00"},
	} {
		usage := ratings.Usage{Used: map[string]int64{"free_mau": tt.users}, PeakOnline: tt.peak}
		month, err := ratings.ParseMonth("2024-06", s.cat.Zone())
		if err != nil {
			t.Fatal(err)
		}
		q, err := ratings.QuoteBill(month, s.at("2024-07-01"), s.cat, []ratings.BilledApp{{App: app, Catalog: s.cat, Usage: usage}})
		if err != nil {
			t.Fatal(err)
		}
		s.sound(q)
		if got := q.Total.StringFixed(2); got != tt.want || !q.Final {
			t.Errorf("%d users, at most %d at once: %s; want %s", tt.users, tt.peak, got, tt.want)
		}
		peak := decimal.NewFromInt(tt.peak).Mul(decimal.RequireFromString("0.2"))
		if len(q.Lines) != 3 || !q.Lines[1].Amount.Equal(peak) || !q.Lines[2].Amount.Equal(peak.Neg()) || q.Lines[2].Kind != ratings.LinePromotion {
			t.Errorf("lines of the peak: %+v", q.Lines[1:])
		}
	}
}

// V9: an order keeps the day of the month on which it began.
func TestFacts_MonthEnds(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for months, end := range map[int]string{1: "2024-02-29", 2: "2024-03-31", 3: "2024-04-30", 4: "2024-05-31"} {
		q, err := ratings.QuotePurchase(s.subject("2024-01-31"), "standard", ratings.Terms{Months: months}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.sound(q)
		if !q.Orders[0].End.Equal(s.at(end)) || !q.Total.Equal(money("399").Mul(decimal.NewFromInt(int64(months)))) {
			t.Errorf("%d months: until %v for %s, want %s", months, q.Orders[0].End, q.Total, end)
		}
	}
}

// V3: what is bought with a discount and a voucher.
func TestFacts_Purchase(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	q, err := ratings.QuotePurchase(s.subject("2024-06-01"), "standard", ratings.Terms{Months: 3, DiscountPercent: money("20"), Voucher: money("100")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.sound(q)
	if q.Total.StringFixed(2) != "857.60" || len(q.Lines) != 3 {
		t.Errorf("%s in %+v; want 857.60", q.Total, q.Lines)
	}
}
