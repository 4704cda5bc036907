package client

import (
	"context"
	"fmt"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Check asks whether an action may be done, and counts it unless the mode says
// otherwise. A denial is an answer and no error. r is not changed, and the caller's
// again once Check has returned.
//
// It goes out at once when few others are under way, and together with those who
// wait when they return (see the package comment). One that comes with options, or
// with metadata in its context, is an RPC of its own, at once.
//
// What could count twice is given a request id if it has none, so that a lost reply
// is asked for again, until Options.Timeout is over or ctx ends. An error is a
// fault: nothing is known of the action, unless the status says more. If
// Options.FailOpen lets the action go on instead, the answer says so.
func (c *Client) Check(ctx context.Context, r *imquotav1.CheckQuotaRequest, options ...grpc.CallOption) (Answer, error) {
	sent := c.complete(r)
	queue := c.counted
	if r.GetUseFeature() != nil {
		queue = c.features
	}
	gathers := queue != nil && len(options) == 0 && !bringsMetadata(ctx)
	d, err := repeat(ctx, time.Now().Add(c.timeout), func(ctx context.Context) (*imquotav1.Decision, error) {
		if gathers {
			return c.gathered(ctx, queue, sent)
		}
		return c.alone(ctx, sent, options...)
	})
	switch {
	case err == nil:
		return Answer{Decision: d}, nil
	case c.failsOpen(ctx, r, err):
		c.counts.failedOpen.Add(1)
		return Answer{FailedOpen: err}, nil
	}
	c.counts.faults.Add(1)
	return Answer{}, fmt.Errorf("imquota: checking: %w", err)
}

// alone asks by an RPC of its own.
func (c *Client) alone(ctx context.Context, r *imquotav1.CheckQuotaRequest, options ...grpc.CallOption) (*imquotav1.Decision, error) {
	c.counts.calls.Add(1)
	out, err := c.quotas.CheckQuota(ctx, r, options...)
	return decided(out.GetDecision(), err)
}

// bringsMetadata reports whether a caller wants something sent along.
func bringsMetadata(ctx context.Context) bool {
	md, _ := metadata.FromOutgoingContext(ctx)
	return len(md) > 0
}

// Release gives back what an action counted. Like Check it is given a request id
// if it has none and repeated; it is not gathered, and never goes on without an
// answer.
func (c *Client) Release(ctx context.Context, r *imquotav1.ReleaseQuotaRequest, options ...grpc.CallOption) (*imquotav1.Decision, error) {
	sent := c.completeRelease(r)
	d, err := repeat(ctx, time.Now().Add(c.timeout), func(ctx context.Context) (*imquotav1.Decision, error) {
		out, err := c.quotas.ReleaseQuota(ctx, sent, options...)
		return decided(out.GetDecision(), err)
	})
	if err != nil {
		c.counts.faults.Add(1)
		return nil, fmt.Errorf("imquota: releasing: %w", err)
	}
	return d, nil
}
