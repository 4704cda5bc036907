package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// latencies draws from nanoseconds to minutes, every order of magnitude alike.
func latencies() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		ceiling := time.Duration(1) << rapid.IntRange(0, 38).Draw(t, "order")
		return time.Duration(rapid.Int64Range(0, int64(ceiling)).Draw(t, "latency"))
	})
}

func TestHistogramAgreesWithSortedSamples(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(latencies(), 1, 2000).Draw(t, "samples")
		var one, other Histogram // two callers' are added up
		for i, d := range samples {
			if i%2 == 0 {
				one.Record(d, 1)
			} else {
				other.Record(d, 1)
			}
		}
		one.Add(&other)
		slices.Sort(samples)
		if one.Count() != uint64(len(samples)) || one.Max() != samples[len(samples)-1] {
			t.Fatalf("%d, at most %v; want %d, at most %v", one.Count(), one.Max(), len(samples), samples[len(samples)-1])
		}
		for _, permille := range []int{0, 1, 500, 900, 990, 999, 1000} {
			rank := max(1, (permille*len(samples)+999)/1000)
			want := samples[rank-1]
			got := one.Quantile(float64(permille) / 1000)
			if off := math.Abs(float64(got - want)); off > float64(want)/200 {
				t.Fatalf("%d ‰ of %d: %v, want %v", permille, len(samples), got, want)
			}
		}
	})
}

func TestHistogramCountsAnyLatency(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, 127, 128, 255, 256, 257, longest - 1, longest, longest + 1, math.MaxInt64} {
		var h Histogram
		h.Record(d, 3)
		if h.Count() != 3 || h.Quantile(0.5) > max(0, d) || h.Quantile(1) != max(0, d) {
			t.Errorf("%v: %d, half of them within %v, all within %v", d, h.Count(), h.Quantile(0.5), h.Quantile(1))
		}
	}
	var empty, none Histogram
	empty.Add(&none)
	empty.Record(time.Second, 0)
	if empty.Count() != 0 || empty.Quantile(0.99) != 0 || empty.Max() != 0 {
		t.Errorf("an empty one: %+v", empty)
	}
}
