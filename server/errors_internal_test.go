package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/ratings"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var update = flag.Bool("update", false, "write the golden file anew")

// TestGoldenErrors pins what callers program against: the code, the reason and
// the details of every error that the domain knows.
func TestGoldenErrors(t *testing.T) {
	t.Parallel()
	fault := func(reason account.FaultReason, retryAfter time.Duration, err error) error {
		return &account.Fault{Reason: reason, Detail: "Redis at h:1 is not well", RetryAfter: retryAfter, Err: err}
	}
	errs := []error{
		&requestError{fields: []account.InvalidError{{Field: "app_id", Description: "must be greater than zero"}, {Field: "action", Description: "is missing"}}},
		&account.InvalidError{Field: "quota", Description: `unknown quota "x"`},
		fmt.Errorf("%w: syntax error", errMalformed), quota.ErrRequestReused, account.ErrRequestReused,
		account.ForApp(7, account.ErrAppNotFound), account.ForApp(7, account.ErrAppExists), account.ForApp(7, account.ErrAccountFull),
		account.ForApp(7, account.Gone(&account.State{Stage: account.Deleted, Since: time.Unix(0, 0)})),
		account.ForApp(7, account.ErrAppNotDisabled), account.ForApp(7, account.ErrNoOrder), account.ErrAccountNotFound,
		account.ErrBillNotFound, account.ErrBillExists, account.ErrTooManyBills,
		account.ErrAddOnActive, quota.ErrGroupExists, quota.ErrGroupType, quota.ErrGateways, quota.ErrOverflow,
		quota.ErrHoldNotFound, quota.ErrHoldCommitted, quota.ErrHoldCancelled,
		fmt.Errorf("app 7: %w", account.ErrUnknownEdition), account.ForApp(7, fmt.Errorf("catalog %q: %w", "2022-01-01", account.ErrUnknownCatalog)), account.ForApp(7, account.ErrUsageUnknown),
		account.ForApp(7, &ratings.NotApplicableError{Why: "a standard plan is in force", RPC: "QuoteUpgrade"}), &ratings.NotApplicableError{Why: "nothing ends"},
		account.ErrQuoteNotFound, ratings.ErrQuoteExpired, ratings.ErrQuoteAccepted, ratings.ErrQuoteOutdated, ratings.ErrTooManyOrders,
		fmt.Errorf("order %q: %w", "o1", ratings.ErrNotRefundable), fmt.Errorf("%w: again", ratings.ErrReturnRejected),
		account.ErrConflict, quota.ErrUnsettled, quota.ErrStale,
		fault(account.StoreUnavailable, 200*time.Millisecond, nil), fault(account.StoreReadOnly, 0, nil), fault(account.StoreEvicting, 0, nil), fault(account.ClockSkew, 0, nil), fault(account.RecordNewer, 0, nil),
		fault(account.StoreNotInitialized, 0, nil), fault(account.StoreOutOfMemory, 200*time.Millisecond, nil),
		fault(account.OutcomeUnknown, 200*time.Millisecond, nil), fault(account.UsageUnknown, 0, nil), fault(account.SlotMoving, 200*time.Millisecond, nil),
		fault(account.CallerGone, 0, context.DeadlineExceeded), fault(account.CallerGone, 0, context.Canceled),
		fmt.Errorf("%w: 4096 calls are under way, and no more are taken", errOverloaded),
		errDefect, errors.New("a cause that nobody foresaw"),
	}
	var got strings.Builder
	told := make(map[string]bool)
	for _, err := range errs {
		st := status.Convert(toStatus(err))
		if code := st.Code(); code == codes.ResourceExhausted || code == codes.Unknown {
			t.Errorf("%v answers %v, which is taken for a denial", err, code)
		}
		fmt.Fprintf(&got, "%v: %s\n", st.Code(), st.Message())
		for _, d := range st.Details() {
			switch d := d.(type) {
			case *errdetails.ErrorInfo:
				told[d.GetReason()] = true
				fmt.Fprintf(&got, "  ErrorInfo %s, %s, %v\n", d.GetReason(), d.GetDomain(), d.GetMetadata())
			case *errdetails.BadRequest:
				for _, v := range d.GetFieldViolations() {
					fmt.Fprintf(&got, "  field %s %s\n", v.GetField(), v.GetDescription())
				}
			case *errdetails.RetryInfo:
				fmt.Fprintf(&got, "  retry after %v\n", d.GetRetryDelay().AsDuration())
			}
		}
	}
	for number, name := range imquotav1.ErrorReason_name {
		reason := imquotav1.ErrorReason(number)
		if short := strings.TrimPrefix(name, "ERROR_REASON_"); !told[short] && reason != imquotav1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			t.Errorf("no error has the reason %s", short)
		}
	}
	const path = "testdata/errors.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// TestMalformed: an error that no service made gets a reason, others keep theirs.
func TestMalformed(t *testing.T) {
	t.Parallel()
	made := toStatus(&account.InvalidError{Field: "quota", Description: "unknown"})
	for _, tt := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"of a front", status.Error(codes.InvalidArgument, "syntax error"), codes.InvalidArgument, "MALFORMED_REQUEST"},
		{"of a service", made, codes.InvalidArgument, "INVALID_FIELD"},
		{"about no request", status.Error(codes.Unimplemented, "not served here"), codes.Unimplemented, "Unimplemented"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := Malformed(tt.err)
			if code := status.Code(got); code != tt.code || reasonOf(got) != tt.reason {
				t.Errorf("%v, %s; want %v, %s", code, reasonOf(got), tt.code, tt.reason)
			}
		})
	}
}
