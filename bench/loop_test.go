package bench

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// waitFor is wait by the clock of a bubble.
func waitFor(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// callerFunc is a Caller made of a function.
type callerFunc func(ctx context.Context, c *Call) (Outcome, error)

func (f callerFunc) Call(ctx context.Context, c *Call) (Outcome, error) { return f(ctx, c) }

// crew makes workers that all call the same.
func crew(n, batch int, caller Caller) []*worker {
	workers := make([]*worker, n)
	for i := range workers {
		p := &Population{Apps: []uint32{7}, Users: 100, Features: []string{"user_status"}}
		workers[i] = &worker{caller: caller, calls: Mixes[1].calls(p, i, batch)}
	}
	return workers
}

// stalling answers after a millisecond, but for a time in which it answers nobody.
func stalling(began time.Time, from, to time.Duration) Caller {
	return callerFunc(func(ctx context.Context, _ *Call) (Outcome, error) {
		at := time.Now().Add(time.Millisecond)
		if since := time.Since(began); since >= from && since < to {
			at = began.Add(to)
		}
		waitFor(ctx, at)
		return Outcome{}, nil
	})
}

// TestOpenLoopCountsFromWhenCallsAreDue: a server that stalls for a second of ten
// delays a tenth of all calls, on average by half of it. Most of them are not even
// sent meanwhile, for all callers wait, and each counts all the same.
func TestOpenLoopCountsFromWhenCallsAreDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		workers := crew(8, 0, stalling(time.Now(), 2*time.Second, 3*time.Second))
		s := openLoop(t.Context(), workers, 10*time.Second, 1000, waitFor)
		if s.Calls != 10_000 || s.Latency.Count() != 10_000 || s.Unsent != 0 {
			t.Errorf("%d calls, %d latencies, %d unsent", s.Calls, s.Latency.Count(), s.Unsent)
		}
		for _, tt := range []struct {
			q          float64
			from, upTo time.Duration
		}{
			{.5, 990 * time.Microsecond, 1010 * time.Microsecond},
			// A tenth arrives in the stall, and those behind it wait until eight callers
			// have worked off what has gathered: 142 ms.
			{.9, 50 * time.Millisecond, 200 * time.Millisecond},
			{.95, 450 * time.Millisecond, 600 * time.Millisecond},
			{.99, 880 * time.Millisecond, 960 * time.Millisecond},
			{1, 999 * time.Millisecond, 1001 * time.Millisecond},
		} {
			if got := s.Latency.Quantile(tt.q); got < tt.from || got > tt.upTo {
				t.Errorf("%v of all take %v, want %v to %v", tt.q, got, tt.from, tt.upTo)
			}
		}
		if series := (&Series{Side: &Side{Rate: 1000}, Slices: []*Slice{s}}); series.isBehind() {
			t.Errorf("what was made up for is told as behind: the last call was %v late", s.Late)
		}
	})
}

// TestClosedLoopLeavesOut what an open one shows: eight calls alone meet the stall.
func TestClosedLoopLeavesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := closedLoop(t.Context(), crew(8, 0, stalling(time.Now(), 2*time.Second, 3*time.Second)), 10*time.Second)
		if got := s.Latency.Quantile(.999); got > 2*time.Millisecond || s.Latency.Max() < 999*time.Millisecond {
			t.Errorf("99.9 %% within %v, at most %v", got, s.Latency.Max())
		}
	})
}

func TestOpenLoopThatFallsBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := callerFunc(func(ctx context.Context, _ *Call) (Outcome, error) {
			waitFor(ctx, time.Now().Add(10*time.Millisecond))
			return Outcome{}, nil
		})
		s := openLoop(t.Context(), crew(2, 0, slow), 4*time.Second, 1000, waitFor)
		// Two callers answer 200 a second, for 4 s and 2 s more.
		if s.InTime < 790 || s.InTime > 800 || s.Calls < 1190 || s.Calls > 1210 {
			t.Errorf("%d in time, %d in all", s.InTime, s.Calls)
		}
		if s.Unsent != 4000-s.Calls || s.Latency.Count() != 4000 {
			t.Errorf("%d calls and %d unsent make %d latencies", s.Calls, s.Unsent, s.Latency.Count())
		}
		if got := s.Latency.Quantile(.9); got < 2*time.Second {
			t.Errorf("90 %% within %v, though most of 4 s' calls were not sent after 6 s", got)
		}
		if s.Late < 4*time.Second {
			t.Errorf("the last call was %v late", s.Late)
		}
		behind := &Series{Side: &Side{Rate: 1000}, Slices: []*Slice{s}}
		if !behind.isBehind() {
			t.Error("it is not told")
		}
	})
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent []time.Duration
		began := time.Now()
		quick := callerFunc(func(context.Context, *Call) (Outcome, error) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, time.Since(began))
			return Outcome{}, nil
		})
		s := openLoop(t.Context(), crew(4, 0, quick), time.Second, 8, waitFor)
		for i, at := range sent {
			if want := time.Duration(i) * 125 * time.Millisecond; at != want {
				t.Errorf("call %d at %v, want %v", i, at, want)
			}
		}
		if len(sent) != 8 || s.PerSecond() != 8 {
			t.Errorf("%d calls, %v a second", len(sent), s.PerSecond())
		}
	})
}

func TestClosedLoopCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		caller := callerFunc(func(ctx context.Context, _ *Call) (Outcome, error) {
			waitFor(ctx, time.Now().Add(10*time.Millisecond))
			switch n++; n % 4 {
			case 1:
				return Outcome{Denied: 3}, nil
			case 2:
				return Outcome{Failed: 2, Err: &itemError{&imquotav1.ItemError{Reason: imquotav1.ErrorReason_ERROR_REASON_GROUP_EXISTS, Message: "it exists"}}}, nil
			case 3:
				return Outcome{}, status.Error(codes.Unavailable, "away")
			}
			return Outcome{}, nil
		})
		s := closedLoop(t.Context(), crew(1, 8, caller), time.Second)
		// 100 calls of 8 checks, a quarter of them of each kind; the last ends with the
		// stretch and is not in time.
		if s.Calls != 75 || s.Checks != 25*(8+6+8) || s.InTime != s.Checks-8 || s.Denied != 75 {
			t.Errorf("%d calls, %d checks, %d in time, %d denied", s.Calls, s.Checks, s.InTime, s.Denied)
		}
		want := []Failure{{"GROUP_EXISTS", 50, "it exists"}, {"Unavailable", 25, "away"}}
		if got := s.Failures.List(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%+v", got)
		}
		if got := s.Latency.Count(); got != 75 {
			t.Errorf("%d latencies: what failed has none", got)
		}
		var inTicks int64
		for _, n := range s.Ticks {
			inTicks += n
		}
		if len(s.Ticks) != 10 || inTicks != s.InTime {
			t.Errorf("%v of %d", s.Ticks, s.InTime)
		}
	})
}

// TestLoopsEndWithTheirServer: when every call fails, going on says no more.
func TestLoopsEndWithTheirServer(t *testing.T) {
	t.Parallel()
	gone := callerFunc(func(context.Context, *Call) (Outcome, error) { return Outcome{}, errors.New("gone") })
	synctest.Test(t, func(t *testing.T) {
		if s := closedLoop(t.Context(), crew(3, 0, gone), time.Hour); s.Failures["OTHER"].Count != 3*hopeless || s.GaveUp != 3 {
			t.Errorf("closed: %+v, gave up %d", s.Failures.List(), s.GaveUp)
		}
		began := time.Now()
		s := openLoop(t.Context(), crew(3, 0, gone), time.Hour, 1000, waitFor)
		if s.Failures["OTHER"].Count != 3*hopeless || s.GaveUp != 3 || time.Since(began) > time.Second {
			t.Errorf("open: %+v, gave up %d after %v", s.Failures.List(), s.GaveUp, time.Since(began))
		}
	})
}

func TestLoopsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		never := callerFunc(func(ctx context.Context, _ *Call) (Outcome, error) {
			<-ctx.Done()
			return Outcome{}, ctx.Err()
		})
		closedLoop(ctx, crew(2, 0, never), time.Hour)
		openLoop(ctx, crew(2, 0, never), time.Hour, 1000, waitFor)
		if got := time.Since(began); got != 3*time.Second {
			t.Errorf("after %v", got)
		}
	})
}

// TestWait: the real one, once.
func TestWait(t *testing.T) {
	t.Parallel()
	began := time.Now()
	wait(t.Context(), began.Add(25*time.Millisecond))
	if got := time.Since(began); got < 25*time.Millisecond {
		t.Errorf("it returned after %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wait(ctx, began.Add(time.Hour))
}
