package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// paced answers after a time.
func paced(d time.Duration) func(int) Caller {
	return func(int) Caller {
		return callerFunc(func(ctx context.Context, _ *Call) (Outcome, error) {
			waitFor(ctx, time.Now().Add(d))
			return Outcome{}, nil
		})
	}
}

func TestSidesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mix, _ := MixOf("features")
		var used time.Duration
		sides := []*Side{
			{Name: "a", Mix: mix, Population: crowd(1, 1), Callers: 4, Caller: paced(2 * time.Millisecond)},
			{Name: "b", Mix: mix, Population: crowd(1, 1), Callers: 4, Caller: paced(time.Millisecond)},
			{Name: "c", Mix: mix, Population: crowd(1, 1), Callers: 1, Caller: paced(time.Millisecond)},
		}
		sides[0].CPU = func(context.Context) (time.Duration, error) {
			used += 800 * time.Millisecond
			return used, nil
		}
		sides[1].CPU = func(context.Context) (time.Duration, error) { return 0, errors.ErrUnsupported }
		var order []string
		plan := &Plan{Duration: 3 * time.Second, Warmup: time.Second, Rounds: 3, Heard: func(s *Side, done, total int) {
			if done != len(order) || total != 12 {
				t.Errorf("step %d of %d, want %d of 12", done, total, len(order))
			}
			order = append(order, s.Name)
		}}
		began := time.Now()
		series, err := plan.Measure(t.Context(), sides)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(order, ""); got != "abc"+"abc"+"cba"+"abc" {
			t.Errorf("in the order %s", got)
		}
		if took := time.Since(began); took < 12*time.Second || took > 14*time.Second {
			t.Errorf("it took %v", took)
		}
		for i, want := range []float64{2000, 4000, 1000} {
			if got := series[i].PerSecond(); math.Abs(got-want) > want/100 {
				t.Errorf("%s: %v a second, want %v", sides[i].Name, got, want)
			}
		}
		if got := series[0].Ratio(series[1]); math.Abs(got-.5) > .01 {
			t.Errorf("ratio %v", got)
		}
		row := RowOf(series)
		f := row.Sides[0]
		if f.Ratio != nil || row.Sides[1].Ratio == nil || math.Abs(*row.Sides[1].Ratio-.5) > .01 {
			t.Errorf("ratios: %v, %v", f.Ratio, row.Sides[1].Ratio)
		}
		if f.CPU == nil || math.Abs(*f.CPU-400) > 5 { // 0.8 s for 2,000 checks
			t.Errorf("processor time %v", f.CPU)
		}
		if row.Sides[1].CPU != nil || f.RedisCPU != nil || f.RoundTrips != nil {
			t.Error("figures of what is not known")
		}
		if math.Abs(f.P50-2000) > 10 || f.Max != 2000 || len(f.OverTime) != 30 || math.Abs(f.OverTime[7]-2000) > 50 {
			t.Errorf("half within %v µs, at most %v; over time %v", f.P50, f.Max, f.OverTime)
		}
		if last := f.Curve[len(f.Curve)-1].Quantile; last < .999 || last > .9999 { // of 6,000 calls
			t.Errorf("the curve ends at %v", last)
		}
	})
}

func TestMedianOfRounds(t *testing.T) {
	t.Parallel()
	of := func(inTime ...int64) *Series {
		s := &Series{Side: &Side{}}
		for _, n := range inTime {
			s.Slices = append(s.Slices, &Slice{Length: time.Second, InTime: n})
		}
		return s
	}
	// The machine was slow in the second round, for both.
	a, b := of(100, 10, 120, 110), of(200, 40, 200, 220)
	if got := a.PerSecond(); got != 105 {
		t.Errorf("%v a second", got)
	}
	if got := a.Ratio(b); got != .5 {
		t.Errorf("ratio %v", got)
	}
	if got := of(1).Ratio(of(0)); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got := of().PerSecond(); got != 0 {
		t.Errorf("no rounds: %v", got)
	}
}

func TestShortRunsHaveFewerRounds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		duration time.Duration
		rounds   int
		want     []any
	}{
		{5 * time.Second, 5, []any{5, time.Second}},
		{120 * time.Millisecond, 5, []any{2, 60 * time.Millisecond}},
		{time.Millisecond, 5, []any{1, time.Millisecond}},
		{time.Second, 0, []any{1, time.Second}},
	} {
		n, each := (&Plan{Duration: tt.duration, Rounds: tt.rounds}).rounds()
		if got := []any{n, each}; !slices.Equal(got, tt.want) {
			t.Errorf("%v in %d rounds: %v, want %v", tt.duration, tt.rounds, got, tt.want)
		}
	}
}

func TestMeasureTellsWhoseMeterFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mix, _ := MixOf("features")
		side := &Side{Name: "echo", Mix: mix, Population: crowd(1, 1), Callers: 1, Caller: paced(time.Millisecond)}
		side.CPU = func(context.Context) (time.Duration, error) { return 0, errors.New("gone") }
		_, err := (&Plan{Duration: time.Second, Rounds: 1}).Measure(t.Context(), []*Side{side})
		if err == nil || err.Error() != "measuring echo: its processor time: gone" {
			t.Errorf("%v", err)
		}
	})
}
