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
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestCreateApp(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T12:00:00+08:00")
		s := start(t, st.first, c, catalog.Default())
		june := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
		in := &imquotav1.CreateAppRequest{
			RequestId: "c1", AppId: 1400000009, AccountId: "acme", Name: "Acme chat", Region: "de",
			Import: &imquotav1.AppImport{
				Edition: "standard",
				Orders: []*imquotav1.Order{
					{OrderId: "o2", Edition: "standard", Months: 1, StartTime: timestamppb.New(june.AddDate(0, 1, 0)), EndTime: timestamppb.New(june.AddDate(0, 2, 0)), Cash: &imquotav1.Money{CurrencyCode: "USD", Amount: "399"}},
					{OrderId: "o1", Edition: "standard", Months: 1, StartTime: timestamppb.New(june), EndTime: timestamppb.New(june.AddDate(0, 1, 0)), Cash: &imquotav1.Money{CurrencyCode: "USD", Amount: "300.5"}, Credit: &imquotav1.Money{CurrencyCode: "USD", Amount: "98.50"}},
				},
				Approvals: []*imquotav1.Approval{{Feature: "push_all", ApproveTime: timestamppb.New(june)}},
				AddOns:    []*imquotav1.AddOnActivation{{AddOn: "av_call", ActivateTime: timestamppb.New(june)}},
			},
		}
		created, err := s.apps.CreateApp(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.apps.CreateApp(t.Context(), in)
		if err != nil {
			t.Fatalf("the same request again: %v", err)
		}
		if diff := cmp.Diff(created, again, protocmp.Transform()); diff != "" {
			t.Errorf("the same request again (-first +second):\n%s", diff)
		}
		got, err := s.apps.GetApp(t.Context(), &imquotav1.GetAppRequest{AppId: 1400000009})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(created.GetApp(), got.GetApp(), protocmp.Transform()); diff != "" {
			t.Errorf("read back (-created +read):\n%s", diff)
		}
		app := got.GetApp()
		if app.GetOrders()[0].GetOrderId() != "o1" || app.GetOrders()[0].GetCash().GetAmount() != "300.50" || app.GetState() != imquotav1.AppState_APP_STATE_ACTIVE || app.GetRevision() != 1 {
			t.Errorf("app: %v", app)
		}
		in.RequestId = "c2"
		_, err = s.apps.CreateApp(t.Context(), in)
		wantFault(t, err, codes.AlreadyExists, "APP_EXISTS")
		in.RequestId, in.Name = "c1", "Other"
		_, err = s.apps.CreateApp(t.Context(), in)
		wantFault(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")

		// An id is chosen, the same one for the same request.
		chosen := &imquotav1.CreateAppRequest{RequestId: "c3", AccountId: "acme"}
		one, err := s.apps.CreateApp(t.Context(), chosen)
		if err != nil {
			t.Fatal(err)
		}
		two, err := s.apps.CreateApp(t.Context(), chosen)
		if err != nil || one.GetApp().GetAppId() != two.GetApp().GetAppId() || one.GetApp().GetAppId() == 0 {
			t.Errorf("chosen %v, then %v (%v)", one, two, err)
		}
		for i := range 20 { // more than the changes that an app remembers
			_, err := s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{
				AppId: one.GetApp().GetAppId(), RequestId: fmt.Sprint("change", i), Quota: "friends",
				Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: int64(i)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		late, err := s.apps.CreateApp(t.Context(), chosen)
		if err != nil || one.GetApp().GetAppId() != late.GetApp().GetAppId() {
			t.Errorf("chosen %v, and after many changes %v (%v)", one, late, err)
		}
		if e := one.GetApp().GetEdition(); e != "developer" {
			t.Errorf("a new app's edition is %q", e)
		}

		// Expiry: in grace served and told until when, then suspended; releases go on.
		expiry := june.AddDate(0, 2, 0)
		c.Set(expiry)
		d := s.allow(addFriend(1400000009, "a", "b"))
		if d.GetAppState() != imquotav1.AppState_APP_STATE_GRACE || !d.GetGraceUntil().AsTime().Equal(expiry.Add(24*time.Hour)) {
			t.Errorf("in grace: %v", d)
		}
		c.Set(expiry.Add(24 * time.Hour))
		d = s.check(addFriend(1400000009, "a", "c"))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_APP_SUSPENDED || v[0].GetUpstreamCode() != 60020 || !v[0].GetSince().AsTime().Equal(c.Now()) {
			t.Errorf("suspended: %v", d)
		}
		if d := s.release(release(1400000009, &imquotav1.RemoveFriend{UserId: "a", FriendId: "b"})); !d.GetAllowed() || d.GetClamped() {
			t.Errorf("a release while suspended: %v", d)
		}
		out, err := s.GetEntitlements(t.Context(), &imquotav1.GetEntitlementsRequest{AppId: 1400000009})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range out.GetFeatures() {
			if f.GetAllowed() || f.GetViolations()[0].GetReason() != imquotav1.Reason_REASON_APP_SUSPENDED {
				t.Errorf("while suspended, %v", f)
			}
		}
	})
}

func TestInvalidApps(t *testing.T) {
	t.Parallel()
	at := timestamppb.New(time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC))
	later := timestamppb.New(time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC))
	future := timestamppb.New(time.Date(2034, 7, 1, 0, 0, 0, 0, time.UTC))
	order := func(edit func(*imquotav1.Order)) *imquotav1.CreateAppRequest {
		o := &imquotav1.Order{OrderId: "o", Edition: "standard", Months: 1, StartTime: at, EndTime: later}
		edit(o)
		return &imquotav1.CreateAppRequest{AccountId: "acme", Import: &imquotav1.AppImport{Edition: "standard", Orders: []*imquotav1.Order{o}}}
	}
	orders := func(id1 string, from1, to1 time.Month, id2 string, from2, to2 time.Month) *imquotav1.CreateAppRequest {
		month := func(m time.Month) *timestamppb.Timestamp {
			return timestamppb.New(time.Date(2024, m, 1, 0, 0, 0, 0, time.UTC))
		}
		return &imquotav1.CreateAppRequest{AccountId: "acme", Import: &imquotav1.AppImport{Edition: "standard", Orders: []*imquotav1.Order{
			{OrderId: id1, Edition: "standard", Months: 1, StartTime: month(from1), EndTime: month(to1)},
			{OrderId: id2, Edition: "standard", Months: 1, StartTime: month(from2), EndTime: month(to2)},
		}}}
	}
	tests := []struct {
		name   string
		in     *imquotav1.CreateAppRequest
		fields []string
	}{
		{"no account", &imquotav1.CreateAppRequest{}, []string{"account_id"}},
		{"an account with a separator", &imquotav1.CreateAppRequest{AccountId: "a:b"}, []string{"account_id"}},
		{"an unknown region", &imquotav1.CreateAppRequest{AccountId: "a", Region: "moon"}, []string{"region"}},
		{"a name with a newline", &imquotav1.CreateAppRequest{AccountId: "a", Name: "a\nb"}, []string{"name"}},
		{"a negative size", &imquotav1.CreateAppRequest{AccountId: "a", ExpectedUsers: -1}, []string{"expected_users"}},
		{"an unknown edition", &imquotav1.CreateAppRequest{AccountId: "a", Import: &imquotav1.AppImport{Edition: "gold"}}, []string{"import.edition"}},
		{"an approval nobody needs", &imquotav1.CreateAppRequest{AccountId: "a", Import: &imquotav1.AppImport{Approvals: []*imquotav1.Approval{{Feature: "community"}}}}, []string{"import.approvals[0].feature"}},
		{"an approval to come", &imquotav1.CreateAppRequest{AccountId: "a", Import: &imquotav1.AppImport{Approvals: []*imquotav1.Approval{{Feature: "push_all", ApproveTime: future}}}}, []string{"import.approvals[0].approve_time"}},
		{"an unknown add-on", &imquotav1.CreateAppRequest{AccountId: "a", Import: &imquotav1.AppImport{AddOns: []*imquotav1.AddOnActivation{{AddOn: "jet"}}}}, []string{"import.add_ons[0].add_on"}},
		{"an order of 25 months", order(func(o *imquotav1.Order) { o.Months = 25 }), []string{"import.orders[0].months"}},
		{"an order that ends first", order(func(o *imquotav1.Order) { o.EndTime = at }), []string{"import.orders[0].end_time"}},
		{"an order without a start", order(func(o *imquotav1.Order) { o.StartTime = nil }), []string{"import.orders[0].start_time"}},
		{"an order of a free edition", order(func(o *imquotav1.Order) { o.Edition = "developer" }), []string{"import.orders[0].edition"}},
		{"an order of an unknown edition", order(func(o *imquotav1.Order) { o.Edition = "gold" }), []string{"import.orders[0].edition"}},
		{"two orders of one id", orders("o", 6, 7, "o", 7, 8), []string{"import.orders[1].order_id"}},
		{"orders that overlap", orders("o", 6, 8, "p", 7, 9), []string{"import.orders"}},
		{"orders that overlap, the later first", orders("p", 7, 9, "o", 6, 8), []string{"import.orders"}},
		{"an approval given twice", &imquotav1.CreateAppRequest{AccountId: "a", Import: &imquotav1.AppImport{Approvals: []*imquotav1.Approval{{Feature: "push_all"}, {Feature: "push_all"}}}}, []string{"import.approvals[1].feature"}},
		{"an add-on given twice", &imquotav1.CreateAppRequest{AccountId: "a", Import: &imquotav1.AppImport{AddOns: []*imquotav1.AddOnActivation{{AddOn: "av_call"}, {AddOn: "av_call"}}}}, []string{"import.add_ons[1].add_on"}},
		{"another currency", order(func(o *imquotav1.Order) { o.Cash = &imquotav1.Money{CurrencyCode: "EUR", Amount: "1"} }), []string{"import.orders[0].cash.currency_code"}},
		{"a negative amount", order(func(o *imquotav1.Order) { o.Cash = &imquotav1.Money{CurrencyCode: "USD", Amount: "-1"} }), []string{"import.orders[0].cash.amount"}},
		{"a third of a cent", order(func(o *imquotav1.Order) { o.Credit = &imquotav1.Money{CurrencyCode: "USD", Amount: "0.333"} }), []string{"import.orders[0].credit.amount"}},
		{"an exponent", order(func(o *imquotav1.Order) { o.Credit = &imquotav1.Money{CurrencyCode: "USD", Amount: "1e999999"} }), []string{"import.orders[0].credit.amount"}},
		{"no number", order(func(o *imquotav1.Order) { o.Credit = &imquotav1.Money{CurrencyCode: "USD", Amount: "much"} }), []string{"import.orders[0].credit.amount"}},
	}
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-08-15T12:00:00+08:00"), catalog.Default())
		for _, tt := range tests {
			_, err := s.apps.CreateApp(t.Context(), tt.in)
			t.Run(tt.name, func(t *testing.T) {
				wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), tt.fields...)
			})
		}
		out, err := s.apps.ListApps(t.Context(), &imquotav1.ListAppsRequest{AccountId: "acme"})
		if err != nil || len(out.GetApps()) != 0 {
			t.Errorf("invalid requests created apps: %v (%v)", out, err)
		}
		_, err = s.apps.GetApp(t.Context(), &imquotav1.GetAppRequest{AppId: 5})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		_, err = s.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: 5})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		_, err = s.GetEntitlements(t.Context(), &imquotav1.GetEntitlementsRequest{AppId: 5})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
		_, err = s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{AppId: 5, Quota: "friends", Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: 1}})
		wantFault(t, err, codes.NotFound, "APP_NOT_FOUND")
	})
}

// TestAccountLimit: exactly 300 of many racing creates find a place.
func TestAccountLimit(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		var created atomic.Int64
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for k := range 20 {
					_, err := s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AccountId: "acme", AppId: uint32(1 + w*20 + k)})
					if err == nil {
						created.Add(1)
						continue
					}
					wantFault(t, err, codes.FailedPrecondition, "ACCOUNT_FULL")
				}
			})
		}
		wg.Wait()
		var listed []uint32
		page := &imquotav1.ListAppsRequest{AccountId: "acme", PageSize: 70}
		for {
			out, err := s.apps.ListApps(t.Context(), page)
			if err != nil {
				t.Fatal(err)
			}
			for _, app := range out.GetApps() {
				if n := len(listed); n > 0 && listed[n-1] >= app.GetAppId() {
					t.Fatalf("%d is listed after %d", app.GetAppId(), listed[n-1])
				}
				listed = append(listed, app.GetAppId())
			}
			if page.PageToken = out.GetNextPageToken(); page.GetPageToken() == "" {
				break
			}
		}
		if created.Load() != 300 || len(listed) != 300 {
			t.Errorf("%d created, %d listed, want 300", created.Load(), len(listed))
		}
		_, err := s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AccountId: "other", AppId: 5000})
		if err != nil {
			t.Errorf("another account: %v", err)
		}
	})
}

func TestSetUsage(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		set := func(in *imquotav1.SetUsageRequest) (*imquotav1.SetUsageResponse, error) {
			in.AppId = 1
			return s.apps.SetUsage(t.Context(), in)
		}
		must := func(in *imquotav1.SetUsageRequest) *imquotav1.SetUsageResponse {
			t.Helper()
			out, err := set(in)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		out := must(&imquotav1.SetUsageRequest{Quota: "friends", Subject: "alice", Used: 15, DryRun: true})
		if out.GetBefore() != 0 || out.GetAfter() != 15 {
			t.Errorf("dry run: %v", out)
		}
		s.wantUsed(1, "friends", "alice", "", 0)
		must(&imquotav1.SetUsageRequest{Quota: "friends", Subject: "alice", Used: 15})
		s.allow(addFriend(1, "alice", "bob")) // 16, while someone measured 15 as 10
		observed := int64(15)
		out = must(&imquotav1.SetUsageRequest{Quota: "friends", Subject: "alice", Used: 10, Observed: &observed, RequestId: "s1"})
		if out.GetBefore() != 16 || out.GetAfter() != 11 || out.GetState().GetUsed() != 11 {
			t.Errorf("observed: %v", out)
		}
		out = must(&imquotav1.SetUsageRequest{Quota: "friends", Subject: "alice", Used: 10, Observed: &observed, RequestId: "s1"})
		if !out.GetReplayed() || out.GetAfter() != 11 {
			t.Errorf("retried: %v", out)
		}
		s.wantUsed(1, "friends", "alice", "", 11)
		must(&imquotav1.SetUsageRequest{Quota: "group_members", Subject: "g", Used: 20, GroupType: "Public", RequestId: "g1"})
		if out := must(&imquotav1.SetUsageRequest{Quota: "group_members", Subject: "g", Used: 20, GroupType: "public", RequestId: "g1"}); !out.GetReplayed() {
			t.Errorf("the same by another name of the type: %v", out)
		}
		s.allow(createGroup(1, "gone", "work"))
		s.release(dissolve(1, "gone"))
		if out := must(&imquotav1.SetUsageRequest{Quota: "group_members", Subject: "gone", Used: 7, GroupType: "work"}); out.GetAfter() != 7 {
			t.Errorf("a group that was dissolved before: %v", out)
		}
		if d := s.check(joinGroup(1, "g", "public", "x")); d.GetAllowed() {
			t.Error("a group set to its limit is not full")
		}

		for _, tt := range []struct {
			name  string
			in    *imquotav1.SetUsageRequest
			field string
		}{
			{"a distinct quota", &imquotav1.SetUsageRequest{Quota: "users", Used: 5}, "quota"},
			{"another distinct quota", &imquotav1.SetUsageRequest{Quota: "free_mau", Used: 5}, "quota"},
			{"a static quota", &imquotav1.SetUsageRequest{Quota: "history_days", Used: 5}, "quota"},
			{"an unknown quota", &imquotav1.SetUsageRequest{Quota: "wishes", Used: 5}, "quota"},
			{"no subject", &imquotav1.SetUsageRequest{Quota: "friends", Used: 5}, "subject"},
			{"a subject too many", &imquotav1.SetUsageRequest{Quota: "groups", Subject: "x", Used: 5}, "subject"},
			{"a negative number", &imquotav1.SetUsageRequest{Quota: "groups", Used: -1}, "used"},
			{"a huge number", &imquotav1.SetUsageRequest{Quota: "groups", Used: 1 << 53}, "used"},
			{"a group nobody knows", &imquotav1.SetUsageRequest{Quota: "group_members", Subject: "new", Used: 5}, "group_type"},
			{"a type where none belongs", &imquotav1.SetUsageRequest{Quota: "friends", Subject: "alice", Used: 5, GroupType: "work"}, "group_type"},
			{"an unknown type", &imquotav1.SetUsageRequest{Quota: "group_members", Subject: "new", Used: 5, GroupType: "nonsense"}, "group_type"},
			{"a live group", &imquotav1.SetUsageRequest{Quota: "group_members", Subject: "new", Used: 5, GroupType: "live"}, "group_type"},
		} {
			_, err := set(tt.in)
			t.Run(tt.name, func(t *testing.T) {
				wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), tt.field)
			})
		}
	})
}

func TestOverridesAndEntitlements(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "standard")
		override := &imquotav1.SetLimitOverrideRequest{AppId: 1, RequestId: "o1", Quota: "live_groups", Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: 1}}
		for range 2 { // the second is a retry
			out, err := s.apps.SetLimitOverride(t.Context(), override)
			if err != nil || out.GetApp().GetRevision() != 2 {
				t.Fatalf("override: %v (%v)", out, err)
			}
		}
		s.allow(createGroup(1, "a", "live"))
		d := s.check(createGroup(1, "b", "live"))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetLimit() != 1 || d.GetUpgrade() != nil {
			t.Errorf("overridden to 1, in every edition: %v", d)
		}
		limits := func() map[string]*imquotav1.LimitEntitlement {
			out, err := s.GetEntitlements(t.Context(), &imquotav1.GetEntitlementsRequest{AppId: 1, Client: &imquotav1.Client{Platform: "web"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.GetFeatures()) != len(catalog.Default().Features()) || len(out.GetLimits()) != len(catalog.Default().Quotas()) {
				t.Errorf("%d features, %d limits", len(out.GetFeatures()), len(out.GetLimits()))
			}
			for _, f := range out.GetFeatures() {
				if want := f.GetFeature() == "global_coverage"; f.GetAllowed() != want {
					t.Errorf("standard, %v", f)
				}
			}
			m := map[string]*imquotav1.LimitEntitlement{}
			for _, l := range out.GetLimits() {
				m[l.GetQuota()] = l
			}
			return m
		}
		l := limits()
		if q := l["live_groups"]; q.GetLimit() != 1 || !q.GetOverridden() {
			t.Errorf("live groups: %v", q)
		}
		if q := l["free_mau"]; q.GetLimit() != 10000 || !q.GetBilled() {
			t.Errorf("free MAU: %v", q)
		}
		if q := l["history_days"]; q.GetLimit() != 7 {
			t.Errorf("history days: %v", q)
		}
		if q := l["users"]; !q.GetUnlimited() {
			t.Errorf("users: %v", q)
		}
		_, err := s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{AppId: 1, Quota: "live_groups", Override: &imquotav1.SetLimitOverrideRequest_Unlimited{Unlimited: true}})
		if err != nil {
			t.Fatal(err)
		}
		s.allow(createGroup(1, "b", "live"))
		_, err = s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{AppId: 1, Quota: "live_groups", Override: &imquotav1.SetLimitOverrideRequest_Clear{Clear: true}})
		if err != nil {
			t.Fatal(err)
		}
		if q := limits()["live_groups"]; q.GetLimit() != 50 || q.GetOverridden() {
			t.Errorf("cleared: %v", q)
		}
		_, err = s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{AppId: 1, Quota: "live_groups"})
		wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "override")
		_, err = s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{AppId: 1, Quota: "live_groups", Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: -5}})
		wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "limit")
		_, err = s.apps.SetLimitOverride(t.Context(), &imquotav1.SetLimitOverrideRequest{AppId: 1, Quota: "wishes", Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: 5}})
		wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "quota")
	})
}

// TestTightest: of a thousand users' counters a decision shows the tightest,
// and of a thousand violations the first twenty.
func TestTightest(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "premium")
		s.set(1, "joined_groups", "m0500", 900, "")
		s.allow(createGroup(1, "g", "work"))
		d := s.allow(addMembers(1, "g", "work", users("m", 1000)...))
		if q := state(t, d, "joined_groups"); q.GetSubject() != "m0500" || q.GetUsed() != 901 {
			t.Errorf("tightest: %v", q)
		}
		s.app(2, "developer")
		d = s.check(createGroup(2, "g", "work", users("m", 1000)...))
		if v := d.GetViolations(); d.GetAllowed() || len(v) != 1 || v[0].GetQuota() != "group_members" {
			t.Errorf("1000 initial members: %v", v)
		}
		for i := range 30 {
			s.set(2, "joined_groups", fmt.Sprintf("full%02d", i), 50, "")
		}
		var full []string
		for i := range 30 {
			full = append(full, fmt.Sprintf("full%02d", i))
		}
		d = s.check(createGroup(2, "g", "work", full...))
		if len(d.GetViolations()) != 20 || d.GetViolationCount() != 31 || d.GetViolations()[19].GetSubject() != "full19" {
			t.Errorf("%d of %d violations", len(d.GetViolations()), d.GetViolationCount())
		}
	})
}
