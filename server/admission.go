package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Limits bound the calls that are under way at once. A call counts as one,
// whatever it carries: a batch is one step of the store, and maxBatchItems and
// maxListIDs bound what is in it.
type Limits struct {
	InFlight              int // of all connections
	InFlightPerConnection int // of one, so that it leaves some for others
	// LongestArrival ends calls whose request is not whole by then. As many may be
	// arriving as may be under way, and they do not count as such: who sends slowly
	// takes no place from those who do not.
	LongestArrival time.Duration
	// LongestCall ends calls that have no deadline, or one that is further away:
	// nobody keeps a place for ever.
	LongestCall time.Duration
}

// Admission takes calls up to its limits and refuses more of them at once: what
// waited in a queue would be answered when its caller no longer cares.
//
// Intercept is a grpc.UnaryServerInterceptor, for calls whose request is there; with
// what Registrar registers, requests are bounded while they arrive as well. A
// grpc.Server that has its Credentials tells it connections apart; calls of no
// connection count in all alone.
type Admission struct {
	limits           Limits
	inFlight         atomic.Int64
	arriving         arriving
	arrivals         sync.Pool // of *arrival
	full, connection error     // the answers, made once: a refusal has to cost little
	slow, long       patience  // with arrivals, and with calls
}

// errOverloaded says that a call was not begun.
var errOverloaded = errors.New("overloaded")

// overloadRetryAfter is when some of the calls under way are over: most take a
// few milliseconds, and repeating sooner is but more load.
const overloadRetryAfter = 100 * time.Millisecond

// NewAdmission returns an Admission that has taken nothing yet.
func NewAdmission(l Limits) *Admission {
	return &Admission{
		limits:     l,
		full:       toStatus(fmt.Errorf("%w: %d calls are under way, and no more are taken", errOverloaded, l.InFlight)),
		connection: toStatus(fmt.Errorf("%w: %d calls of this connection are under way, and no more of it are taken", errOverloaded, l.InFlightPerConnection)),
		slow:       patience{limit: l.LongestArrival, answer: status.Convert(toStatus(errSlow(l.LongestArrival)))},
		long:       patience{limit: l.LongestCall, answer: status.Convert(toStatus(errLong(l.LongestCall)))},
	}
}

// InFlight returns how many calls are under way.
func (a *Admission) InFlight() int64 { return a.inFlight.Load() }

// grpcServices begins the methods of gRPC's own services: health, which answers
// under any load or else a busy sidecar is taken for a dead one, and reflection.
const grpcServices = "/grpc."

// Intercept takes a call or refuses it. One whose time is up is not begun.
func (a *Admission) Intercept(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if strings.HasPrefix(info.FullMethod, grpcServices) {
		return handle(ctx, in)
	}
	if err := timeUp(ctx); err != nil {
		return nil, toStatus(&account.Fault{Reason: account.CallerGone, Detail: "the caller's time was up before the call was begun", Err: err})
	}
	if c := connectionOf(ctx); c != nil {
		if !take(&c.inFlight, a.limits.InFlightPerConnection) {
			return nil, a.connection
		}
		defer c.inFlight.Add(-1)
	}
	if !take(&a.inFlight, a.limits.InFlight) {
		return nil, a.full
	}
	defer a.inFlight.Add(-1)
	now := time.Now()
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(now) <= a.limits.LongestCall {
		return handle(ctx, in)
	}
	until := now.Add(a.limits.LongestCall)
	call, ok := grpc.ServerTransportStreamFromContext(ctx).(ender)
	if !ok {
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		return handle(ctx, in)
	}
	defer a.long.begin(call, now).over()
	return handle(&bounded{ctx, until}, in)
}

// errLong answers calls that take too long. Nobody asks them how far they are.
func errLong(limit time.Duration) error {
	return &account.Fault{
		Reason: account.OutcomeUnknown,
		Detail: fmt.Sprintf("the call took longer than %v: the request may have been counted; repeat it with the same request id", limit),
	}
}

// take takes one more, if there is one left. What is refused is never counted,
// so that refusals do not keep others out.
func take(taken *atomic.Int64, limit int) bool {
	for {
		n := taken.Load()
		if n >= int64(limit) {
			return false
		}
		if taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// timeUp returns why nobody waits for a call any more. Under load the timer of a
// deadline fires late, so the clock is asked too.
func timeUp(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
