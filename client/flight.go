package client

import (
	"context"
	"fmt"
	"time"

	"github.com/imquota/imquota/gather"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// What a batch may hold: so many checks, which name so many ids in lists and have
// so many bytes. What a check takes of a flight is the largest of its shares of the
// three, in bytes, so that none is exceeded, and apps take turns by what is scarce.
const (
	maxBatchItems = 256
	maxListIDs    = 1000
	bytesPerItem  = maxBatchBytes / maxBatchItems
	bytesPerID    = 262
	maxBatchBytes = maxListIDs * bytesPerID // 144 less than the server takes
)

// limits are those of flights. Two keep the server busy while the answers of one
// are read; more are smaller ones, and go only where they take long: over a
// network, or while the store is slow.
var limits = gather.Limits{
	Flights: 2, More: 6, Apart: 100 * time.Microsecond,
	Items: maxBatchItems, Work: maxBatchBytes,
}

// check is one that gathers.
type check struct {
	ctx     context.Context //nolint:containedctx // of the call that the check is
	request *imquotav1.CheckQuotaRequest
	// encoded is the check as an item of a batch, once it is to wait: by the time it
	// is sent its caller may be gone, and its request the caller's again.
	encoded  []byte
	deadline time.Time

	decision *imquotav1.Decision
	err      error
	isAlone  bool // the batch was refused as a whole
}

// gathered asks at once, alone, if there is room, and else with others.
func (c *Client) gathered(ctx context.Context, queue *gathering, r *imquotav1.CheckQuotaRequest) (*imquotav1.Decision, error) {
	if queue.enter() {
		defer queue.exit(time.Now())
		return c.alone(ctx, r)
	}
	defer queue.underWay.Add(-1)
	it := &gather.Item[check]{Value: check{ctx: ctx, request: r}, Of: uint64(r.GetAppId())}
	if queue.Try(it) {
		return it.Value.decision, it.Value.err
	}
	encoded, err := encode(r)
	ids := listedIDs(r)
	if err != nil || len(encoded) > maxBatchBytes || ids > maxListIDs {
		return c.alone(ctx, r) // for the server to say what is wrong with it
	}
	it.Work = max(len(encoded), ids*bytesPerID, bytesPerItem)
	it.Value.encoded = encoded
	it.Value.deadline, _ = ctx.Deadline()
	if err := queue.Do(ctx, it); err != nil {
		return nil, late(err, it.Sent())
	}
	if it.Value.isAlone {
		return c.alone(ctx, r)
	}
	return it.Value.decision, it.Value.err
}

// late is the error of a check whose time was up before there was an answer.
func late(err error, sent bool) error {
	what := "the check was not sent: others are under way, and the server does not answer them"
	if sent {
		what = "the check was sent, and the answer has not come"
	}
	return fmt.Errorf("%w: %w", err, status.Error(status.FromContextError(err).Code(), what))
}

// encode returns a check as a field of a batch.
func encode(r *imquotav1.CheckQuotaRequest) ([]byte, error) {
	size := proto.Size(r)
	b := make([]byte, 0, size+1+protowire.SizeVarint(uint64(size)))
	b = protowire.AppendTag(b, itemsField, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, r)
}

// itemsField is the number of BatchCheckQuotaRequest.items.
const itemsField = 1

// listedIDs counts the ids in a request's lists, as the server does.
func listedIDs(r *imquotav1.CheckQuotaRequest) int {
	return len(r.GetRegisterUsers().GetUserIds()) + len(r.GetCreateGroup().GetMemberIds()) + len(r.GetAddGroupMembers().GetUserIds())
}

// send is what a flight of the queue does.
func (c *Client) send(flight []*gather.Item[check]) {
	if v := &flight[0].Value; v.encoded == nil {
		v.decision, v.err = c.alone(v.ctx, v.request) // its caller's goroutine
		return
	}
	answers, err := c.batch(flight)
	for i, it := range flight {
		switch v := &it.Value; {
		case err == nil:
			v.decision, v.err = fromItem(answers[i])
		case IsUnanswered(err):
			v.err = err
		default:
			// It may be due to one of them, or to what is between; alone each is
			// told what it would have been.
			v.isAlone = true
		}
	}
}

// batch asks for many. No caller's context is that of all: theirs are not heeded,
// but for the latest of their deadlines. Nor is its goroutine any caller's, who
// could save it from a panic of an interceptor.
func (c *Client) batch(flight []*gather.Item[check]) (answers []*imquotav1.BatchItem, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = status.Errorf(codes.Internal, "panic: %v", cause)
		}
	}()
	size, deadline := 0, time.Time{}
	for _, it := range flight {
		size += len(it.Value.encoded)
		if it.Value.deadline.After(deadline) {
			deadline = it.Value.deadline
		}
	}
	items := make([]byte, 0, size)
	for _, it := range flight {
		items = append(items, it.Value.encoded...)
	}
	r := &imquotav1.BatchCheckQuotaRequest{}
	r.ProtoReflect().SetUnknown(items) // sent as it is
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	c.counts.batches.Add(1)
	c.counts.gathered.Add(int64(len(flight)))
	out, err := c.quotas.BatchCheckQuota(ctx, r)
	if n := len(out.GetItems()); err == nil && n != len(flight) {
		err = status.Errorf(codes.Internal, "%d checks were answered with %d decisions", len(flight), n)
	}
	return out.GetItems(), err
}
