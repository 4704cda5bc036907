package catalog

import (
	"time"

	"github.com/shopspring/decimal"
)

// Meter is something billed by usage after the month (FACTS §5).
type Meter struct {
	Key   string
	Title string
	Unit  string
	// Quota: the overage of this quota is billed; nil when the meter counts by
	// itself, from zero.
	Quota *Quota
	// Prices per unit, by edition; an edition without one is not sold it.
	Prices     map[string]decimal.Decimal
	Promotions []Promotion
}

// Promotion changes a meter's price while it lasts.
type Promotion struct {
	Title   string
	Percent decimal.Decimal // -100: free
	From    time.Time       // first local day
	Until   time.Time       // first local day no more; zero: no end is known
}
