package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/ratings"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// errorDomain is the domain of every ErrorInfo.
const errorDomain = "imquota"

// errMalformed says that a request is no message of the contract.
var errMalformed = errors.New("the request cannot be read")

// fault is an error as a caller sees it: the one mapping from errors of the
// domain to status codes and reasons.
type fault struct {
	code       codes.Code
	reason     imquotav1.ErrorReason
	message    string
	fields     []account.InvalidError
	metadata   map[string]string
	retryAfter time.Duration
}

// conditions are the errors that a caller, not an operator, can do something
// about.
var conditions = []struct {
	err    error
	code   codes.Code
	reason imquotav1.ErrorReason
}{
	{errMalformed, codes.InvalidArgument, imquotav1.ErrorReason_ERROR_REASON_MALFORMED_REQUEST},
	{quota.ErrRequestReused, codes.InvalidArgument, imquotav1.ErrorReason_ERROR_REASON_REQUEST_ID_REUSED},
	{account.ErrRequestReused, codes.InvalidArgument, imquotav1.ErrorReason_ERROR_REASON_REQUEST_ID_REUSED},
	{account.ErrAppNotFound, codes.NotFound, imquotav1.ErrorReason_ERROR_REASON_APP_NOT_FOUND},
	{account.ErrAppExists, codes.AlreadyExists, imquotav1.ErrorReason_ERROR_REASON_APP_EXISTS},
	{account.ErrAccountFull, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_ACCOUNT_FULL},
	{account.ErrAppNotDisabled, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_APP_NOT_DISABLED},
	{account.ErrNoOrder, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_NO_ORDER},
	{account.ErrAccountNotFound, codes.NotFound, imquotav1.ErrorReason_ERROR_REASON_ACCOUNT_NOT_FOUND},
	{account.ErrBillNotFound, codes.NotFound, imquotav1.ErrorReason_ERROR_REASON_BILL_NOT_FOUND},
	{account.ErrBillExists, codes.AlreadyExists, imquotav1.ErrorReason_ERROR_REASON_BILL_EXISTS},
	{account.ErrTooManyBills, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_TOO_MANY_BILLS},
	{account.ErrAddOnActive, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_ADD_ON_ACTIVE},
	{quota.ErrGroupExists, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_GROUP_EXISTS},
	{quota.ErrGroupType, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_GROUP_TYPE_MISMATCH},
	{quota.ErrGateways, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_TOO_MANY_GATEWAYS},
	{quota.ErrHoldNotFound, codes.NotFound, imquotav1.ErrorReason_ERROR_REASON_RESERVATION_NOT_FOUND},
	{quota.ErrHoldCommitted, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_RESERVATION_COMMITTED},
	{quota.ErrHoldCancelled, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_RESERVATION_CANCELLED},
	{quota.ErrOverflow, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_COUNTER_OVERFLOW},
	{account.ErrUnknownCatalog, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_UNKNOWN_CATALOG},
	{account.ErrUnknownEdition, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_UNKNOWN_EDITION},
	{account.ErrQuoteNotFound, codes.NotFound, imquotav1.ErrorReason_ERROR_REASON_QUOTE_NOT_FOUND},
	{ratings.ErrQuoteExpired, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_QUOTE_EXPIRED},
	{ratings.ErrQuoteAccepted, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_QUOTE_ACCEPTED},
	{ratings.ErrQuoteOutdated, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_QUOTE_OUTDATED},
	{ratings.ErrTooManyOrders, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_TOO_MANY_ORDERS},
	{ratings.ErrNotRefundable, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_NOT_REFUNDABLE},
	{ratings.ErrReturnRejected, codes.FailedPrecondition, imquotav1.ErrorReason_ERROR_REASON_RETURN_REJECTED},
	{account.ErrUsageUnknown, codes.Unavailable, imquotav1.ErrorReason_ERROR_REASON_USAGE_UNKNOWN},
	{quota.ErrStale, codes.Unavailable, imquotav1.ErrorReason_ERROR_REASON_CONFLICT},
	{account.ErrConflict, codes.Unavailable, imquotav1.ErrorReason_ERROR_REASON_CONFLICT},
	{quota.ErrUnsettled, codes.Unavailable, imquotav1.ErrorReason_ERROR_REASON_CONFLICT},
	{errOverloaded, codes.Unavailable, imquotav1.ErrorReason_ERROR_REASON_OVERLOADED},
}

// conflictRetryAfter is when others may have left an app's record alone.
const conflictRetryAfter = 50 * time.Millisecond

// toFault maps an error.
func toFault(err error) fault {
	if request, ok := errors.AsType[*requestError](err); ok {
		return fault{code: codes.InvalidArgument, reason: imquotav1.ErrorReason_ERROR_REASON_INVALID_FIELD, message: request.Error(), fields: request.fields}
	}
	if invalid, ok := errors.AsType[*account.InvalidError](err); ok {
		return fault{code: codes.InvalidArgument, reason: imquotav1.ErrorReason_ERROR_REASON_INVALID_FIELD, message: invalid.Error(), fields: []account.InvalidError{*invalid}}
	}
	if other, ok := errors.AsType[*ratings.NotApplicableError](err); ok {
		f := fault{code: codes.FailedPrecondition, reason: imquotav1.ErrorReason_ERROR_REASON_QUOTE_NOT_APPLICABLE, message: err.Error()}
		if other.RPC != "" {
			f.metadata = map[string]string{"rpc": other.RPC}
		}
		return f
	}
	for _, c := range conditions {
		if errors.Is(err, c.err) {
			f := fault{code: c.code, reason: c.reason, message: err.Error()}
			if c.reason == imquotav1.ErrorReason_ERROR_REASON_CONFLICT {
				f.retryAfter = conflictRetryAfter
			}
			if c.reason == imquotav1.ErrorReason_ERROR_REASON_OVERLOADED {
				f.retryAfter = overloadRetryAfter
			}
			if c.reason == imquotav1.ErrorReason_ERROR_REASON_REQUEST_ID_REUSED {
				f.fields = []account.InvalidError{{Field: "request_id", Description: err.Error()}}
			}
			return f
		}
	}
	if store, ok := errors.AsType[*account.Fault](err); ok {
		return storeFault(store)
	}
	return fault{code: codes.Internal, reason: imquotav1.ErrorReason_ERROR_REASON_INTERNAL, message: err.Error()}
}

// storeFault maps a fault of a store: the caller is told that nothing was
// decided, never something that looks like a denial.
func storeFault(f *account.Fault) fault {
	out := fault{code: codes.Unavailable, message: f.Detail, retryAfter: f.RetryAfter}
	out.reason = imquotav1.ErrorReason(imquotav1.ErrorReason_value["ERROR_REASON_"+string(f.Reason)])
	if f.Reason == account.CallerGone {
		out.code = codes.DeadlineExceeded
		if errors.Is(f.Err, context.Canceled) {
			out.code = codes.Canceled
		}
	}
	return out
}

// toStatus returns the error that a handler answers with.
func toStatus(err error) error {
	f := toFault(err)
	st := status.New(f.code, strings.ToValidUTF8(f.message, "\ufffd")) // as messages must be
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: shortReason(f.reason), Domain: errorDomain, Metadata: f.metadata}}
	if len(f.fields) > 0 {
		details = append(details, f.badRequest())
	}
	if f.retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.retryAfter)})
	}
	if with, err := st.WithDetails(details...); err == nil {
		st = with
	}
	return st.Err()
}

// shortReason is a reason as ErrorInfo carries it.
func shortReason(r imquotav1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// Malformed gives an error of a front about a request that cannot be read, and
// so never came to a service, the form of all others. Other errors stay.
func Malformed(err error) error {
	if st := status.Convert(err); st.Code() == codes.InvalidArgument && len(st.Details()) == 0 {
		return toStatus(fmt.Errorf("%w: %s", errMalformed, st.Message()))
	}
	return err
}

func (f fault) badRequest() *errdetails.BadRequest {
	b := &errdetails.BadRequest{}
	for _, v := range f.fields[:min(len(f.fields), maxShownFields)] {
		b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
	}
	return b
}

// toItemError returns the error of one item of a batch.
func toItemError(err error) *imquotav1.ItemError {
	f := toFault(err)
	e := &imquotav1.ItemError{Code: int32(f.code), Reason: f.reason, Message: f.message}
	for _, v := range f.fields[:min(len(f.fields), maxShownFields)] {
		e.FieldViolations = append(e.FieldViolations, &imquotav1.FieldViolation{Field: v.Field, Description: v.Description})
	}
	if f.retryAfter > 0 {
		e.RetryDelay = durationpb.New(f.retryAfter)
	}
	return e
}
