package catalog_test

import (
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
)

func TestWindowAt_Beijing(t *testing.T) {
	t.Parallel()
	beijing := time.FixedZone("UTC+08:00", 8*3600)
	for _, tc := range []struct {
		name       string
		kind       catalog.Kind
		at         string
		start, end string
	}{
		{"first instant of a day", catalog.KindDay, "2024-06-15T00:00:00+08:00", "2024-06-15T00:00:00+08:00", "2024-06-16T00:00:00+08:00"},
		{"last second of a day", catalog.KindDay, "2024-06-15T23:59:59+08:00", "2024-06-15T00:00:00+08:00", "2024-06-16T00:00:00+08:00"},
		{"last nanosecond of a day", catalog.KindDay, "2024-06-15T15:59:59.999999999Z", "2024-06-15T00:00:00+08:00", "2024-06-16T00:00:00+08:00"},
		{"a day begins at 16:00 in UTC", catalog.KindDay, "2024-06-15T16:00:00Z", "2024-06-16T00:00:00+08:00", "2024-06-17T00:00:00+08:00"},
		{"leap day", catalog.KindDay, "2024-02-29T12:00:00+08:00", "2024-02-29T00:00:00+08:00", "2024-03-01T00:00:00+08:00"},
		{"last day of a year", catalog.KindDay, "2024-12-31T23:00:00+08:00", "2024-12-31T00:00:00+08:00", "2025-01-01T00:00:00+08:00"},
		{"last second of a month", catalog.KindMonth, "2024-02-29T23:59:59+08:00", "2024-02-01T00:00:00+08:00", "2024-03-01T00:00:00+08:00"},
		{"a month begins on the day before in UTC", catalog.KindMonth, "2024-02-29T16:00:00Z", "2024-03-01T00:00:00+08:00", "2024-04-01T00:00:00+08:00"},
		{"31st of a month before a short one", catalog.KindMonth, "2023-01-31T12:00:00+08:00", "2023-01-01T00:00:00+08:00", "2023-02-01T00:00:00+08:00"},
		{"December", catalog.KindMonth, "2024-12-31T23:59:59+08:00", "2024-12-01T00:00:00+08:00", "2025-01-01T00:00:00+08:00"},
		{"before 1970", catalog.KindDay, "1969-12-31T15:59:59Z", "1969-12-31T00:00:00+08:00", "1970-01-01T00:00:00+08:00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := catalog.WindowAt(tc.kind, instant(t, tc.at), beijing)
			if w.Kind != tc.kind || !w.Start.Equal(instant(t, tc.start)) || !w.End.Equal(instant(t, tc.end)) {
				t.Errorf("window = %s %v to %v", w.Kind, w.Start, w.End)
			}
			if w.IsStock() {
				t.Error("it never ends")
			}
		})
	}
}

// Days are as long as the clocks make them, and begin when the date changes.
func TestWindowAt_ClocksChange(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		zone   string
		at     string
		start  string
		length time.Duration
	}{
		{"day of 23 hours", "America/New_York", "2024-03-10T12:00:00-04:00", "2024-03-10T00:00:00-05:00", 23 * time.Hour},
		{"day of 25 hours", "America/New_York", "2024-11-03T12:00:00-05:00", "2024-11-03T00:00:00-04:00", 25 * time.Hour},
		{"the hour that comes twice, first", "America/New_York", "2024-11-03T01:30:00-04:00", "2024-11-03T00:00:00-04:00", 25 * time.Hour},
		{"the hour that comes twice, again", "America/New_York", "2024-11-03T01:30:00-05:00", "2024-11-03T00:00:00-04:00", 25 * time.Hour},
		{"half an hour less", "Australia/Lord_Howe", "2024-10-06T12:00:00+11:00", "2024-10-06T00:00:00+10:30", 23*time.Hour + 30*time.Minute},
		{"no midnight: the day begins at one", "America/Sao_Paulo", "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", 23 * time.Hour},
		{"the last hour before no midnight", "America/Sao_Paulo", "2018-11-03T23:30:00-03:00", "2018-11-03T00:00:00-03:00", 24 * time.Hour},
		{"midnight twice, after the first", "Asia/Gaza", "2012-09-21T00:30:00+03:00", "2012-09-21T00:00:00+03:00", 25 * time.Hour},
		{"midnight twice, after the second", "Asia/Gaza", "2012-09-21T00:30:00+02:00", "2012-09-21T00:00:00+03:00", 25 * time.Hour},
		{"the day before a day that never was", "Pacific/Apia", "2011-12-29T23:30:00-10:00", "2011-12-29T00:00:00-10:00", 24 * time.Hour},
		{"the day after a day that never was", "Pacific/Apia", "2011-12-31T00:00:00+14:00", "2011-12-31T00:00:00+14:00", 24 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := catalog.WindowAt(catalog.KindDay, instant(t, tc.at), location(t, tc.zone))
			if !w.Start.Equal(instant(t, tc.start)) || w.End.Sub(w.Start) != tc.length {
				t.Errorf("window = %v to %v, %v long", w.Start, w.End, w.End.Sub(w.Start))
			}
		})
	}
}

// Windows hold the instant they are asked for, and leave no gap.
func TestWindowAt_EveryHalfHour(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo",
		"America/Havana", "Africa/Cairo", "Asia/Gaza", "Asia/Beirut", "America/Santiago", "Atlantic/Azores", "Pacific/Apia",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := location(t, name)
			for _, kind := range []catalog.Kind{catalog.KindDay, catalog.KindMonth} {
				at := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
				last := catalog.WindowAt(kind, at, zone)
				for ; at.Year() < 2014; at = at.Add(30 * time.Minute) {
					w := catalog.WindowAt(kind, at, zone)
					if at.Before(w.Start) || !at.Before(w.End) {
						t.Fatalf("%v is not within %v to %v", at.In(zone), w.Start, w.End)
					}
					if !w.Start.Equal(last.Start) && !w.Start.Equal(last.End) {
						t.Fatalf("%v to %v is followed by %v to %v", last.Start, last.End, w.Start, w.End)
					}
					last = w
				}
			}
		})
	}
}

func TestWindowAt_Stock(t *testing.T) {
	t.Parallel()
	for _, kind := range []catalog.Kind{catalog.KindStock, catalog.KindStatic} {
		w := catalog.WindowAt(kind, instant(t, "2024-06-15T12:00:00Z"), time.UTC)
		if w != (catalog.Window{}) || !w.IsStock() {
			t.Errorf("%s: window = %+v, want one that never ends", kind, w)
		}
	}
}

// A day's counters outlive it by two days; those of a month by more than a
// year, because its bill may still be asked for.
func TestWindow_KeptUntil(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("UTC+08:00", 8*3600)
	at := instant(t, "2024-06-15T12:00:00+08:00")
	for kind, want := range map[catalog.Kind]string{
		catalog.KindDay:   "2024-06-18T00:00:00+08:00",
		catalog.KindMonth: "2025-08-05T00:00:00+08:00",
	} {
		if got := catalog.WindowAt(kind, at, zone).KeptUntil(); !got.Equal(instant(t, want)) {
			t.Errorf("%s: kept until %v, want %s", kind, got, want)
		}
	}
}

func TestDayAndMonth(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		zone  string
		at    string
		day   int32
		month int32
	}{
		{"the first", "UTC", "1970-01-01T00:00:00Z", 0, 1970 * 12},
		{"the end of the first", "UTC", "1970-01-01T23:59:59Z", 0, 1970 * 12},
		{"the second", "UTC", "1970-01-02T00:00:00Z", 1, 1970 * 12},
		{"the instant before", "UTC", "1969-12-31T23:59:59.999999999Z", -1, 1970*12 - 1},
		{"long before", "UTC", "1969-12-30T12:00:00Z", -2, 1970*12 - 1},
		{"the local date counts, east", "Asia/Shanghai", "1969-12-31T16:00:00Z", 0, 1970 * 12},
		{"the local date counts, west", "America/New_York", "1970-01-01T04:59:59Z", -1, 1970*12 - 1},
		{"end of a year", "Asia/Shanghai", "2024-12-31T15:59:59Z", 20088, 2024*12 + 11},
		{"begin of a year", "Asia/Shanghai", "2024-12-31T16:00:00Z", 20089, 2025 * 12},
		{"leap day", "UTC", "2024-02-29T12:00:00Z", 19782, 2024*12 + 1},
		{"day of 23 hours", "America/New_York", "2024-03-10T23:59:59-04:00", 19792, 2024*12 + 2},
		{"year 0", "UTC", "0000-01-01T00:00:00Z", -719528, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			zone, at := location(t, tc.zone), instant(t, tc.at)
			if got := catalog.Day(at, zone); got != tc.day {
				t.Errorf("day = %d, want %d", got, tc.day)
			}
			if got := catalog.Month(at, zone); got != tc.month {
				t.Errorf("month = %d, want %d", got, tc.month)
			}
		})
	}
}

func instant(tb testing.TB, text string) time.Time {
	tb.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

func location(tb testing.TB, name string) *time.Location {
	tb.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return zone
}

// The first instant of a day is the same whoever asks for it: by the day's
// number or by an instant of it.
func TestDayStart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Asia/Shanghai", "America/New_York", "America/Sao_Paulo", "Europe/Berlin"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Date(2018, 1, 1, 12, 0, 0, 0, zone); at.Year() < 2019; at = at.AddDate(0, 0, 1) {
			day := catalog.Day(at, zone)
			start := catalog.DayStart(day, zone)
			if want := catalog.WindowAt(catalog.KindDay, at, zone).Start; !start.Equal(want) {
				t.Errorf("%s: the day of %v starts at %v, want %v", name, at, start, want)
			}
			if catalog.Day(start, zone) != day || catalog.Day(start.Add(-time.Second), zone) != day-1 {
				t.Errorf("%s: %v is not the first instant of a day", name, start)
			}
		}
	}
}
