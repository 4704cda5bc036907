package ratings

import (
	"fmt"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// QuotePurchase quotes months of an edition for an app that has no plan (FACTS
// §6). renewal is what happens when they end; nil: it stays as it is. Errors:
// *account.InvalidError, *NotApplicableError, account.ErrUnknownEdition.
func QuotePurchase(s Subject, edition string, t Terms, renewal *account.Renewal) (*Quote, error) {
	if err := t.check(s.Catalog.Account()); err != nil {
		return nil, err
	}
	e, err := s.sold(edition)
	if err != nil {
		return nil, err
	}
	if err := s.canPurchase(e); err != nil {
		return nil, err
	}
	q := s.quote(Purchase, e.Key, "purchase_of_suspended")
	until := account.AddMonths(s.At, t.Months, s.Catalog.Zone())
	if err := s.buy(q, e, t, s.At, until, fmt.Sprintf("%s plan, %s", e.Title, plural(t.Months, "month"))); err != nil {
		return nil, err
	}
	q.Renewal = renewal
	return q, nil
}

// canPurchase says why an app cannot purchase an edition, and what it can do.
func (s *Subject) canPurchase(e *catalog.Edition) error {
	has, err := editionOf(s.Catalog, s.State.Edition)
	if err != nil {
		return err
	}
	buyer := s.Catalog.DefaultEdition() // a plan that ended or was returned leaves nothing to begin from
	switch s.State.Plan {
	case account.PlanInForce:
		return s.changeOf(has, e)
	case account.PlanInGrace:
		return &NotApplicableError{Why: "the " + has.Key + " plan ended a short while ago and is in grace", RPC: "QuoteRenewal"}
	case account.NoPlan:
		buyer = has
	case account.PlanEnded, account.PlanReturned:
	}
	if left := s.left(); len(left) > 0 {
		return s.notBegun(left[0])
	}
	// A paid edition without an order, as an import may have it, gets one by the
	// purchase, or that of a dearer one.
	if !buyer.CanPurchase(e.Key) && (buyer.IsFree() || buyer != e && !buyer.CanUpgradeTo(e.Key)) {
		return &account.InvalidError{Field: "edition", Description: e.Key + " is not sold to an app of the " + buyer.Key + " edition that has no plan"}
	}
	return nil
}

// changeOf says how an app with a plan in force comes to an edition.
func (s *Subject) changeOf(has, wanted *catalog.Edition) error {
	switch {
	case has == wanted:
		return &NotApplicableError{Why: "a " + has.Key + " plan is in force", RPC: "QuoteRenewal"}
	case has.CanUpgradeTo(wanted.Key):
		return &NotApplicableError{Why: "a " + has.Key + " plan is in force", RPC: "QuoteUpgrade"}
	}
	return &NotApplicableError{
		Why: fmt.Sprintf("a %s plan is in force, and nothing leads from it to %s: return it, then purchase the other", has.Key, wanted.Key),
		RPC: "QuoteRefund",
	}
}
