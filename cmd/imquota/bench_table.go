package main

import (
	"fmt"
	"io"

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
			_, _ = fmt.Fprintf(w, "%s: %s\n", row.Mix, &r.Setup)
			last = row.Mix
		}
		_, _ = fmt.Fprintln(w)
		printBenchRow(w, &row)
	}
	_, _ = fmt.Fprintln(w)
	for _, line := range r.Legend() {
		_, _ = fmt.Fprintln(w, line)
	}
}

func printBenchRow(w io.Writer, row *bench.Row) {
	t := &table{right: map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true}}
	t.add(bench.Callers(row.Callers), "CHECKS/S", "RATIO", "P50 ms", "P90", "P99", "P99.9", "CPU µs", "REDIS µs", "TRIPS")
	for i := range row.Sides {
		f := &row.Sides[i]
		t.add(f.Name, bench.Thousands(f.PerSecond), bench.Known(f.Ratio, 2), bench.Millis(f.P50), bench.Millis(f.P90), bench.Millis(f.P99), bench.Millis(f.P999),
			bench.Known(f.CPU, 1), bench.Known(f.RedisCPU, 1), bench.Known(f.RoundTrips, 2))
	}
	t.write(w)
	for i := range row.Sides {
		for _, note := range row.Sides[i].Notes() {
			_, _ = fmt.Fprintln(w, columnGap+note)
		}
	}
}
