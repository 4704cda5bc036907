package bench

import (
	"context"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// bareCaller asks the echo for as many bytes as would be asked of imquota.
type bareCaller struct {
	conn    grpc.ClientConnInterface
	isBatch bool
}

// BareCaller returns a Caller that asks an echo at the other end of a connection,
// by messages that have the size of imquota's.
func BareCaller(conn grpc.ClientConnInterface, isBatch bool) Caller {
	return &bareCaller{conn, isBatch}
}

// Call implements Caller.
func (e *bareCaller) Call(ctx context.Context, c *Call) (Outcome, error) {
	switch {
	case c.Release != nil:
		return Outcome{}, e.one(ctx, c.Release)
	case !e.isBatch:
		return Outcome{}, e.one(ctx, c.Checks[0])
	}
	var in, out blobs
	for _, check := range c.Checks {
		in.Violations = append(in.Violations, blobOf(proto.Size(check)))
	}
	return Outcome{}, e.conn.Invoke(ctx, bareBatch, &in, &out)
}

func (e *bareCaller) one(ctx context.Context, in proto.Message) error {
	var out wrapperspb.BytesValue
	return e.conn.Invoke(ctx, bareOne, blob(proto.Size(in)), &out)
}

// typedCaller asks the echo what would be asked of imquota.
type typedCaller struct {
	conn    grpc.ClientConnInterface
	isBatch bool
}

// TypedCaller returns a Caller that asks an echo at the other end of a connection,
// by imquota's own messages.
func TypedCaller(conn grpc.ClientConnInterface, isBatch bool) Caller {
	return &typedCaller{conn, isBatch}
}

// Call implements Caller.
func (e *typedCaller) Call(ctx context.Context, c *Call) (Outcome, error) {
	switch {
	case c.Release != nil:
		var out imquotav1.ReleaseQuotaResponse
		return Outcome{}, e.conn.Invoke(ctx, typedRelease, c.Release, &out)
	case !e.isBatch:
		var out imquotav1.CheckQuotaResponse
		return Outcome{}, e.conn.Invoke(ctx, typedCheck, c.Checks[0], &out)
	}
	var out imquotav1.BatchCheckQuotaResponse
	return Outcome{}, e.conn.Invoke(ctx, typedBatch, &imquotav1.BatchCheckQuotaRequest{Items: c.Checks}, &out)
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
