package server_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
)

func reserve(r *imquotav1.CheckQuotaRequest, hold time.Duration) *imquotav1.CheckQuotaRequest {
	r.Mode = imquotav1.Mode_MODE_RESERVE
	if hold != 0 {
		r.Hold = durationpb.New(hold)
	}
	return r
}

func (s *sidecar) commit(id string) (*imquotav1.Decision, error) {
	out, err := s.CommitReservation(s.t.Context(), &imquotav1.CommitReservationRequest{AppId: 1, ReservationId: id})
	return out.GetDecision(), err
}

func (s *sidecar) cancel(id string) (*imquotav1.Decision, error) {
	out, err := s.CancelReservation(s.t.Context(), &imquotav1.CancelReservationRequest{AppId: 1, ReservationId: id})
	return out.GetDecision(), err
}

// usage reads a user's counter.
func (s *sidecar) usage(quota, user string) *imquotav1.QuotaState {
	s.t.Helper()
	out, err := s.GetUsage(s.t.Context(), &imquotav1.GetUsageRequest{AppId: 1, UserId: user, Quotas: []string{quota}})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.GetQuotas()[0]
}

// TestReservation goes through the life of one: held, then counted or given back.
func TestReservation(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		s, other := start(t, st.first, c, catalog.Default()), start(t, st.another(), c, catalog.Default())
		s.app(1, "developer")
		s.set(1, "friends", "alice", 18, "")

		d := s.allow(reserve(addFriend(1, "alice", "bob"), 0))
		if q := state(t, d, "friends"); q.GetUsed() != 18 || q.GetHeld() != 1 || q.GetRemaining() != 1 || q.GetChange() != 0 {
			t.Errorf("reserved: %v", q)
		}
		if want := c.Now().Add(30 * time.Second); !d.GetReservationExpireTime().AsTime().Equal(want) {
			t.Errorf("holds until %v, want %v", d.GetReservationExpireTime().AsTime(), want)
		}
		other.allow(addFriend(1, "alice", "carol"))
		denied := other.check(addFriend(1, "alice", "dave"))
		if v := denied.GetViolations(); denied.GetAllowed() || v[0].GetUsed() != 19 || v[0].GetHeld() != 1 || v[0].GetLimit() != 20 {
			t.Errorf("used and held fill the limit: %v", denied)
		}
		if q := s.usage("friends", "alice"); q.GetUsed() != 19 || q.GetHeld() != 1 || q.GetRemaining() != 0 {
			t.Errorf("usage: %v", q)
		}
		done, err := other.commit(d.GetReservationId())
		if err != nil || !done.GetAllowed() || done.GetReplayed() || done.GetLate() {
			t.Fatalf("commit: %v, %v", done, err)
		}
		if q := state(t, done, "friends"); q.GetUsed() != 20 || q.GetHeld() != 0 || q.GetChange() != 1 {
			t.Errorf("committed: %v", q)
		}
		if again, err := s.commit(d.GetReservationId()); err != nil || !again.GetReplayed() || !again.GetAllowed() {
			t.Errorf("again: %v, %v", again, err)
		}
		_, err = s.cancel(d.GetReservationId())
		wantFault(t, err, codes.FailedPrecondition, "RESERVATION_COMMITTED")
		s.wantUsed(1, "friends", "alice", "", 20)
		s.wantUsed(1, "friends", "bob", "", 1)

		d = s.allow(reserve(addFriend(1, "eve", "fay"), time.Minute))
		given, err := s.cancel(d.GetReservationId())
		if err != nil || !given.GetAllowed() || state(t, given, "friends").GetHeld() != 0 {
			t.Errorf("cancel: %v, %v", given, err)
		}
		if again, err := other.cancel(d.GetReservationId()); err != nil || !again.GetReplayed() {
			t.Errorf("again: %v, %v", again, err)
		}
		_, err = s.commit(d.GetReservationId())
		wantFault(t, err, codes.FailedPrecondition, "RESERVATION_CANCELLED")
		s.wantUsed(1, "friends", "eve", "", 0)
		_, err = s.commit("00000000000000000000000000000000")
		wantFault(t, err, codes.NotFound, "RESERVATION_NOT_FOUND")
	})
}

// TestLateCommit is judged by what holds now.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T23:59:50+08:00")
		s := start(t, st.first, c, catalog.Default())
		s.app(1, "developer")
		create := func(id string) *imquotav1.CheckQuotaRequest {
			return check(1, &imquotav1.CreateGroup{GroupId: id, GroupType: "public", OwnerId: "alice", MemberIds: []string{"bob"}})
		}
		inTime := s.allow(reserve(create("in time"), 20*time.Second)).GetReservationId()
		late := s.allow(reserve(create("late"), 20*time.Second)).GetReservationId()
		_, err := s.CheckQuota(t.Context(), create("late"))
		wantFault(t, err, codes.FailedPrecondition, "GROUP_EXISTS") // its id is held
		c.Advance(15 * time.Second)                                 // another day
		d, err := s.commit(inTime)
		if err != nil || d.GetLate() {
			t.Fatalf("in time: %v, %v", d, err)
		}
		if q := state(t, d, "daily_net_groups"); q.GetUsed() != 1 || !q.GetResetTime().AsTime().Before(c.Now()) {
			t.Errorf("the day it was judged in: %v", q)
		}
		s.wantUsed(1, "daily_net_groups", "", "", 0)
		c.Advance(15 * time.Second)
		s.set(1, "joined_groups", "alice", 50, "")
		if d, err = s.commit(late); err != nil || d.GetAllowed() || !d.GetLate() || d.GetViolations()[0].GetQuota() != "joined_groups" {
			t.Errorf("no room by now: %v, %v", d, err)
		}
		s.set(1, "joined_groups", "alice", 1, "")
		if d, err = s.commit(late); err != nil || !d.GetAllowed() || !d.GetLate() {
			t.Errorf("late: %v, %v", d, err)
		}
		s.wantUsed(1, "daily_net_groups", "", "", 1)
		s.wantUsed(1, "group_members", "", "late", 2)
		s.wantUsed(1, "groups", "", "", 2)
	})
}

// TestReserveRace: many reserve, commit and give up at once; the limit holds at
// every instant, and nothing stays behind.
func TestReserveRace(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		sidecars := []*sidecar{start(t, st.first, c, catalog.Default()), start(t, st.another(), c, catalog.Default())}
		sidecars[0].app(1, "developer")
		var committed atomic.Int64
		var running sync.WaitGroup
		for i := range 60 {
			running.Go(func() {
				s := sidecars[i%2]
				r := reserve(addFriend(1, "alice", fmt.Sprint("friend", i)), time.Minute)
				r.RequestId = fmt.Sprint("r", i)
				out, err := s.CheckQuota(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				d := out.GetDecision()
				if !d.GetAllowed() {
					return
				}
				if q := state(t, d, "friends"); q.GetUsed()+q.GetHeld() > 20 {
					t.Errorf("beyond the limit: %v", q)
				}
				if i%3 == 0 {
					_, err = s.cancel(d.GetReservationId())
				} else {
					_, err = s.commit(d.GetReservationId())
					committed.Add(1)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
		if q := sidecars[0].usage("friends", "alice"); q.GetUsed() != committed.Load() || q.GetHeld() != 0 || q.GetUsed() > 20 {
			t.Errorf("%v, want %d used", q, committed.Load())
		}
	})
}

// TestRepeatedReserve finds the reservation, and what became of it.
func TestRepeatedReserve(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		s := start(t, st.first, c, catalog.Default())
		s.app(1, "developer")
		ask := func(caller string) *imquotav1.CheckQuotaRequest {
			r := reserve(addFriend(1, "alice", "bob"), time.Minute)
			r.RequestId, r.Client = "r1", &imquotav1.Client{Id: caller}
			return r
		}
		first, again := s.allow(ask("a")), s.allow(ask("a"))
		if !again.GetReplayed() || again.GetReservationId() != first.GetReservationId() || again.GetReservationId() == "" {
			t.Errorf("%v, then %v", first, again)
		}
		if another := s.allow(ask("b")); another.GetReservationId() == first.GetReservationId() {
			t.Error("two callers have one reservation")
		}
		if q := s.usage("friends", "alice"); q.GetHeld() != 2 {
			t.Errorf("%v", q)
		}
		if _, err := s.commit(first.GetReservationId()); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Hour)
		if d := s.allow(ask("a")); !d.GetReplayed() || d.GetReservationId() != first.GetReservationId() {
			t.Errorf("an hour later: %v", d)
		}
		s.wantUsed(1, "friends", "alice", "", 1)
		r := ask("a")
		r.Action = addFriend(1, "alice", "carol").GetAction()
		_, err := s.CheckQuota(t.Context(), r)
		wantFault(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
	})
}

// TestReserveInvalid names the field.
func TestReserveInvalid(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		withHold := addFriend(1, "alice", "bob")
		withHold.Hold = durationpb.New(time.Minute)
		for name, r := range map[string]*imquotav1.CheckQuotaRequest{
			"too short":         reserve(addFriend(1, "alice", "bob"), time.Second-1),
			"too long":          reserve(addFriend(1, "alice", "bob"), 15*time.Minute+1),
			"negative":          reserve(addFriend(1, "alice", "bob"), -time.Minute),
			"not in this mode":  withHold,
			"not a reservation": reserve(check(1, &imquotav1.Login{UserId: "alice"}), 0),
		} {
			_, err := s.CheckQuota(t.Context(), r)
			if err == nil {
				t.Errorf("%s: allowed", name)
				continue
			}
			wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD")
		}
		for _, id := range []string{"", "zz", "0123456789ABCDEF0123456789ABCDEF", "00"} {
			_, err := s.commit(id)
			wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD")
			_, err = s.cancel(id)
			wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD")
		}
	})
}

// TestReservationOfAnAppThatIsGone is denied to be committed or cancelled, as the
// action is.
func TestReservationOfAnAppThatIsGone(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "standard")
		id := s.allow(reserve(addFriend(1, "alice", "bob"), 0)).GetReservationId()
		if _, err := s.apps.DisableApp(t.Context(), &imquotav1.DisableAppRequest{AppId: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.apps.DeleteApp(t.Context(), &imquotav1.DeleteAppRequest{AppId: 1}); err != nil {
			t.Fatal(err)
		}
		want := s.check(addFriend(1, "alice", "bob"))
		for name, end := range map[string]func(string) (*imquotav1.Decision, error){"commit": s.commit, "cancel": s.cancel} {
			got, err := end(id)
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("%s of a deleted app: %v (-checked +answered):\n%s", name, err, diff)
			}
		}
		unknown, err := s.CommitReservation(t.Context(), &imquotav1.CommitReservationRequest{AppId: 9, ReservationId: id})
		if diff := cmp.Diff(s.check(addFriend(9, "alice", "bob")), unknown.GetDecision(), protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("commit of an unknown app: %v (-checked +answered):\n%s", err, diff)
		}
	})
}
