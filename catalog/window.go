package catalog

import "time"

// Window is a stretch of local time that a quota counts in, half-open. The
// zero value is the window of a stock: it never ends.
type Window struct {
	Kind  Kind
	Start time.Time
	End   time.Time
}

// Retention of a window's counters past its end (DESIGN, The store).
const (
	dayRetention   = 48 * time.Hour
	monthRetention = 400 * 24 * time.Hour
)

// MonthsKept is for how many months totals are asked for, the running one included
// (FACTS §6): the retention of a month holds them all.
const MonthsKept = 13

// WindowAt returns the window of a quota of kind k that holds the instant.
func WindowAt(k Kind, at time.Time, zone *time.Location) Window {
	y, m, d := at.In(zone).Date()
	switch k {
	case KindDay:
		return Window{k, dayStart(y, m, d, zone), dayStart(y, m, d+1, zone)}
	case KindMonth:
		return Window{k, dayStart(y, m, 1, zone), dayStart(y, m+1, 1, zone)}
	case KindStock, KindStatic:
	}
	return Window{}
}

// dayStart returns the first instant of a local calendar day. That is not
// always what time.Date makes of midnight: where clocks change at night,
// midnight may happen twice or not at all.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	midnight := time.Date(y, m, d, 0, 0, 0, 0, zone)
	day := Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC), time.UTC)
	changed, next := midnight.ZoneBounds()
	if Day(midnight, zone) < day {
		return next // skipped: the day begins when the clocks change
	}
	if changed.IsZero() || Day(changed, zone) < day {
		return midnight
	}
	// The clocks changed this day, no later than midnight: it happened twice,
	// unless the day before lasted until the change.
	before := changed.Add(-1)
	if Day(before, zone) < day {
		return changed
	}
	_, offset := before.Zone()
	return time.Date(y, m, d, 0, 0, 0, 0, time.FixedZone("", offset)).In(zone)
}

// DayStart returns the first instant of a local calendar day; Day numbers them.
func DayStart(day int32, zone *time.Location) time.Time {
	y, m, d := time.Unix(int64(day)*86400, 0).UTC().Date()
	return dayStart(y, m, d, zone)
}

// IsStock reports whether the window never ends.
func (w Window) IsStock() bool { return w.Start.IsZero() }

// KeptUntil is when a store may forget the window's counters.
func (w Window) KeptUntil() time.Time {
	if w.Kind == KindMonth {
		return w.End.Add(monthRetention)
	}
	return w.End.Add(dayRetention)
}

// Day numbers the local calendar day of an instant: days since 1970-01-01.
func Day(at time.Time, zone *time.Location) int32 {
	y, m, d := at.In(zone).Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// Month numbers the local calendar month of an instant: months since year 0.
func Month(at time.Time, zone *time.Location) int32 {
	y, m, _ := at.In(zone).Date()
	return int32(y*12 + int(m) - 1)
}
