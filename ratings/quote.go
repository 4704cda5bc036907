package ratings

import (
	"cmp"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/shopspring/decimal"
)

// Quote says what something costs, line by line. One that was issued is never
// changed and never priced again.
type Quote struct {
	ID      string `json:"id,omitempty"` // empty: a what-if, which cannot be accepted
	Kind    Kind   `json:"kind"`
	App     uint32 `json:"app,omitempty"` // zero: an app that need not exist, or an account
	Account string `json:"account,omitempty"`
	Edition string `json:"edition,omitempty"` // see imquota.v1.Quote
	Lines   []Line `json:"lines"`
	// Total is what is to be paid; of a refund, what is paid back. Zero or more.
	Total    decimal.Decimal `json:"total"`
	Currency string          `json:"currency"`

	AsOf       time.Time       `json:"asOf"`             // a whole second; when it takes effect
	Expires    time.Time       `json:"expires,omitzero"` // the first instant too late to accept it
	Catalog    string          `json:"catalog"`          // version
	AppVersion account.Version `json:"appVersion"`
	// Policies are the readings of rules that it rests on, by the catalog's names.
	Policies map[string]string `json:"policies,omitempty"`

	// Legs are what a refund pays back for each order.
	Legs []Leg `json:"legs,omitempty"`
	// Orders are those that accepting it makes or changes, as they are then but
	// for how they are paid and paid back.
	Orders  []account.Order  `json:"orders,omitempty"`
	Renewal *account.Renewal `json:"renewal,omitempty"` // nil: it stays as it is

	Month string `json:"-"` // of a bill, such as 2024-06
	Final bool   `json:"-"` // of a bill: the month is over
}

// Kind says what is quoted.
type Kind string

// The kinds.
const (
	Purchase Kind = "purchase"
	Renewal  Kind = "renewal"
	Upgrade  Kind = "upgrade"
	Refund   Kind = "refund"
	Bill     Kind = "bill"
)

// Line is one summand of a quote.
type Line struct {
	Kind        LineKind `json:"kind"`
	Description string   `json:"description"`
	// Quantity is exact: a decimal number, or a fraction where that has no end.
	// Empty, as Unit is: the amount stands by itself.
	Quantity  string          `json:"quantity,omitempty"`
	Unit      string          `json:"unit,omitempty"`
	UnitPrice decimal.Decimal `json:"unitPrice,omitzero"`
	Amount    decimal.Decimal `json:"amount"` // whole cents; below zero: taken off
	From      time.Time       `json:"from"`
	Until     time.Time       `json:"until"`
	Order     string          `json:"order,omitempty"`
	App       uint32          `json:"app,omitempty"`
}

// LineKind says what a line is.
type LineKind string

// The kinds of lines.
const (
	LinePlan            LineKind = "plan"
	LineDiscount        LineKind = "discount"
	LineVoucher         LineKind = "voucher"
	LineUpgrade         LineKind = "upgrade"
	LinePaid            LineKind = "paid"
	LineUsed            LineKind = "used"
	LineFloor           LineKind = "floor"
	LineOverage         LineKind = "overage"
	LinePromotion       LineKind = "promotion"
	LineBilledElsewhere LineKind = "billed_elsewhere"
)

// Leg is what a refund pays back for one order.
type Leg struct {
	Order   string          `json:"order"`
	Cash    decimal.Decimal `json:"cash"`
	Credit  decimal.Decimal `json:"credit"`
	Voucher decimal.Decimal `json:"voucher"` // that was used, and is not paid back
	Paid    decimal.Decimal `json:"paid"`
	Used    decimal.Decimal `json:"used"`
}

// add appends a line to the quote, about its app unless it names another.
func (q *Quote) add(l Line) {
	l.App = cmp.Or(l.App, q.App)
	l.From, l.Until = l.From.UTC(), l.Until.UTC()
	q.Lines = append(q.Lines, l)
	q.Total = q.Total.Add(l.Amount)
}

// change appends an order, which nothing else may hold, that accepting the quote
// makes or changes. Its times are in UTC, as those of lines are: records and
// callers have them in any zone, and a quote must not depend on it.
func (q *Quote) change(o account.Order) {
	times := []*time.Time{&o.Start, &o.End, &o.Refunded, &o.Ordered, &o.Rejected.At}
	deals := []*account.Deal{&o.Deal, &o.Refund.Deal}
	for i := range o.Upgrades {
		times = append(times, &o.Upgrades[i].At)
		deals = append(deals, &o.Upgrades[i].Deal)
	}
	for _, d := range deals {
		times = append(times, &d.Accepted, &d.Request.At)
	}
	for _, at := range times {
		*at = at.UTC()
	}
	q.Orders = append(q.Orders, o)
}

// Tender is how a quote is paid.
type Tender struct {
	Cash, Credit                 decimal.Decimal
	CashCurrency, CreditCurrency string // empty: the quote's
}
