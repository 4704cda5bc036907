package catalog

import "github.com/shopspring/decimal"

// OnExceed says what happens beyond a limit.
type OnExceed string

// What happens beyond a limit.
const (
	Deny OnExceed = "deny"
	Bill OnExceed = "bill" // allowed, and billed
)

// LimitRule is an edition's limit of one quota.
type LimitRule struct {
	Limit       Limit
	OnExceed    OnExceed
	byGroupType map[string]Limit
}

// For returns the limit for groups of a type, which is the rule's own unless
// the catalog names another for that type.
func (r LimitRule) For(groupType string) Limit {
	if l, ok := r.byGroupType[groupType]; ok {
		return l
	}
	return r.Limit
}

// GroupTypes lists the types that have a limit of their own.
func (r LimitRule) GroupTypes() map[string]Limit { return r.byGroupType }

// Edition is a plan.
type Edition struct {
	Key   string
	Title string
	Index int
	// MonthlyPrice is the list price of a month, in the catalog's currency;
	// zero for a free edition.
	MonthlyPrice decimal.Decimal
	// MayDeleteUsers: apps of this edition may delete users.
	MayDeleteUsers bool
	// Reachable are the editions that an app of this one can change to, by a
	// purchase or an upgrade, cheapest first.
	Reachable []*Edition

	upgrades  map[string]bool
	purchases map[string]bool
	limits    []LimitRule // by Quota.Index
	features  []bool      // by Feature.Index
}

// Limit returns the edition's limit of a quota.
func (e *Edition) Limit(q *Quota) LimitRule { return e.limits[q.Index] }

// Has reports whether the edition includes a feature, conditions apart.
func (e *Edition) Has(f *Feature) bool { return e.features[f.Index] }

// CanUpgradeTo reports whether an app with an order in force can be upgraded
// to another edition.
func (e *Edition) CanUpgradeTo(key string) bool { return e.upgrades[key] }

// CanPurchase reports whether an app of this edition can purchase another.
func (e *Edition) CanPurchase(key string) bool { return e.purchases[key] }

// IsFree reports whether the edition has no price.
func (e *Edition) IsFree() bool { return e.MonthlyPrice.IsZero() }
