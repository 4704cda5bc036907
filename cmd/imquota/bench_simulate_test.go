package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/imquota/imquota/scaling"
)

func TestSimulate(t *testing.T) {
	t.Parallel()
	got := run(t, "bench", "--simulate")
	if got.code != exitFine || got.err != "" {
		t.Fatalf("exit code %d, stderr %q", got.code, got.err)
	}
	golden(t, "bench_simulate.txt", got.out)
}

func TestSimulateSaysWhoDecides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		last string
	}{
		"one app":    {[]string{"--sim-apps", "1"}, "From 1 shard on the largest app alone decides"},
		"equal apps": {[]string{"--sim-apps", "100000", "--tail", "1000"}, "Up to 1000 shards, more still relieve the hottest."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, append([]string{"bench", "--simulate"}, c.args...)...)
			lines := strings.Split(strings.TrimSpace(got.out), "\n")
			if last := lines[len(lines)-1]; got.code != exitFine || !strings.Contains(last, c.last) {
				t.Errorf("exit code %d, last line %q, want %q; stderr %q", got.code, last, c.last, got.err)
			}
		})
	}
}

// Where large apps share a slot, none of them decides alone.
func TestSaturationByASlot(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0, 0.5} {
		if got := saturation(&scaling.Report{SaturatedAt: 40, SlotShare: share}); !strings.HasPrefix(got, "From 40 shards on one slot decides") {
			t.Errorf("with a share of %v: %q", share, got)
		}
	}
}

func TestSimulateAsJSON(t *testing.T) {
	t.Parallel()
	got := run(t, "bench", "--simulate", "--shards", "2,5", "--seed", "9", "-o", "json")
	var report scaling.Report
	if err := json.Unmarshal([]byte(got.out), &report); err != nil {
		t.Fatalf("%v in %q, stderr %q", err, got.out, got.err)
	}
	if report.Load.Seed != 9 || len(report.Rows) != 2 || report.Rows[1].Shards != 5 || report.Rows[1].HottestPerSecond <= 0 {
		t.Errorf("report %+v", report)
	}
}

func TestSimulateNamesTheWrongFlag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ flag, value string }{
		{"--sim-apps", "0"},
		{"--sim-users", "4999"},
		{"--tail", "0"},
		{"--tail", "-1"},
		{"--tail", "NaN"},
		{"--shards", "0"},
		{"--shards", "3,1"},
		{"--checks-per-user", "0"},
		{"--peak", "-2"},
		{"--redis-micros", "0"},
		{"--bytes-per-user", "-1"},
		{"--bytes-per-app", "-1"},
		{"--goals", "true"},
		{"--html", "page.html"},
		{"--target", "127.0.0.1:1"},
	} {
		got := run(t, "bench", "--simulate", c.flag+"="+c.value)
		if got.code != exitFault || got.out != "" || !strings.HasPrefix(got.err, "imquota: "+c.flag+": ") && !strings.HasPrefix(got.err, "imquota: bench: "+c.flag+": ") {
			t.Errorf("%s=%s: exit code %d, stdout %q, stderr %q", c.flag, c.value, got.code, got.out, got.err)
		}
	}
}
