package grpcquota

import (
	"context"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
)

// Options configures the interceptors.
type Options struct {
	// Request returns what a call asks imquota for; nil: it is not checked. in is the
	// message of a unary call; nil of a stream, which is checked once, as it begins.
	Request func(ctx context.Context, fullMethod string, in any) *imquotav1.CheckQuotaRequest
	// Deny returns the error that a denied call ends with; [Denied] when nil.
	Deny func(ctx context.Context, d *imquotav1.Decision) error
	// Fault returns the error of a call that could not be checked, and does not fail
	// open; [Unchecked] when nil.
	Fault func(ctx context.Context, fault error) error
}

// Unary returns the interceptor of unary calls.
func Unary(c *client.Client, o Options) grpc.UnaryServerInterceptor {
	o = o.complete()
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		ctx, err := o.check(ctx, c, info.FullMethod, in)
		if err != nil {
			return nil, err
		}
		return handle(ctx, in)
	}
}

// Stream returns the interceptor of streams.
func Stream(c *client.Client, o Options) grpc.StreamServerInterceptor {
	o = o.complete()
	return func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		ctx, err := o.check(stream.Context(), c, info.FullMethod, nil)
		if err != nil {
			return err
		}
		return handle(service, &checked{stream, ctx})
	}
}

// checked is a stream whose context has the answer.
type checked struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream is where its handler gets it from
}

// Context implements grpc.ServerStream.
func (s *checked) Context() context.Context { return s.ctx }

func (o Options) complete() Options {
	if o.Deny == nil {
		o.Deny = func(_ context.Context, d *imquotav1.Decision) error { return Denied(d) }
	}
	if o.Fault == nil {
		o.Fault = func(_ context.Context, fault error) error { return Unchecked(fault) }
	}
	return o
}

// check returns the context that a call is handled with, or the error that it ends
// with. No override lets through what is not allowed.
func (o Options) check(ctx context.Context, c *client.Client, method string, in any) (context.Context, error) {
	r := o.Request(ctx, method, in)
	if r == nil {
		return ctx, nil
	}
	a, fault := c.Check(ctx, r)
	switch {
	case fault != nil:
		if err := o.Fault(ctx, fault); err != nil {
			return nil, err
		}
		return nil, Unchecked(fault)
	case !a.Allowed():
		if err := o.Deny(ctx, a.Decision); err != nil {
			return nil, err
		}
		return nil, Denied(a.Decision)
	}
	return client.NewContext(ctx, a), nil
}
