package ratings

import (
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/shopspring/decimal"
)

// QuoteRefund quotes the return of all orders that have not ended (FACTS §7).
// Errors: *NotApplicableError, ErrNotRefundable, ErrReturnRejected,
// account.ErrUnknownEdition.
func QuoteRefund(s Subject) (*Quote, error) {
	left := s.left()
	if len(left) == 0 {
		return nil, s.nothingLeft()
	}
	for _, i := range left {
		if err := s.canReturn(&s.App.Orders[i]); err != nil {
			return nil, err
		}
	}
	q := s.quote(Refund, s.State.Edition, "used_value", "used_time", "refundable_amount")
	beyond := decimal.Zero // used beyond what was paid for the orders so far
	for _, i := range left {
		paid, usedUp, err := s.settle(q, i)
		if err != nil {
			return nil, err
		}
		o := &s.App.Orders[i]
		rest := paid.Sub(usedUp).Sub(beyond)
		beyond = decimal.Max(decimal.Zero, rest.Neg())
		cash, credit := o.Paid()
		back := share(decimal.Max(decimal.Zero, rest), cash, credit)
		q.Legs = append(q.Legs, Leg{Order: o.ID, Cash: back[0], Credit: back[1], Voucher: o.Voucher, Paid: paid, Used: usedUp})
		returned := s.App.Clone().Orders[i]
		returned.Refunded = s.At
		q.change(returned)
	}
	if beyond.IsPositive() {
		q.add(Line{
			Kind: LineFloor, Description: "Used beyond what was paid, which is not owed", Amount: beyond,
			From: s.At, Until: s.App.Orders[left[len(left)-1]].End,
		})
	}
	return q, nil
}

func (s *Subject) nothingLeft() error {
	switch s.State.Plan {
	case account.PlanInGrace:
		return &NotApplicableError{Why: "the plan has ended and is in grace: there is nothing left to return", RPC: "QuoteRenewal"}
	case account.PlanReturned:
		return &NotApplicableError{Why: "the plan was returned before", RPC: "QuotePurchase"}
	case account.PlanEnded:
		return &NotApplicableError{Why: "the plan has ended: there is nothing left to return", RPC: "QuoteRenewal"}
	case account.NoPlan, account.PlanInForce:
	}
	return s.noPlan("return")
}

func (s *Subject) canReturn(o *account.Order) error {
	switch {
	case o.NonRefundable:
		return fmt.Errorf("order %q: %w", o.ID, ErrNotRefundable)
	case !o.Rejected.IsZero():
		return fmt.Errorf("order %q: %w, at %s: %s", o.ID, ErrReturnRejected, s.text(o.Rejected.At), o.Rejected.Reason)
	case o.Currency != "" && o.Currency != s.Catalog.Currency():
		return &NotApplicableError{Why: fmt.Sprintf("order %q was paid in %s, and the catalog's currency is %s", o.ID, o.Currency, s.Catalog.Currency())}
	}
	return nil
}

// settle adds what was paid for an order and what it was used for.
func (s *Subject) settle(q *Quote, i int) (paid, usedUp decimal.Decimal, err error) {
	o := &s.App.Orders[i]
	cash, credit := o.Paid()
	paid = cash.Add(credit)
	with := ""
	if len(o.Upgrades) > 0 {
		with = ", upgrades included"
	}
	q.add(Line{
		Kind: LinePaid, Description: fmt.Sprintf("Paid for order %s: %s in cash, %s in credit%s", o.ID, cash.StringFixed(cents), credit.StringFixed(cents), with),
		Amount: paid, From: o.Start, Until: o.End, Order: o.ID,
	})
	g := newGauge(s.App.Orders, i, s.Catalog, s.At)
	segments, err := used(o, g, s.Catalog, s.At)
	for _, u := range segments {
		q.add(Line{
			Kind: LineUsed, Description: fmt.Sprintf("Used of order %s in %s, %s", o.ID, u.edition.Title, g.text(u.from, u.until)),
			Quantity: exact(u.months), Unit: "month", UnitPrice: u.edition.MonthlyPrice, Amount: u.amount.Neg(),
			From: u.from, Until: u.until, Order: o.ID,
		})
		usedUp = usedUp.Add(u.amount)
	}
	return paid, usedUp, err
}

// text says how much of an order lies between two instants of it: full months,
// and parts of months.
func (g *gauge) text(from, until time.Time) string {
	if g.isDays {
		return "from " + from.In(g.zone).Format(time.DateOnly) + ", in whole days"
	}
	if !g.running.IsStock() {
		from = later(from, g.running.Start)
		if !from.Before(until) {
			return "before this calendar month"
		}
		return partText(from, until, g.running.Start, g.running.End)
	}
	full, parts := 0, ""
	for k := 0; k+1 < len(g.months); k++ {
		begin, end := g.months[k], g.months[k+1]
		a, b := later(from, begin), end
		if until.Before(b) {
			b = until
		}
		switch {
		case !a.Before(b):
		case a.Equal(begin) && b.Equal(end):
			full++
		default:
			if parts != "" {
				parts += ", "
			}
			parts += partText(a, b, begin, end)
		}
	}
	switch {
	case parts == "":
		return plural(full, "month")
	case full == 0:
		return parts
	}
	return plural(full, "month") + " and " + parts
}

func partText(from, until, begin, end time.Time) string {
	return spanText(until.Sub(from)) + " of a month of " + spanText(end.Sub(begin))
}

// spanText shows a duration in days, and what is left of it.
func spanText(d time.Duration) string {
	const day = 24 * time.Hour
	switch days := int(d / day); {
	case d%day == 0:
		return plural(days, "day")
	case days == 0:
		return d.String()
	default:
		return plural(days, "day") + " " + (d % day).String()
	}
}
