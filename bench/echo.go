package bench

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The echo is the least that a gRPC server can be which takes imquota's requests:
// it answers what was prepared, without a look at what it was asked. Its messages
// are imquota's own, for what they cost to read and to write depends on how many
// fields they have more than on their size: a message of one field of as many bytes
// is answered a third faster, and nobody could ask anything by it.
const (
	echoService = "imquota.bench.Echo"
	echoCheck   = "/" + echoService + "/Check"
	echoRelease = "/" + echoService + "/Release"
	echoBatch   = "/" + echoService + "/Batch"
	echoPrepare = "/" + echoService + "/Prepare"
	echoCPU     = "/" + echoService + "/CPU"
)

// Echo is the server's side.
type Echo struct{ prepared atomic.Pointer[answers] }

// answers are those of a sample.
type answers struct {
	batch    *imquotav1.BatchCheckQuotaResponse
	checks   []*imquotav1.CheckQuotaResponse
	releases []*imquotav1.ReleaseQuotaResponse
}

// Register serves the echo.
func (e *Echo) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: echoService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary("Check", e.check), unary("Release", e.release), unary("Batch", e.answerBatch),
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
var errUnprepared = status.Error(codes.FailedPrecondition, "the echo was not prepared")

func (e *Echo) check(*imquotav1.CheckQuotaRequest) (*imquotav1.CheckQuotaResponse, error) {
	if a := e.prepared.Load(); a != nil {
		return a.checks[rand.IntN(len(a.checks))], nil
	}
	return nil, errUnprepared
}

func (e *Echo) release(*imquotav1.ReleaseQuotaRequest) (*imquotav1.ReleaseQuotaResponse, error) {
	if a := e.prepared.Load(); a != nil {
		return a.releases[rand.IntN(len(a.releases))], nil
	}
	return nil, errUnprepared
}

func (e *Echo) answerBatch(*imquotav1.BatchCheckQuotaRequest) (*imquotav1.BatchCheckQuotaResponse, error) {
	if a := e.prepared.Load(); a != nil {
		return a.batch, nil
	}
	return nil, errUnprepared
}

// prepare takes answers of imquota: a batch is answered by them all, anything else
// by one of them.
func (e *Echo) prepare(in *imquotav1.BatchCheckQuotaResponse) (*emptypb.Empty, error) {
	if len(in.GetItems()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "items: are empty")
	}
	a := &answers{batch: in}
	for _, item := range in.GetItems() {
		a.checks = append(a.checks, &imquotav1.CheckQuotaResponse{Decision: item.GetDecision()})
		a.releases = append(a.releases, &imquotav1.ReleaseQuotaResponse{Decision: item.GetDecision()})
	}
	e.prepared.Store(a)
	return &emptypb.Empty{}, nil
}

func (*Echo) cpu(*emptypb.Empty) (*durationpb.Duration, error) {
	used, err := usedCPU()
	return durationpb.New(used), err
}

// echoCaller asks the echo what would be asked of imquota.
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
		var out imquotav1.ReleaseQuotaResponse
		return Outcome{}, e.conn.Invoke(ctx, echoRelease, c.Release, &out)
	case !e.isBatch:
		var out imquotav1.CheckQuotaResponse
		return Outcome{}, e.conn.Invoke(ctx, echoCheck, c.Checks[0], &out)
	}
	var out imquotav1.BatchCheckQuotaResponse
	return Outcome{}, e.conn.Invoke(ctx, echoBatch, &imquotav1.BatchCheckQuotaRequest{Items: c.Checks}, &out)
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
