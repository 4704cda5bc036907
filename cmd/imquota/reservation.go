package main

import (
	"context"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// reservationCmd ends what a check with --reserve began.
type reservationCmd struct {
	Commit reservationCommitCmd `cmd:"" help:"Count what a reservation holds."`
	Cancel reservationCancelCmd `cmd:"" help:"Give back what a reservation holds."`
}

// Help is printed below the summary.
func (reservationCmd) Help() string {
	return `A check with --reserve holds quotas until they are committed or cancelled, or the hold ends by
itself. A commit after that is judged anew. Both may be repeated. Example:

  imquota check create-group --app 1400000001 --group g1 --type work --reserve
  imquota reservation commit --app 1400000001 \
    --id 0123456789abcdef0123456789abcdef

Exit codes: 0 done, 2 denied (a late commit, an app that is gone), 1 a fault or wrong usage.`
}

// reservationFlags name a reservation.
type reservationFlags struct {
	appFlag
	clientFlags
	ID string `name:"id" help:"Id of the reservation, as the check told it." required:"" placeholder:"ID"`
}

type reservationCommitCmd struct{ reservationFlags }

// Run carries the command out.
func (c *reservationCommitCmd) Run(ctx context.Context, s *streams) error {
	out, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.CommitReservationResponse, error) {
			return conn.quotas.CommitReservation(ctx, &imquotav1.CommitReservationRequest{AppId: c.App, ReservationId: c.ID})
		}, decisionTable[*imquotav1.CommitReservationResponse]("committed", false))
	return deniedOr(out, err)
}

type reservationCancelCmd struct{ reservationFlags }

// Run carries the command out.
func (c *reservationCancelCmd) Run(ctx context.Context, s *streams) error {
	out, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.CancelReservationResponse, error) {
			return conn.quotas.CancelReservation(ctx, &imquotav1.CancelReservationRequest{AppId: c.App, ReservationId: c.ID})
		}, decisionTable[*imquotav1.CancelReservationResponse]("cancelled", false))
	return deniedOr(out, err)
}

// deniedOr ends with errDenied when the answer is no.
func deniedOr(out decided, err error) error {
	if err == nil && !out.GetDecision().GetAllowed() {
		return errDenied
	}
	return err
}
