package bench

import (
	"context"
	"sync"
	"time"
)

// patience is how long a call may take beyond the end of its stretch.
const patience = 10 * time.Second

// closedLoop has each worker send a call as soon as its last one is answered. It
// returns when all are.
func closedLoop(ctx context.Context, workers []*worker, length time.Duration) *Slice {
	began := time.Now()
	end := began.Add(length)
	ctx, cancel := context.WithDeadline(ctx, end.Add(patience))
	defer cancel()
	var running sync.WaitGroup
	recorders := make([]*recorder, len(workers))
	for i, w := range workers {
		r := newRecorder(began, length)
		recorders[i] = r
		running.Go(func() {
			for now := began; now.Before(end) && !r.isAtAnEnd && ctx.Err() == nil; {
				c := w.calls.draw()
				now = w.run(ctx, c, time.Now(), r)
			}
		})
	}
	running.Wait()
	return sum(recorders)
}
