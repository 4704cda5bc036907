package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

const (
	// Others back off from the same fault, so the pause is drawn below a bound
	// that doubles from firstPause to longestPause.
	firstPause   = 25 * time.Millisecond
	longestPause = time.Second
	// attemptTimeout ends an attempt that hangs, so that another may find a
	// sidecar that does not. Many times what an answer takes.
	attemptTimeout = 2 * time.Second
)

// repeat calls until it is answered, the error is one that does not pass, or ctx
// has no time for another attempt, nor the time until: no bound when zero. What is
// called must take effect once, however often it is called.
func repeat[T any](ctx context.Context, until time.Time, call func(context.Context) (T, error)) (T, error) {
	for bound := firstPause; ; bound = min(2*bound, longestPause) {
		out, err := attempt(ctx, until, call)
		if err == nil || !passes(err) {
			return out, err
		}
		if !pause(ctx, until, RetryDelay(err)+rand.N(bound)) {
			if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
				err = fmt.Errorf("%w: %w", ctx.Err(), err)
			}
			return out, err
		}
	}
}

func attempt[T any](ctx context.Context, until time.Time, call func(context.Context) (T, error)) (T, error) {
	end := earlier(time.Now().Add(attemptTimeout), until)
	if deadline, ok := ctx.Deadline(); ok && !deadline.After(end) {
		return call(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	return call(ctx)
}

// earlier returns the earlier of two instants, of which the zero one is none.
func earlier(t, u time.Time) time.Time {
	if u.IsZero() || t.Before(u) {
		return t
	}
	return u
}

// pause waits; not at all when the time would be over before.
func pause(ctx context.Context, until time.Time, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok {
		until = earlier(deadline, until)
	}
	if !until.IsZero() && time.Until(until) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// passes reports whether an error is gone in a while by itself: all that is
// unanswered, but for what an operator has to see to.
func passes(err error) bool {
	if !IsUnanswered(err) {
		return false
	}
	switch reason(err) {
	case "STORE_EVICTING", "STORE_NOT_INITIALIZED", "STORE_OUT_OF_MEMORY", "USAGE_UNKNOWN", "CLOCK_SKEW", "RECORD_NEWER":
		return false
	}
	return true
}

// isCanceled reports whether a caller has hung up.
func isCanceled(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

// errorDomain is the domain of imquota's ErrorInfo.
const errorDomain = "imquota"

// reason returns the ErrorReason of an error, without its prefix; none when the
// error is not imquota's.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			return info.GetReason()
		}
	}
	return ""
}
