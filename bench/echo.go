package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The echo is the least that a gRPC server can be: it takes a message and answers
// one that was prepared, without a look at what it was asked.
const (
	echoService = "imquota.bench.Echo"
	echoOne     = "/" + echoService + "/One"
	echoBatch   = "/" + echoService + "/Batch"
	echoPrepare = "/" + echoService + "/Prepare"
	echoCPU     = "/" + echoService + "/CPU"
)

// Echo is the server's side.
type Echo struct {
	one   atomic.Pointer[wrapperspb.BytesValue]
	batch atomic.Pointer[imquotav1.BatchCheckQuotaResponse]
}

// Register serves the echo.
func (e *Echo) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: echoService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary("One", e.answerOne), unary("Batch", e.answerBatch),
			unary("Prepare", e.prepare), unary("CPU", e.cpu),
		},
	}, e)
}

// unary describes a method.
func unary[In any, Out any, P interface {
	*In
	proto.Message
}](name string, answer func(P) (Out, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			in := P(new(In))
			if err := decode(in); err != nil {
				return nil, err
			}
			if intercept == nil {
				return answer(in)
			}
			info := &grpc.UnaryServerInfo{FullMethod: "/" + echoService + "/" + name}
			return intercept(ctx, in, info, func(context.Context, any) (any, error) { return answer(in) })
		},
	}
}

// errUnprepared says that the echo does not know yet what to answer.
var errUnprepared = errors.New("the echo was not prepared")

func (e *Echo) answerOne(*wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	if out := e.one.Load(); out != nil {
		return out, nil
	}
	return nil, errUnprepared
}

func (e *Echo) answerBatch(*imquotav1.BatchCheckQuotaRequest) (*imquotav1.BatchCheckQuotaResponse, error) {
	if out := e.batch.Load(); out != nil {
		return out, nil
	}
	return nil, errUnprepared
}

// prepare takes answers of imquota: a batch is answered by them all, one check by
// as many bytes as they have on average.
func (e *Echo) prepare(in *imquotav1.BatchCheckQuotaResponse) (*emptypb.Empty, error) {
	size := 0
	for _, item := range in.GetItems() {
		size += proto.Size(&imquotav1.CheckQuotaResponse{Decision: item.GetDecision()})
	}
	e.one.Store(blob(size / max(1, len(in.GetItems()))))
	e.batch.Store(in)
	return &emptypb.Empty{}, nil
}

func (*Echo) cpu(*emptypb.Empty) (*durationpb.Duration, error) {
	used, err := usedCPU()
	return durationpb.New(used), err
}

// blob returns a message that takes so many bytes on the wire.
func blob(size int) *wrapperspb.BytesValue {
	m := &wrapperspb.BytesValue{Value: make([]byte, size)}
	m.Value = m.Value[:max(0, 2*size-proto.Size(m))]
	return m
}

// echoCaller asks the echo what would be asked of imquota: as many bytes, or the
// same batch.
type echoCaller struct {
	conn    grpc.ClientConnInterface
	isBatch bool
}

// EchoCaller returns a Caller that asks an echo at the other end of a connection.
func EchoCaller(conn grpc.ClientConnInterface, isBatch bool) Caller {
	return &echoCaller{conn, isBatch}
}

// Call implements Caller.
func (e *echoCaller) Call(ctx context.Context, c *Call) (Outcome, error) {
	switch {
	case c.Release != nil:
		return Outcome{}, e.one(ctx, c.Release)
	case !e.isBatch:
		return Outcome{}, e.one(ctx, c.Checks[0])
	}
	var out imquotav1.BatchCheckQuotaResponse
	return Outcome{}, e.conn.Invoke(ctx, echoBatch, &imquotav1.BatchCheckQuotaRequest{Items: c.Checks}, &out)
}

func (e *echoCaller) one(ctx context.Context, in proto.Message) error {
	var out wrapperspb.BytesValue
	return e.conn.Invoke(ctx, echoOne, blob(proto.Size(in)), &out)
}

// PrepareEcho tells an echo what imquota answers.
func PrepareEcho(ctx context.Context, conn grpc.ClientConnInterface, sample []*imquotav1.BatchItem) error {
	return conn.Invoke(ctx, echoPrepare, &imquotav1.BatchCheckQuotaResponse{Items: sample}, &emptypb.Empty{})
}

// EchoCPU asks an echo for the processor time it has used.
func EchoCPU(ctx context.Context, conn grpc.ClientConnInterface) (time.Duration, error) {
	var used durationpb.Duration
	err := conn.Invoke(ctx, echoCPU, &emptypb.Empty{}, &used)
	return used.AsDuration(), err
}
