package client

import (
	"errors"
	"fmt"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// IsUnanswered reports whether a fault is imquota's not answering (UNAVAILABLE,
// DEADLINE_EXCEEDED, CANCELLED), so that the same request may be answered later;
// others are about the request, or a defect.
func IsUnanswered(fault error) bool {
	c := status.Code(fault)
	return c == codes.Unavailable || c == codes.DeadlineExceeded || c == codes.Canceled
}

// RetryDelay returns how long a fault asks to wait before the request is repeated;
// zero when it does not say.
func RetryDelay(fault error) time.Duration {
	for _, d := range status.Convert(fault).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return max(info.GetRetryDelay().AsDuration(), 0)
		}
	}
	return 0
}

// ErrOutcomeUnknown is what a creation wraps when it cannot tell whether it
// happened, as when its own database did not answer. Reserve then neither counts
// nor gives back; see [UnsettledError].
var ErrOutcomeUnknown = errors.New("the outcome of the creation is unknown")

// NotCountedError says that the creation succeeded and that imquota does not
// count it, now or later: the reservation is cancelled, or gone, or its app is.
// Undo the creation, or count it over the limit with MODE_ADJUST.
type NotCountedError struct {
	AppID         uint32
	ReservationID string
	// Decision is the denial of a commit that came after the hold had ended, or to
	// an app that is gone; nil when Err says why.
	Decision *imquotav1.Decision
	// Err is the error of the commit, such as GROUP_EXISTS when another creation
	// of the group was counted after the hold had ended.
	Err error
}

// Error implements error.
func (e *NotCountedError) Error() string {
	why := "it is denied by now"
	if e.Err != nil {
		why = e.Err.Error()
	} else if v := e.Decision.GetViolations(); len(v) > 0 {
		why += ": " + v[0].GetMessage()
	}
	return fmt.Sprintf("imquota: created, but not counted (reservation %s): %s", e.ReservationID, why)
}

// Unwrap returns Err.
func (e *NotCountedError) Unwrap() error { return e.Err }

// UnsettledError says that a reservation is neither known to be committed nor to
// be cancelled: imquota could not be asked in time although the creation
// succeeded, or the creation said [ErrOutcomeUnknown]. Keep the id. [Client.Commit]
// counts what was created, once, up to a day later; [Client.Cancel] goes with
// undoing it, and answers RESERVATION_COMMITTED if it was counted after all and
// is to be released. What is left alone stops holding by itself.
type UnsettledError struct {
	AppID         uint32
	ReservationID string
	Err           error // why
}

// Error implements error.
func (e *UnsettledError) Error() string {
	return fmt.Sprintf("imquota: reservation %s is not settled: %v", e.ReservationID, e.Err)
}

// Unwrap returns Err.
func (e *UnsettledError) Unwrap() error { return e.Err }
