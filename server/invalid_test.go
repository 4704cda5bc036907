package server_test

import (
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// TestInvalidChecks: whatever makes no sense gets one clear error that names
// the field, and writes nothing.
func TestInvalidChecks(t *testing.T) {
	t.Parallel()
	negative, huge, zero := int64(-1), int64(1)<<62, int64(0)
	with := func(r *imquotav1.CheckQuotaRequest, edit func(*imquotav1.CheckQuotaRequest)) *imquotav1.CheckQuotaRequest {
		edit(r)
		return r
	}
	tests := []struct {
		name    string
		request *imquotav1.CheckQuotaRequest
		fields  []string
	}{
		{"nothing", &imquotav1.CheckQuotaRequest{}, []string{"app_id", "action"}},
		{"no app", login(0, "u"), []string{"app_id"}},
		{"an empty action", check(1, &imquotav1.AddFriend{}), []string{"add_friend.user_id", "add_friend.friend_id"}},
		{"an empty user", login(1, ""), []string{"login.user_id"}},
		{"a user of 33 bytes", login(1, strings.Repeat("u", 33)), []string{"login.user_id"}},
		{"a user with a control byte", login(1, "a\nb"), []string{"login.user_id"}},
		{"a user with NUL", login(1, "a\x00b"), []string{"login.user_id"}},
		{"a user with DEL", login(1, "a\x7f"), []string{"login.user_id"}},
		{"a user beyond ASCII", login(1, "ümit"), []string{"login.user_id"}},
		{"one's own friend", addFriend(1, "a", "a"), []string{"add_friend.friend_id"}},
		{"a group of 49 bytes", createGroup(1, strings.Repeat("g", 49), "work"), []string{"create_group.group_id"}},
		{"an empty group and type", createGroup(1, "", ""), []string{"create_group.group_id", "create_group.group_type"}},
		{"an unknown type", createGroup(1, "g", "secret"), []string{"create_group.group_type"}},
		{"an unknown type to join", joinGroup(1, "g", "Secret", "u"), []string{"join_group.group_type"}},
		{"a member twice", createGroup(1, "g", "work", "a", "b", "a"), []string{"create_group.member_ids[2]"}},
		{"many members, one twice", createGroup(1, "g", "work", append(users("m", 20), "m0007")...), []string{"create_group.member_ids[20]"}},
		{"1001 members", addMembers(1, "g", "work", users("m", 1001)...), []string{"add_group_members.user_ids"}},
		{"no members", addMembers(1, "g", "work"), []string{"add_group_members.user_ids"}},
		{"a bad member", addMembers(1, "g", "work", "ok", ""), []string{"add_group_members.user_ids[1]"}},
		{"1001 users", check(1, &imquotav1.RegisterUsers{UserIds: users("u", 1001)}), []string{"register_users.user_ids"}},
		{"no users", check(1, &imquotav1.RegisterUsers{}), []string{"register_users.user_ids"}},
		{"an unknown feature", useFeature(1, "teleport"), []string{"use_feature.feature"}},
		{"no feature", useFeature(1, ""), []string{"use_feature.feature"}},
		{"an unknown type in a feature", check(1, &imquotav1.UseFeature{Feature: "community", GroupType: "x"}), []string{"use_feature.group_type"}},
		{"an unknown quota", check(1, &imquotav1.UseQuota{Quota: "wishes"}), []string{"use_quota.quota"}},
		{"a quota that actions count", check(1, &imquotav1.UseQuota{Quota: "groups"}), []string{"use_quota.quota"}},
		{"a static quota", check(1, &imquotav1.UseQuota{Quota: "history_days"}), []string{"use_quota.quota"}},
		{"a negative amount", check(1, &imquotav1.UseQuota{Quota: "groups", Amount: &negative}), []string{"use_quota.amount"}},
		{"no amount at all", check(1, &imquotav1.UseQuota{Quota: "groups", Amount: &zero}), []string{"use_quota.amount"}},
		{"a huge amount", check(1, &imquotav1.UseQuota{Quota: "groups", Amount: &huge}), []string{"use_quota.amount"}},
		{"an unknown mode", with(login(1, "u"), func(r *imquotav1.CheckQuotaRequest) { r.Mode = 77 }), []string{"mode"}},
		{"an unknown view", with(login(1, "u"), func(r *imquotav1.CheckQuotaRequest) { r.View = 77 }), []string{"view"}},
		{"a request id of 65 bytes", with(login(1, "u"), func(r *imquotav1.CheckQuotaRequest) { r.RequestId = strings.Repeat("r", 65) }), []string{"request_id"}},
		{"a request id with a tab", with(login(1, "u"), func(r *imquotav1.CheckQuotaRequest) { r.RequestId = "a\tb" }), []string{"request_id"}},
		{"a bad client", with(login(1, "u"), func(r *imquotav1.CheckQuotaRequest) {
			r.Client = &imquotav1.Client{Id: "\x01", Platform: "toaster", SdkVersion: "latest"}
		}), []string{"client.id", "client.platform", "client.sdk_version"}},
	}
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		before := s.everything(1)
		for _, tt := range tests {
			_, err := s.CheckQuota(t.Context(), tt.request)
			t.Run(tt.name, func(t *testing.T) {
				wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), tt.fields...)
			})
		}
		if after := s.everything(1); !proto.Equal(before, after) {
			t.Errorf("invalid requests wrote: %v, want %v", after, before)
		}
	})
}

// TestUnknownNames: whoever mistypes a name is told what there is.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	s := start(t, openBolt(t), newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	s.app(1, "premium")
	ctx := t.Context()
	only := func(_ any, err error) error { return err }
	ofUsage := func(quota string) *imquotav1.QuoteBillRequest {
		return &imquotav1.QuoteBillRequest{Subject: &imquotav1.QuoteBillRequest_Subscription{Subscription: &imquotav1.BillSubscription{
			Usage: &imquotav1.MonthUsage{Used: map[string]int64{quota: 1}},
		}}}
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"a feature":    {only(s.CheckQuota(ctx, useFeature(1, "teleport"))), "user_status"},
		"a quota":      {only(s.CheckQuota(ctx, check(1, &imquotav1.UseQuota{Quota: "wishes"}))), "groups"},
		"usage":        {only(s.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: 1, Quotas: []string{"wishes"}})), "groups"},
		"set usage":    {only(s.apps.SetUsage(ctx, &imquotav1.SetUsageRequest{AppId: 1, Quota: "wishes", Used: 5})), "groups"},
		"an override":  {only(s.apps.SetLimitOverride(ctx, &imquotav1.SetLimitOverrideRequest{AppId: 1, Quota: "wishes", Override: &imquotav1.SetLimitOverrideRequest_Limit{Limit: 1}})), "groups"},
		"an approval":  {only(s.apps.ApproveFeature(ctx, &imquotav1.ApproveFeatureRequest{AppId: 1, Feature: "teleport"})), "push_all"},
		"an add-on":    {only(s.apps.ActivateAddOn(ctx, &imquotav1.ActivateAddOnRequest{AppId: 1, AddOn: "wings"})), "av_call"},
		"a bill":       {only(s.billing.QuoteBill(ctx, ofUsage("wishes"))), "free_mau"},
		"not billed":   {only(s.billing.QuoteBill(ctx, ofUsage("friends"))), "free_mau"},
		"a group type": {only(s.CheckQuota(ctx, joinGroup(1, "g", "Secret", "u"))), "broadcast"},
	} {
		wantFault(t, tt.err, codes.InvalidArgument, "INVALID_FIELD")
		if text := tt.err.Error(); !strings.Contains(text, "; there are ") || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %v; want %s to be named", name, tt.err, tt.want)
		}
	}
}

// everything reads all counters of the app and of the users and groups that
// the invalid requests name.
func (s *sidecar) everything(app uint32) *imquotav1.GetUsageResponse {
	s.t.Helper()
	var all *imquotav1.GetUsageResponse
	for _, in := range []*imquotav1.GetUsageRequest{{AppId: app}, {AppId: app, UserId: "a", GroupId: "g"}, {AppId: app, UserId: "m0007"}} {
		out, err := s.GetUsage(s.t.Context(), in)
		if err != nil {
			s.t.Fatal(err)
		}
		if all == nil {
			all = out
			continue
		}
		all.Quotas = append(all.Quotas, out.GetQuotas()...)
	}
	return all
}

// TestUnusualIDs: every printable byte may stand in an id, and no two ids
// share a counter because of the bytes that they are made of.
func TestUnusualIDs(t *testing.T) {
	t.Parallel()
	ids := []string{
		"a:b", "a", "a:b:c", "{a}", "a}", "a b", " a", "a ", "a|b", "a/b", `a\b`, "a,b", "*", "?", "[a]", `"a"`, "'a'", "@TGS#1", "0", "-1", "nil", "%00", "A",
		"~!@#$%^&*()_+`-={}|[]\\:\";'<>?,.",
	}
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "premium")
		for i, id := range ids {
			for range i + 1 {
				r := check(1, &imquotav1.AddFriend{UserId: id, FriendId: "someone", OneWay: true})
				s.allow(r)
			}
			s.allow(createGroup(1, id, "work", users("m", i+1)...))
		}
		for i, id := range ids {
			s.wantUsed(1, "friends", id, "", int64(i+1))
			s.wantUsed(1, "group_members", "", id, int64(i+1))
		}
	})
}

func TestInvalidReleases(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		request *imquotav1.ReleaseQuotaRequest
		fields  []string
	}{
		{"nothing", &imquotav1.ReleaseQuotaRequest{}, []string{"app_id", "release"}},
		{"adjust", &imquotav1.ReleaseQuotaRequest{AppId: 1, Mode: imquotav1.Mode_MODE_ADJUST, Release: dissolve(1, "g").GetRelease()}, []string{"mode"}},
		{"no group", dissolve(1, ""), []string{"dissolve_group.group_id"}},
		{"no user", release(1, &imquotav1.LeaveGroup{GroupId: "g"}), []string{"leave_group.user_id"}},
		{"a user twice", release(1, &imquotav1.DeleteUsers{UserIds: []string{"a", "a"}}), []string{"delete_users.user_ids[1]"}},
		{"1001 users", release(1, &imquotav1.RemoveGroupMembers{GroupId: "g", UserIds: users("u", 1001)}), []string{"remove_group_members.user_ids"}},
		{"an unknown quota", release(1, &imquotav1.ReturnQuota{Quota: "wishes"}), []string{"return_quota.quota"}},
		{"one's own friend", release(1, &imquotav1.RemoveFriend{UserId: "a", FriendId: "a"}), []string{"remove_friend.friend_id"}},
	}
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		for _, tt := range tests {
			_, err := s.ReleaseQuota(t.Context(), tt.request)
			t.Run(tt.name, func(t *testing.T) {
				wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), tt.fields...)
			})
		}
		d := s.release(dissolve(42, "g"))
		if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_APP_NOT_FOUND || v[0].GetUpstreamCode() != 70020 {
			t.Errorf("an unknown app: %v", d)
		}
	})
}

func TestInvalidBatches(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		many := &imquotav1.BatchCheckQuotaRequest{}
		for range 257 {
			many.Items = append(many.Items, login(1, "u"))
		}
		wide := &imquotav1.BatchCheckQuotaRequest{Items: []*imquotav1.CheckQuotaRequest{
			createGroup(1, "g", "work", users("a", 501)...), addMembers(1, "g", "work", users("b", 500)...),
		}}
		for name, in := range map[string]*imquotav1.BatchCheckQuotaRequest{"empty": {}, "257 items": many, "1001 ids": wide} {
			_, err := s.BatchCheckQuota(t.Context(), in)
			t.Run(name, func(t *testing.T) {
				wantFields(t, wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD"), "items")
			})
		}
		s.wantUsed(1, "groups", "", "", 0)
	})
}
