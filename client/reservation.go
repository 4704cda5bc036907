package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	// defaultHold is the server's default too; it is sent, because the creation's
	// deadline follows from it.
	defaultHold = 30 * time.Second
	// minHold is the shortest that the server accepts.
	minHold = time.Second
	// maxMargin is the most that is left of a hold to commit in.
	maxMargin = 5 * time.Second
)

// margin is how long before a hold the creation has to end. It covers the commit,
// and sidecars whose clocks are ahead of the one that placed the hold.
func margin(hold time.Duration) time.Duration { return min(hold/4, maxMargin) }

var (
	errRequest  = errors.New("imquota: leave request_id empty, and mode empty or MODE_RESERVE: Reserve sets them")
	errNoHold   = errors.New("imquota: allowed, but not reserved: the server does not know MODE_RESERVE")
	errHoldEnds = errors.New("the hold is about to end")
)

// Reserve holds what r asks for, runs create, and counts it: a create_group,
// add_group_members or add_friend, with a hold if 30 seconds is not right.
// request_id and mode are left empty. It returns the decision of the commit; or,
// with no error, a denial, and create was not called. It is nil with an error.
//
// create is called once at most, by the caller's goroutine. It returns nil when
// it is sure that the creation happened, [ErrOutcomeUnknown] when it is not sure
// either way, and any other error when it is sure that nothing happened, also
// when its context ended. That context is ctx, and ends before the hold does.
//
// Reserving is repeated for Options.Timeout, until ctx ends, or the creation would
// have no time left. An error that comes before the creation may leave a hold that
// nobody knows of, if the reply was lost: it ends by itself, and until then the
// group's id is taken for other requests.
//
// What follows the creation does not end with ctx: it is tried for Options.Settle.
// When create fails, the reservation is cancelled, and its error is returned,
// joined with that of a cancellation which failed; the hold then ends by itself.
// When it panics, or ends its goroutine, the reservation is cancelled on the way.
// When it succeeds, also after ctx has ended, the reservation is committed. A
// commit after the hold had ended is judged anew (Decision.Late). Errors:
// *[NotCountedError], *[UnsettledError].
func (c *Client) Reserve(ctx context.Context, r *imquotav1.CheckQuotaRequest, create func(ctx context.Context) error) (*imquotav1.Decision, error) {
	if m := r.GetMode(); r.GetRequestId() != "" || (m != imquotav1.Mode_MODE_UNSPECIFIED && m != imquotav1.Mode_MODE_RESERVE) {
		return nil, errRequest
	}
	r = c.reserving(r)
	// The server places the hold later than this, however often it is asked.
	hold := max(r.GetHold().AsDuration(), minHold)
	now := time.Now()
	holding, cancel := context.WithDeadlineCause(ctx, now.Add(hold-margin(hold)), errHoldEnds)
	defer cancel()
	held, err := repeat(holding, now.Add(c.timeout), func(ctx context.Context) (*imquotav1.Decision, error) {
		out, err := c.quotas.CheckQuota(ctx, r)
		return out.GetDecision(), err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("imquota: reserving: %w", err)
	case !held.GetAllowed():
		return held, nil
	case held.GetReservationId() == "":
		return nil, errNoHold
	}
	s := &reservation{Client: c, app: r.GetAppId(), id: held.GetReservationId(), view: r.GetView()}
	if err := s.create(holding, create); err != nil {
		return nil, err
	}
	return s.commit(ctx)
}

// reserving returns the request that is sent.
func (c *Client) reserving(r *imquotav1.CheckQuotaRequest) *imquotav1.CheckQuotaRequest {
	r = proto.CloneOf(r)
	r.Mode, r.RequestId, r.Client = imquotav1.Mode_MODE_RESERVE, rand.Text(), c.named(r.GetClient())
	if r.GetHold() == nil {
		r.Hold = durationpb.New(defaultHold)
	}
	return r
}

// Commit counts what a reservation holds, as [UnsettledError] left it. It is
// repeated until ctx ends. Committing twice counts once, and answers `replayed`.
// After the hold had ended it is judged anew: the decision says `late`, and may
// be a denial.
func (c *Client) Commit(ctx context.Context, appID uint32, reservationID string) (*imquotav1.Decision, error) {
	d, err := (&reservation{Client: c, app: appID, id: reservationID}).askCommit(ctx)
	if err != nil {
		return nil, fmt.Errorf("imquota: committing reservation %s: %w", reservationID, err)
	}
	return d, nil
}

// Cancel gives back what a reservation holds, as [UnsettledError] left it. It is
// repeated until ctx ends. Cancelling twice answers `replayed`; one that was
// committed is FAILED_PRECONDITION, RESERVATION_COMMITTED.
func (c *Client) Cancel(ctx context.Context, appID uint32, reservationID string) (*imquotav1.Decision, error) {
	d, err := (&reservation{Client: c, app: appID, id: reservationID}).askCancel(ctx)
	if err != nil {
		return nil, fmt.Errorf("imquota: cancelling reservation %s: %w", reservationID, err)
	}
	return d, nil
}

// reservation is one that was placed.
type reservation struct {
	*Client
	app  uint32
	id   string
	view imquotav1.View
}

// create runs a creation, and cancels unless it succeeds.
func (s *reservation) create(ctx context.Context, create func(context.Context) error) (err error) {
	returned := false
	defer func() {
		if returned && (err == nil || errors.Is(err, ErrOutcomeUnknown)) {
			return
		}
		// Not recovered from: a panic keeps its stack.
		settling, stop := s.settling(ctx)
		defer stop()
		if _, fault := s.Cancel(settling, s.app, s.id); fault != nil {
			err = errors.Join(err, fault)
		}
	}()
	if err = ctx.Err(); err == nil { // nobody waits for it, or it would be late
		err = create(ctx)
	} else {
		err = fmt.Errorf("imquota: not begun: %w", context.Cause(ctx))
	}
	returned = true
	if errors.Is(err, ErrOutcomeUnknown) {
		return s.unsettled(err)
	}
	return err
}

// commit commits after a creation, and finds out what became of it.
func (s *reservation) commit(ctx context.Context) (*imquotav1.Decision, error) {
	ctx, stop := s.settling(ctx)
	defer stop()
	d, fault := s.askCommit(ctx)
	if fault == nil && d.GetAllowed() {
		return d, nil
	}
	if fault != nil && IsUnanswered(fault) {
		return nil, s.unsettled(fault)
	}
	// It is not counted, as far as this answer tells; but one of the attempts
	// before may still be on its way. Cancelled, the reservation is closed to it.
	_, err := s.askCancel(ctx)
	switch {
	case err == nil || reason(err) == "RESERVATION_NOT_FOUND":
		return nil, &NotCountedError{AppID: s.app, ReservationID: s.id, Decision: d, Err: fault}
	case reason(err) != "RESERVATION_COMMITTED":
		return nil, s.unsettled(fmt.Errorf("not counted, and cancelling: %w", err))
	}
	// That attempt was the first to arrive.
	d, err = s.askCommit(ctx)
	switch {
	case err != nil:
		return nil, s.unsettled(err)
	case !d.GetAllowed(): // the app has just gone
		return nil, &NotCountedError{AppID: s.app, ReservationID: s.id, Decision: d}
	}
	return d, nil
}

func (s *reservation) unsettled(err error) error {
	return &UnsettledError{AppID: s.app, ReservationID: s.id, Err: err}
}

// settling returns a context for what has to be done after the creation, whoever
// waits for it.
func (s *reservation) settling(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.settle)
}

func (s *reservation) askCommit(ctx context.Context) (*imquotav1.Decision, error) {
	return repeat(ctx, time.Time{}, func(ctx context.Context) (*imquotav1.Decision, error) {
		out, err := s.quotas.CommitReservation(ctx, &imquotav1.CommitReservationRequest{AppId: s.app, ReservationId: s.id, View: s.view})
		return out.GetDecision(), err
	})
}

func (s *reservation) askCancel(ctx context.Context) (*imquotav1.Decision, error) {
	return repeat(ctx, time.Time{}, func(ctx context.Context) (*imquotav1.Decision, error) {
		out, err := s.quotas.CancelReservation(ctx, &imquotav1.CancelReservationRequest{AppId: s.app, ReservationId: s.id, View: imquotav1.View_VIEW_BASIC})
		return out.GetDecision(), err
	})
}
