package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestFailsOpen only where it is told to, and only for want of an answer.
func TestFailsOpen(t *testing.T) {
	t.Parallel()
	all := func(*imquotav1.CheckQuotaRequest) bool { return true }
	reserved := group("g")
	reserved.Mode = imquotav1.Mode_MODE_RESERVE
	away := status.Error(codes.Unavailable, "connection refused")
	for name, c := range map[string]struct {
		option func(*imquotav1.CheckQuotaRequest) bool
		asked  *imquotav1.CheckQuotaRequest
		fault  error
		want   bool
	}{
		"not told to":             {nil, feature(), away, false},
		"features, a feature":     {client.FailOpenFeatures, feature(), away, true},
		"features, a friend":      {client.FailOpenFeatures, friend("bob"), away, false},
		"features, a login":       {client.FailOpenFeatures, login("bob"), away, false},
		"all, a friend":           {all, friend("bob"), away, true},
		"a store that is away":    {all, friend("bob"), fault(codes.Unavailable, "STORE_UNAVAILABLE", 0), true},
		"one to see to":           {all, friend("bob"), fault(codes.Unavailable, "STORE_EVICTING", 0), true},
		"no answer in time":       {all, friend("bob"), context.DeadlineExceeded, true},
		"cancelled by a proxy":    {all, friend("bob"), status.Error(codes.Canceled, "by a proxy"), true},
		"a caller that hangs up":  {all, friend("bob"), context.Canceled, false},
		"a wrong request":         {all, feature(), fault(codes.InvalidArgument, "INVALID_FIELD", 0), false},
		"a group that exists":     {all, group("g"), fault(codes.FailedPrecondition, "GROUP_EXISTS", 0), false},
		"a defect":                {all, feature(), fault(codes.Internal, "INTERNAL", 0), false},
		"not permitted":           {all, feature(), status.Error(codes.PermissionDenied, "a proxy's"), false},
		"not known":               {all, feature(), status.Error(codes.Unimplemented, "an old server's"), false},
		"too much for a proxy":    {all, feature(), status.Error(codes.ResourceExhausted, "a proxy's"), false},
		"not a status":            {all, feature(), errors.New("of another world"), false},
		"what would be reserved":  {all, reserved, away, false},
		"a denial, which is none": {all, feature(), nil, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			denial := &imquotav1.Decision{Violations: []*imquotav1.Violation{{Message: "no"}}}
			s := script(func(ctx context.Context, _ string, _ int) (*imquotav1.Decision, error) {
				switch {
				case c.fault == nil:
					return denial, nil
				case errors.Is(c.fault, context.DeadlineExceeded):
					return nil, hangs(ctx)
				case errors.Is(c.fault, context.Canceled):
					hangUp()
					return nil, hangs(ctx)
				}
				return nil, c.fault
			})
			cl := client.New(s, client.Options{FailOpen: c.option, Timeout: time.Second})
			a, err := cl.Check(ctx, c.asked)
			if time.Since(s.begun) > time.Second {
				t.Errorf("%s: after %v", name, time.Since(s.begun))
			}
			st := cl.Stats()
			switch {
			case c.fault == nil:
				if err != nil || a.Allowed() || a.FailedOpen != nil || a.Decision != denial || st.FailedOpen+st.Faults != 0 {
					t.Errorf("%s: %v, %v, %+v", name, a, err, st)
				}
			case c.want:
				if err != nil || !a.Allowed() || a.FailedOpen == nil || a.Decision != nil || !isUndecided(a.FailedOpen) || st.FailedOpen != 1 || st.Faults != 0 {
					t.Errorf("%s: %v, %v, %+v", name, a, err, st)
				}
			default:
				if err == nil || a.Allowed() || a.FailedOpen != nil || a.Decision != nil || st.FailedOpen != 0 || st.Faults != 1 {
					t.Errorf("%s: %v, %v, %+v", name, a, err, st)
				}
			}
		})
	}
}

func isUndecided(err error) bool {
	c := status.Code(err)
	return c == codes.Unavailable || c == codes.DeadlineExceeded || c == codes.Canceled
}

// TestFailsOpenGathered: the fault of a batch is each one's, and each is told by
// the option.
func TestFailsOpenGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		g.fails = func(string) error { return fault(codes.Unavailable, "STORE_EVICTING", 0) }
		c := client.FromTheFirst(client.New(g, client.Options{FailOpen: client.FailOpenFeatures}))
		fill(t, g, c)
		full := []<-chan answered{ask(t.Context(), c, feature()), ask(t.Context(), c, feature())}
		opened, counted := ask(t.Context(), c, feature()), ask(t.Context(), c, friend("bob"))
		g.clear()
		<-full[0]
		<-full[1]
		if st := c.Stats(); st.Gathered != 2 {
			t.Errorf("counted %+v", st)
		}
		if a := <-opened; a.err != nil || a.FailedOpen == nil || a.Decision != nil {
			t.Errorf("a feature: %v", a)
		}
		if a := <-counted; status.Code(a.err) != codes.Unavailable || a.Allowed() {
			t.Errorf("a friend: %v", a)
		}
		if st := c.Stats(); st.FailedOpen != 3 || st.Faults != 3 { // with those before them
			t.Errorf("counted %+v", st)
		}
	})
}

func TestAnswerInContext(t *testing.T) {
	t.Parallel()
	if a, ok := client.FromContext(t.Context()); ok || a.Allowed() {
		t.Errorf("nobody was asked: %v", a)
	}
	want := client.Answer{FailedOpen: errors.New("away")}
	if a, ok := client.FromContext(client.NewContext(t.Context(), want)); !ok || a != want {
		t.Errorf("got %v", a)
	}
}
