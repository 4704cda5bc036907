package client

import (
	"fmt"
	"regexp"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// itemOf begins a field's path that tells the item of a batch too.
var itemOf = regexp.MustCompile(`^items\[\d+\]\.`)

// fromItem returns what an item of a batch was answered, as a call of its own would
// have been.
func fromItem(item *imquotav1.BatchItem) (*imquotav1.Decision, error) {
	if e := item.GetError(); e != nil {
		return nil, fromItemError(e)
	}
	return decided(item.GetDecision(), nil)
}

// errUndecided says that an answer has neither a decision nor an error. Whatever it
// is of, it is not a denial.
var errUndecided = status.Error(codes.Internal, "the answer has no decision")

// decided makes sure that what is no error is a decision.
func decided(d *imquotav1.Decision, err error) (*imquotav1.Decision, error) {
	if err == nil && d == nil {
		return nil, errUndecided
	}
	return d, err
}

// fromItemError returns the error that a call of its own would have ended with.
func fromItemError(e *imquotav1.ItemError) error {
	code := codes.Code(uint32(e.GetCode()))
	if code == codes.OK {
		return fmt.Errorf("%w: %s", errUndecided, e.GetMessage())
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{
		Reason: strings.TrimPrefix(e.GetReason().String(), "ERROR_REASON_"), Domain: errorDomain,
	}}
	if len(e.GetFieldViolations()) > 0 {
		b := &errdetails.BadRequest{}
		for _, v := range e.GetFieldViolations() {
			b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: itemOf.ReplaceAllString(v.GetField(), ""), Description: v.GetDescription(),
			})
		}
		details = append(details, b)
	}
	if e.GetRetryDelay() != nil {
		details = append(details, &errdetails.RetryInfo{RetryDelay: e.GetRetryDelay()})
	}
	st := status.New(code, e.GetMessage())
	if with, err := st.WithDetails(details...); err == nil {
		st = with
	}
	return st.Err()
}
