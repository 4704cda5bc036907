package client

import (
	"context"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// Answer is what a Check came to.
type Answer struct {
	// Decision is imquota's. It is nil when nothing was decided: see FailedOpen.
	Decision *imquotav1.Decision
	// FailedOpen is the fault that kept imquota from answering, of an action that
	// goes on all the same because Options.FailOpen says so. It may have been
	// counted, or not. It is nil when imquota decided.
	FailedOpen error
}

// Allowed reports whether the action may be done: imquota allowed it, or nobody
// decided and it FailedOpen.
func (a Answer) Allowed() bool { return a.FailedOpen != nil || a.Decision.GetAllowed() }

type answerKey struct{}

// NewContext returns a context that carries an answer, as the middleware of
// grpcquota and httpquota hands it to handlers.
func NewContext(ctx context.Context, a Answer) context.Context {
	return context.WithValue(ctx, answerKey{}, a)
}

// FromContext returns the answer that a context carries; not ok when the request
// was not checked.
func FromContext(ctx context.Context) (a Answer, ok bool) {
	a, ok = ctx.Value(answerKey{}).(Answer)
	return a, ok
}

// DeniedUntil returns when a denial passes by itself, because every limit that was
// exceeded is one of a day or a month. Not ok: it does not, or the decision is one
// of VIEW_BASIC, which does not tell.
func DeniedUntil(d *imquotav1.Decision) (reset time.Time, ok bool) {
	for _, v := range d.GetViolations() {
		at := resetOf(d, v)
		if at.IsZero() {
			return time.Time{}, false
		}
		if at.After(reset) {
			reset = at
		}
	}
	return reset, !reset.IsZero() && int(d.GetViolationCount()) == len(d.GetViolations())
}

// resetOf returns when the counter begins anew whose limit was exceeded; the zero
// time when it does not.
func resetOf(d *imquotav1.Decision, v *imquotav1.Violation) time.Time {
	if v.GetReason() != imquotav1.Reason_REASON_LIMIT_EXCEEDED {
		return time.Time{}
	}
	for _, q := range d.GetQuotas() {
		if q.GetQuota() == v.GetQuota() && q.GetSubject() == v.GetSubject() && q.GetResetTime() != nil {
			return q.GetResetTime().AsTime()
		}
	}
	return time.Time{}
}
