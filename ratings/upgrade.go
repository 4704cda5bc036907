package ratings

import (
	"fmt"
	"math/big"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// QuoteUpgrade quotes a dearer edition for what is left of each order (FACTS §6,
// §7). No add-on has a price, so that there is no payment for one that the edition
// makes unneeded. Errors: as of QuotePurchase.
func QuoteUpgrade(s Subject, edition string) (*Quote, error) {
	to, err := s.sold(edition)
	if err != nil {
		return nil, err
	}
	if err := s.canUpgrade(to); err != nil {
		return nil, err
	}
	q := s.quote(Upgrade, to.Key, "upgrade_state", "upgrade_price", "used_time")
	for _, i := range s.left() {
		o := &s.App.Orders[i]
		from, err := editionOf(s.Catalog, o.LastEdition())
		if err != nil {
			return nil, fmt.Errorf("order %q: %w", o.ID, err)
		}
		if from.CanUpgradeTo(to.Key) {
			s.upgrade(q, i, from, to)
		}
	}
	if len(q.Lines) == 0 {
		return nil, &NotApplicableError{Why: "each order that is left is upgraded already, or cannot be upgraded to " + to.Key, RPC: "QuoteRenewal"}
	}
	return q, nil
}

// upgrade adds what the rest of one order costs more.
func (s *Subject) upgrade(q *Quote, i int, from, to *catalog.Edition) {
	o := &s.App.Orders[i]
	g := serviceGauge(s.App.Orders, i, s.Catalog)
	rest := new(big.Rat).Sub(big.NewRat(int64(o.Months), 1), g.at(s.At))
	more := to.MonthlyPrice.Sub(from.MonthlyPrice)
	begin := later(o.Start, s.At)
	q.add(Line{
		Kind: LineUpgrade, Description: fmt.Sprintf("%s instead of %s for the rest of order %s: %s", to.Title, from.Title, o.ID, g.text(begin, o.End)),
		Quantity: exact(rest), Unit: "month", UnitPrice: more, Amount: round(times(more, rest)), From: begin, Until: o.End, Order: o.ID,
	})
	upgraded := s.App.Clone().Orders[i]
	upgraded.Upgrades = append(upgraded.Upgrades, account.Upgrade{At: s.At, Edition: to.Key})
	q.change(upgraded)
}

// canUpgrade says why an app cannot be upgraded to an edition, and what it can do.
func (s *Subject) canUpgrade(to *catalog.Edition) error {
	has, err := editionOf(s.Catalog, s.State.Edition)
	if err != nil {
		return err
	}
	switch s.State.Plan {
	case account.PlanInGrace:
		return &NotApplicableError{Why: "the " + has.Key + " plan ended a short while ago and is in grace: renew it before it is upgraded", RPC: "QuoteRenewal"}
	case account.NoPlan, account.PlanEnded, account.PlanReturned:
		return s.noPlan("upgrade")
	case account.PlanInForce:
	}
	if has.CanUpgradeTo(to.Key) {
		return nil
	}
	return s.changeOf(has, to)
}

// later is the later of two instants.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
