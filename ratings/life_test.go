package ratings_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// branch is a shop of three plans, and its accountant.
type branch struct {
	shop shop
	*accountant
}

// plans are the paid editions of a branch, cheapest first.
var plans = []string{"standard", "premium", "gold"}

// reading is how a branch reads the used value.
type reading struct {
	literal, wholeDays bool
}

// newBranch has a third plan, a zone, and prices for the three.
func newBranch(t testing.TB, zone string, r reading, prices ...string) branch {
	changes := []string{
		`time_zone: "+08:00" `, `time_zone: "` + zone + `" `,
		"purchase: [standard, premium]", "purchase: [standard, premium, gold]",
		"upgrade: [premium]", "upgrade: [premium, gold]",
		`monthly_price: "399"`, `monthly_price: "` + prices[0] + `"`,
		`monthly_price: "699"`, "monthly_price: \"" + prices[1] + "\"\n    upgrade: [gold]",
		"    limits:\n      users: unlimited\n      free_mau: {limit: 10000, on_exceed: bill}\n      friends: 3000\n      groups: unlimited\n      live_groups: unlimited\n",
		"    limits: &best\n      users: unlimited\n      free_mau: {limit: 10000, on_exceed: bill}\n      friends: 3000\n      groups: unlimited\n      live_groups: unlimited\n",
		"    features: *all_features\n", "    features: *all_features\n  - key: gold\n    title: Gold\n    monthly_price: \"" + prices[2] + "\"\n    limits: *best\n    features: *all_features\n",
	}
	if r.literal {
		changes = append(changes, "used_value: service_months ", "used_value: current_month ")
	}
	if r.wholeDays {
		changes = append(changes, "used_time: seconds ", "used_time: whole_days ")
	}
	b := branch{shop: newShop(t, changes...), accountant: &accountant{list: make(map[string]*big.Rat), literal: r.literal, wholeDays: r.wholeDays}}
	b.zone = b.shop.cat.Zone()
	for i, edition := range plans {
		b.list[edition] = rat(prices[i])
	}
	return b
}

// newBranches have prices of which some divide badly.
func newBranches(t testing.TB, zone string, r reading) []branch {
	return []branch{
		newBranch(t, zone, r, "399", "699", "999"),
		newBranch(t, zone, r, "0.01", "0.02", "0.05"),
		newBranch(t, zone, r, "19.99", "33.33", "100.01"),
		newBranch(t, zone, r, "7", "1000000.01", "9999999.99"),
	}
}

// zones are where branches are: one without summer time, one with, one where it
// begins at midnight, one far west, and one whose summer time is half an hour.
var zones = []string{"+08:00", "America/New_York", "America/Sao_Paulo", "-11:00", "Australia/Lord_Howe"}

// life is an app from its first order on.
type life struct {
	branch
	t   *rapid.T
	app *account.App
	now time.Time
}

// drawStart draws an instant of the years in which all zones have their oddities:
// often at the end of a month, in February, or when clocks are changed.
func (b branch) drawStart(t *rapid.T) time.Time {
	day := rapid.SampledFrom([]string{
		"2015-12-31", "2016-01-28", "2016-01-29", "2016-01-30", "2016-01-31", "2016-02-28", "2016-02-29", "2016-03-12", "2016-03-31",
		"2017-01-29", "2017-01-31", "2017-02-28", "2017-05-31", "2017-08-31", "2017-10-14", "2017-10-15", "2017-11-05", "2017-12-31",
		"2018-02-17", "2018-02-18", "2018-03-11", "2018-11-03", "2018-11-04", "2018-11-30", "2019-12-31", "2020-02-29", "2020-03-08",
	})
	if rapid.IntRange(0, 2).Draw(t, "any day") == 0 {
		day = rapid.Map(rapid.IntRange(0, 2000), func(n int) string {
			return time.Date(2015, 1, 1+n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		})
	}
	midnight, err := time.Parse(time.DateOnly, day.Draw(t, "day"))
	if err != nil {
		t.Fatal(err)
	}
	return b.first(midnight.Unix() + int64(rapid.OneOf(rapid.SampledFrom([]int{0, 0, 1, 86399, 9000, 5400}), rapid.IntRange(0, 86399)).Draw(t, "second")))
}

// drawTender parts an amount of cents.
func drawTender(t *rapid.T, amount int64) (cash, credit decimal.Decimal) {
	part := rapid.OneOf(rapid.SampledFrom([]int64{0, amount}), rapid.Int64Range(0, amount)).Draw(t, "cash")
	return ofCents(part), ofCents(amount - part)
}

// drawTerms draws months, and what is taken off their price.
func (b branch) drawTerms(t *rapid.T, edition string) (terms ratings.Terms, total int64) {
	terms.Months = rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 24)).Draw(t, "months")
	percent := rapid.OneOf(rapid.Just(0), rapid.SampledFrom([]int{200_000, 333_333, 1, 1_000_000}), rapid.IntRange(0, 1_000_000)).Draw(t, "discount")
	terms.DiscountPercent = decimal.New(int64(percent), -4)
	due := b.price(edition, terms.Months, big.NewRat(int64(percent), 10_000), 0)
	voucher := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, due)).Draw(t, "voucher")
	terms.Voucher = ofCents(voucher)
	return terms, due - voucher
}

// drawLife draws one to four orders: those that continue each other, those after
// a gap, and imports that do not keep the day of the first. The first may have
// been returned, with the next beginning at once or where the first would have
// ended.
func drawLife(t *rapid.T, branches []branch) *life {
	l := &life{t: t, branch: rapid.SampledFrom(branches).Draw(t, "prices")}
	l.app = &account.App{ID: 7, Account: "acme", Edition: "developer"}
	start := l.drawStart(t)
	l.now = start.Add(-time.Hour * 24 * 40)
	edition := rapid.SampledFrom(plans).Draw(t, "edition")
	for i := range rapid.IntRange(1, 4).Draw(t, "orders") {
		terms, total := l.drawTerms(t, edition)
		o := account.Order{ID: string(rune('a' + i)), Edition: edition, Start: start, End: l.plus(start, terms.Months), Months: terms.Months, Voucher: terms.Voucher}
		o.Cash, o.Credit = drawTender(t, total)
		orders := append(slices.Clip(l.app.Orders), o)
		if _, until, _, ok := l.renewed(l.app.Orders, start.Add(-time.Second), terms.Months); ok && l.continues(orders) {
			orders[i].End = until
		}
		l.app.Orders = orders
		start = orders[i].End
		switch rapid.IntRange(0, 5).Draw(t, "next") {
		case 0:
			start = start.Add(time.Duration(rapid.OneOf(rapid.IntRange(1, 100_000), rapid.IntRange(1, 10_000_000)).Draw(t, "gap")) * time.Second)
			edition = rapid.SampledFrom(plans).Draw(t, "another edition")
		case 1:
			if i == 0 {
				l.now = orders[0].Start.Add(time.Duration(rapid.Int64Range(0, int64(start.Sub(orders[0].Start).Seconds())-1).Draw(t, "returned")) * time.Second)
				orders[0].Refunded = l.now
				start = rapid.SampledFrom([]time.Time{l.now, start}).Draw(t, "bought again")
			}
		case 2:
			edition = rapid.SampledFrom(plans).Draw(t, "imported edition")
		}
	}
	return l
}

// continues reports whether the last of the orders was bought as a renewal.
func (l *life) continues(orders []account.Order) bool {
	n := len(orders)
	return n > 1 && orders[n-2].Refunded.IsZero() && orders[n-2].End.Equal(orders[n-1].Start)
}

// drawInstants draws when to look: where anything begins or ends or clocks are
// changed, a second or half an hour before or after, and at other times.
func (l *life) drawInstants(n int) []time.Time {
	first, last := l.app.Orders[0].Start, l.app.Orders[len(l.app.Orders)-1].End
	var marks []time.Time
	for i := range l.app.Orders {
		marks = append(marks, l.app.Orders[i].Start, l.app.Orders[i].End, l.app.Orders[i].End.Add(24*time.Hour))
		for _, at := range l.serviceMonths(l.app.Orders, i) {
			_, next := l.month(at)
			marks = append(marks, at, next, l.first(l.shows(at)/86400*86400+86400))
		}
		for _, at := l.app.Orders[i].Start.In(l.zone).ZoneBounds(); !at.IsZero() && at.Before(l.app.Orders[i].End); _, at = at.ZoneBounds() {
			marks = append(marks, at)
		}
	}
	instants := make([]time.Time, 0, n)
	for range n {
		at := first.Add(time.Duration(rapid.Int64Range(-3_000_000, int64(last.Sub(first).Seconds())+3_000_000).Draw(l.t, "at")) * time.Second)
		if rapid.Bool().Draw(l.t, "at a mark") {
			at = rapid.SampledFrom(marks).Draw(l.t, "mark").Add(time.Duration(rapid.SampledFrom([]int{-1, 0, 1, -1800, 1800}).Draw(l.t, "off by")) * time.Second)
		}
		if !at.Before(l.now) {
			instants = append(instants, at)
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	return instants
}

func (l *life) subject() ratings.Subject { return l.shop.subjectOf(l.now, l.app) }

// buyUpgrade pays for an upgrade, or is given one that was paid elsewhere.
func (l *life) buyUpgrade(prices map[string]int64, edition string) {
	l.app = l.app.Clone()
	for i := range l.app.Orders {
		o := &l.app.Orders[i]
		price, ok := prices[o.ID]
		if !ok {
			continue
		}
		u := account.Upgrade{At: l.now, Edition: edition}
		u.Cash, u.Credit = drawTender(l.t, price)
		o.Upgrades = append(o.Upgrades, u)
	}
}

// story tells an app's orders, for a failure.
func (l *life) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, prices %v, now %s", l.shop.cat.Zone(), l.list, l.now.In(l.zone))
	for _, o := range l.app.Orders {
		fmt.Fprintf(&b, "\n%s %s %d months %s to %s, %s + %s", o.ID, o.Edition, o.Months, o.Start.In(l.zone), o.End.In(l.zone), o.Cash, o.Credit)
		if !o.Refunded.IsZero() {
			fmt.Fprintf(&b, ", returned %s", o.Refunded.In(l.zone))
		}
		for _, u := range o.Upgrades {
			fmt.Fprintf(&b, ", %s from %s for %s + %s", u.Edition, u.At.In(l.zone), u.Cash, u.Credit)
		}
	}
	return b.String()
}
