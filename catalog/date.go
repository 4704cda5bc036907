package catalog

import "time"

// Date is the local day of an instant, its month, and their numbers.
type Date struct {
	Day, Month             Window
	DayNumber, MonthNumber int32

	// from and until are instants between which clocks do not change, and that have
	// this date: not all that do.
	from, until time.Time
}

// DateAt returns the date of an instant in the catalog's zone. The last one is
// remembered: most instants are of it.
func (s *Snapshot) DateAt(at time.Time) *Date {
	d := s.last.Load()
	if d == nil || at.Before(d.from) || !at.Before(d.until) {
		d = dateAt(at, s.zone)
		s.last.Store(d)
	}
	return d
}

func dateAt(at time.Time, zone *time.Location) *Date {
	at = at.Round(0) // instants are compared as clocks show them, not as this process counts
	local := at.In(zone)
	hour, minute, second := local.Clock()
	since := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(local.Nanosecond())
	d := &Date{
		Day: WindowAt(KindDay, at, zone), Month: WindowAt(KindMonth, at, zone),
		DayNumber: Day(at, zone), MonthNumber: Month(at, zone),
		from: at.Add(-since), until: at.Add(24*time.Hour - since),
	}
	changed, next := local.ZoneBounds()
	if changed.After(d.from) {
		d.from = changed
	}
	if !next.IsZero() && next.Before(d.until) {
		d.until = next
	}
	return d
}

// Window returns the running window of a kind.
func (d *Date) Window(k Kind) Window {
	switch k {
	case KindDay:
		return d.Day
	case KindMonth:
		return d.Month
	case KindStock, KindStatic:
	}
	return Window{}
}
