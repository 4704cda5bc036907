package ratings_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// forLives checks a property of apps in each zone, by the readings of the used
// value that count all service months.
func forLives(t *testing.T, property func(l *life)) {
	t.Helper()
	for _, zone := range zones {
		for _, r := range []reading{{}, {wholeDays: true}} {
			t.Run(fmt.Sprintf("%s %+v", zone, r), func(t *testing.T) {
				t.Parallel()
				branches := newBranches(t, zone, r)
				rapid.Check(t, func(t *rapid.T) { property(drawLife(t, branches)) })
			})
		}
	}
}

// drawUpgrades has the app upgraded up to twice.
func (l *life) drawUpgrades() {
	for _, l.now = range l.drawInstants(2) {
		edition := rapid.SampledFrom(plans).Draw(l.t, "upgrade")
		l.buyUpgrade(l.upgraded(l.app.Orders, edition, l.now), edition)
	}
}

// returns quotes a refund; nil when nothing is left to return.
func (l *life) returns() *ratings.Quote {
	q, err := ratings.QuoteRefund(l.subject())
	if err != nil {
		l.refused("refund", err)
		return nil
	}
	return q
}

// sums are what was paid for the orders of a refund, and what they were used for.
func sums(q *ratings.Quote) (paid, used decimal.Decimal) {
	for _, leg := range q.Legs {
		paid, used = paid.Add(leg.Paid), used.Add(leg.Used)
	}
	return paid, used
}

func TestProperty_RefundIsWhatWasPaidAndNotUsed(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		l.drawUpgrades()
		for _, l.now = range l.drawInstants(4) {
			q := l.returns()
			if q == nil {
				continue
			}
			l.isSound(q)
			paid, used := sums(q)
			byKind := make(map[ratings.LineKind]decimal.Decimal)
			for _, line := range q.Lines {
				byKind[line.Kind] = byKind[line.Kind].Add(line.Amount)
			}
			if !byKind[ratings.LinePaid].Equal(paid) || !byKind[ratings.LineUsed].Equal(used.Neg()) {
				l.t.Fatalf("lines %v, legs paid %s, used %s\n%s", byKind, paid, used, l.story())
			}
			if want := decimal.Max(decimal.Zero, paid.Sub(used)); !q.Total.Equal(want) || !byKind[ratings.LineFloor].Equal(want.Sub(paid).Add(used)) {
				l.t.Fatalf("paid %s, used %s: refund %s\n%s", paid, used, q.Total, l.story())
			}
		}
	})
}

func TestProperty_NoCashAndNoCreditIsReturnedThatWasNotPaid(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		l.drawUpgrades()
		for _, l.now = range l.drawInstants(4) {
			q := l.returns()
			if q == nil {
				continue
			}
			sum := decimal.Zero
			for _, leg := range q.Legs {
				cash, credit := l.app.Order(leg.Order).Paid()
				if leg.Cash.IsNegative() || leg.Credit.IsNegative() || leg.Cash.GreaterThan(cash) || leg.Credit.GreaterThan(credit) || !leg.Paid.Equal(cash.Add(credit)) {
					l.t.Fatalf("leg %+v of %s + %s\n%s", leg, cash, credit, l.story())
				}
				sum = sum.Add(leg.Cash).Add(leg.Credit)
			}
			if !sum.Equal(q.Total) {
				l.t.Fatalf("legs come to %s, the refund is %s\n%s", sum, q.Total, l.story())
			}
		}
	})
}

// left names the orders that have not ended.
func (l *life) left() (ids []string) {
	for i := range l.app.Orders {
		if o := &l.app.Orders[i]; isLeft(o, l.now) {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// Second by second where something may go wrong, and in leaps.
func TestProperty_RefundNeverRisesAndUsedNeverFalls_BetweenEndsOfOrders(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		l.drawUpgrades()
		instants := l.drawInstants(6)
		for _, mark := range l.drawInstants(2) {
			for s := range 20 {
				if at := mark.Add(time.Duration(s-10) * time.Second); !at.Before(l.now) {
					instants = append(instants, at)
				}
			}
		}
		slices.SortFunc(instants, time.Time.Compare)
		var before *ratings.Quote
		var left []string
		for _, l.now = range instants {
			q := l.returns()
			if q == nil {
				continue
			}
			if before != nil && slices.Equal(left, l.left()) {
				_, once := sums(before)
				_, used := sums(q)
				if q.Total.GreaterThan(before.Total) || used.LessThan(once) {
					l.t.Fatalf("refund %s, used %s, and at %s %s and %s\n%s", q.Total, used, before.AsOf.In(l.zone), before.Total, once, l.story())
				}
			}
			before, left = q, l.left()
		}
	})
}

// Every second of a minute around the ends of months, a leap day, the end of
// a year, and changes of clocks.
func TestProperty_RefundNeverRises_SecondBySecond(t *testing.T) {
	t.Parallel()
	for _, zone := range zones {
		for _, r := range []reading{{}, {wholeDays: true}} {
			t.Run(fmt.Sprintf("%s %+v", zone, r), func(t *testing.T) {
				t.Parallel()
				b := newBranch(t, zone, r, "19.99", "1000000.01", "9999999.99")
				for _, begin := range []string{"2015-11-30 00:00:00", "2015-12-31 23:59:59", "2016-01-31 02:30:00", "2015-12-05 01:30:00"} {
					start := b.shop.at(begin)
					orders := []account.Order{{ID: "a", Edition: "premium", Start: start, End: b.plus(start, 13), Months: 13, Cash: money("13000000.13")}}
					app := &account.App{ID: 7, Account: "acme", Edition: "developer", Orders: orders}
					marks := []time.Time{b.shop.at("2016-01-01"), b.shop.at("2016-02-29"), b.shop.at("2016-03-01"), b.shop.at("2016-03-31 02:30:00")}
					marks = append(marks, b.serviceMonths(orders, 0)[:13]...)
					for _, at := start.In(b.zone).ZoneBounds(); !at.IsZero() && at.Before(orders[0].End); _, at = at.ZoneBounds() {
						marks = append(marks, at, at.Add(30*time.Minute), at.Add(-30*time.Minute), at.Add(time.Hour))
					}
					for _, mark := range marks {
						last := money("13000000.13")
						for s := range 60 {
							q, err := ratings.QuoteRefund(b.shop.subjectOf(mark.Add(time.Duration(s-30)*time.Second), app))
							if err != nil {
								t.Fatal(err)
							}
							if q.Total.GreaterThan(last) {
								t.Fatalf("begun %s, at %s: refund %s after %s", begin, q.AsOf.In(b.zone), q.Total, last)
							}
							last = q.Total
						}
					}
				}
			})
		}
	}
}

// Whether months are bought at once or one after the other, they end at the same
// time for the same price.
func TestProperty_MonthsCostAndLastAsMuchOneByOne(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		start, edition := l.drawStart(l.t), rapid.SampledFrom(plans).Draw(l.t, "edition")
		months := rapid.IntRange(1, 24).Draw(l.t, "all months")
		l.now, l.app = start, &account.App{ID: 7, Account: "acme", Edition: "developer"}
		whole, err := ratings.QuotePurchase(l.subject(), edition, ratings.Terms{Months: months}, nil)
		if err != nil {
			l.t.Fatal(err)
		}
		sum := decimal.Zero
		for left := months; left > 0; {
			part := rapid.SampledFrom([]int{1, 1, rapid.IntRange(1, left).Draw(l.t, "some")}).Draw(l.t, "part")
			left -= part
			var q *ratings.Quote
			if len(l.app.Orders) == 0 {
				q, err = ratings.QuotePurchase(l.subject(), edition, ratings.Terms{Months: part}, nil)
			} else {
				end := l.app.Orders[len(l.app.Orders)-1].End
				l.now = l.now.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(l.now)/time.Second)+86399).Draw(l.t, "later")) * time.Second)
				q, err = ratings.QuoteRenewal(l.subject(), ratings.Terms{Months: part})
			}
			if err != nil {
				l.t.Fatal(err)
			}
			l.isSound(q)
			sum = sum.Add(q.Total)
			l.app = l.app.Clone()
			l.app.Orders = append(l.app.Orders, q.Orders[0])
		}
		one := decimal.NewFromBigRat(l.list[edition], 2)
		end := l.app.Orders[len(l.app.Orders)-1].End
		if !end.Equal(whole.Orders[0].End) || !sum.Equal(whole.Total) || !whole.Total.Equal(one.Mul(decimal.NewFromInt(int64(months)))) {
			l.t.Fatalf("one by one until %s for %s, at once until %s for %s\n%s", end, sum, whole.Orders[0].End, whole.Total, l.story())
		}
	})
}

func TestProperty_UpgradeThatIsReturnedAtOnceCostsNothing(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		l.drawUpgrades()
		for _, l.now = range l.drawInstants(4) {
			edition := rapid.SampledFrom(plans).Draw(l.t, "edition")
			up, err := ratings.QuoteUpgrade(l.subject(), edition)
			if err != nil {
				l.refused("upgrade", err)
				continue
			}
			before := l.returns()
			prices := make(map[string]int64)
			for _, line := range up.Lines {
				prices[line.Order] = inCents(line.Amount)
			}
			l.buyUpgrade(prices, edition)
			after := l.returns()
			paidBefore, usedBefore := sums(before)
			paidAfter, usedAfter := sums(after)
			if !usedAfter.Equal(usedBefore) || !paidAfter.Equal(paidBefore.Add(up.Total)) || after.Total.GreaterThan(paidAfter) {
				l.t.Fatalf("paid %s, used %s; upgraded for %s: paid %s, used %s\n%s", paidBefore, usedBefore, up.Total, paidAfter, usedAfter, l.story())
			}
			if owed := paidBefore.Sub(usedBefore); !owed.IsNegative() && !after.Total.Equal(before.Total.Add(up.Total)) {
				l.t.Fatalf("refund %s, upgraded for %s: refund %s\n%s", before.Total, up.Total, after.Total, l.story())
			}
		}
	})
}

// Upgrades in steps cost what one upgrade at the same instant costs, to the cent
// that each step is rounded by.
func TestProperty_UpgradeInStepsCostsAsMuch(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		for _, l.now = range l.drawInstants(4) {
			whole, err := ratings.QuoteUpgrade(l.subject(), "gold")
			if err != nil {
				l.refused("upgrade", err)
				continue
			}
			first, err := ratings.QuoteUpgrade(l.subject(), "premium")
			if err != nil {
				l.refused("upgrade", err)
				continue
			}
			prices := make(map[string]int64)
			for _, line := range first.Lines {
				prices[line.Order] = inCents(line.Amount)
			}
			kept := l.app
			l.buyUpgrade(prices, "premium")
			second, err := ratings.QuoteUpgrade(l.subject(), "gold")
			if err != nil {
				l.t.Fatal(err)
			}
			l.app = kept
			cents := inCents(whole.Total) - inCents(first.Total) - inCents(second.Total)
			if most := int64(len(first.Lines)); cents < -most || cents > most {
				l.t.Fatalf("%s at once; %s and %s\n%s", whole.Total, first.Total, second.Total, l.story())
			}
		}
	})
}

func TestProperty_DiscountAndVoucherTakeOffNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		l.app, l.now = &account.App{ID: 7, Account: "acme", Edition: "developer"}, l.drawStart(l.t)
		edition := rapid.SampledFrom(plans).Draw(l.t, "edition")
		terms, total := l.drawTerms(l.t, edition)
		q, err := ratings.QuotePurchase(l.subject(), edition, terms, nil)
		if err != nil {
			l.t.Fatal(err)
		}
		o := &q.Orders[0]
		if inCents(q.Total) != total || q.Total.IsNegative() || !o.List.Sub(o.Discount).Sub(o.Voucher).Equal(q.Total) || o.Discount.GreaterThan(o.List) || !o.Voucher.Equal(terms.Voucher) {
			l.t.Fatalf("%+v: %s, %+v; want %d cents", terms, q.Total, *o, total)
		}
		terms.Voucher = terms.Voucher.Add(q.Total).Add(ofCents(1))
		_, err = ratings.QuotePurchase(l.subject(), edition, terms, nil)
		if bad := new(account.InvalidError); !errors.As(err, &bad) || bad.Field != "voucher.amount" {
			l.t.Fatalf("a cent too much: %v", err)
		}
	})
}

// Who asks for what the state does not allow is told what to ask for, and gets it.
// Only a renewal may be refused in turn, when the next order begins too soon.
func TestProperty_RefusalsLeadToAQuoteThatApplies(t *testing.T) {
	t.Parallel()
	forLives(t, func(l *life) {
		l.drawUpgrades()
		for _, l.now = range l.drawInstants(6) {
			rpc := rapid.SampledFrom([]string{"QuotePurchase", "QuoteRenewal", "QuoteUpgrade", "QuoteRefund"}).Draw(l.t, "rpc")
			path := []string{rpc}
			for {
				instead := l.ask(rpc)
				if instead == "" {
					break
				}
				if slices.Contains(path, instead) || len(path) > 1 && rpc != "QuoteRenewal" {
					l.t.Fatalf("%v leads to %s\n%s", path, instead, l.story())
				}
				rpc, path = instead, append(path, instead)
			}
		}
	})
}

// ask asks for a quote, of an edition for which there is one. It returns what to
// ask instead; nothing when the quote applies, or nothing would.
func (l *life) ask(rpc string) (instead string) {
	var errs []error
	for _, edition := range plans {
		var err error
		switch rpc {
		case "QuotePurchase":
			_, err = ratings.QuotePurchase(l.subject(), edition, ratings.Terms{Months: 1}, nil)
		case "QuoteRenewal":
			_, err = ratings.QuoteRenewal(l.subject(), ratings.Terms{Months: 1})
		case "QuoteUpgrade":
			_, err = ratings.QuoteUpgrade(l.subject(), edition)
		case "QuoteRefund":
			_, err = ratings.QuoteRefund(l.subject())
		default:
			l.t.Fatalf("there is no %s\n%s", rpc, l.story())
		}
		if err == nil {
			return ""
		}
		errs = append(errs, err)
	}
	other := new(ratings.NotApplicableError)
	if !errors.As(errs[0], &other) {
		l.t.Fatalf("%s: %v\n%s", rpc, errs, l.story())
	}
	return other.RPC
}
