package bench

import (
	"context"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// Call is what goes to a server at once: checks, one or a batch of them, or a
// release.
type Call struct {
	Checks  []*imquotav1.CheckQuotaRequest
	Release *imquotav1.ReleaseQuotaRequest
}

// Size returns how many checks a call counts as. A release is one.
func (c *Call) Size() int { return max(1, len(c.Checks)) }

// Outcome is what became of a call that was answered.
type Outcome struct {
	Denied int    // checks
	Why    string // the first of them is
	Failed int    // items of a batch that were not decided
	Err    error  // of the first of them
}

// Caller sends calls, one at a time, and waits for their answers. It is what
// differs between imquota and its floors, and between ways to ask it.
type Caller interface {
	Call(ctx context.Context, c *Call) (Outcome, error)
}

// step is one check, or one release.
type step struct {
	check   *imquotav1.CheckQuotaRequest
	release *imquotav1.ReleaseQuotaRequest
}

// calls makes calls of steps.
type calls struct {
	next  func() step
	batch int // checks a call
	open  []*imquotav1.CheckQuotaRequest
}

// draw returns the next call. A release, which no batch carries, goes by itself
// and before the checks that were drawn for the next batch.
func (s *calls) draw() *Call {
	for {
		drawn := s.next()
		if drawn.release != nil {
			return &Call{Release: drawn.release}
		}
		if s.open == nil {
			s.open = make([]*imquotav1.CheckQuotaRequest, 0, s.batch)
		}
		if s.open = append(s.open, drawn.check); len(s.open) == s.batch {
			c := &Call{Checks: s.open}
			s.open = nil
			return c
		}
	}
}
