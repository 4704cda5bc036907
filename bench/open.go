package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// schedule is when the calls of an open loop are due.
type schedule struct {
	began time.Time
	rate  float64 // calls a second
	calls int64
}

// at returns when the i-th call is due.
func (s *schedule) at(i int64) time.Time {
	return s.began.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
}

// mostWaiting bounds how many calls that are due are told to workers ahead of
// them; those beyond it are due all the same.
const mostWaiting = 1 << 16

// Calls that are due are sent for some time after the end of their stretch: those
// that a stalled server has delayed are just those that must not be left out.
const (
	leastDrain = 500 * time.Millisecond
	mostDrain  = 5 * time.Second
)

// openLoop has calls due at a constant rate, whatever becomes of those before, and
// the latency of each begin when it is due. Where all workers are busy, a call
// waits for one, and its latency shows it. Wait returns at an instant, or when the
// context is done.
func openLoop(ctx context.Context, workers []*worker, length time.Duration, rate float64, wait func(context.Context, time.Time)) *Slice {
	due := &schedule{began: time.Now(), rate: rate, calls: max(1, int64(rate*length.Seconds()))}
	stop := due.began.Add(length + min(mostDrain, max(leastDrain, length/2)))
	ctx, cancel := context.WithDeadline(ctx, stop.Add(patience))
	defer cancel()

	ready := make(chan struct{}, mostWaiting)
	idle, rest := context.WithCancel(ctx) // ends when no worker is left
	var next atomic.Int64
	var lateBy atomic.Int64 // the last call that was sent
	var running sync.WaitGroup
	recorders := make([]*recorder, len(workers))
	for i, w := range workers {
		r := newRecorder(due.began, length)
		recorders[i] = r
		running.Go(func() {
			for range ready {
				now := time.Now()
				if now.After(stop) || r.isAtAnEnd || ctx.Err() != nil {
					return
				}
				at := due.at(next.Add(1) - 1)
				lateBy.Store(int64(now.Sub(at)))
				w.run(ctx, w.calls.draw(), at, r)
			}
		})
	}
	go func() {
		running.Wait()
		rest()
	}()
	due.tell(idle, ready, wait)
	running.Wait()

	all := sum(recorders)
	all.Late = time.Duration(lateBy.Load())
	ended := time.Now()
	for i := next.Load(); i < due.calls; i++ {
		all.Unsent++
		all.Latency.Record(ended.Sub(due.at(i)), 1)
	}
	return all
}

// tell puts something into ready for each call that is due.
func (s *schedule) tell(ctx context.Context, ready chan<- struct{}, wait func(context.Context, time.Time)) {
	defer close(ready)
	for i := range s.calls {
		if at := s.at(i); time.Now().Before(at) {
			wait(ctx, at)
		}
		select {
		case ready <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}
