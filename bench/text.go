package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// Thousands is a whole number with commas.
func Thousands(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Millis is microseconds as milliseconds, of which three digits say something.
func Millis(micros float64) string {
	v, digits := micros/1000, 3
	switch {
	case v >= 100:
		digits = 0
	case v >= 10:
		digits = 1
	case v >= 1:
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// Known is a figure with so many digits behind the point, or a dash.
func Known(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', digits, 64)
}

// Callers says how many there are.
func Callers(n int) string { return count(n, "caller") }

// count is so many of a thing.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// Legend says, in lines, how a report was measured and what its columns and sides are.
func (r *Report) Legend() []string {
	var lines []string
	if r.IsPartial {
		lines = append(lines, "It ended before all was measured.")
	}
	return append(lines,
		fmt.Sprintf("Medians of %s on %s.", count(r.Setup.Rounds, "round"), &r.Machine),
		"RATIO: imquota's throughput, of that floor's in the same rounds.",
		"Of a check: CPU of the server, CPU of its Redis, and round trips to that (TRIPS).",
		"echo: bare gRPC, messages of the same size; typed: the same by imquota's own.",
		"Redis, bbolt, where it is counted: the least there that judges and counts.",
	)
}

// String says in a line what was asked of whom.
func (s *Setup) String() string {
	parts := []string{s.Target}
	switch {
	case s.Target == "" && s.Over == "unix":
		parts[0] = s.Store + " over a Unix socket"
	case s.Target == "":
		parts[0] = s.Store + " over TCP"
	}
	if s.Batch > 0 {
		parts = append(parts, fmt.Sprintf("batches of %d", s.Batch))
	}
	if s.Rate > 0 {
		parts = append(parts, Thousands(s.Rate)+" calls due a second")
	}
	parts = append(parts, fmt.Sprintf("connections: %d", s.Connections), "apps: "+Thousands(float64(s.Apps)), "users: "+Thousands(float64(s.Users)))
	if s.View != "full" {
		parts = append(parts, s.View+" view")
	}
	if s.RequestIDs {
		parts = append(parts, "request ids")
	}
	return strings.Join(parts, ", ")
}

// String says in a line where it ran.
func (m *Machine) String() string {
	return fmt.Sprintf("%s, %s/%s, %s", count(m.Cores, "core"), m.OS, m.Arch, m.Go)
}

// Notes say what the figures do not: a rate that was not kept, denials, errors.
func (f *Figures) Notes() []string {
	var notes []string
	if f.IsBehind {
		note := fmt.Sprintf("%s does not keep this rate: calls were sent up to %s ms late", f.Name, Millis(f.Late))
		if f.Unsent > 0 {
			note += fmt.Sprintf(", %s never", Thousands(float64(f.Unsent)))
		}
		notes = append(notes, note)
	}
	if f.Denied > 0 {
		notes = append(notes, fmt.Sprintf("denied: %s of %s checks", Thousands(float64(f.Denied)), Thousands(float64(f.Checks))))
	}
	for _, failure := range f.Failures {
		notes = append(notes, fmt.Sprintf("%s: %s errors %s: %s", f.Name, Thousands(float64(failure.Count)), failure.Reason, failure.First))
	}
	if f.GaveUp > 0 {
		notes = append(notes, fmt.Sprintf("%s: %s of its callers ended a round early, each after %d errors in a row", f.Name, Thousands(float64(f.GaveUp)), hopeless))
	}
	return notes
}
