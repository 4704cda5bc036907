package client_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestAnswersAreThoseOfUnaryCalls: whatever a check is answered, it is the same in
// a batch.
func TestAnswersAreThoseOfUnaryCalls(t *testing.T) {
	t.Parallel()
	with := func(r *imquotav1.CheckQuotaRequest, change func(*imquotav1.CheckQuotaRequest)) *imquotav1.CheckQuotaRequest {
		change(r)
		return r
	}
	reused := func(id string) *imquotav1.CheckQuotaRequest {
		return with(login(id), func(r *imquotav1.CheckQuotaRequest) { r.RequestId = "reused" })
	}
	onStores(t, func(t *testing.T, s *sidecar) {
		s.setJoined(limit)
		for _, r := range []*imquotav1.CheckQuotaRequest{
			with(group("existing"), func(r *imquotav1.CheckQuotaRequest) { r.GetCreateGroup().OwnerId = "" }), reused("bob"),
		} {
			if _, err := s.CheckQuota(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		requests := []*imquotav1.CheckQuotaRequest{
			{},
			{AppId: 1, Mode: 99, Client: &imquotav1.Client{Id: "not printable\n", Platform: "abacus"}},
			login("not printable \n"),
			group("existing"),
			group("beyond the limit"),
			with(group(""), func(r *imquotav1.CheckQuotaRequest) {
				r.GetCreateGroup().MemberIds = strings.Split(strings.Repeat("twice,", 30), ",")
			}),
			{AppId: 1, Action: &imquotav1.CheckQuotaRequest_JoinGroup{JoinGroup: &imquotav1.JoinGroup{GroupId: "existing", GroupType: "work", UserId: "bob"}}},
			{AppId: 1, Action: &imquotav1.CheckQuotaRequest_UseQuota{UseQuota: &imquotav1.UseQuota{Quota: "unknown"}}},
			{AppId: 1, Action: &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "unknown"}}},
			reused("carol"),
			feature(),
			with(login("dave"), func(r *imquotav1.CheckQuotaRequest) { r.AppId = 404 }),
			with(login("dave"), func(r *imquotav1.CheckQuotaRequest) { r.Mode = imquotav1.Mode_MODE_CHECK_ONLY }),
		}
		batch, err := s.BatchCheckQuota(t.Context(), &imquotav1.BatchCheckQuotaRequest{Items: requests})
		if err != nil {
			t.Fatal(err)
		}
		failed := 0
		for i, r := range requests {
			out, wantErr := s.CheckQuota(t.Context(), r)
			d, err := client.FromItem(batch.GetItems()[i])
			if err != nil {
				failed++
			}
			if diff := cmp.Diff(status.Convert(wantErr).Proto(), status.Convert(err).Proto(), protocmp.Transform()); diff != "" {
				t.Errorf("%v: %s", r, diff)
			}
			if diff := cmp.Diff(out.GetDecision(), d, protocmp.Transform()); diff != "" {
				t.Errorf("%v: %s", r, diff)
			}
		}
		if failed != 9 {
			t.Errorf("%d failed", failed)
		}
	})
	overloaded := &imquotav1.BatchItem{Result: &imquotav1.BatchItem_Error{Error: &imquotav1.ItemError{
		Code: 14, Reason: imquotav1.ErrorReason_ERROR_REASON_OVERLOADED, Message: "not now",
		RetryDelay: durationpb.New(time.Second), FieldViolations: []*imquotav1.FieldViolation{{Field: "items[12].login.user_id", Description: "is of an item"}},
	}}}
	_, err := client.FromItem(overloaded)
	if got := fmt.Sprint(status.Convert(err).Proto()); !strings.Contains(got, "seconds:1") || !strings.Contains(got, `"login.user_id"`) || !strings.Contains(got, "OVERLOADED") {
		t.Errorf("got %s", got)
	}
}

// TestSumsOfBrokenBatches: connections break before and after what they carried is
// carried out, and every friend is counted once.
func TestSumsOfBrokenBatches(t *testing.T) {
	t.Parallel()
	const callers, each = 64, 8
	onStores(t, func(t *testing.T, s *sidecar) {
		s.premium()
		var lost atomic.Int64
		s.on(func(method string, n int) fate {
			if n%3 == 1 && n < 30 {
				if method == "BatchCheckQuota" {
					lost.Add(1)
				}
				return []fate{losesReply, losesRequest}[n/3%2]
			}
			return arrives
		})
		c := client.FromTheFirst(client.New(s.conn, client.Options{Timeout: time.Minute}))
		s.befriend(c, callers, each)
		if st := c.Stats(); lost.Load() == 0 || st.Batches >= callers*each/2 || st.Faults > 0 {
			t.Errorf("%d batches were lost, counted %+v", lost.Load(), st)
		}
		s.wantFriends(callers * each)

		s.lose("ReleaseQuota", 2, losesReply)
		if d, err := c.Release(t.Context(), unfriend("f0-0")); err != nil || !d.GetReplayed() {
			t.Errorf("released: %v, %v", d, err)
		}
		s.wantFriends(callers*each - 1)
	})
}

// TestServerComesBack after it was ended in the middle of calls, and again: the
// client finds it, and every friend is counted once.
func TestServerComesBack(t *testing.T) {
	t.Parallel()
	const callers, each = 32, 30
	onStores(t, func(t *testing.T, s *sidecar) {
		s.premium()
		conn, err := grpc.NewClient(s.address(), append(client.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := client.FromTheFirst(client.New(conn, client.Options{Timeout: time.Minute}))
		under := make(chan struct{}) // a call is under way
		s.on(func(_ string, n int) fate {
			if n%4 == 1 {
				select {
				case under <- struct{}{}:
				default:
				}
			}
			return arrives
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.befriend(c, callers, each)
		}()
		for range 2 {
			select {
			case <-under:
			case <-done:
				t.Fatal("it was over before")
			}
			s.stop()
			s.start()
		}
		<-done
		s.wantFriends(callers * each)
	})
}

// premium makes app 2, whose users have 3000 friends.
func (s *sidecar) premium() {
	s.t.Helper()
	_, err := s.apps.CreateApp(context.Background(), &imquotav1.CreateAppRequest{AppId: 2, AccountId: "test", Import: &imquotav1.AppImport{Edition: "premium"}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// befriend has callers make friends of alice at once.
func (s *sidecar) befriend(c *client.Client, callers, each int) {
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() {
			for j := range each {
				if a, err := c.Check(context.Background(), friend(fmt.Sprint("f", i, "-", j))); err != nil || !a.Allowed() || a.FailedOpen != nil {
					s.t.Errorf("%v, %v", a, err)
				}
			}
		})
	}
	running.Wait()
}

func (s *sidecar) wantFriends(n int64) {
	s.t.Helper()
	s.on(nil)
	out, err := s.GetUsage(context.Background(), &imquotav1.GetUsageRequest{AppId: 2, Quotas: []string{"friends"}, UserId: "alice"})
	if err != nil {
		s.t.Fatal(err)
	}
	if got := out.GetQuotas()[0].GetUsed(); got != n {
		s.t.Errorf("alice has %d friends, want %d", got, n)
	}
}

// TestDeniedUntil tells when a denial passes by itself, from what a server says.
func TestDeniedUntil(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *sidecar) {
		use := func(quota string, n int64) {
			t.Helper()
			if _, err := s.apps.SetUsage(t.Context(), &imquotav1.SetUsageRequest{AppId: 1, Quota: quota, Used: n}); err != nil {
				t.Fatal(err)
			}
		}
		until := func(r *imquotav1.CheckQuotaRequest) (time.Time, bool) {
			t.Helper()
			a, err := s.client().Check(t.Context(), r)
			if err != nil || a.Allowed() {
				t.Fatalf("%v, %v", a, err)
			}
			return client.DeniedUntil(a.Decision)
		}
		use("daily_net_groups", 100)
		day := time.Date(2024, 6, 15, 16, 0, 0, 0, time.UTC) // midnight in the catalog's zone
		if at, ok := until(group("g")); !ok || !at.Equal(day) {
			t.Errorf("a day's limit: %v, %v", at, ok)
		}
		basic := group("g")
		basic.View = imquotav1.View_VIEW_BASIC
		if at, ok := until(basic); ok {
			t.Errorf("not told: %v", at)
		}
		s.setJoined(limit)
		if at, ok := until(group("g")); ok {
			t.Errorf("and a user's: %v", at)
		}
		if at, ok := client.DeniedUntil(&imquotav1.Decision{Allowed: true}); ok {
			t.Errorf("allowed: %v", at)
		}
		cut := &imquotav1.Decision{
			ViolationCount: 2, Violations: []*imquotav1.Violation{{Reason: imquotav1.Reason_REASON_LIMIT_EXCEEDED, Quota: "q"}},
			Quotas: []*imquotav1.QuotaState{{Quota: "q", Subject: "another", ResetTime: timestamppb.New(day.AddDate(0, 1, 0))}, {Quota: "q", ResetTime: timestamppb.New(day)}},
		}
		if at, ok := client.DeniedUntil(cut); ok {
			t.Errorf("of two violations one is shown: %v", at)
		}
		cut.ViolationCount = 1
		if at, ok := client.DeniedUntil(cut); !ok || !at.Equal(day) {
			t.Errorf("of one: %v, %v", at, ok)
		}
		cut.Violations[0].Reason = imquotav1.Reason_REASON_GROUP_TOO_LARGE
		if at, ok := client.DeniedUntil(cut); ok {
			t.Errorf("not a limit: %v", at)
		}
	})
}
