package account

import (
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// Order is a prepaid period of an edition, half-open: [Start, End), exact to
// the second.
type Order struct {
	ID      string    `json:"id"`
	Edition string    `json:"edition"` // that was bought; Upgrades may follow
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	Months  int       `json:"months"`
	// Cash and Credit are what was paid for it, upgrades apart.
	Cash   decimal.Decimal `json:"cash"`
	Credit decimal.Decimal `json:"credit"`
	// List is what its months cost by the list; Discount and Voucher are what was
	// taken off. Zero where an import did not say.
	List          decimal.Decimal `json:"list,omitzero"`
	Discount      decimal.Decimal `json:"discount,omitzero"`
	Voucher       decimal.Decimal `json:"voucher,omitzero"`
	NonRefundable bool            `json:"nonRefundable,omitempty"`
	Upgrades      []Upgrade       `json:"upgrades,omitempty"` // by instant
	// Refunded is when the order was returned: it ended then, or never began.
	Refunded time.Time `json:"refunded,omitzero"`
	Refund   Refund    `json:"refund,omitzero"`
	// Rejected says that the order is not taken back.
	Rejected Rejection `json:"rejected,omitzero"`

	// Currency is that of its amounts; empty: the catalog's, for orders of before
	// it was noted.
	Currency string `json:"currency,omitempty"`
	// Ordered is when it was ordered; zero for an import.
	Ordered time.Time `json:"ordered,omitzero"`
	Deal    Deal      `json:"deal,omitzero"`
}

// Deal is the acceptance of a quote; zero for an import.
type Deal struct {
	Quote    string    `json:"quote"`
	Accepted time.Time `json:"accepted"`
	Request  Change    `json:"request,omitzero"` // that accepted it; zero: it had no id
}

// IsZero reports whether there was no quote.
func (d Deal) IsZero() bool { return d.Quote == "" }

// Upgrade is the change of an order to a dearer edition, for the rest of its
// period, or all of it when it has not begun.
type Upgrade struct {
	At      time.Time       `json:"at"`
	Edition string          `json:"edition"`
	Cash    decimal.Decimal `json:"cash"`
	Credit  decimal.Decimal `json:"credit"`
	Deal    Deal            `json:"deal,omitzero"`
}

// Refund is what was paid back for an order.
type Refund struct {
	Cash   decimal.Decimal `json:"cash"`
	Credit decimal.Decimal `json:"credit"`
	Deal   Deal            `json:"deal,omitzero"`
}

// IsZero reports whether nothing is known to have been paid back.
func (r Refund) IsZero() bool { return r.Deal.IsZero() }

// Rejection says that an order is not taken back, and why.
type Rejection struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor,omitempty"`
	Quote  string    `json:"quote"` // of the return that was rejected
}

// IsZero reports whether no return was rejected.
func (r Rejection) IsZero() bool { return r.At.IsZero() }

// EditionAt returns the edition that the order is of at an instant.
func (o *Order) EditionAt(at time.Time) string {
	edition := o.Edition
	for i := range o.Upgrades {
		if o.Upgrades[i].At.After(at) {
			break
		}
		edition = o.Upgrades[i].Edition
	}
	return edition
}

// LastEdition returns the edition that the order ends in.
func (o *Order) LastEdition() string {
	if n := len(o.Upgrades); n > 0 {
		return o.Upgrades[n-1].Edition
	}
	return o.Edition
}

// Paid returns what was paid for the order in cash and in credit, its upgrades
// included.
func (o *Order) Paid() (cash, credit decimal.Decimal) {
	cash, credit = o.Cash, o.Credit
	for i := range o.Upgrades {
		cash, credit = cash.Add(o.Upgrades[i].Cash), credit.Add(o.Upgrades[i].Credit)
	}
	return cash, credit
}

// IsLeft reports whether the order has neither ended nor been returned: it is in
// force, or is to be.
func (o *Order) IsLeft(at time.Time) bool { return !o.isReturned() && o.End.After(at) }

// inForce is when the order is in force; empty when it was returned before.
func (o *Order) inForce() span {
	if o.wasCut() {
		return span{o.Start, o.Refunded}
	}
	return span{o.Start, o.End}
}

func (o *Order) isReturned() bool { return !o.Refunded.IsZero() }

// wasCut reports whether the order was returned before it was over.
func (o *Order) wasCut() bool { return o.isReturned() && o.Refunded.Before(o.End) }

// Deal finds the acceptance of a quote.
func (a *App) Deal(quote string) (Deal, bool) {
	for i := range a.Orders {
		o := &a.Orders[i]
		deals := []Deal{o.Deal, o.Refund.Deal}
		for k := range o.Upgrades {
			deals = append(deals, o.Upgrades[k].Deal)
		}
		for _, d := range deals {
			if d.Quote == quote && quote != "" {
				return d, true
			}
		}
	}
	return Deal{}, false
}

// Order finds an order by its id.
func (a *App) Order(id string) *Order {
	for i := range a.Orders {
		if a.Orders[i].ID == id {
			return &a.Orders[i]
		}
	}
	return nil
}

// Renewed returns the period of so many months more, and of which edition it
// is. In force and in grace they continue the chain of orders; else a new one
// begins at the instant.
func (a *App) Renewed(state *State, at time.Time, months int, zone *time.Location) (from, until time.Time, edition string) {
	if state.Plan == PlanInForce || state.Plan == PlanInGrace {
		c := chainAt(a.Orders, at)
		return c.end, c.after(months, zone), c.edition
	}
	return at, AddMonths(at, months, zone), state.Edition
}

// SortOrders puts orders in the sequence of their starts and reports two that
// overlap: no instant may have two orders. Of an order that was returned only
// the part that was in force counts.
func SortOrders(orders []Order) error {
	slices.SortStableFunc(orders, func(a, b Order) int { return a.Start.Compare(b.Start) })
	var last *Order
	for i := range orders {
		o := &orders[i]
		if o.inForce().isEmpty() {
			continue
		}
		if last != nil && o.Start.Before(last.inForce().until) {
			return fmt.Errorf("orders %q and %q overlap", last.ID, o.ID)
		}
		last = o
	}
	return nil
}

// AddMonths returns the same local time of day n months later, on the anchor's
// day of the month or, where the month is shorter, on its last (FACTS §6): from
// January 31 to February 29, and one more month to March 31. A time that the
// clocks skip is the one at which they are changed; of one that they show twice it
// is the first.
func AddMonths(anchor time.Time, n int, zone *time.Location) time.Time {
	local := anchor.In(zone)
	y, m, d := local.Date()
	m += time.Month(n)
	return onDate(y, m, min(d, time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()), local)
}

// AddDays returns the same local time of day n days later, as AddMonths does.
func AddDays(anchor time.Time, n int, zone *time.Location) time.Time {
	local := anchor.In(zone)
	y, m, d := local.Date()
	return onDate(y, m, d+n, local)
}

// onDate returns a local time of day on another date.
func onDate(y int, m time.Month, d int, local time.Time) time.Time {
	date := func(zone *time.Location) time.Time {
		return time.Date(y, m, d, local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), zone)
	}
	at := date(local.Location())
	_, east := at.Zone()
	switch off := at.Unix() + int64(east) - date(time.UTC).Unix(); {
	case off < 0:
		_, at = at.ZoneBounds()
		return at
	case off > 0:
		at, _ = at.ZoneBounds()
		return at
	}
	// time.Date does not say which of two it returns.
	if changed, _ := at.ZoneBounds(); !changed.IsZero() {
		_, before := changed.Add(-1).Zone()
		if first := at.Add(time.Duration(east-before) * time.Second); before > east && first.Before(changed) {
			return first
		}
	}
	return at
}

// chain is a run of orders that follow each other without a gap. Its end is
// where the plan ends.
type chain struct {
	anchor  time.Time // start of the first
	months  int       // of all of them
	end     time.Time
	edition string // of the last
}

// chainAt returns the chain that holds an instant or was the last to end before
// it. Orders that were returned break it. It is empty when there is none.
func chainAt(orders []Order, at time.Time) (c chain) {
	for i := range orders {
		o := &orders[i]
		if o.isReturned() || o.Start.After(at) && !o.Start.Equal(c.end) {
			continue
		}
		if !o.Start.Equal(c.end) {
			c = chain{anchor: o.Start}
		}
		c.months += o.Months
		c.end, c.edition = o.End, o.LastEdition()
	}
	return c
}

// after returns where the chain would end with so many months more. They are
// counted from its first start, so that its day of the month is kept; where the
// orders that it has do not end there, from the end they have.
func (c chain) after(months int, zone *time.Location) time.Time {
	if AddMonths(c.anchor, c.months, zone).Equal(c.end) {
		return AddMonths(c.anchor, c.months+months, zone)
	}
	return AddMonths(c.end, months, zone)
}
