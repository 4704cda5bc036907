package server

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"google.golang.org/grpc"
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

// arrival is a call whose request is not whole yet. They are used again.
type arrival struct {
	admission *Admission
	counts    [2]*atomic.Int64 // of all connections, and of one
	term      *term            // nil: nothing could end it
	decode    func(any) error

	// read is the method of that name: to take it from a value costs an allocation.
	read func(any) error
}

// arrive lets the request of a call arrive, or refuses the call before it is read.
func (a *Admission) arrive(ctx context.Context, isOwn bool) (*arrival, error) {
	most, mostOfOne := a.limits.InFlight, a.limits.InFlightPerConnection
	if isOwn {
		most, mostOfOne = ownArriving, ownArrivingPerConnection
	}
	all, ofOne := a.arriving.of(isOwn), (*atomic.Int64)(nil)
	if c := connectionOf(ctx); c != nil {
		ofOne = c.arriving.of(isOwn)
		if !take(ofOne, mostOfOne) {
			return nil, a.connection
		}
	}
	if !take(all, most) {
		if ofOne != nil {
			ofOne.Add(-1)
		}
		return nil, a.full
	}
	in, ok := a.arrivals.Get().(*arrival)
	if !ok {
		in = &arrival{admission: a}
		in.read = in.readOne
	}
	in.counts = [...]*atomic.Int64{all, ofOne}
	if call, ok := grpc.ServerTransportStreamFromContext(ctx).(ender); ok {
		in.term = a.slow.begin(call, time.Now())
	}
	return in, nil
}

// whole says that the request is there, or will never be.
func (in *arrival) whole() {
	for _, n := range in.counts {
		if n != nil {
			n.Add(-1)
		}
	}
	if in.term != nil {
		in.term.over()
	}
	in.term, in.decode = nil, nil
	in.admission.arrivals.Put(in)
}

// readOne reads the one request of a call.
func (in *arrival) readOne(into any) error {
	err := in.decode(into)
	in.whole()
	return err
}

// errSlow answers calls whose requests do not come.
func errSlow(limit time.Duration) error {
	return &account.Fault{Reason: account.CallerGone, Detail: fmt.Sprintf("the request did not arrive within %v", limit), Err: context.Canceled}
}

// Registrar returns what registers services with r and has the requests of their
// calls bounded while they arrive.
func (a *Admission) Registrar(r grpc.ServiceRegistrar) grpc.ServiceRegistrar {
	return &registrar{r, a}
}

type registrar struct {
	services  grpc.ServiceRegistrar
	admission *Admission
}

// RegisterService implements grpc.ServiceRegistrar.
func (r *registrar) RegisterService(desc *grpc.ServiceDesc, service any) {
	isOwn := strings.HasPrefix("/"+desc.ServiceName, grpcServices)
	bounded := *desc
	bounded.Methods, bounded.Streams = nil, nil
	for _, m := range desc.Methods {
		m.Handler = r.admission.unary(m.Handler, isOwn)
		bounded.Methods = append(bounded.Methods, m)
	}
	for _, s := range desc.Streams {
		s.Handler = r.admission.stream(s.Handler, isOwn)
		bounded.Streams = append(bounded.Streams, s)
	}
	r.services.RegisterService(&bounded, service)
}

// unary bounds calls of one request, which generated handlers read first of all.
func (a *Admission) unary(handle grpc.MethodHandler, isOwn bool) grpc.MethodHandler {
	return func(service any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		in, err := a.arrive(ctx, isOwn)
		if err != nil {
			return nil, err
		}
		in.decode = decode
		return handle(service, ctx, in.read, intercept)
	}
}

// stream bounds calls until the first of their requests is there.
func (a *Admission) stream(handle grpc.StreamHandler, isOwn bool) grpc.StreamHandler {
	return func(service any, stream grpc.ServerStream) error {
		in, err := a.arrive(stream.Context(), isOwn)
		if err != nil {
			return err
		}
		s := &arrivingStream{stream, in}
		defer s.whole()
		return handle(service, s)
	}
}

// arrivingStream is a stream that says when its first request is there.
type arrivingStream struct {
	grpc.ServerStream
	first *arrival // nil: it is there
}

// RecvMsg implements grpc.ServerStream.
func (s *arrivingStream) RecvMsg(into any) error {
	err := s.ServerStream.RecvMsg(into)
	s.whole()
	return err
}

func (s *arrivingStream) whole() {
	if s.first != nil {
		s.first.whole()
		s.first = nil
	}
}

// Arriving returns how many calls' requests are not whole yet.
func (a *Admission) Arriving() int64 { return a.arriving.calls.Load() + a.arriving.own.Load() }
