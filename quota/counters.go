package quota

import (
	"cmp"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// Windows of which counters may be left: days are kept for two, months for
// thirteen; one more of each, for clocks that differ.
const (
	leftDays   = 4
	leftMonths = 14
)

// CountersOf lists all that a catalog has apps count, in every window of which a
// store may have something left.
func CountersOf(cat *catalog.Snapshot, now time.Time) []Counter {
	counters := countersIn(cat, func(k catalog.Kind) []catalog.Window { return windowsLeft(k, now, cat.Zone()) })
	// A sweep that goes on counts keys in this sequence. When a window ends in
	// between, what is left moves up, and is looked at again: nothing is skipped.
	slices.SortFunc(counters, func(a, b Counter) int {
		return cmp.Or(cmp.Compare(a.Quota, b.Quota), b.Window.Start.Compare(a.Window.Start))
	})
	return counters
}

// runningCounters are those of the windows of an instant, in the catalog's order.
func runningCounters(cat *catalog.Snapshot, at time.Time) []Counter {
	return countersIn(cat, func(k catalog.Kind) []catalog.Window {
		return []catalog.Window{catalog.WindowAt(k, at, cat.Zone())}
	})
}

// countersIn lists what a catalog has apps count, in the windows of its kind.
// Members of a group are no counter: they lie in its record.
func countersIn(cat *catalog.Snapshot, windows func(catalog.Kind) []catalog.Window) []Counter {
	var counters []Counter
	for _, q := range cat.Quotas() {
		if q.Kind == catalog.KindStatic || q.Key == catalog.GroupMembers {
			continue
		}
		for _, w := range windows(q.Kind) {
			counters = append(counters, Counter{Quota: q.Key, Scope: q.Scope, Window: w})
		}
	}
	return counters
}

// windowsLeft are the windows of a kind, from the next one back.
func windowsLeft(k catalog.Kind, now time.Time, zone *time.Location) []catalog.Window {
	w := catalog.WindowAt(k, now, zone)
	if w.IsStock() {
		return []catalog.Window{w}
	}
	n := leftDays
	if k == catalog.KindMonth {
		n = leftMonths
	}
	windows := []catalog.Window{catalog.WindowAt(k, w.End, zone)}
	for range n {
		windows = append(windows, w)
		w = catalog.WindowAt(k, w.Start.Add(-1), zone)
	}
	return windows
}
