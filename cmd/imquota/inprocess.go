package main

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// inProcess is a connection to services of this process, through the same
// interceptor as those of gRPC. The HTTP front calls them by it, so that there
// is no network between, and who is at the other end is not lost.
type inProcess struct {
	methods   map[string]method // by full name
	intercept grpc.UnaryServerInterceptor
}

type method struct {
	service any
	handle  grpc.MethodHandler
}

// RegisterService implements grpc.ServiceRegistrar.
func (c *inProcess) RegisterService(desc *grpc.ServiceDesc, service any) {
	for i := range desc.Methods {
		m := &desc.Methods[i]
		c.methods["/"+desc.ServiceName+"/"+m.MethodName] = method{service, m.Handler}
	}
}

// Invoke implements grpc.ClientConnInterface.
func (c *inProcess) Invoke(ctx context.Context, name string, in, out any, _ ...grpc.CallOption) error {
	m, ok := c.methods[name]
	if !ok {
		return status.Errorf(codes.Unimplemented, "%s is not served here", strings.TrimPrefix(name, "/"))
	}
	answer, err := m.handle(m.service, ctx, func(request any) error { return copyMessage(request, in) }, c.intercept)
	if err != nil {
		return err
	}
	return copyMessage(out, answer)
}

// NewStream implements grpc.ClientConnInterface.
func (c *inProcess) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "imquota has no streams")
}

func copyMessage(to, from any) error {
	target, isTarget := to.(proto.Message)
	source, isSource := from.(proto.Message)
	if !isTarget || !isSource {
		return status.Error(codes.Internal, "what is copied is no message")
	}
	proto.Merge(target, source)
	return nil
}
