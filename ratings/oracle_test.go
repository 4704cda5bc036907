package ratings_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"pgregory.net/rapid"
)

// The accountant and the code agree on every quote at every instant.
func TestOracle(t *testing.T) {
	t.Parallel()
	for _, zone := range zones {
		for _, r := range []reading{{}, {literal: true}, {wholeDays: true}, {literal: true, wholeDays: true}} {
			t.Run(fmt.Sprintf("%s %+v", zone, r), func(t *testing.T) {
				t.Parallel()
				branches := newBranches(t, zone, r)
				rapid.Check(t, func(t *rapid.T) {
					l := drawLife(t, branches)
					for _, l.now = range l.drawInstants(8) {
						l.agreeOnRefund()
						l.agreeOnPurchase()
						l.agreeOnRenewal()
						for _, edition := range plans {
							prices := l.agreeOnUpgrade(edition)
							if rapid.IntRange(0, 5).Draw(t, "buys it") == 0 {
								l.buyUpgrade(prices, edition)
								l.agreeOnRefund()
							}
						}
					}
				})
			})
		}
	}
}

func (l *life) agreeOnRefund() {
	q, err := ratings.QuoteRefund(l.subject())
	total, want := l.paysBack(l.app.Orders, l.now)
	if len(want) == 0 {
		l.refused("refund", err)
		return
	}
	if err != nil {
		l.t.Fatalf("refund: %v\n%s", err, l.story())
	}
	l.isSound(q)
	var got []payback
	for _, leg := range q.Legs {
		p := payback{Order: leg.Order, Cash: inCents(leg.Cash), Credit: inCents(leg.Credit), Paid: inCents(leg.Paid), Used: inCents(leg.Used)}
		for _, line := range q.Lines {
			if line.Kind == ratings.LineUsed && line.Order == leg.Order && !line.Amount.IsZero() {
				p.Parts = append(p.Parts, -inCents(line.Amount))
			}
		}
		got = append(got, p)
	}
	if diff := cmp.Diff(want, got); diff != "" || inCents(q.Total) != total {
		l.t.Fatalf("refund %s, want %d cents (-want +got):\n%s\n%s", q.Total, total, diff, l.story())
	}
}

func (l *life) agreeOnUpgrade(edition string) map[string]int64 {
	q, err := ratings.QuoteUpgrade(l.subject(), edition)
	s, i := l.standing(l.app.Orders, l.now)
	want := l.upgraded(l.app.Orders, edition, l.now)
	if s != inForce {
		l.refused("upgrade", err)
		return want
	}
	if _, ok := want[l.app.Orders[i].ID]; !ok {
		l.refused("upgrade", err)
		return nil
	}
	if err != nil {
		l.t.Fatalf("upgrade: %v\n%s", err, l.story())
	}
	l.isSound(q)
	got := make(map[string]int64)
	for _, line := range q.Lines {
		got[line.Order] += inCents(line.Amount)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Fatalf("upgrade to %s (-want +got):\n%s\n%s", edition, diff, l.story())
	}
	return want
}

func (l *life) agreeOnPurchase() {
	edition := rapid.SampledFrom(plans).Draw(l.t, "purchased edition")
	terms, total := l.drawTerms(l.t, edition)
	q, err := ratings.QuotePurchase(l.subject(), edition, terms, nil)
	s, _ := l.standing(l.app.Orders, l.now)
	if s == inForce || s == inGrace || slices.ContainsFunc(l.app.Orders, func(o account.Order) bool { return isLeft(&o, l.now) }) {
		l.refused("purchase", err)
		return
	}
	if err != nil {
		l.t.Fatalf("purchase: %v\n%s", err, l.story())
	}
	l.agreeOnBought(q, edition, l.now, l.plus(l.now, terms.Months), total)
}

func (l *life) agreeOnRenewal() {
	edition := lastEdition(&l.app.Orders[0])
	if _, _, e, ok := l.renewed(l.app.Orders, l.now, 1); ok {
		edition = e
	}
	terms, total := l.drawTerms(l.t, edition)
	from, until, _, ok := l.renewed(l.app.Orders, l.now, terms.Months)
	q, err := ratings.QuoteRenewal(l.subject(), terms)
	if !ok || slices.ContainsFunc(l.app.Orders, func(o account.Order) bool {
		return isLeft(&o, l.now) && !o.Start.Before(from) && o.Start.Before(until)
	}) {
		l.refused("renewal", err)
		return
	}
	if err != nil {
		l.t.Fatalf("renewal: %v\n%s", err, l.story())
	}
	l.agreeOnBought(q, edition, from, until, total)
}

// agreeOnBought compares what is bought.
func (l *life) agreeOnBought(q *ratings.Quote, edition string, from, until time.Time, total int64) {
	l.isSound(q)
	if len(q.Orders) != 1 || q.Orders[0].Edition != edition || !q.Orders[0].Start.Equal(from) || !q.Orders[0].End.Equal(until) || inCents(q.Total) != total {
		l.t.Fatalf("%s for %s of %+v; want %d cents for %s from %s to %s\n%s", q.Kind, q.Total, q.Orders, total, edition, from.In(l.zone), until.In(l.zone), l.story())
	}
}

func (l *life) isSound(q *ratings.Quote) {
	for _, flaw := range flaws(q) {
		l.t.Fatalf("%s: %s\n%s", q.Kind, flaw, l.story())
	}
}

// refused wants the app's state to call for another quote.
func (l *life) refused(what string, err error) {
	if other := new(ratings.NotApplicableError); !errors.As(err, &other) {
		l.t.Fatalf("%s: %v; want it refused\n%s", what, err, l.story())
	}
}
