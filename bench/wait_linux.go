package bench

import (
	"context"
	"syscall"
	"time"
)

// longestNap is how long it may take until the end of a context is seen.
const longestNap = 10 * time.Millisecond

// wait returns at an instant, or when the context is done. Timers of Go fire up to
// a millisecond late where nothing else goes on, which calls that take a tenth of
// that would be blamed for; the kernel's are late by some 50 µs.
func wait(ctx context.Context, until time.Time) {
	for ctx.Err() == nil {
		left := time.Until(until)
		if left <= 0 {
			return
		}
		nap := syscall.NsecToTimespec(int64(min(left, longestNap)))
		_ = syscall.Nanosleep(&nap, nil) // a signal ends it early, and it is begun anew
	}
}
