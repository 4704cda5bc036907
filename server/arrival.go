package server

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"
)

// arriving counts the calls whose request is not whole yet: each may hold as many
// bytes as a request may have, before anybody knows whether it will be taken.
type arriving struct {
	calls atomic.Int64
	own   atomic.Int64 // of gRPC's own services, so that no flood of calls keeps a probe out
}

// Of gRPC's own services so many calls may be arriving.
const (
	ownArriving              = 256
	ownArrivingPerConnection = 32
)

func (a *arriving) of(isOwn bool) *atomic.Int64 {
	if isOwn {
		return &a.own
	}
	return &a.calls
}

// arrival is a call whose request is not whole yet.
type arrival struct {
	counts []*atomic.Int64
	late   *time.Timer
	forget func() bool // that the call may end before
	isOver atomic.Bool
}

// arrivalKey is where a context has its arrival.
type arrivalKey struct{}

// whole says that the request is there. A stream of messages says so of each.
func (a *arrival) whole() {
	a.end()
	a.forget()
}

// end gives the places back, once.
func (a *arrival) end() {
	if !a.isOver.CompareAndSwap(false, true) {
		return
	}
	a.late.Stop()
	for _, n := range a.counts {
		n.Add(-1)
	}
}

// Tap lets a request arrive, or refuses the call before any of it is read. It is
// for grpc.InTapHandle.
func (a *Admission) Tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	isOwn := strings.HasPrefix(info.FullMethodName, grpcServices)
	most, mostOfOne := a.limits.InFlight, a.limits.InFlightPerConnection
	if isOwn {
		most, mostOfOne = ownArriving, ownArrivingPerConnection
	}
	counts := make([]*atomic.Int64, 0, 2)
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		ofOne := c.arriving.of(isOwn)
		if !take(ofOne, mostOfOne) {
			return a.refuse(ctx, a.connection)
		}
		counts = append(counts, ofOne)
	}
	all := a.arriving.of(isOwn)
	if !take(all, most) {
		for _, n := range counts {
			n.Add(-1)
		}
		return a.refuse(ctx, a.full)
	}
	ctx, cancel := context.WithCancel(ctx)
	in := &arrival{counts: append(counts, all), late: time.AfterFunc(a.limits.LongestArrival, cancel)}
	in.forget = context.AfterFunc(ctx, in.end)
	return context.WithValue(ctx, arrivalKey{}, in), nil
}

// mostRefused bounds the timers of calls that were refused by Tap. grpc-go lets
// each run until the call's deadline, which a caller may say to be years away.
const mostRefused = 10_000

// refuseKey is where a context has what ends a call before it is read.
type refuseKey struct{}

// refuse refuses a call. Where too many timers are left it ends as CANCELLED: then
// it is taken down as others are, and leaves none.
func (a *Admission) refuse(ctx context.Context, why error) (context.Context, error) {
	if _, ok := ctx.Deadline(); !ok {
		return ctx, why
	}
	if take(&a.refused, mostRefused) {
		context.AfterFunc(ctx, func() { a.refused.Add(-1) })
		return ctx, why
	}
	ctx, cancel := context.WithCancel(ctx)
	return context.WithValue(ctx, refuseKey{}, cancel), nil
}

// TagRPC implements stats.Handler. It is called before a request is read.
func (*Admission) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	if refuse, ok := ctx.Value(refuseKey{}).(context.CancelFunc); ok {
		refuse()
	}
	return ctx
}

// Arriving returns how many calls' requests are not whole yet.
func (a *Admission) Arriving() int64 { return a.arriving.calls.Load() + a.arriving.own.Load() }
