package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// quotaCaller asks imquota over a connection: one check a call, or a batch.
type quotaCaller struct {
	quotas  imquotav1.QuotaServiceClient
	isBatch bool
}

// QuotaCaller returns a Caller that asks imquota at the other end of a connection,
// for one check a call unless calls are batches.
func QuotaCaller(conn grpc.ClientConnInterface, isBatch bool) Caller {
	return &quotaCaller{imquotav1.NewQuotaServiceClient(conn), isBatch}
}

// Call implements Caller.
func (q *quotaCaller) Call(ctx context.Context, c *Call) (Outcome, error) {
	switch {
	case c.Release != nil:
		out, err := q.quotas.ReleaseQuota(ctx, c.Release)
		return outcome(out.GetDecision()), err
	case !q.isBatch:
		out, err := q.quotas.CheckQuota(ctx, c.Checks[0])
		return outcome(out.GetDecision()), err
	}
	out, err := q.quotas.BatchCheckQuota(ctx, &imquotav1.BatchCheckQuotaRequest{Items: c.Checks})
	if err != nil {
		return Outcome{}, err
	}
	if len(out.GetItems()) != len(c.Checks) {
		return Outcome{}, fmt.Errorf("%d items were answered of %d", len(out.GetItems()), len(c.Checks))
	}
	var all Outcome
	for _, item := range out.GetItems() {
		if e := item.GetError(); e != nil {
			all.Failed++
			if all.Err == nil {
				all.Err = &itemError{e}
			}
			continue
		}
		if one := outcome(item.GetDecision()); one.Denied > 0 {
			all.Denied, all.Why = all.Denied+1, cmp.Or(all.Why, one.Why)
		}
	}
	return all, nil
}

func outcome(d *imquotav1.Decision) Outcome {
	if d.GetAllowed() {
		return Outcome{}
	}
	out := Outcome{Denied: 1}
	if why := d.GetViolations(); len(why) > 0 {
		out.Why = why[0].GetMessage()
	}
	return out
}

// itemError is why an item of a batch was not decided.
type itemError struct{ item *imquotav1.ItemError }

// Error returns the server's words.
func (e *itemError) Error() string { return e.item.GetMessage() }

// reasonOf returns why a call or an item failed, in imquota's words, else gRPC's.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*itemError](err); ok {
		return strings.TrimPrefix(e.item.GetReason().String(), "ERROR_REASON_")
	}
	st, ok := status.FromError(err)
	if !ok {
		return "OTHER"
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return st.Code().String()
}
