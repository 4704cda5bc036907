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
	ID            string          `json:"id"`
	Edition       string          `json:"edition"`
	Start         time.Time       `json:"start"`
	End           time.Time       `json:"end"`
	Months        int             `json:"months"`
	Cash          decimal.Decimal `json:"cash"`
	Credit        decimal.Decimal `json:"credit"`
	NonRefundable bool            `json:"nonRefundable,omitempty"`
}

// SortOrders puts orders in the sequence of their starts and reports two that
// overlap: no instant may have two orders.
func SortOrders(orders []Order) error {
	slices.SortFunc(orders, func(a, b Order) int { return a.Start.Compare(b.Start) })
	for i := 1; i < len(orders); i++ {
		if orders[i].Start.Before(orders[i-1].End) {
			return fmt.Errorf("orders %q and %q overlap", orders[i-1].ID, orders[i].ID)
		}
	}
	return nil
}
