package catalog_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/imquota/imquota/catalog"
)

// TestDateAt: whatever date was asked for before, that of an instant has the
// windows and numbers that the instant has, wherever clocks change.
func TestDateAt(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Gaza", "Pacific/Apia", "Africa/Casablanca",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := location(t, name)
			cat := parse(t, bytes.ReplaceAll(catalog.DefaultYAML(), []byte(`time_zone: "+08:00"`), []byte("time_zone: "+name)))
			check := func(at time.Time) {
				t.Helper()
				d := cat.DateAt(at)
				for _, k := range []catalog.Kind{catalog.KindDay, catalog.KindMonth, catalog.KindStock, catalog.KindStatic} {
					if diff := cmp.Diff(catalog.WindowAt(k, at, zone), d.Window(k)); diff != "" {
						t.Fatalf("%s at %v (-want +got):\n%s", k, at.In(zone), diff)
					}
				}
				if d.DayNumber != catalog.Day(at, zone) || d.MonthNumber != catalog.Month(at, zone) {
					t.Fatalf("at %v: day %d, month %d", at.In(zone), d.DayNumber, d.MonthNumber)
				}
			}
			for _, start := range []string{"2012-09-18T00:00:00Z", "2011-12-27T00:00:00Z", "2018-11-01T00:00:00Z", "2024-03-07T00:00:00Z", "2024-10-31T00:00:00Z"} {
				from := instant(t, start)
				for minutes := 0; minutes < 9*24*60; minutes += 10 {
					at := from.Add(time.Duration(minutes) * time.Minute)
					check(at.Add(-1))
					check(at)
				}
				for hours := 9 * 24; hours > 0; hours-- { // and back
					check(from.Add(time.Duration(hours) * time.Hour))
				}
			}
		})
	}
}

// TestDateAt_IsRemembered: asked for again, it costs nothing.
func TestDateAt_IsRemembered(t *testing.T) {
	t.Parallel()
	cat, noon := catalog.Default(), instant(t, "2024-06-15T12:00:00+08:00")
	first := cat.DateAt(noon)
	if again := cat.DateAt(noon.Add(11 * time.Hour)); again != first {
		t.Error("found anew on the same day")
	}
	tomorrow := cat.DateAt(noon.Add(12 * time.Hour))
	if tomorrow == first || cmp.Equal(tomorrow, first, cmpopts.IgnoreUnexported(catalog.Date{})) {
		t.Errorf("the next day is %+v", tomorrow)
	}
}
