package ratings_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// office bills: by editions of different free quotas, with a meter that no
// promotion takes anything off.
type office struct {
	shop
	free map[string]int64 // monthly users, by edition
	user *big.Rat         // price of one more
	peak *big.Rat         // price of one at once
}

func newOffice(t testing.TB, zone string) office {
	s := newShop(t,
		`time_zone: "+08:00" `, `time_zone: "`+zone+`" `,
		"free_mau: {limit: 10000, on_exceed: bill}\n      friends: 3000\n      groups: unlimited\n      live_groups: 50", "free_mau: {limit: 1000, on_exceed: bill}\n      friends: 3000\n      groups: unlimited\n      live_groups: 50",
		`{standard: "0.2", premium: "0.2"}`, `{standard: "0.205", premium: "0.205"}`,
		`percent: "-100", from: 2022-12-26`, `percent: "-33.3333", from: 2018-02-28`,
	)
	return office{s, map[string]int64{"standard": 1000, "premium": 10000}, rat("0.015"), rat("0.205")}
}

func (o office) bill(t *rapid.T, at time.Time, apps ...ratings.BilledApp) *ratings.Quote {
	month, err := ratings.ParseMonth("2018-02", o.cat.Zone())
	if err != nil {
		t.Fatal(err)
	}
	q, err := ratings.QuoteBill(month, at, o.cat, apps)
	if err != nil {
		t.Fatal(err)
	}
	for _, flaw := range flaws(q) {
		t.Fatal(flaw)
	}
	return q
}

// drawUsage draws users of a month and at once, often near what is free.
func drawUsage(t *rapid.T) ratings.Usage {
	users := rapid.OneOf(rapid.Int64Range(990, 1010), rapid.Int64Range(9990, 10010), rapid.Int64Range(0, 1<<40)).Draw(t, "users")
	return ratings.Usage{Used: map[string]int64{"free_mau": users}, PeakOnline: rapid.OneOf(rapid.Int64Range(0, 9), rapid.Int64Range(0, 1<<40)).Draw(t, "peak")}
}

// billed is an app in one edition for the month.
func (o office) billed(id uint32, edition string, usage ratings.Usage) ratings.BilledApp {
	return ratings.BilledApp{
		App:     &account.App{ID: id, Account: "acme", Edition: edition, Created: o.at("2018-01-01")},
		Catalog: o.cat, Usage: usage,
	}
}

// price is what an app's month costs by the accountant, in cents.
func (o office) price(edition string, usage ratings.Usage) int64 {
	free, sold := o.free[edition]
	if !sold {
		return 0
	}
	users := halfUp(times(o.user, big.NewRat(max(0, usage.Used["free_mau"]-free), 1)))
	peak := halfUp(times(o.peak, big.NewRat(usage.PeakOnline, 1)))
	return users + peak - halfUp(times(big.NewRat(peak, 100), rat("0.333333")))
}

func forOffices(t *testing.T, property func(t *rapid.T, o office)) {
	t.Helper()
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, zone)
			rapid.Check(t, func(t *rapid.T) { property(t, o) })
		})
	}
}

func TestProperty_BillIsWhatIsBeyondTheFreeQuota(t *testing.T) {
	t.Parallel()
	forOffices(t, func(t *rapid.T, o office) {
		edition, usage := rapid.SampledFrom([]string{"developer", "standard", "premium"}).Draw(t, "edition"), drawUsage(t)
		q := o.bill(t, o.at("2018-03-01"), o.billed(7, edition, usage))
		if want := o.price(edition, usage); inCents(q.Total) != want || q.Edition != edition {
			t.Fatalf("%s of %s, want %d cents: %+v", q.Total, q.Edition, want, q.Lines)
		}
	})
}

func TestProperty_BillOfAnAccountIsThatOfItsApps(t *testing.T) {
	t.Parallel()
	forOffices(t, func(t *rapid.T, o office) {
		var apps []ratings.BilledApp
		var lines []ratings.Line
		sum := decimal.Zero
		for i := range rapid.IntRange(0, 5).Draw(t, "apps") {
			a := o.billed(uint32(i+1), rapid.SampledFrom([]string{"developer", "standard", "premium"}).Draw(t, "edition"), drawUsage(t))
			q := o.bill(t, o.at("2018-03-01"), a)
			apps, lines, sum = append(apps, a), append(lines, q.Lines...), sum.Add(q.Total)
		}
		q := o.bill(t, o.at("2018-03-01"), apps...)
		if diff := cmp.Diff(lines, q.Lines, cmp.Comparer(decimal.Decimal.Equal)); diff != "" || !q.Total.Equal(sum) {
			t.Fatalf("%s together, %s one by one (-one by one +together):\n%s", q.Total, sum, diff)
		}
	})
}

func TestProperty_MoreUsageCostsNoLess(t *testing.T) {
	t.Parallel()
	forOffices(t, func(t *rapid.T, o office) {
		edition, usage := rapid.SampledFrom([]string{"standard", "premium"}).Draw(t, "edition"), drawUsage(t)
		more := ratings.Usage{
			Used:       map[string]int64{"free_mau": usage.Used["free_mau"] + rapid.Int64Range(0, 100).Draw(t, "more users")},
			PeakOnline: usage.PeakOnline + rapid.Int64Range(0, 100).Draw(t, "more at once"),
		}
		once, then := o.bill(t, o.at("2018-03-01"), o.billed(7, edition, usage)), o.bill(t, o.at("2018-03-01"), o.billed(7, edition, more))
		if then.Total.LessThan(once.Total) {
			t.Fatalf("%+v costs %s, %+v %s", usage, once.Total, more, then.Total)
		}
	})
}

// The first user who is paid for is the one after those that are free.
func TestProperty_FirstPaidUserIsTheOneAfterTheFree(t *testing.T) {
	t.Parallel()
	forOffices(t, func(t *rapid.T, o office) {
		edition, more := rapid.SampledFrom([]string{"standard", "premium"}).Draw(t, "edition"), rapid.Int64Range(1, 1000).Draw(t, "more")
		for users, want := range map[int64]int64{
			o.free[edition] - more: 0, o.free[edition]: 0, o.free[edition] + 1: 2, o.free[edition] + more: (15*more + 5) / 10,
		} {
			usage := ratings.Usage{Used: map[string]int64{"free_mau": users}}
			if q := o.bill(t, o.at("2018-03-01"), o.billed(7, edition, usage)); inCents(q.Total) != want {
				t.Fatalf("%d users in %s: %s, want %d cents", users, edition, q.Total, want)
			}
		}
	})
}

// However short the time in which an app had the dearest of its editions, that
// one's free quota holds for the month, in full; before the month and after it,
// none does.
func TestProperty_DearestEditionOfAMonthGivesItsFreeQuota(t *testing.T) {
	t.Parallel()
	forOffices(t, func(t *rapid.T, o office) {
		from, until := o.at("2018-02-01"), o.at("2018-03-01")
		near := func(name string, at time.Time) time.Time {
			return at.Add(time.Duration(rapid.OneOf(rapid.IntRange(-2, 2), rapid.IntRange(-1_000_000, 1_000_000)).Draw(t, name)) * time.Second)
		}
		mark := rapid.SampledFrom([]time.Time{from, until})
		upgraded := near("upgraded", mark.Draw(t, "upgraded near"))
		app := &account.App{ID: 7, Account: "acme", Edition: "developer", Created: o.at("2017-01-01"), Orders: []account.Order{{
			ID: "a", Edition: "standard", Start: o.at("2018-01-10"), End: o.at("2018-06-10"), Months: 5,
			Upgrades: []account.Upgrade{{At: upgraded, Edition: "premium"}},
		}}}
		want := "standard"
		if upgraded.Before(until) {
			want = "premium"
		}
		if rapid.Bool().Draw(t, "returned") { // and a cheaper one bought at once
			back := near("returned at", mark.Draw(t, "returned near"))
			if !back.After(upgraded) {
				back = upgraded.Add(time.Second)
			}
			app.Orders[0].Refunded = back
			app.Orders = append(app.Orders, account.Order{ID: "b", Edition: "standard", Start: back, End: back.AddDate(0, 3, 0), Months: 3})
			if !back.After(from) {
				want = "standard"
			}
		}
		usage := drawUsage(t)
		q := o.bill(t, until, ratings.BilledApp{App: app, Catalog: o.cat, Usage: usage})
		if inCents(q.Total) != o.price(want, usage) || q.Edition != want {
			t.Fatalf("%s by %s, want %d cents by %s: upgraded %s, %+v", q.Total, q.Edition, o.price(want, usage), want, upgraded, app.Orders)
		}
	})
}

// FACTS §6: what was used beyond a returned plan's quota is charged in the month
// in which it is returned, and nothing from the next month on.
func TestBill_OfAReturnedPlan(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june := s.order("a", "standard", "2024-06-01", 12, "4788", "")
	june.Refunded = s.at("2024-06-10")
	app := &account.App{ID: 7, Account: "acme", Edition: "developer", Created: s.at("2024-01-01"), Orders: []account.Order{june}}
	usage := ratings.Usage{Used: map[string]int64{"free_mau": 25000}}
	for name, want := range map[string]struct {
		edition, total string
		isFinal        bool
	}{
		"2024-05": {"developer", "0", true}, "2024-06": {"standard", "225", true}, "2024-07": {"", "0", true}, "2024-08": {"", "0", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			month, err := ratings.ParseMonth(name, s.cat.Zone())
			if err != nil {
				t.Fatal(err)
			}
			q, err := ratings.QuoteBill(month, s.at("2024-08-15"), s.cat, []ratings.BilledApp{{App: app, Catalog: s.cat, Usage: usage}})
			if err != nil {
				t.Fatal(err)
			}
			if q.Edition != want.edition || !q.Total.Equal(money(want.total)) || q.Final != want.isFinal || q.Month != name {
				t.Errorf("%s: %s by %q, final %t; want %+v", q.Month, q.Total, q.Edition, q.Final, want)
			}
		})
	}
}
