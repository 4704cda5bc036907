package client_test

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// scripted is a connection whose other end is a function, so that time can be
// the test's. It notes when it is called.
type scripted struct {
	answer func(ctx context.Context, method string, n int) (*imquotav1.Decision, error)
	begun  time.Time
	at     map[string][]time.Duration
	sent   []proto.Message
}

func script(answer func(ctx context.Context, method string, n int) (*imquotav1.Decision, error)) *scripted {
	return &scripted{answer: answer, begun: time.Now(), at: map[string][]time.Duration{}}
}

// Invoke implements grpc.ClientConnInterface.
func (s *scripted) Invoke(ctx context.Context, name string, in, out any, _ ...grpc.CallOption) error {
	method := path.Base(name)
	s.at[method] = append(s.at[method], time.Since(s.begun))
	s.sent = append(s.sent, proto.CloneOf(in.(proto.Message)))
	d, err := s.answer(ctx, method, len(s.at[method]))
	switch out := out.(type) {
	case *imquotav1.CheckQuotaResponse:
		out.Decision = d
	case *imquotav1.ReleaseQuotaResponse:
		out.Decision = d
	case *imquotav1.CommitReservationResponse:
		out.Decision = d
	case *imquotav1.CancelReservationResponse:
		out.Decision = d
	}
	return err
}

// NewStream implements grpc.ClientConnInterface.
func (*scripted) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.ErrUnsupported
}

var allowed = &imquotav1.Decision{Allowed: true, ReservationId: "0123456789abcdef0123456789abcdef"}

func fault(code codes.Code, reason string, retry time.Duration) error {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: "imquota"}}
	if retry > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	st, _ := status.New(code, "not now").WithDetails(details...)
	return st.Err()
}

func created(context.Context) error { return nil }

// hangs answers when nobody waits any more.
func hangs(ctx context.Context) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// TestWhatIsRepeated: every reason, and what has none.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	stays := []string{"STORE_EVICTING", "STORE_NOT_INITIALIZED", "STORE_OUT_OF_MEMORY", "USAGE_UNKNOWN", "CLOCK_SKEW", "RECORD_NEWER"}
	faults := map[error]bool{
		status.Error(codes.Unavailable, "connection refused"):    true,
		status.Error(codes.DeadlineExceeded, "the server's"):     true,
		fault(codes.Canceled, "CALLER_GONE", 0):                  true,
		fault(codes.Unavailable, "A_REASON_OF_TOMORROW", 0):      true,
		status.Error(codes.Unknown, "a proxy's"):                 false,
		status.Error(codes.Unimplemented, "an old server's"):     false,
		status.Error(codes.ResourceExhausted, "a proxy's"):       false,
		fault(codes.Internal, "INTERNAL", 0):                     false,
		fault(codes.InvalidArgument, "INVALID_FIELD", 0):         false,
		fault(codes.FailedPrecondition, "GROUP_EXISTS", 0):       false,
		fault(codes.NotFound, "APP_NOT_FOUND", time.Second):      false,
		fault(codes.PermissionDenied, "of somebody else's", 0):   false,
		errors.New("of a connection that does not speak status"): false,
	}
	other, _ := status.New(codes.Unavailable, "a proxy's").WithDetails(&errdetails.ErrorInfo{Reason: "USAGE_UNKNOWN", Domain: "proxy"})
	faults[other.Err()] = true
	for _, reason := range []string{
		"STORE_UNAVAILABLE", "STORE_READ_ONLY", "STORE_EVICTING", "STORE_NOT_INITIALIZED", "STORE_OUT_OF_MEMORY",
		"OUTCOME_UNKNOWN", "USAGE_UNKNOWN", "SLOT_MOVING", "CONFLICT", "OVERLOADED", "CLOCK_SKEW", "RECORD_NEWER",
	} {
		if _, ok := imquotav1.ErrorReason_value["ERROR_REASON_"+reason]; !ok {
			t.Errorf("%s is no reason", reason)
		}
		faults[fault(codes.Unavailable, reason, 200*time.Millisecond)] = !slices.Contains(stays, reason)
	}
	for err, isRepeated := range faults {
		synctest.Test(t, func(t *testing.T) {
			s := script(func(_ context.Context, method string, n int) (*imquotav1.Decision, error) {
				if method == "CheckQuota" && n == 1 {
					return nil, err
				}
				return allowed, nil
			})
			_, got := client.New(s, client.Options{}).Reserve(t.Context(), group("g1"), created)
			if isRepeated && (got != nil || len(s.at["CheckQuota"]) != 2) {
				t.Errorf("%v: %v after %v", err, got, s.at)
			}
			if !isRepeated && (!errors.Is(got, err) || len(s.at["CheckQuota"]) != 1 || time.Since(s.begun) > 0) {
				t.Errorf("%v: %v after %v", err, got, s.at)
			}
		})
	}
}

// TestPauses: they grow up to a second, are drawn at random, and come on top of
// what the server asks for.
func TestPauses(t *testing.T) {
	t.Parallel()
	for _, asked := range []time.Duration{0, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := script(func(context.Context, string, int) (*imquotav1.Decision, error) {
				return nil, fault(codes.Unavailable, "OVERLOADED", asked)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := client.New(s, client.Options{Timeout: time.Hour}).Reserve(ctx, group("g1"), never)
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "not now") {
				t.Errorf("got %v", err)
			}
			at, bound := s.at["CheckQuota"], 25*time.Millisecond
			if len(at) < 15 || time.Since(s.begun) > 30*time.Second {
				t.Fatalf("%d attempts in %v", len(at), time.Since(s.begun))
			}
			var shortest, longest time.Duration = time.Second, 0
			for i := range at[1:] {
				drawn := at[i+1] - at[i] - asked
				if drawn < 0 || drawn >= bound {
					t.Errorf("pause %d: %v, asked for %v and bound by %v", i, drawn+asked, asked, bound)
				}
				if bound == time.Second {
					shortest, longest = min(shortest, drawn), max(longest, drawn)
				}
				bound = min(2*bound, time.Second)
			}
			if longest-shortest < time.Second/4 { // of dozens
				t.Errorf("of a second, only %v to %v were drawn", shortest, longest)
			}
			first := s.sent[0].(*imquotav1.CheckQuotaRequest)
			if id := first.GetRequestId(); len(id) < 22 || len(id) > 64 {
				t.Errorf("request id %q", id)
			}
			for _, again := range s.sent {
				if !proto.Equal(first, again) {
					t.Fatalf("sent %v, then %v", first, again)
				}
			}
		})
	}
}

// TestNoTimeToRepeat: a caller is not kept waiting for what will not be tried.
func TestNoTimeToRepeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script(func(context.Context, string, int) (*imquotav1.Decision, error) {
			return nil, fault(codes.Unavailable, "OVERLOADED", 5*time.Second)
		})
		c := client.New(s, client.Options{Timeout: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := c.Reserve(ctx, group("g1"), never); status.Code(err) != codes.Unavailable || time.Since(s.begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(s.begun))
		}
		gone, hangUp := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, hangUp)
		if _, err := c.Reserve(gone, group("g1"), never); !errors.Is(err, context.Canceled) || status.Code(err) != codes.Unavailable || time.Since(s.begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(s.begun))
		}
	})
}

// TestReservingIsRepeated for as long as a check would be, and not for all of the
// hold: somebody waits for the creation.
func TestReservingIsRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ option, hold, want time.Duration }{
		{0, 30 * time.Second, 5 * time.Second},
		{200 * time.Millisecond, 30 * time.Second, 200 * time.Millisecond},
		{time.Minute, 4 * time.Second, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := script(func(ctx context.Context, _ string, _ int) (*imquotav1.Decision, error) { return nil, hangs(ctx) })
			r := group("g1")
			r.Hold = durationpb.New(c.hold)
			_, err := client.New(s, client.Options{Timeout: c.option}).Reserve(t.Context(), r, never)
			if took := time.Since(s.begun); status.Code(err) != codes.DeadlineExceeded || took > c.want || took < c.want-time.Second {
				t.Errorf("%+v: hung for %v: %v", c, took, err)
			}
		})
	}
}

// TestCreationEndsBeforeTheHold: its time runs from before the reservation was
// asked for.
func TestCreationEndsBeforeTheHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hold, caller, want time.Duration }{
		{0, time.Hour, 25 * time.Second},
		{3 * time.Second, time.Hour, 2250 * time.Millisecond},
		{15 * time.Minute, time.Hour, 15*time.Minute - 5*time.Second},
		{15 * time.Minute, time.Minute, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := script(func(ctx context.Context, method string, n int) (*imquotav1.Decision, error) {
				if method == "CheckQuota" && n == 1 {
					return nil, hangs(ctx) // placed, and not told
				}
				return allowed, nil
			})
			r := group("g1")
			if c.hold != 0 {
				r.Hold = durationpb.New(c.hold)
			}
			ctx, cancel := context.WithTimeout(t.Context(), c.caller)
			defer cancel()
			_, err := client.New(s, client.Options{}).Reserve(ctx, r, func(ctx context.Context) error {
				if time.Since(s.begun) < 2*time.Second {
					t.Errorf("nothing hung: begun after %v", time.Since(s.begun))
				}
				<-ctx.Done()
				return ctx.Err()
			})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(s.begun) != c.want || len(s.at["CancelReservation"]) != 1 {
				t.Errorf("hold %v: %v after %v, called %v", c.hold, err, time.Since(s.begun), s.at)
			}
			want := c.hold
			if want == 0 {
				want = 30 * time.Second
			}
			if got := s.sent[0].(*imquotav1.CheckQuotaRequest).GetHold().AsDuration(); got != want {
				t.Errorf("asked to hold for %v, want %v", got, want)
			}
		})
	}
}

// TestNotBegun: for a caller that is gone, or without what would be committed,
// nothing is created.
func TestNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, hangUp := context.WithCancel(t.Context())
		s := script(func(context.Context, string, int) (*imquotav1.Decision, error) {
			hangUp()
			return allowed, nil
		})
		if _, err := client.New(s, client.Options{}).Reserve(ctx, group("g1"), never); !errors.Is(err, context.Canceled) || len(s.at["CancelReservation"]) != 1 {
			t.Errorf("%v, called %v", err, s.at)
		}
		s = script(func(context.Context, string, int) (*imquotav1.Decision, error) {
			return &imquotav1.Decision{Allowed: true}, nil
		})
		if d, err := client.New(s, client.Options{}).Reserve(t.Context(), group("g1"), never); err == nil {
			t.Errorf("consumed: %v", d)
		}
	})
}

type traceKey struct{}

// TestSettle: what follows the creation takes its own time, whoever waits, and
// knows whose it is.
func TestSettle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ option, want time.Duration }{{0, 5 * time.Second}, {3 * time.Second, 3 * time.Second}} {
		for _, fails := range []error{nil, errors.New("broken")} {
			synctest.Test(t, func(t *testing.T) {
				ctx, hangUp := context.WithCancel(context.WithValue(t.Context(), traceKey{}, "trace"))
				s := script(func(ctx context.Context, method string, _ int) (*imquotav1.Decision, error) {
					if ctx.Value(traceKey{}) != "trace" {
						t.Errorf("%s is without the caller's values", method)
					}
					if method == "CheckQuota" {
						return allowed, nil
					}
					return nil, hangs(ctx)
				})
				_, err := client.New(s, client.Options{Settle: c.option}).Reserve(ctx, group("g1"), func(context.Context) error {
					hangUp()
					return fails
				})
				if _, unsettled := errors.AsType[*client.UnsettledError](err); !errors.Is(err, fails) && fails != nil || unsettled != (fails == nil) || status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("got %v", err)
				}
				if took := time.Since(s.begun); took > c.want || took < c.want-time.Second {
					t.Errorf("tried for %v, want %v", took, c.want)
				}
			})
		}
	}
}

// TestWhatStaysOpen: a commit that only an operator can help is not given up,
// and neither is a denial that cannot be made final.
func TestWhatStaysOpen(t *testing.T) {
	t.Parallel()
	away := fault(codes.Unavailable, "USAGE_UNKNOWN", 0)
	denied := &imquotav1.Decision{Late: true}
	for name, c := range map[string]struct {
		commit, cancel error
		calls          []int
	}{
		"usage unknown":          {away, nil, []int{1, 0}},
		"denied, cancel fails":   {nil, away, []int{1, 1}},
		"a defect, cancel fails": {fault(codes.Internal, "INTERNAL", 0), away, []int{1, 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := script(func(_ context.Context, method string, _ int) (*imquotav1.Decision, error) {
				switch {
				case method == "CheckQuota":
					return allowed, nil
				case method == "CancelReservation":
					return nil, c.cancel
				case c.commit != nil:
					return nil, c.commit
				}
				return denied, nil
			})
			_, err := client.New(s, client.Options{}).Reserve(t.Context(), group("g1"), created)
			if u, ok := errors.AsType[*client.UnsettledError](err); !ok || u.ReservationID != allowed.GetReservationId() || !errors.Is(err, away) {
				t.Errorf("%s: %v", name, err)
			}
			if calls := []int{len(s.at["CommitReservation"]), len(s.at["CancelReservation"])}; !slices.Equal(calls, c.calls) {
				t.Errorf("%s: called %v", name, s.at)
			}
		})
	}
}

// TestReservationLost by a store that lost its tail: what was created is not
// counted.
func TestReservationLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := fault(codes.NotFound, "RESERVATION_NOT_FOUND", 0)
		s := script(func(_ context.Context, method string, _ int) (*imquotav1.Decision, error) {
			if method == "CheckQuota" {
				return allowed, nil
			}
			return nil, lost
		})
		d, err := client.New(s, client.Options{}).Reserve(t.Context(), group("g1"), created)
		if e, ok := errors.AsType[*client.NotCountedError](err); !ok || d != nil || e.Err != lost { //nolint:errorlint // the very value
			t.Errorf("%v, %v", d, err)
		}
	})
}

// TestAppGoes between a stray commit and the denial of another: what was created
// has no app, and a denial with no error would say that it was not created.
func TestAppGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script(func(_ context.Context, method string, _ int) (*imquotav1.Decision, error) {
			switch method {
			case "CheckQuota":
				return allowed, nil
			case "CancelReservation":
				return nil, fault(codes.FailedPrecondition, "RESERVATION_COMMITTED", 0)
			}
			return &imquotav1.Decision{}, nil
		})
		d, err := client.New(s, client.Options{}).Reserve(t.Context(), group("g1"), created)
		if e, ok := errors.AsType[*client.NotCountedError](err); !ok || d != nil || e.Decision == nil {
			t.Errorf("%v, %v", d, err)
		}
	})
}

// TestCallerID stands in where a request has none.
func TestCallerID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ option, request, want string }{{"", "", ""}, {"groups", "", "groups"}, {"groups", "mine", "mine"}} {
			s := script(func(context.Context, string, int) (*imquotav1.Decision, error) { return allowed, nil })
			r := group("g1")
			r.Client = &imquotav1.Client{Id: c.request, Platform: "web"}
			if _, err := client.New(s, client.Options{ID: c.option}).Reserve(t.Context(), r, created); err != nil {
				t.Fatal(err)
			}
			got := s.sent[0].(*imquotav1.CheckQuotaRequest).GetClient()
			if got.GetId() != c.want || got.GetPlatform() != "web" {
				t.Errorf("%v: %v", c, got)
			}
			r.Client = nil
			if _, err := client.New(s, client.Options{ID: c.option}).Reserve(t.Context(), r, created); err != nil {
				t.Fatal(err)
			}
			if got := s.sent[2].(*imquotav1.CheckQuotaRequest).GetClient().GetId(); got != c.option {
				t.Errorf("without a client: %q", got)
			}
		}
	})
}
