package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The app and account of the tests of the lifecycle.
const (
	theApp   = 1400000042
	theOwner = "acme"
)

func usd(amount string) *imquotav1.Money {
	return &imquotav1.Money{CurrencyCode: "USD", Amount: amount}
}

func stamp(rfc3339 string) *timestamppb.Timestamp {
	return timestamppb.New(newClock(rfc3339).Now())
}

// standard imports a standard app with a plan for June 2024, local time.
func (s *sidecar) standard(edit ...func(*imquotav1.Order)) {
	s.t.Helper()
	o := &imquotav1.Order{OrderId: "june", Edition: "standard", Months: 1, StartTime: stamp("2024-06-01T00:00:00+08:00"), Cash: usd("399")}
	for _, e := range edit {
		e(o)
	}
	_, err := s.apps.CreateApp(context.Background(), &imquotav1.CreateAppRequest{
		AppId: theApp, AccountId: theOwner, Import: &imquotav1.AppImport{Orders: []*imquotav1.Order{o}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sidecar) get(id uint32) *imquotav1.App {
	s.t.Helper()
	out, err := s.apps.GetApp(context.Background(), &imquotav1.GetAppRequest{AppId: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.GetApp()
}

func (s *sidecar) disable(id uint32) {
	s.t.Helper()
	if _, err := s.apps.DisableApp(context.Background(), &imquotav1.DisableAppRequest{AppId: id}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sidecar) enable(id uint32) {
	s.t.Helper()
	if _, err := s.apps.EnableApp(context.Background(), &imquotav1.EnableAppRequest{AppId: id}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sidecar) bill(id string, pushed time.Time) {
	s.t.Helper()
	_, err := s.billing.RecordBill(context.Background(), &imquotav1.RecordBillRequest{
		AccountId: theOwner, BillId: id, Month: "2024-05", Amount: usd("12.30"), PushTime: timestamppb.New(pushed),
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *sidecar) pay(id string) {
	s.t.Helper()
	if _, err := s.billing.RecordPayment(context.Background(), &imquotav1.RecordPaymentRequest{AccountId: theOwner, BillId: id}); err != nil {
		s.t.Fatal(err)
	}
}

// standing is a decision about the app, in a line: its state, the upstream code
// and every reason with its day.
func (s *sidecar) standing() string {
	s.t.Helper()
	d := s.check(login(theApp, "alice"))
	text := strings.ToLower(strings.TrimPrefix(d.GetAppState().String(), "APP_STATE_"))
	zone := catalog.Default().Zone()
	if d.GetAllowed() {
		return text
	}
	v := d.GetViolations()[0]
	text += fmt.Sprintf(" %d since %s:", v.GetUpstreamCode(), v.GetSince().AsTime().In(zone).Format("01-02"))
	for _, r := range v.GetSuspensions() {
		text += fmt.Sprintf(" %s %s", strings.ToLower(strings.TrimPrefix(r.GetReason().String(), "SUSPENSION_REASON_")), r.GetSince().AsTime().In(zone).Format("01-02"))
	}
	return text
}

func (s *sidecar) wantStanding(want string) {
	s.t.Helper()
	if got := s.standing(); got != want {
		s.t.Errorf("at %v the app is %s, want %s", s.clock.Now(), got, want)
	}
}

// at sets the clock to a local time of 2024.
func (s *sidecar) at(local string) {
	s.t.Helper()
	s.clock.Set(newClock("2024-" + local + "+08:00").Now())
}

func TestReasonsAreCuredOneByOne(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.standard()
		s.wantStanding("active")
		s.disable(theApp)
		s.wantStanding("suspended 60016 since 06-15: disabled 06-15")
		s.at("06-16T12:00:00")
		s.bill("may", s.clock.Now())
		s.at("06-17T11:59:59")
		s.wantStanding("suspended 60016 since 06-15: disabled 06-15")
		s.at("06-17T12:00:00")
		s.wantStanding("suspended 60016 since 06-15: disabled 06-15 overdue 06-17")
		s.enable(theApp)
		s.wantStanding("suspended 60016 since 06-15: overdue 06-17")
		s.clock.Advance(time.Second)
		s.disable(theApp)
		s.pay("may")
		s.wantStanding("suspended 60016 since 06-15: disabled 06-17")
		s.enable(theApp)
		s.wantStanding("active")

		s.at("07-01T00:00:00")
		s.wantStanding("grace")
		s.at("07-01T23:59:59")
		s.wantStanding("grace")
		s.at("07-02T00:00:00")
		s.wantStanding("suspended 60020 since 07-02: expired 07-02")
		s.bill("june", s.clock.Now())
		s.at("07-03T00:00:00")
		s.wantStanding("suspended 60016 since 07-02: expired 07-02 overdue 07-03")
		if d := s.release(release(theApp, &imquotav1.RemoveFriend{UserId: "a", FriendId: "b"})); !d.GetAllowed() {
			t.Errorf("a release while suspended: %v", d)
		}
		s.pay("june")
		s.wantStanding("suspended 60020 since 07-02: expired 07-02")
		app := s.get(theApp)
		if got := app.GetReclaimTime().AsTime(); !got.Equal(newClock("2024-09-30T00:00:00+08:00").Now()) {
			t.Errorf("reclaimed at %v", got)
		}
		s.at("09-29T23:59:59")
		s.wantStanding("suspended 60020 since 07-02: expired 07-02")
		s.at("09-30T00:00:00")
		s.wantStanding("reclaimed 70020 since 09-30:")
		if d := s.release(release(theApp, &imquotav1.RemoveFriend{UserId: "a", FriendId: "b"})); d.GetAllowed() || d.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_APP_NOT_FOUND {
			t.Errorf("a release of a reclaimed app: %v", d)
		}
		_, err := s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: theApp})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		_, err = s.apps.ApproveFeature(t.Context(), &imquotav1.ApproveFeatureRequest{AppId: theApp, Feature: "push_all"})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		if state := s.get(theApp).GetState(); state != imquotav1.AppState_APP_STATE_RECLAIMED {
			t.Errorf("state %v", state)
		}
	})
}

func TestReturnedPlan(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-20T12:00:00+08:00"), catalog.Default())
		s.standard(func(o *imquotav1.Order) { o.RefundTime = stamp("2024-06-16T00:00:00+08:00") })
		s.wantStanding("suspended 60016 since 06-16: refunded 06-16")
		s.disable(theApp)
		s.wantStanding("suspended 60016 since 06-16: refunded 06-16 disabled 06-20")
		s.enable(theApp)
		s.wantStanding("suspended 60016 since 06-16: refunded 06-16")
		if app := s.get(theApp); app.GetExpireTime() != nil || app.GetOrders()[0].GetRefundTime() == nil {
			t.Errorf("app %v", app)
		}
	})
}

func TestDeleteApp(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		cat := edited(t, "max_apps: 300", "max_apps: 1")
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), cat)
		s.standard()
		s.allow(check(theApp, &imquotav1.CreateGroup{GroupId: "g", GroupType: "work", OwnerId: "alice"}))
		s.allow(login(theApp, "alice"))
		in := &imquotav1.DeleteAppRequest{AppId: theApp, RequestId: "d1", Actor: "ann"}
		_, err := s.apps.DeleteApp(t.Context(), in)
		wantFault(t, err, codes.FailedPrecondition, "APP_NOT_DISABLED")
		second := &imquotav1.CreateAppRequest{AppId: theApp + 1, AccountId: theOwner}
		_, err = s.apps.CreateApp(t.Context(), second)
		wantFault(t, err, codes.FailedPrecondition, "ACCOUNT_FULL")

		s.disable(theApp)
		for range 2 { // the second finds the first
			out, err := s.apps.DeleteApp(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if app := out.GetApp(); app.GetState() != imquotav1.AppState_APP_STATE_DELETED || app.GetSweepTime() == nil {
				t.Errorf("deleted: %v", app)
			}
		}
		s.wantStanding("deleted 70020 since 06-15:")
		if _, err := s.apps.CreateApp(t.Context(), second); err != nil {
			t.Errorf("into its place: %v", err)
		}
		_, err = s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AppId: theApp, AccountId: "other"})
		wantFault(t, err, codes.AlreadyExists, "APP_EXISTS")
		_, err = s.apps.EnableApp(t.Context(), &imquotav1.EnableAppRequest{AppId: theApp})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		_, err = s.apps.DisableApp(t.Context(), &imquotav1.DisableAppRequest{AppId: theApp})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")

		for _, isDeleted := range []bool{false, true} {
			out, err := s.apps.ListApps(t.Context(), &imquotav1.ListAppsRequest{AccountId: theOwner, Deleted: isDeleted})
			if err != nil || len(out.GetApps()) != 1 || (out.GetApps()[0].GetAppId() == theApp) != isDeleted {
				t.Errorf("apps, deleted %v: %v, %v", isDeleted, out, err)
			}
		}
		events, err := s.apps.ListAppEvents(t.Context(), &imquotav1.ListAppEventsRequest{AppId: theApp})
		if err != nil {
			t.Fatal(err)
		}
		var log []string
		for _, e := range events.GetEvents() {
			log = append(log, fmt.Sprint(e.GetRevision(), " ", e.GetAction(), " ", e.GetActor(), " ", e.GetRequestId()))
		}
		want := []string{"4 RemoveCounters ann ", "3 DeleteApp ann d1", "2 DisableApp  ", "1 CreateApp  "}
		if diff := cmp.Diff(want, log); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestLastPlace: of many creations for the last place of an account one gets it,
// while apps are deleted too.
func TestLastPlace(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		const racers, most = 50, 300
		a := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		b := start(t, st.another(), a.clock, catalog.Default())
		for i := range most - 1 {
			if _, err := a.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AccountId: theOwner, AppId: uint32(1000 + i)}); err != nil {
				t.Fatal(err)
			}
		}
		race := func(name string) (created int64) {
			var running sync.WaitGroup
			for i := range racers {
				running.Go(func() {
					sc := []*sidecar{a, b}[i%2]
					in := &imquotav1.CreateAppRequest{AccountId: theOwner, RequestId: fmt.Sprint(name, i)}
					_, err := sc.apps.CreateApp(context.Background(), in)
					for range 20 { // a machine that is busy with all of them may keep one waiting for too long
						if status.Code(err) != codes.Unavailable {
							break
						}
						_, err = sc.apps.CreateApp(context.Background(), in)
					}
					if err == nil {
						atomic.AddInt64(&created, 1)
					} else if !strings.Contains(err.Error(), "as many apps as it may have") {
						t.Error(err)
					}
				})
			}
			running.Wait()
			return created
		}
		if n := race("last"); n != 1 {
			t.Errorf("%d got the last place", n)
		}
		a.disable(1000)
		if _, err := b.apps.DeleteApp(t.Context(), &imquotav1.DeleteAppRequest{AppId: 1000}); err != nil {
			t.Fatal(err)
		}
		if n := race("freed"); n != 1 {
			t.Errorf("%d got the place of the deleted app", n)
		}
		out, err := a.billing.GetAccount(t.Context(), &imquotav1.GetAccountRequest{AccountId: theOwner})
		if err != nil || out.GetAccount().GetAppCount() != most || out.GetAccount().GetMaxApps() != most {
			t.Errorf("account %v, %v", out, err)
		}
	})
}

// TestChangesTakeEffectOnce: a repeated request id changes nothing, whatever was
// changed since, and another request of the id is refused.
func TestChangesTakeEffectOnce(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.standard()
		disable := &imquotav1.DisableAppRequest{AppId: theApp, RequestId: "r1", Actor: "ann"}
		if _, err := s.apps.DisableApp(t.Context(), disable); err != nil {
			t.Fatal(err)
		}
		s.enable(theApp)
		disable.Actor = "bob" // who repeats it does not matter
		if _, err := s.apps.DisableApp(t.Context(), disable); err != nil {
			t.Fatal(err)
		}
		s.wantStanding("active")
		_, err := s.apps.EnableApp(t.Context(), &imquotav1.EnableAppRequest{AppId: theApp, RequestId: "r1"})
		wantFault(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")

		bill := &imquotav1.RecordBillRequest{AccountId: theOwner, RequestId: "b1", BillId: "may", Amount: usd("10")}
		for range 2 {
			out, err := s.billing.RecordBill(t.Context(), bill)
			if err != nil || len(out.GetAccount().GetBills()) != 1 || out.GetAccount().GetRevision() != 1 {
				t.Fatalf("account %v, %v", out, err)
			}
		}
		_, err = s.billing.RecordBill(t.Context(), &imquotav1.RecordBillRequest{AccountId: theOwner, RequestId: "b1", BillId: "june", Amount: usd("10")})
		wantFault(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
		_, err = s.billing.RecordBill(t.Context(), &imquotav1.RecordBillRequest{AccountId: theOwner, BillId: "may", Amount: usd("11")})
		wantFault(t, err, codes.AlreadyExists, "BILL_EXISTS")
		pay := &imquotav1.RecordPaymentRequest{AccountId: theOwner, RequestId: "p1", BillId: "may"}
		for range 2 {
			out, err := s.billing.RecordPayment(t.Context(), pay)
			if err != nil || out.GetAccount().GetBills()[0].GetState() != imquotav1.BillState_BILL_STATE_PAID || out.GetAccount().GetRevision() != 2 {
				t.Fatalf("account %v, %v", out, err)
			}
		}
		_, err = s.billing.RecordPayment(t.Context(), &imquotav1.RecordPaymentRequest{AccountId: theOwner, BillId: "july"})
		wantFault(t, err, codes.NotFound, "BILL_NOT_FOUND")
		_, err = s.billing.GetAccount(t.Context(), &imquotav1.GetAccountRequest{AccountId: "nobody"})
		wantFault(t, err, codes.NotFound, "ACCOUNT_NOT_FOUND")
	})
}

func TestRenewalAndMigration(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.standard()
		s.app(7, "developer")
		renew := func(id uint32, mode imquotav1.RenewalMode, months int32) (*imquotav1.App, error) {
			out, err := s.billing.SetRenewal(t.Context(), &imquotav1.SetRenewalRequest{AppId: id, Renewal: &imquotav1.Renewal{Mode: mode, Months: months}})
			return out.GetApp(), err
		}
		_, err := renew(7, imquotav1.RenewalMode_RENEWAL_MODE_NONE, 0)
		wantFault(t, err, codes.FailedPrecondition, "NO_ORDER")
		if r := s.get(theApp).GetRenewal(); r.GetMode() != imquotav1.RenewalMode_RENEWAL_MODE_MANUAL {
			t.Errorf("renewal of a new plan: %v", r)
		}
		app, err := renew(theApp, imquotav1.RenewalMode_RENEWAL_MODE_AUTOMATIC, 0)
		if err != nil || app.GetRenewal().GetMonths() != 1 {
			t.Errorf("automatic: %v, %v", app.GetRenewal(), err)
		}
		s.at("06-30T00:00:00")
		out, err := s.billing.ListNotices(t.Context(), &imquotav1.ListNoticesRequest{AppId: theApp})
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[imquotav1.NoticeKind]*imquotav1.Notice{}
		for _, n := range out.GetNotices() {
			kinds[n.GetKind()] = n
		}
		due := kinds[imquotav1.NoticeKind_NOTICE_KIND_RENEWAL_DUE]
		if len(kinds) != 2 || due.GetRenewalMonths() != 1 || !strings.Contains(due.GetMessage(), "2024-08-01T00:00:00+08:00") {
			t.Errorf("notices %v", out)
		}

		old := &imquotav1.CreateAppRequest{AppId: 8, AccountId: theOwner, Import: &imquotav1.AppImport{CreateTime: stamp("2022-12-25T23:59:59+08:00")}}
		created, err := s.apps.CreateApp(t.Context(), old)
		if err != nil || created.GetApp().GetBillingMode() != imquotav1.BillingMode_BILLING_MODE_LEGACY {
			t.Errorf("an app of before: %v, %v", created, err)
		}
		for range 2 {
			out, err := s.apps.MigrateBilling(t.Context(), &imquotav1.MigrateBillingRequest{AppId: 8})
			if err != nil || out.GetApp().GetBillingMode() != imquotav1.BillingMode_BILLING_MODE_PREPAID || out.GetApp().GetRevision() != 2 {
				t.Errorf("migrated: %v, %v", out, err)
			}
		}
	})
}

func TestRevokedFeature(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(7, "premium")
		if _, err := s.apps.ApproveFeature(t.Context(), &imquotav1.ApproveFeatureRequest{AppId: 7, Feature: "push_all"}); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(48 * time.Hour)
		s.allow(useFeature(7, "push_all"))
		if _, err := s.apps.RevokeFeature(t.Context(), &imquotav1.RevokeFeatureRequest{AppId: 7, Feature: "push_all"}); err != nil {
			t.Fatal(err)
		}
		if d := s.check(useFeature(7, "push_all")); d.GetAllowed() || d.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_APPROVAL_MISSING {
			t.Errorf("revoked: %v", d)
		}
		// The next approval waits again.
		if _, err := s.apps.ApproveFeature(t.Context(), &imquotav1.ApproveFeatureRequest{AppId: 7, Feature: "push_all"}); err != nil {
			t.Fatal(err)
		}
		if d := s.check(useFeature(7, "push_all")); d.GetAllowed() || d.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_APPROVAL_PENDING {
			t.Errorf("approved anew: %v", d)
		}
	})
}

func TestOverrideWithAnEnd(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(7, "developer")
		end := s.clock.Now().Add(time.Hour)
		in := &imquotav1.SetLimitOverrideRequest{AppId: 7, Quota: "groups", EndTime: timestamppb.New(end), Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: 0}}
		out, err := s.apps.SetLimitOverride(t.Context(), in)
		if err != nil || !out.GetApp().GetLimitOverrides()[0].GetEndTime().AsTime().Equal(end) {
			t.Fatalf("%v, %v", out, err)
		}
		s.clock.Set(end.Add(-time.Second))
		if d := s.check(createGroup(7, "g", "work")); d.GetAllowed() {
			t.Error("a second before its end the override does not hold")
		}
		s.clock.Set(end)
		s.allow(createGroup(7, "g", "work"))
		if o := s.get(7).GetLimitOverrides(); len(o) != 0 {
			t.Errorf("overrides that are over: %v", o)
		}
		_, err = s.apps.SetLimitOverride(t.Context(), in)
		if fields := wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"); !slices.Equal(fields, []string{"end_time"}) {
			t.Errorf("fields %v", fields)
		}
	})
}

func TestReclaimApps(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.standard()
		s.app(7, "developer")
		s.allow(login(theApp, "alice"))
		s.at("10-15T00:00:00")
		walk := func(dryRun bool) (apps []*imquotav1.ReclaimedApp) {
			for token := ""; ; {
				out, err := s.apps.ReclaimApps(t.Context(), &imquotav1.ReclaimAppsRequest{DryRun: dryRun, PageToken: token, Actor: "ann"})
				if err != nil {
					t.Fatal(err)
				}
				apps = append(apps, out.GetApps()...)
				if token = out.GetNextPageToken(); token == "" {
					if out.GetDone() != out.GetTotal() {
						t.Errorf("%d of %d done at the end", out.GetDone(), out.GetTotal())
					}
					return apps
				}
			}
		}
		for _, dryRun := range []bool{true, true, false} {
			apps := walk(dryRun)
			if len(apps) != 1 || apps[0].GetAppId() != theApp || apps[0].GetState() != imquotav1.AppState_APP_STATE_RECLAIMED || apps[0].GetAccountId() != theOwner {
				t.Errorf("dry run %v: %v", dryRun, apps)
			}
			if isSwept := s.get(theApp).GetSweepTime() != nil; isSwept == dryRun {
				t.Errorf("dry run %v, swept %v", dryRun, isSwept)
			}
		}
		if apps := walk(false); len(apps) != 0 {
			t.Errorf("again: %v", apps)
		}
		_, err := s.apps.ReclaimApps(t.Context(), &imquotav1.ReclaimAppsRequest{PageToken: "x"})
		if fields := wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"); !slices.Equal(fields, []string{"page_token"}) {
			t.Errorf("fields %v", fields)
		}
	})
}

// TestInvalidLifecycleRequests: each is refused with the fields that are wrong.
func TestInvalidLifecycleRequests(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.standard()
		ctx, future, long := t.Context(), stamp("2024-06-15T12:00:01+08:00"), strings.Repeat("x", 65)
		s.bill("pushed", s.clock.Now())
		only := func(_ any, err error) error { return err }
		tests := map[string]struct {
			err    error
			fields []string
		}{
			"disable nothing":              {only(s.apps.DisableApp(ctx, &imquotav1.DisableAppRequest{RequestId: long, Actor: "a\n"})), []string{"app_id", "request_id", "actor"}},
			"delete nothing":               {only(s.apps.DeleteApp(ctx, &imquotav1.DeleteAppRequest{})), []string{"app_id"}},
			"revoke an unknown feature":    {only(s.apps.RevokeFeature(ctx, &imquotav1.RevokeFeatureRequest{AppId: theApp, Feature: "x"})), []string{"feature"}},
			"clear until":                  {only(s.apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{AppId: theApp, Quota: "groups", EndTime: future, Override: &imquotav1.SetLimitOverrideRequest_Clear{Clear: true}})), []string{"end_time"}},
			"events of nothing":            {only(s.apps.ListAppEvents(ctx, &imquotav1.ListAppEventsRequest{PageSize: -1, PageToken: "x"})), []string{"app_id", "page_size", "page_token"}},
			"renewal without a mode":       {only(s.billing.SetRenewal(ctx, &imquotav1.SetRenewalRequest{AppId: theApp})), []string{"renewal.mode"}},
			"renewal of an unknown mode":   {only(s.billing.SetRenewal(ctx, &imquotav1.SetRenewalRequest{AppId: theApp, Renewal: &imquotav1.Renewal{Mode: 77}})), []string{"renewal.mode"}},
			"renewal by hand for months":   {only(s.billing.SetRenewal(ctx, &imquotav1.SetRenewalRequest{AppId: theApp, Renewal: &imquotav1.Renewal{Mode: 1, Months: 1}})), []string{"renewal.months"}},
			"renewal for 25 months":        {only(s.billing.SetRenewal(ctx, &imquotav1.SetRenewalRequest{AppId: theApp, Renewal: &imquotav1.Renewal{Mode: 2, Months: 25}})), []string{"renewal.months"}},
			"an account with a space":      {only(s.billing.GetAccount(ctx, &imquotav1.GetAccountRequest{AccountId: "a b"})), []string{"account_id"}},
			"a bill of nothing":            {only(s.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{AccountId: theOwner})), []string{"bill_id", "amount"}},
			"a bill in another currency":   {only(s.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{AccountId: theOwner, BillId: "b", Amount: &imquotav1.Money{CurrencyCode: "EUR", Amount: "1"}})), []string{"amount.currency_code"}},
			"a bill of less than nothing":  {only(s.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{AccountId: theOwner, BillId: "b", Amount: usd("-1")})), []string{"amount.amount"}},
			"a bill for no month":          {only(s.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{AccountId: theOwner, BillId: "b", Amount: usd("1"), Month: "2024-13"})), []string{"month"}},
			"a bill of tomorrow":           {only(s.billing.RecordBill(ctx, &imquotav1.RecordBillRequest{AccountId: theOwner, BillId: "b", Amount: usd("1"), PushTime: future})), []string{"push_time"}},
			"a payment of tomorrow":        {only(s.billing.RecordPayment(ctx, &imquotav1.RecordPaymentRequest{AccountId: theOwner, BillId: "pushed", PayTime: future})), []string{"pay_time"}},
			"a payment before the bill":    {only(s.billing.RecordPayment(ctx, &imquotav1.RecordPaymentRequest{AccountId: theOwner, BillId: "pushed", PayTime: stamp("2024-06-15T11:59:59+08:00")})), []string{"pay_time"}},
			"notices of two":               {only(s.billing.ListNotices(ctx, &imquotav1.ListNoticesRequest{AccountId: theOwner, AppId: theApp})), []string{"app_id"}},
			"notices of an account, paged": {only(s.billing.ListNotices(ctx, &imquotav1.ListNoticesRequest{AccountId: theOwner, PageToken: "1"})), []string{"page_token"}},
			"an edition that orders deny": {only(s.apps.CreateApp(ctx, &imquotav1.CreateAppRequest{AccountId: theOwner, Import: &imquotav1.AppImport{
				Edition: "premium", Orders: []*imquotav1.Order{{OrderId: "o", Edition: "standard", Months: 1, StartTime: stamp("2024-06-01T00:00:00+08:00")}},
			}})), []string{"import.edition"}},
		}
		for name, tt := range tests {
			if fields := wantFault(t, tt.err, codes.InvalidArgument, "INVALID_FIELD"); !slices.Equal(fields, tt.fields) {
				t.Errorf("%s: fields %v, want %v", name, fields, tt.fields)
			}
		}
		for name, err := range map[string]error{
			"disable": only(s.apps.DisableApp(ctx, &imquotav1.DisableAppRequest{AppId: 1})),
			"events":  only(s.apps.ListAppEvents(ctx, &imquotav1.ListAppEventsRequest{AppId: 1})),
			"notices": only(s.billing.ListNotices(ctx, &imquotav1.ListNoticesRequest{AppId: 1})),
			"renewal": only(s.billing.SetRenewal(ctx, &imquotav1.SetRenewalRequest{AppId: 1, Renewal: &imquotav1.Renewal{Mode: 1}})),
		} {
			t.Log(name)
			wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		}
	})
}

// TestListBesideALostApp: one app that the store has lost hides no other of its
// account.
func TestListBesideALostApp(t *testing.T) {
	t.Parallel()
	redis := redistest.Standalone(t)
	s := start(t, openRedis(t, redis.Addr), newClock("2024-06-28T12:00:00+08:00"), catalog.Default())
	s.standard()
	if _, err := s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AppId: 7, AccountId: theOwner}); err != nil {
		t.Fatal(err)
	}
	if err := redis.Client().Del(t.Context(), "imq:{7}:app").Err(); err != nil {
		t.Fatal(err)
	}
	out, err := s.apps.ListApps(t.Context(), &imquotav1.ListAppsRequest{AccountId: theOwner})
	if err != nil || len(out.GetApps()) != 1 || out.GetApps()[0].GetAppId() != theApp || !slices.Equal(out.GetUnreadableAppIds(), []uint32{7}) {
		t.Errorf("%v, %v", out, err)
	}
	notices, err := s.billing.ListNotices(t.Context(), &imquotav1.ListNoticesRequest{AccountId: theOwner})
	if err != nil || len(notices.GetNotices()) != 1 {
		t.Errorf("%v, %v", notices, err)
	}
	_, err = s.apps.GetApp(t.Context(), &imquotav1.GetAppRequest{AppId: 7})
	wantFault(t, err, codes.Unavailable, "USAGE_UNKNOWN")
}

// TestDeleteLargeApp: the caller hears of the deletion in time, though the
// counters take longer than that.
func TestDeleteLargeApp(t *testing.T) {
	t.Parallel()
	s := start(t, openRedis(t, redistest.Standalone(t).Addr), newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	if _, err := s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AppId: theApp, AccountId: theOwner, ExpectedUsers: 1_000_000_000}); err != nil {
		t.Fatal(err)
	}
	s.disable(theApp)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	out, err := s.apps.DeleteApp(ctx, &imquotav1.DeleteAppRequest{AppId: theApp})
	if err != nil || out.GetApp().GetState() != imquotav1.AppState_APP_STATE_DELETED {
		t.Fatalf("%v, %v", out, err)
	}
	s.wantStanding("deleted 70020 since 06-15:")
}
