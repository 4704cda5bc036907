package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

func never(context.Context) error { panic("created") }

func TestReserve(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		r := group("g1")
		asked := proto.CloneOf(r)
		d, err := s.client().Reserve(t.Context(), r, func(context.Context) error {
			s.wantJoined(limit-1, 1)
			return nil
		})
		if err != nil || !d.GetAllowed() || d.GetLate() || d.GetReplayed() {
			t.Fatalf("%v, %v", d, err)
		}
		s.wantJoined(limit, 0)
		if diff := cmp.Diff(asked, r, protocmp.Transform()); diff != "" {
			t.Errorf("the caller's request was changed: %s", diff)
		}
		d, err = s.client().Reserve(t.Context(), group("g2"), never)
		if v := d.GetViolations(); err != nil || d.GetAllowed() || len(v) != 1 || v[0].GetQuota() != "joined_groups" {
			t.Errorf("beyond the limit: %v, %v", d, err)
		}
		s.wantJoined(limit, 0)
	})
}

// TestReserveRefused: what does not pass by itself comes back at once.
func TestReserveRefused(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		s.on(nil)
		_, err := s.client().Reserve(t.Context(), group("not printable \n"), never)
		if status.Code(err) != codes.InvalidArgument || s.called("CheckQuota") != 1 {
			t.Errorf("%v after %d calls", err, s.called("CheckQuota"))
		}
		for _, hold := range []time.Duration{-time.Second, time.Millisecond, time.Hour} {
			r := group("g1")
			r.Hold = durationpb.New(hold)
			if _, err := s.client().Reserve(t.Context(), r, never); status.Code(err) != codes.InvalidArgument {
				t.Errorf("hold %v: %v", hold, err)
			}
		}
		s.on(nil)
		own, consuming := group("g1"), group("g1")
		own.RequestId, consuming.Mode = "mine", imquotav1.Mode_MODE_CONSUME
		for _, r := range []*imquotav1.CheckQuotaRequest{own, consuming} {
			if d, err := s.client().Reserve(t.Context(), r, never); err == nil {
				t.Errorf("%v: %v", r, d)
			}
		}
		if n := s.called("CheckQuota"); n != 0 {
			t.Errorf("what is not Reserve's was sent: %d calls", n)
		}
	})
}

// TestCreationFails: whatever way it ends, what was held is free.
func TestCreationFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	onStores(t, func(t *testing.T, s *sidecar) {
		for name, ends := range map[string]func(hangUp func()) error{
			"an error":      func(func()) error { return broken },
			"a caller gone": func(hangUp func()) error { hangUp(); return broken },
			"a panic":       func(func()) error { panic(broken) },
			"a goroutine ended": func(func()) error {
				runtime.Goexit()
				return nil
			},
		} {
			var err error
			var cause any
			var running sync.WaitGroup
			running.Go(func() {
				defer func() { cause = recover() }()
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				_, err = s.client().Reserve(ctx, group("g1"), func(context.Context) error {
					s.wantJoined(limit-1, 1)
					return ends(hangUp)
				})
			})
			running.Wait()
			switch name {
			case "a panic":
				if cause != broken { //nolint:errorlint // the very value
					t.Errorf("%s: recovered %v", name, cause)
				}
			case "a goroutine ended":
				if err != nil || cause != nil {
					t.Errorf("%s: %v, %v", name, err, cause)
				}
			default:
				if err != broken || cause != nil { //nolint:errorlint // alone, because it was given back
					t.Errorf("%s: %v, %v", name, err, cause)
				}
			}
			s.wantJoined(limit-1, 0)
		}
	})
}

// TestCallerHangsUp and the creation hears of it, and succeeds: it is counted.
func TestCallerHangsUp(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		ctx, hangUp := context.WithCancel(t.Context())
		d, err := s.client().Reserve(ctx, group("g1"), func(ctx context.Context) error {
			hangUp()
			<-ctx.Done()
			return nil
		})
		if err != nil || !d.GetAllowed() {
			t.Errorf("%v, %v", d, err)
		}
		s.wantJoined(limit, 0)
	})
}

// TestLost loses requests and replies, twice each: the counters are as if
// nothing had been lost.
func TestLost(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	onStores(t, func(t *testing.T, s *sidecar) {
		for _, f := range []fate{losesReply, losesRequest} {
			for method, fails := range map[string]error{"CheckQuota": nil, "CommitReservation": nil, "CancelReservation": broken} {
				s.setJoined(limit - 1)
				s.lose(method, 2, f)
				created := 0
				d, err := s.client().Reserve(t.Context(), group(fmt.Sprint(method, f)), func(context.Context) error {
					created++
					return fails
				})
				if err != fails || d.GetAllowed() != (fails == nil) || created != 1 { //nolint:errorlint // joined with nothing
					t.Errorf("%s: %v, %v, created %d times", method, d, err, created)
				}
				if n := s.called(method); n != 3 {
					t.Errorf("%s: called %d times", method, n)
				}
				if fails == nil {
					s.wantJoined(limit, 0)
				} else {
					s.wantJoined(limit-1, 0)
				}
			}
		}
	})
}

// TestCancelFails: the error says so too, and the hold ends by itself.
func TestCancelFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	onStores(t, func(t *testing.T, s *sidecar) {
		s.lose("CancelReservation", 1000, losesRequest)
		c := client.New(s.conn, client.Options{Settle: 200 * time.Millisecond})
		_, err := c.Reserve(t.Context(), group("g1"), func(context.Context) error { return broken })
		if !errors.Is(err, broken) || (status.Code(err) != codes.Unavailable && status.Code(err) != codes.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		s.wantJoined(limit-1, 1)
		s.clock.Advance(30 * time.Second)
		s.wantJoined(limit-1, 0)
	})
}

// TestLateCommit is judged by what holds then.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		late := func() { s.clock.Advance(30 * time.Second) }
		d, err := s.client().Reserve(t.Context(), group("granted"), func(context.Context) error {
			late()
			return nil
		})
		if err != nil || !d.GetAllowed() || !d.GetLate() {
			t.Errorf("there is room: %v, %v", d, err)
		}
		s.wantJoined(limit, 0)

		s.setJoined(limit - 1)
		d, err = s.client().Reserve(t.Context(), group("denied"), func(context.Context) error {
			late()
			s.setJoined(limit)
			return nil
		})
		refused, ok := errors.AsType[*client.NotCountedError](err)
		if !ok || d != nil || refused.Decision.GetAllowed() || refused.Decision.GetViolations()[0].GetQuota() != "joined_groups" || refused.Err != nil || refused.AppID != 1 {
			t.Fatalf("no room by now: %v, %v", d, err)
		}
		s.setJoined(limit - 1)
		_, err = s.client().Commit(t.Context(), refused.AppID, refused.ReservationID)
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("not counted for good: %v", err)
		}
		s.wantJoined(limit-1, 0)

		s.setJoined(limit)
		kept := group("denied")
		kept.Mode = imquotav1.Mode_MODE_ADJUST
		if out, err := s.CheckQuota(t.Context(), kept); err != nil || !out.GetDecision().GetAllowed() {
			t.Errorf("kept over the limit: %v, %v", out, err)
		}
		s.wantJoined(limit+1, 0)
		s.setJoined(limit - 1)

		d, err = s.client().Reserve(t.Context(), group("taken"), func(context.Context) error {
			late()
			r := group("taken")
			r.GetCreateGroup().OwnerId = "bob"
			_, err := s.CheckQuota(t.Context(), r)
			return err
		})
		refused, ok = errors.AsType[*client.NotCountedError](err)
		if !ok || d != nil || refused.Decision != nil || status.Code(refused.Err) != codes.FailedPrecondition {
			t.Errorf("another's by now: %v, %v", d, err)
		}
		s.wantJoined(limit-1, 0)
	})
}

// TestStrayCommit: an attempt that was given up is still on its way when another
// is denied. What Reserve says of it stays true.
func TestStrayCommit(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		full := func(context.Context) error {
			s.clock.Advance(30 * time.Second)
			s.setJoined(limit)
			return nil
		}
		s.lose("CommitReservation", 1, strays)
		_, err := s.client().Reserve(t.Context(), group("after"), full)
		if _, ok := errors.AsType[*client.NotCountedError](err); !ok {
			t.Fatalf("denied: %v", err)
		}
		s.setJoined(limit - 1)
		if err := s.arrive(); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("it arrived after it was given up: %v", err)
		}
		s.wantJoined(limit-1, 0)

		s.on(func(method string, n int) fate {
			switch {
			case method == "CommitReservation" && n == 1:
				return strays
			case method == "CancelReservation":
				s.setJoined(limit - 1)
				if err := s.arrive(); err != nil {
					t.Errorf("there is room again: %v", err)
				}
			}
			return arrives
		})
		d, err := s.client().Reserve(t.Context(), group("before"), full)
		if err != nil || !d.GetAllowed() || !d.GetReplayed() {
			t.Errorf("it arrived before it was given up: %v, %v", d, err)
		}
		s.wantJoined(limit, 0)
	})
}

// TestUnsettled: who keeps the id can settle it later.
func TestUnsettled(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		c := client.New(s.conn, client.Options{Settle: 200 * time.Millisecond})
		created := func(context.Context) error { return nil }
		unknown := func(context.Context) error { return fmt.Errorf("the database: %w", client.ErrOutcomeUnknown) }
		for name, step := range map[string]struct {
			fate         fate
			create       func(context.Context) error
			used, held   int64
			later        time.Duration
			commit       bool // or cancel
			usedInTheEnd int64
		}{
			"counted, not told":   {losesReply, created, limit, 0, 0, true, limit},
			"not counted":         {losesRequest, created, limit - 1, 1, 0, true, limit},
			"and an hour later":   {losesRequest, created, limit - 1, 1, time.Hour, true, limit},
			"not counted, undone": {losesRequest, created, limit - 1, 1, 0, false, limit - 1},
			"it happened":         {arrives, unknown, limit - 1, 1, 0, true, limit},
			"it did not happen":   {arrives, unknown, limit - 1, 1, 0, false, limit - 1},
		} {
			s.setJoined(limit - 1)
			s.lose("CommitReservation", 1000, step.fate)
			d, err := c.Reserve(t.Context(), group(name), step.create)
			unsettled, ok := errors.AsType[*client.UnsettledError](err)
			if !ok || d != nil || unsettled.AppID != 1 || unsettled.Err == nil {
				t.Fatalf("%s: %v, %v", name, d, err)
			}
			s.wantJoined(step.used, step.held)
			s.on(nil)
			s.clock.Advance(step.later)
			end := c.Cancel
			if step.commit {
				end = c.Commit
			}
			for again := range 2 {
				d, err = end(t.Context(), unsettled.AppID, unsettled.ReservationID)
				if err != nil || !d.GetAllowed() || (again == 1 && !d.GetReplayed()) || d.GetLate() != (step.later > 0 && again == 0) {
					t.Errorf("%s: %v, %v", name, d, err)
				}
			}
			s.wantJoined(step.usedInTheEnd, 0)
		}
	})
}

// TestServerRestarts while a group is created.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		d, err := s.client().Reserve(t.Context(), group("g1"), func(context.Context) error {
			s.stop()
			s.start()
			return nil
		})
		if err != nil || !d.GetAllowed() || d.GetLate() {
			t.Errorf("%v, %v", d, err)
		}
		s.wantJoined(limit, 0)
	})
}

// TestManyAtOnce: a quarter of what is sent breaks the connection of all, for a
// while, and a third of the creations fail; what was created is counted, up to
// the limit.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const callers, room = 60, 15
	broken := errors.New("broken")
	onStores(t, func(t *testing.T, s *sidecar) {
		s.setJoined(limit - room)
		s.on(func(_ string, n int) fate {
			if n%4 == 1 && n < callers {
				return []fate{losesReply, losesRequest}[n/4%2]
			}
			return arrives
		})
		c := client.New(s.conn, client.Options{Settle: time.Minute})
		var counted atomic.Int64
		var running sync.WaitGroup
		for i := range callers {
			running.Go(func() {
				r := group(fmt.Sprint("g", i))
				r.Hold = durationpb.New(15 * time.Minute)
				d, err := c.Reserve(t.Context(), r, func(context.Context) error {
					if i%3 == 0 {
						return broken
					}
					return nil
				})
				switch {
				case errors.Is(err, broken):
				case err != nil:
					t.Error(err)
				case d.GetAllowed():
					counted.Add(1)
				}
			})
		}
		running.Wait()
		s.on(nil)
		if n := counted.Load(); n == 0 || n > room {
			t.Errorf("%d were created, with room for %d", n, room)
		}
		s.wantJoined(limit-room+counted.Load(), 0)
	})
}
