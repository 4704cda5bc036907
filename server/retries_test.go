package server_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		s := start(t, st.first, c, catalog.Default())
		s.app(1, "developer")
		with := func(id, caller string, r *imquotav1.CheckQuotaRequest) *imquotav1.CheckQuotaRequest {
			r.RequestId, r.Client = id, &imquotav1.Client{Id: caller}
			return r
		}
		s.set(1, "friends", "alice", 19, "")
		add := func() *imquotav1.CheckQuotaRequest { return with("r1", "gateway-1", addFriend(1, "alice", "bob")) }
		s.allow(add())
		d := s.allow(add()) // although alice is full by now
		if q := state(t, d, "friends"); !d.GetReplayed() || q.GetUsed() != 20 || q.GetChange() != 0 {
			t.Errorf("a retry: %v", d)
		}
		s.wantUsed(1, "friends", "alice", "", 20)
		s.wantUsed(1, "friends", "bob", "", 1)

		// The same request may be said in several ways.
		s.allow(with("g1", "", check(1, &imquotav1.CreateGroup{GroupId: "g", GroupType: "Private", OwnerId: "alice", MemberIds: []string{"bob", "carol"}})))
		for _, again := range []*imquotav1.CreateGroup{
			{GroupId: "g", GroupType: "work", OwnerId: "alice", MemberIds: []string{"carol", "bob"}},
			{GroupId: "g", GroupType: "WORK", OwnerId: "alice", MemberIds: []string{"alice", "bob", "carol"}},
		} {
			if d := s.allow(with("g1", "", check(1, again))); !d.GetReplayed() {
				t.Errorf("%v: %v", again, d)
			}
		}
		_, err := s.CheckQuota(t.Context(), with("g1", "", check(1, &imquotav1.CreateGroup{GroupId: "g", GroupType: "work", OwnerId: "bob", MemberIds: []string{"alice", "carol"}})))
		wantFault(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")

		_, err = s.CheckQuota(t.Context(), with("r1", "gateway-1", addFriend(1, "alice", "carol")))
		wantFault(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
		if d := s.check(with("r1", "gateway-2", addFriend(1, "alice", "carol"))); d.GetAllowed() || d.GetReplayed() {
			t.Errorf("the same id of another caller: %v", d)
		}

		// A denial is not remembered: once there is room, the same id is judged anew.
		denied := func() *imquotav1.CheckQuotaRequest { return with("r2", "gateway-1", addFriend(1, "alice", "dave")) }
		if d := s.check(denied()); d.GetAllowed() {
			t.Fatal("the 21st friend was allowed")
		}
		s.release(release(1, &imquotav1.RemoveFriend{UserId: "alice", FriendId: "bob"}))
		if d := s.allow(denied()); d.GetReplayed() {
			t.Error("a denial was remembered")
		}

		// A release is remembered too, and so is an effect that the plan would deny today.
		gone := release(1, &imquotav1.RemoveFriend{UserId: "alice", FriendId: "dave"})
		gone.RequestId = "r3"
		s.release(gone)
		if d := s.release(gone); !d.GetReplayed() {
			t.Errorf("a release retried: %v", d)
		}
		s.wantUsed(1, "friends", "alice", "", 19)

		// Remembered for ten minutes at least.
		c.Advance(10 * time.Minute)
		if d := s.allow(add()); !d.GetReplayed() {
			t.Error("forgotten within ten minutes")
		}
		s.wantUsed(1, "friends", "alice", "", 19)

		// CHECK_ONLY is judged afresh and leaves nothing behind.
		only := with("r1", "gateway-1", addFriend(1, "alice", "bob"))
		only.Mode = imquotav1.Mode_MODE_CHECK_ONLY
		if d := s.allow(only); d.GetReplayed() {
			t.Errorf("CHECK_ONLY found an effect: %v", d)
		}
		s.wantUsed(1, "friends", "alice", "", 19)
	})
}

func TestModes(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		s.set(1, "friends", "alice", 20, "")
		r := addFriend(1, "alice", "bob")
		r.Mode = imquotav1.Mode_MODE_ADJUST
		q := state(t, s.allow(r), "friends")
		if q.GetUsed() != 21 || q.GetLimit() != 20 || q.GetRemaining() != 0 || q.GetSubject() != "alice" {
			t.Errorf("adjusted: %v", q)
		}
		r.Mode = imquotav1.Mode_MODE_CONSUME
		if d := s.check(r); d.GetAllowed() || d.GetViolations()[0].GetUsed() != 21 {
			t.Errorf("over the limit: %v", d)
		}
		s.release(release(1, &imquotav1.RemoveFriend{UserId: "alice", FriendId: "bob"}))
		s.wantUsed(1, "friends", "alice", "", 20)

		r = addFriend(1, "carol", "dave")
		r.Mode = imquotav1.Mode_MODE_CHECK_ONLY
		q = state(t, s.allow(r), "friends")
		if q.GetUsed() != 0 || q.GetChange() != 1 {
			t.Errorf("check only: %v", q)
		}
		s.wantUsed(1, "friends", "carol", "", 0)

		r.View = imquotav1.View_VIEW_BASIC
		d := s.allow(r)
		if d.GetQuotas() != nil || d.GetEdition() != "" || d.GetCatalogVersion() != "" || d.GetSource() != imquotav1.Source_SOURCE_STORE {
			t.Errorf("basic view: %v", d)
		}

		d = s.check(addFriend(77, "a", "b"))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_APP_NOT_FOUND || v[0].GetUpstreamCode() != 70020 {
			t.Errorf("an unknown app: %v", d)
		}
	})
}

// TestReleasesFloor: a release stops at zero and says so; only developer apps
// delete users.
func TestReleasesFloor(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		s.app(2, "premium")
		s.allow(addFriend(1, "alice", "bob"))
		r := release(1, &imquotav1.RemoveFriend{UserId: "alice", FriendId: "carol"})
		d := s.release(r)
		if !d.GetAllowed() || !d.GetClamped() {
			t.Errorf("carol had no friends: %v", d)
		}
		s.wantUsed(1, "friends", "alice", "", 0)
		s.wantUsed(1, "friends", "carol", "", 0)

		s.allow(check(1, &imquotav1.RegisterUsers{UserIds: []string{"bob", "eve"}}))
		d = s.release(release(1, &imquotav1.DeleteUsers{UserIds: []string{"bob", "nobody"}}))
		if !d.GetAllowed() || !d.GetClamped() {
			t.Errorf("one of two was known: %v", d)
		}
		s.wantUsed(1, "users", "", "", 1)
		s.wantUsed(1, "friends", "bob", "", 0)

		d = s.release(release(2, &imquotav1.DeleteUsers{UserIds: []string{"bob"}}))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_OPERATION_NOT_ALLOWED || v[0].GetUpstreamCode() != 71000 {
			t.Errorf("premium deletes users: %v", d)
		}
	})
}

// TestManySidecars: hundreds of callers on several sidecars of one store are
// admitted exactly up to a limit that an override lowers meanwhile.
func TestManySidecars(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		sidecars := []*sidecar{start(t, st.first, c, catalog.Default()), start(t, st.another(), c, catalog.Default()), start(t, st.another(), c, catalog.Default())}
		s := sidecars[0]
		s.app(1, "standard")
		const callers, each = 150, 30
		override := func(limit int64) {
			_, err := s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{
				AppId: 1, Quota: "friends", Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: limit},
			})
			if err != nil {
				t.Error(err)
			}
		}
		override(2000)
		var allowed atomic.Int64
		var wg sync.WaitGroup
		var lowered atomic.Bool
		for i := range callers {
			wg.Go(func() {
				for k := range each {
					if i == 0 && k == each/3 {
						override(1000)
						lowered.Store(true)
					}
					limit := int64(2000)
					if lowered.Load() { // before it is asked: from then on the lower limit holds
						limit = 1000
					}
					r := check(1, &imquotav1.AddFriend{UserId: "star", FriendId: fmt.Sprintf("fan%d-%d", i, k), OneWay: true})
					out, err := sidecars[i%3].CheckQuota(t.Context(), r)
					switch {
					case err != nil:
						t.Errorf("check: %v", err)
					case out.GetDecision().GetAllowed():
						if used := state(t, out.GetDecision(), "friends").GetUsed(); used > limit {
							t.Errorf("%d of %d used", used, limit)
						}
						allowed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		used := s.used(1, "friends", "star", "")
		if used != allowed.Load() {
			t.Errorf("%d used, %d admitted", used, allowed.Load())
		}
		if used < 1000 || used > 2000 {
			t.Errorf("%d admitted, want 1000 to 2000", used)
		}
		for i, s := range sidecars {
			if d := s.check(check(1, &imquotav1.AddFriend{UserId: "star", FriendId: "late", OneWay: true})); d.GetAllowed() || d.GetViolations()[0].GetLimit() != 1000 {
				t.Errorf("sidecar %d does not see the lowered limit: %v", i, d)
			}
		}
		// A counter nobody lowers meanwhile fills to its limit exactly.
		override(500)
		allowed.Store(0)
		for i := range callers {
			wg.Go(func() {
				for k := range each {
					r := check(1, &imquotav1.AddFriend{UserId: "idol", FriendId: fmt.Sprintf("fan%d-%d", i, k), OneWay: true})
					out, err := sidecars[i%3].CheckQuota(t.Context(), r)
					if err != nil {
						t.Errorf("check: %v", err)
					}
					if out.GetDecision().GetAllowed() {
						allowed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if used := s.used(1, "friends", "idol", ""); used != 500 || allowed.Load() != 500 {
			t.Errorf("%d used, %d admitted, want 500 of both", used, allowed.Load())
		}
	})
}

// TestBatch: items are judged in order, each for itself.
func TestBatch(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		s.app(2, "standard")
		s.set(1, "friends", "alice", 19, "")
		twice := createGroup(2, "g", "work")
		twice.RequestId = "once"
		out, err := s.BatchCheckQuota(t.Context(), &imquotav1.BatchCheckQuotaRequest{Items: []*imquotav1.CheckQuotaRequest{
			addFriend(1, "alice", "bob"),
			addFriend(1, "alice", "carol"),
			addFriend(1, "", "carol"),
			useFeature(1, "community"),
			twice,
			twice,
			createGroup(2, "g", "work"),
			useFeature(2, "no_such_feature"),
			addFriend(99, "a", "b"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		items := out.GetItems()
		allowed := func(i int) bool { return items[i].GetDecision().GetAllowed() }
		if !allowed(0) || allowed(1) || !allowed(3) || !allowed(4) || !allowed(5) || allowed(8) {
			t.Errorf("decisions: %v", items)
		}
		if items[4].GetDecision().GetReplayed() || !items[5].GetDecision().GetReplayed() {
			t.Errorf("an id twice in a batch: %v, %v", items[4], items[5])
		}
		for i, want := range map[int]string{2: "add_friend.user_id", 7: "use_feature.feature"} {
			e := items[i].GetError()
			if codes.Code(e.GetCode()) != codes.InvalidArgument || len(e.GetFieldViolations()) != 1 || e.GetFieldViolations()[0].GetField() != want {
				t.Errorf("item %d: %v, want an error of %s", i, items[i], want)
			}
		}
		if e := items[6].GetError(); codes.Code(e.GetCode()) != codes.FailedPrecondition || e.GetReason() != imquotav1.ErrorReason_ERROR_REASON_GROUP_EXISTS {
			t.Errorf("item 6: %v", items[6])
		}
		if r := items[8].GetDecision().GetViolations()[0].GetReason(); r != imquotav1.Reason_REASON_APP_NOT_FOUND {
			t.Errorf("item 8: %v", items[8])
		}
		s.wantUsed(2, "groups", "", "", 1)
	})
}

// TestBatchAnswersEach: each item of a batch is answered what it is alone, however
// many counters its neighbours are told.
func TestBatchAnswersEach(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		s.app(2, "standard")
		s.set(1, "friends", "alice", 20, "")
		login := &imquotav1.CheckQuotaRequest{AppId: 2, Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: "dave"}}}
		items := []*imquotav1.CheckQuotaRequest{addFriend(2, "a", "b")}
		for i := range 15 { // the room made for the first ends within one of them
			items = append(items, createGroup(1, "g"+strconv.Itoa(i), "work"))
		}
		for range 2 {
			items = append(items,
				addFriend(2, "bob", "carol"), createGroup(1, "g", "work"), useFeature(1, "community"), login,
				addFriend(1, "alice", "bob"), createGroup(2, "h", "community"), addFriend(99, "a", "b"), addFriend(1, "erin", "frank"))
		}
		basic := addFriend(1, "alice", "carol")
		basic.View = imquotav1.View_VIEW_BASIC
		items = append(items, basic)
		for _, r := range items {
			r.Mode = imquotav1.Mode_MODE_CHECK_ONLY
		}
		out, err := s.BatchCheckQuota(t.Context(), &imquotav1.BatchCheckQuotaRequest{Items: items})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range items {
			if diff := cmp.Diff(s.check(r), out.GetItems()[i].GetDecision(), protocmp.Transform()); diff != "" {
				t.Errorf("item %d (-alone +in the batch):\n%s", i, diff)
			}
		}
	})
}
