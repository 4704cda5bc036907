package ratings_test

import (
	"testing"
	"time"
)

// A day of a service month lasts from its time of day to the same of the next,
// and one that has begun counts in full, also when clocks are changed in it.
func TestQuoteRefund_InWholeDays(t *testing.T) {
	t.Parallel()
	s := newShop(t, "used_time: seconds ", "used_time: whole_days ", `time_zone: "+08:00" `, `time_zone: "America/New_York" `)
	for _, tt := range []struct {
		name, start string
		at          string // with the offset
		used        string
	}{
		{"at its first second", "2024-06-01 12:00:00", "2024-06-01T12:00:00-04:00", "0.00"},
		{"a second later", "2024-06-01 12:00:00", "2024-06-01T12:00:01-04:00", "13.30"},
		{"after midnight", "2024-06-01 12:00:00", "2024-06-02T00:00:01-04:00", "13.30"},
		{"when a day is over", "2024-06-01 12:00:00", "2024-06-02T12:00:00-04:00", "13.30"},
		{"on the second day", "2024-06-01 12:00:00", "2024-06-02T12:00:01-04:00", "26.60"},
		{"at its last second", "2024-06-01 12:00:00", "2024-07-01T11:59:59-04:00", "399.00"},
		// 29 days, of which the last ends when the clocks skip its end.
		{"on the last day but one before clocks are put forward", "2024-02-10 02:30:00", "2024-03-09T02:30:00-05:00", "385.24"},
		{"on the last day before clocks are put forward", "2024-02-10 02:30:00", "2024-03-10T01:59:59-05:00", "399.00"},
		// The 31st day begins with the first 1:30.
		{"before the time that clocks show twice", "2024-10-04 01:30:00", "2024-11-03T01:30:00-04:00", "386.13"},
		{"after it was shown once", "2024-10-04 01:30:00", "2024-11-03T01:30:01-04:00", "399.00"},
		{"when clocks have been put back before it", "2024-10-04 01:30:00", "2024-11-03T01:15:00-05:00", "399.00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := shop{t, s.cat}
			at, err := time.Parse(time.RFC3339, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			of := s.subject(tt.start, s.order("a", "standard", tt.start, 1, "399", ""))
			if got := used(s.refund(s.subjectOf(at, of.App))); got != tt.used {
				t.Errorf("used %s, want %s", got, tt.used)
			}
		})
	}
}
