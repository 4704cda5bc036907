package bench

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The echo is the least that a gRPC server can be: it answers what was prepared,
// without a look at what it was asked. It does so in two ways. Bare: messages have
// as many bytes as imquota's, in one field; a batch is a list of such messages.
// Typed: they are imquota's own, whose many fields take a good part of what a call
// costs: what the contract costs before anything is decided.
const (
	echoService  = "imquota.bench.Echo"
	bareOne      = "/" + echoService + "/BareOne"
	bareBatch    = "/" + echoService + "/BareBatch"
	typedCheck   = "/" + echoService + "/TypedCheck"
	typedRelease = "/" + echoService + "/TypedRelease"
	typedBatch   = "/" + echoService + "/TypedBatch"
	echoPrepare  = "/" + echoService + "/Prepare"
	echoCPU      = "/" + echoService + "/CPU"
)

// Echo is the server's side.
type Echo struct{ prepared atomic.Pointer[answers] }

// answers are those of a sample.
type answers struct {
	one      *wrapperspb.BytesValue
	many     *blobs
	checks   []*imquotav1.CheckQuotaResponse
	releases []*imquotav1.ReleaseQuotaResponse
	batch    *imquotav1.BatchCheckQuotaResponse
}

// blobs is a list of messages of one field each; of those that are at hand.
type blobs = errdetails.QuotaFailure

// Register serves the echo.
func (e *Echo) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: echoService,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			prepared[wrapperspb.BytesValue](e, "BareOne", func(a *answers) any { return a.one }),
			prepared[blobs](e, "BareBatch", func(a *answers) any { return a.many }),
			prepared[imquotav1.CheckQuotaRequest](e, "TypedCheck", func(a *answers) any { return a.checks[rand.IntN(len(a.checks))] }),
			prepared[imquotav1.ReleaseQuotaRequest](e, "TypedRelease", func(a *answers) any { return a.releases[rand.IntN(len(a.releases))] }),
			prepared[imquotav1.BatchCheckQuotaRequest](e, "TypedBatch", func(a *answers) any { return a.batch }),
			unary("Prepare", e.prepare), unary("CPU", e.cpu),
		},
	}, e)
}

// prepared describes a method that answers something of what was prepared.
func prepared[In any, P interface {
	*In
	proto.Message
}](e *Echo, name string, of func(*answers) any) grpc.MethodDesc {
	return unary(name, func(P) (any, error) {
		if a := e.prepared.Load(); a != nil {
			return of(a), nil
		}
		return nil, errUnprepared
	})
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

// prepare takes answers of imquota: a batch is answered by them all, a typed call
// by one of them, and a bare one by as many bytes as they have on average.
func (e *Echo) prepare(in *imquotav1.BatchCheckQuotaResponse) (*emptypb.Empty, error) {
	if len(in.GetItems()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "items: are empty")
	}
	a := &answers{batch: in, many: &blobs{}}
	bytes := 0
	for _, item := range in.GetItems() {
		check := &imquotav1.CheckQuotaResponse{Decision: item.GetDecision()}
		a.checks = append(a.checks, check)
		a.releases = append(a.releases, &imquotav1.ReleaseQuotaResponse{Decision: item.GetDecision()})
		a.many.Violations = append(a.many.Violations, blobOf(proto.Size(item)))
		bytes += proto.Size(check)
	}
	a.one = blob(bytes / len(a.checks))
	e.prepared.Store(a)
	return &emptypb.Empty{}, nil
}

func (*Echo) cpu(*emptypb.Empty) (*durationpb.Duration, error) {
	used, err := UsedCPU()
	return durationpb.New(used), err
}

// A message of one short field takes two bytes more on the wire than what is in it.
const frame = 2

// padding is what messages are made of that only have a size.
var padding = strings.Repeat("x", 1<<16)

// blob is a message of so many bytes.
func blob(size int) *wrapperspb.BytesValue {
	return &wrapperspb.BytesValue{Value: []byte(padding[:max(0, size-frame)])}
}

// blobOf is one of blobs, of so many bytes.
func blobOf(size int) *errdetails.QuotaFailure_Violation {
	return &errdetails.QuotaFailure_Violation{Description: padding[:min(len(padding), max(0, size-frame))]}
}
