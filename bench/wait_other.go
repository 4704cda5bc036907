//go:build !linux

package bench

import (
	"context"
	"time"
)

// wait returns at an instant, or when the context is done.
func wait(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
