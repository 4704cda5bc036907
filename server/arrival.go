package server

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

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
			return ctx, a.connection
		}
		counts = append(counts, ofOne)
	}
	all := a.arriving.of(isOwn)
	if !take(all, most) {
		for _, n := range counts {
			n.Add(-1)
		}
		return ctx, a.full
	}
	ctx, cancel := context.WithCancel(ctx)
	in := &arrival{counts: append(counts, all), late: time.AfterFunc(a.limits.LongestArrival, cancel)}
	in.forget = context.AfterFunc(ctx, in.end)
	return context.WithValue(ctx, arrivalKey{}, in), nil
}

// Arriving returns how many calls' requests are not whole yet.
func (a *Admission) Arriving() int64 { return a.arriving.calls.Load() + a.arriving.own.Load() }
