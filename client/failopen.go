package client

import (
	"context"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// FailOpenFeatures is an Options.FailOpen: features go on when imquota cannot
// answer, because using one counts nothing. What is counted does not.
func FailOpenFeatures(r *imquotav1.CheckQuotaRequest) bool { return r.GetUseFeature() != nil }

// failsOpen reports whether an action goes on though it was not decided. That is
// for imquota being away, too slow or confused; not for a request that it refuses,
// nor for a caller who has hung up. What would be reserved cannot go on: there
// would be nothing to commit.
func (c *Client) failsOpen(ctx context.Context, r *imquotav1.CheckQuotaRequest, fault error) bool {
	return c.failOpen != nil && IsUnanswered(fault) && !isCanceled(ctx) &&
		r.GetMode() != imquotav1.Mode_MODE_RESERVE && c.failOpen(r)
}
