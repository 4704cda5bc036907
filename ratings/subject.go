package ratings

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// Subject is whom a quote is for: an app as it stands at an instant.
type Subject struct {
	App     *account.App
	State   *account.State // at the instant
	Catalog *catalog.Snapshot
	At      time.Time // a whole second
}

// NotApplicableError says that an app's state calls for another quote.
type NotApplicableError struct {
	Why string
	RPC string // the right one; empty: there is none
}

// Error says why, and what to ask instead.
func (e *NotApplicableError) Error() string {
	if e.RPC == "" {
		return e.Why
	}
	return e.Why + ": use " + e.RPC
}

// What keeps a plan from being returned (FACTS §7).
var (
	ErrNotRefundable  = errors.New("the order is not refundable, and orders are returned together")
	ErrReturnRejected = errors.New("the return was rejected")
)

// policies names those of the catalog's policies that a quote rests on.
func (s *Subject) policies(names ...string) map[string]string {
	all, named := s.Catalog.Policies().Named(), make(map[string]string, len(names))
	for _, name := range names {
		named[name] = all[name]
	}
	return named
}

// quote begins a quote.
func (s *Subject) quote(kind Kind, edition string, policies ...string) *Quote {
	return &Quote{
		Kind: kind, App: s.App.ID, Account: s.App.Account, Edition: edition, Currency: s.Catalog.Currency(),
		AsOf: s.At.UTC(), Catalog: s.Catalog.Version(), AppVersion: s.App.Version, Policies: s.policies(policies...),
	}
}

// left lists the places of the orders that have not ended, earliest start first.
func (s *Subject) left() (places []int) {
	for i := range s.App.Orders {
		if s.App.Orders[i].IsLeft(s.At) {
			places = append(places, i)
		}
	}
	return places
}

// sold finds an edition that is to be bought.
func (s *Subject) sold(key string) (*catalog.Edition, error) {
	e, ok := s.Catalog.Edition(key)
	switch {
	case !ok:
		return nil, &account.InvalidError{Field: "edition", Description: fmt.Sprintf("unknown edition %q; there are %s", key, s.Catalog.EditionNames())}
	case e.IsFree():
		return nil, &account.InvalidError{Field: "edition", Description: "the " + key + " edition is free and not sold: an app begins in it, and nothing leads back"}
	}
	return e, nil
}

// Terms are how months of a plan are bought.
type Terms struct {
	Months          int
	DiscountPercent decimal.Decimal // zero: none
	Voucher         decimal.Decimal
	NonRefundable   bool
}

// discountDecimals is how finely a discount can be said.
const discountDecimals = 4

func (t *Terms) check(rules catalog.AccountRules) error {
	hundred := decimal.NewFromInt(100)
	switch {
	case t.Months < 1 || t.Months > rules.MaxOrderMonths:
		return &account.InvalidError{Field: "months", Description: fmt.Sprintf("is %d; an order has 1 to %d months", t.Months, rules.MaxOrderMonths)}
	case t.DiscountPercent.IsNegative() || t.DiscountPercent.GreaterThan(hundred):
		return &account.InvalidError{Field: "discount_percent", Description: "is " + t.DiscountPercent.String() + "; it must be from 0 to 100"}
	case !t.DiscountPercent.Equal(t.DiscountPercent.Truncate(discountDecimals)):
		return &account.InvalidError{Field: "discount_percent", Description: fmt.Sprintf("has more than %d decimals", discountDecimals)}
	case t.Voucher.IsNegative():
		return &account.InvalidError{Field: "voucher.amount", Description: "is negative"}
	case !t.Voucher.Equal(t.Voucher.Truncate(cents)):
		return &account.InvalidError{Field: "voucher.amount", Description: "has more than two decimals"}
	}
	return nil
}

// buy adds the lines of an order of so many months, and the order. The terms were
// checked.
func (s *Subject) buy(q *Quote, e *catalog.Edition, t Terms, from, until time.Time, what string) error {
	if len(s.App.Orders) >= ordersKept {
		return ErrTooManyOrders
	}
	months := decimal.NewFromInt(int64(t.Months))
	list := e.MonthlyPrice.Mul(months)
	q.add(Line{
		Kind: LinePlan, Description: what, Quantity: months.String(), Unit: "month", UnitPrice: e.MonthlyPrice,
		Amount: list, From: from, Until: until,
	})
	discount := percentOf(list, t.DiscountPercent)
	if !t.DiscountPercent.IsZero() {
		q.add(Line{
			Kind: LineDiscount, Description: fmt.Sprintf("Discount of %s %% of %s", t.DiscountPercent, list.StringFixed(cents)),
			Amount: discount.Neg(), From: from, Until: until,
		})
	}
	if t.Voucher.GreaterThan(q.Total) {
		return &account.InvalidError{
			Field:       "voucher.amount",
			Description: fmt.Sprintf("is %s, and %s are to be paid without it: a voucher is not worth more", t.Voucher.StringFixed(cents), q.Total.StringFixed(cents)),
		}
	}
	if !t.Voucher.IsZero() {
		q.add(Line{Kind: LineVoucher, Description: "Voucher; it is not paid back", Amount: t.Voucher.Neg(), From: from, Until: until})
	}
	order := account.Order{
		Edition: e.Key, Start: from, End: until, Months: t.Months, List: list, Discount: discount, Voucher: t.Voucher,
		NonRefundable: t.NonRefundable, Currency: q.Currency, Ordered: s.At,
	}
	orders := slices.Concat(s.App.Orders, []account.Order{order})
	if err := account.SortOrders(orders); err != nil {
		return &NotApplicableError{Why: fmt.Sprintf("the app has an order that begins before %s, when these months end", s.text(until)), RPC: "QuoteRefund"}
	}
	q.change(order)
	return nil
}

// noPlan says that an app has no plan to do something with. It can purchase one,
// unless an order is left that has not begun.
func (s *Subject) noPlan(do string) error {
	if left := s.left(); len(left) > 0 {
		return s.notBegun(left[0])
	}
	if e, ok := s.Catalog.Edition(s.State.Edition); ok && s.State.Plan == account.NoPlan && !e.IsFree() {
		return &NotApplicableError{Why: fmt.Sprintf("the app has the %s edition without an order, which does not end: there is nothing to %s", e.Key, do), RPC: "QuotePurchase"}
	}
	return &NotApplicableError{Why: "the app has no plan to " + do, RPC: "QuotePurchase"}
}

// notBegun says that an order is left, which has to begin first, or to be returned.
func (s *Subject) notBegun(i int) error {
	o := &s.App.Orders[i]
	return &NotApplicableError{Why: fmt.Sprintf("no order is in force, and order %q begins at %s: return it, or wait for it", o.ID, s.text(o.Start)), RPC: "QuoteRefund"}
}

// text shows an instant in the catalog's zone.
func (s *Subject) text(at time.Time) string { return at.In(s.Catalog.Zone()).Format(time.RFC3339) }

// plural counts units.
func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}
