package account

import (
	"maps"
	"slices"
	"time"
)

// AsOf returns the app as it was at an instant: without the orders, upgrades,
// returns and all else that came later. What a record does not date, such as an
// imported order, was always there.
func (a *App) AsOf(at time.Time) *App {
	past := a.Clone()
	past.Orders = slices.DeleteFunc(past.Orders, func(o Order) bool { return o.Ordered.After(at) })
	for i := range past.Orders {
		o := &past.Orders[i]
		o.Upgrades = slices.DeleteFunc(o.Upgrades, func(u Upgrade) bool { return u.At.After(at) })
		if o.Refunded.After(at) {
			o.Refunded, o.Refund = time.Time{}, Refund{}
		}
		if o.Rejected.At.After(at) {
			o.Rejected = Rejection{}
		}
	}
	past.Disabled = slices.DeleteFunc(past.Disabled, func(s Spell) bool { return s.From.After(at) })
	for i := range past.Disabled {
		undo(&past.Disabled[i].Until, at)
	}
	undo(&past.Deleted, at)
	undo(&past.Reclaimed, at)
	undo(&past.Migrated, at)
	maps.DeleteFunc(past.AddOns, func(_ string, activated time.Time) bool { return activated.After(at) })
	return past
}

// undo takes back what happened after an instant.
func undo(happened *time.Time, at time.Time) {
	if happened.After(at) {
		*happened = time.Time{}
	}
}
