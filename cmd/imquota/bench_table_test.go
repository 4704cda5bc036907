package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/bench"
)

// benchReport is a report with fixed numbers.
func benchReport() *bench.Report {
	return &bench.Report{
		Version: "v1.2.3", Time: time.Date(2024, 6, 15, 4, 0, 0, 0, time.UTC),
		Machine: bench.Machine{OS: "linux", Arch: "amd64", Cores: 2, Go: "go1.26"},
		Setup: bench.Setup{
			Store: "redis", Over: "tcp", Apps: 10, Users: 100_000, Seed: 1, Connections: 4, Batch: 32,
			Duration: 5 * time.Second, Rounds: 5, View: "full",
		},
		Rows: []bench.Row{
			{Mix: "uniform", Callers: 1, Sides: []bench.Figures{
				{Name: "imquota", PerSecond: 4567.8, P50: 212.3, P90: 345.6, P99: 1234.5, P999: 12_345.6, Max: 23_456.7, CPU: new(142.25), RedisCPU: new(8.94), RoundTrips: new(1.0004), Checks: 22_839},
				{Name: "echo", PerSecond: 5000, Ratio: new(.914), P50: 200, P90: 300, P99: 400, P999: 500, Max: 600, CPU: new(100.0), Checks: 25_000},
				{Name: "Redis", PerSecond: 1_234_567, Ratio: new(.004), P50: 50, P90: 60, P99: 70, P999: 80, Max: 90, RedisCPU: new(14.0), RoundTrips: new(.0312), Checks: 6_172_835},
			}},
			{Mix: "uniform", Callers: 64, Sides: []bench.Figures{{
				Name: "imquota", PerSecond: 20_000, P50: 3000, P90: 4000, P99: 50_000, P999: 600_000, Max: 700_000, Checks: 100_000, Denied: 1500,
				Failures: []bench.Failure{{Reason: "OVERLOADED", Count: 1200, First: "4096 calls are under way"}, {Reason: "OTHER", Count: 1, First: "EOF"}},
				GaveUp:   2,
				Unsent:   31_000, Late: 950_000, IsBehind: true,
				Curve: []bench.Point{{Quantile: .5, Micros: 3000}}, OverTime: []float64{20_000, 19_000},
			}}},
			{Mix: "features", Callers: 1, Sides: []bench.Figures{{Name: "imquota"}}},
		},
	}
}

func TestBenchTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printBench(&b, benchReport())
	golden(t, "bench.txt", b.String())
}

func TestBenchJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := writeJSON(&b, benchReport()); err != nil {
		t.Fatal(err)
	}
	golden(t, "bench.json", b.String())
}

func TestBenchGoalsTable(t *testing.T) {
	t.Parallel()
	goals := []bench.Goal{
		bench.AtLeast(1, "local decisions, 64 callers: of the echo", "", 1.2345, 1.1),
		bench.AtMost(2, "the same: Redis, a check", "µs", 9.04, 9),
		bench.AtLeast(8, "counted in the embedded store, synced, 64 callers", "/s", 21_345.6, 20_000),
	}
	var b bytes.Buffer
	printGoals(&b, goals)
	golden(t, "bench_goals.txt", b.String())

	failure := []bench.Failure{{Reason: "OVERLOADED", Count: 3, First: "too much"}}
	strict, lenient := &BenchCmd{Strict: true}, &BenchCmd{}
	if err := lenient.verdict(goals, nil); err != nil {
		t.Errorf("an unmet goal is no error: %v", err)
	}
	if err := strict.verdict(goals, nil); !errors.Is(err, errUnmet) {
		t.Errorf("with --strict: %v", err)
	}
	if err := strict.verdict(goals[:1], nil); err != nil {
		t.Errorf("all met: %v", err)
	}
	if err := lenient.verdict(goals, failure); err == nil || !strings.Contains(err.Error(), "3 calls failed with OVERLOADED: too much") {
		t.Errorf("calls that failed: %v", err)
	}
}
