package ratings

import (
	"fmt"
	"math/big"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// gauge measures how much of an order is used at an instant, in months.
type gauge struct {
	months  []time.Time // where service months begin; the last is the end
	zone    *time.Location
	isDays  bool           // in whole days, a day that has begun in full
	running catalog.Window // when only the running calendar month counts
}

// newGauge returns the gauge of an order by the catalog's policies, for a refund
// at an instant.
func newGauge(orders []account.Order, i int, cat *catalog.Snapshot, at time.Time) *gauge {
	g := serviceGauge(orders, i, cat)
	if cat.Policies().UsedValue == catalog.UsedCurrentMonth {
		g.running = catalog.WindowAt(catalog.KindMonth, at, cat.Zone())
	}
	return g
}

// serviceGauge returns the gauge of an order that counts all its service months.
func serviceGauge(orders []account.Order, i int, cat *catalog.Snapshot) *gauge {
	return &gauge{
		months: account.ServiceMonths(orders, i, cat.Zone()), zone: cat.Zone(),
		isDays: cat.Policies().UsedTime == catalog.UsedWholeDays,
	}
}

// at returns how many months are used at an instant, exactly. It never falls as
// time passes.
func (g *gauge) at(now time.Time) *big.Rat {
	first, end := g.months[0], g.months[len(g.months)-1]
	if !g.running.IsStock() {
		if first.Before(g.running.Start) {
			first = g.running.Start
		}
		if now.After(end) {
			now = end
		}
		return g.part(first, now, g.running.Start, g.running.End)
	}
	used := new(big.Rat)
	for k := 0; k+1 < len(g.months); k++ {
		from, until := g.months[k], g.months[k+1]
		if !now.Before(until) {
			used.Add(used, big.NewRat(1, 1))
			continue
		}
		return used.Add(used, g.part(from, now, from, until))
	}
	return used
}

// part returns how much of a month lies between two instants of it.
func (g *gauge) part(from, now, begin, end time.Time) *big.Rat {
	if !now.After(from) {
		return new(big.Rat)
	}
	if g.isDays {
		return big.NewRat(min(g.days(from, now), g.days(begin, end)), g.days(begin, end))
	}
	return big.NewRat(int64(now.Sub(from)), int64(end.Sub(begin)))
}

// days counts the days between two instants, each from one local time of day to
// the same of the next; one that has begun counts.
func (g *gauge) days(from, until time.Time) int64 {
	days := max(1, int(catalog.Day(until, g.zone)-catalog.Day(from, g.zone)))
	for account.AddDays(from, days, g.zone).Before(until) {
		days++
	}
	return int64(days)
}

// segment is a stretch of an order in one edition, up to an instant.
type segment struct {
	edition     *catalog.Edition
	from, until time.Time
	months      *big.Rat
	amount      decimal.Decimal // difference of the rounded running sums
}

// used returns what an order was used for up to an instant, by edition. It is
// rounded once: each segment's amount is what the rounded running sum grows by
// (FACTS §7).
func used(o *account.Order, g *gauge, cat *catalog.Snapshot, at time.Time) ([]segment, error) {
	var segments []segment
	sum, rounded := new(big.Rat), decimal.Zero
	from, before := o.Start, g.at(o.Start)
	for i := 0; i <= len(o.Upgrades); i++ {
		until := at
		if i < len(o.Upgrades) && o.Upgrades[i].At.Before(at) {
			until = o.Upgrades[i].At
		}
		if !until.After(from) {
			continue // it was upgraded before it began, or twice at once
		}
		edition, err := editionOf(cat, o.EditionAt(from))
		if err != nil {
			return nil, fmt.Errorf("order %q: %w", o.ID, err)
		}
		now := g.at(until)
		s := segment{edition: edition, from: from, until: until, months: new(big.Rat).Sub(now, before)}
		sum.Add(sum, times(edition.MonthlyPrice, s.months))
		total := round(sum)
		s.amount = total.Sub(rounded)
		segments = append(segments, s)
		rounded, from, before = total, until, now
	}
	return segments, nil
}

// editionOf finds an edition that an app has.
func editionOf(cat *catalog.Snapshot, key string) (*catalog.Edition, error) {
	if e, ok := cat.Edition(key); ok {
		return e, nil
	}
	return nil, fmt.Errorf("edition %q, catalog %q: %w", key, cat.Version(), account.ErrUnknownEdition)
}
