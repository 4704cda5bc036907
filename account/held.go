package account

import (
	"cmp"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// Held lists the editions that an app held in a stretch of its life while it was in
// service, cheapest first. Those that the catalog does not define are left out.
func (a *App) Held(life Lifecycle, cat *catalog.Snapshot, from, until time.Time) []*catalog.Edition {
	if from.Before(a.Created) {
		from = a.Created
	}
	if !from.Before(until) {
		return nil // it was not there yet
	}
	cat = a.RulesIn(cat)
	var held []*catalog.Edition
	for _, s := range life {
		if s.Stage != Active && s.Stage != Grace || !s.From.Before(until) || !s.Until.IsZero() && !s.Until.After(from) {
			continue
		}
		if e, ok := cat.Edition(s.Edition); ok && !slices.Contains(held, e) {
			held = append(held, e)
		}
	}
	slices.SortFunc(held, func(a, b *catalog.Edition) int {
		return cmp.Or(a.MonthlyPrice.Cmp(b.MonthlyPrice), cmp.Compare(a.Index, b.Index))
	})
	return held
}
