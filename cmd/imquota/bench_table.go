package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/imquota/imquota/bench"
)

// printBench prints a report as a table: what was measured, below it for each
// number of callers imquota and its floors.
func printBench(w io.Writer, r *bench.Report) {
	last := ""
	for _, row := range r.Rows {
		if row.Mix != last {
			if last != "" {
				_, _ = fmt.Fprintln(w)
			}
			_, _ = fmt.Fprintf(w, "%s: %s\n", row.Mix, benchSetupText(&r.Setup))
			last = row.Mix
		}
		_, _ = fmt.Fprintln(w)
		printBenchRow(w, &row)
	}
	_, _ = fmt.Fprintf(w, "\nMedians of %d rounds on %d cores, %s/%s.\nRATIO: imquota's throughput, of that floor's in the same rounds.\n", r.Setup.Rounds, r.Machine.Cores, r.Machine.OS, r.Machine.Arch)
}

// benchSetupText says in a line what was asked of whom.
func benchSetupText(s *bench.Setup) string {
	parts := []string{s.Target}
	if s.Target == "" {
		parts[0] = s.Store + " over " + strings.ToUpper(s.Over[:1]) + s.Over[1:]
		if s.Over == overTCP {
			parts[0] = s.Store + " over TCP"
		}
	}
	if s.Batch > 0 {
		parts = append(parts, fmt.Sprintf("batches of %d", s.Batch))
	}
	if s.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%s calls due a second", thousands(s.Rate)))
	}
	parts = append(parts, fmt.Sprintf("connections: %d", s.Connections), fmt.Sprintf("apps: %d", s.Apps), fmt.Sprintf("users: %d", s.Users))
	return strings.Join(parts, ", ")
}

func printBenchRow(w io.Writer, row *bench.Row) {
	t := &table{right: map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true}}
	t.add(callersText(row.Callers), "CHECKS/S", "RATIO", "P50 ms", "P90", "P99", "P99.9", "CPU µs", "REDIS µs", "TRIPS")
	for i := range row.Sides {
		f := &row.Sides[i]
		t.add(f.Name, thousands(f.PerSecond), figure(f.Ratio, 2), millis(f.P50), millis(f.P90), millis(f.P99), millis(f.P999),
			figure(f.CPU, 1), figure(f.RedisCPU, 1), figure(f.RoundTrips, 2))
	}
	t.write(w)
	for i := range row.Sides {
		printBenchNotes(w, &row.Sides[i])
	}
}

// printBenchNotes says what a row of figures does not: denials, errors, a rate that
// was not kept.
func printBenchNotes(w io.Writer, f *bench.Figures) {
	if f.IsBehind {
		_, _ = fmt.Fprintf(w, "  %s does not keep this rate: %s calls were never sent, others up to %s ms late\n", f.Name, thousands(float64(f.Unsent)), millis(f.Late))
	}
	if f.Denied > 0 {
		_, _ = fmt.Fprintf(w, "  denied: %s of %s checks\n", thousands(float64(f.Denied)), thousands(float64(f.Checks)))
	}
	for _, failure := range f.Failures {
		_, _ = fmt.Fprintf(w, "  %s: %s errors %s: %s\n", f.Name, thousands(float64(failure.Count)), failure.Reason, failure.First)
	}
}

// thousands is a whole number with commas.
func thousands(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// millis is microseconds as milliseconds, of which three digits say something.
func millis(micros float64) string {
	v := micros / 1000
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// figure is a figure, or a dash.
func figure(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', digits, 64)
}

func (c *BenchCmd) writePage(*bench.Report) error { return nil }
