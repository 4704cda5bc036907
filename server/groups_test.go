package server_test

import (
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
)

// TestGroupsAcrossMidnight: a group counts on the day it was created, and
// dissolving it lowers the net of the day it is dissolved on.
func TestGroupsAcrossMidnight(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T23:59:59+08:00")
		s := start(t, st.first, c, catalog.Default())
		s.app(1, "developer")
		q := state(t, s.allow(createGroup(1, "late", "work")), "daily_net_groups")
		if got, want := q.GetResetTime().AsTime(), c.Now().Add(time.Second); q.GetUsed() != 1 || !got.Equal(want) {
			t.Errorf("at 23:59:59: %v, want a reset at %v", q, want)
		}
		c.Advance(time.Second)
		s.wantUsed(1, "daily_net_groups", "", "", 0)
		s.wantUsed(1, "groups", "", "", 1)

		d := s.release(dissolve(1, "late"))
		if q := state(t, d, "daily_net_groups"); q.GetUsed() != -1 || q.GetChange() != -1 || d.GetClamped() {
			t.Errorf("dissolved the next day: %v", d)
		}
		s.wantUsed(1, "groups", "", "", 0)
		if d := s.release(dissolve(1, "late")); !d.GetAllowed() || !d.GetClamped() {
			t.Errorf("dissolved twice: %v", d)
		}
		s.wantUsed(1, "daily_net_groups", "", "", -1)

		// A net below zero leaves room for more than the limit.
		s.set(1, "daily_net_groups", "", 99, "")
		s.allow(createGroup(1, "a", "work"))
		if d := s.check(createGroup(1, "b", "work")); d.GetAllowed() {
			t.Error("the 101st of the day was allowed")
		}
		s.release(dissolve(1, "a"))
		s.allow(createGroup(1, "b", "work"))
	})
}

// TestGroupTypesCount: each type counts on its own row, by any of its names.
func TestGroupTypesCount(t *testing.T) {
	t.Parallel()
	type counts struct{ groups, live, daily, broadcast, joined int64 }
	tests := []struct {
		groupType string
		want      counts
	}{
		{"work", counts{1, 0, 1, 0, 1}},
		{"Private", counts{1, 0, 1, 0, 1}},
		{"Public", counts{1, 0, 1, 0, 1}},
		{"ChatRoom", counts{1, 0, 1, 0, 1}},
		{"meeting", counts{1, 0, 1, 0, 1}},
		{"Community", counts{1, 0, 1, 0, 1}},
		{"BChatRoom", counts{1, 0, 1, 1, 1}},
		{"broadcast", counts{1, 0, 1, 1, 1}},
		{"AVChatRoom", counts{0, 1, 1, 0, 0}},
		{"live", counts{0, 1, 1, 0, 0}},
	}
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		for i, tt := range tests {
			app := uint32(i + 1)
			s.app(app, "developer")
			read := func() counts {
				return counts{
					s.used(app, "groups", "", ""), s.used(app, "live_groups", "", ""),
					s.used(app, "daily_net_groups", "", ""), s.used(app, "daily_net_broadcast_groups", "", ""),
					s.used(app, "joined_groups", "owner", ""),
				}
			}
			s.allow(check(app, &imquotav1.CreateGroup{GroupId: "g", GroupType: tt.groupType, OwnerId: "owner"}))
			if got := read(); got != tt.want {
				t.Errorf("%s: %+v, want %+v", tt.groupType, got, tt.want)
			}
			s.release(dissolve(app, "g"))
			// What its members have joined is released by naming them, after too.
			if got, want := read(), (counts{joined: tt.want.joined}); got != want {
				t.Errorf("%s dissolved: %+v, want %+v", tt.groupType, got, want)
			}
			d := s.release(release(app, &imquotav1.RemoveGroupMembers{GroupId: "g", UserIds: []string{"owner"}}))
			if got := read(); got != (counts{}) || d.GetClamped() != (tt.want.joined == 0) {
				t.Errorf("%s, owner removed: %+v, %v", tt.groupType, got, d)
			}
		}
	})
}

func TestLiveGroups(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		for name, r := range map[string]*imquotav1.CheckQuotaRequest{
			"initial members": createGroup(1, "room", "live", "a"),
			"added members":   addMembers(1, "other", "AVChatRoom", "a", "b"),
		} {
			d := s.check(r)
			if v := d.GetViolations(); d.GetAllowed() || v[0].GetReason() != imquotav1.Reason_REASON_OPERATION_NOT_ALLOWED || v[0].GetUpstreamCode() != 10007 || d.GetUpgrade() != nil {
				t.Errorf("%s: %v", name, d)
			}
		}
		s.wantUsed(1, "live_groups", "", "", 0)
		s.wantUsed(1, "joined_groups", "a", "", 0)
		s.allow(createGroup(1, "room", "live"))
		for _, u := range users("viewer", 50) { // far beyond the 20 of other types
			s.allow(joinGroup(1, "room", "live", u))
		}
		s.wantUsed(1, "joined_groups", "viewer0049", "", 1)
		s.wantUsed(1, "group_members", "", "room", 0)
		s.release(release(1, &imquotav1.LeaveGroup{GroupId: "room", UserId: "viewer0049"}))
		s.wantUsed(1, "joined_groups", "viewer0049", "", 0)

		// Calling a group live does not get anybody around its member limit.
		s.allow(createGroup(1, "club", "work"))
		_, err := s.CheckQuota(t.Context(), joinGroup(1, "club", "live", "x"))
		wantFault(t, err, codes.FailedPrecondition, "GROUP_TYPE_MISMATCH")
		_, err = s.CheckQuota(t.Context(), createGroup(1, "club", "work"))
		wantFault(t, err, codes.FailedPrecondition, "GROUP_EXISTS")
		s.wantUsed(1, "groups", "", "", 1)
	})
}

// TestCommunityGroups: creating one needs the feature with its conditions,
// and every violation is reported, the feature first.
func TestCommunityGroups(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "standard")
		s.set(1, "daily_net_groups", "", 10000, "")
		r := createGroup(1, "g", "community")
		r.Client = &imquotav1.Client{Platform: "web", SdkVersion: "2.16"}
		d := s.check(r)
		var got []imquotav1.Reason
		for _, v := range d.GetViolations() {
			got = append(got, v.GetReason())
		}
		want := []imquotav1.Reason{imquotav1.Reason_REASON_FEATURE_NOT_IN_EDITION, imquotav1.Reason_REASON_SDK_TOO_OLD, imquotav1.Reason_REASON_LIMIT_EXCEEDED}
		if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Errorf("reasons %v, want %v", got, want)
		}
		if d.GetViolationCount() != 3 || d.GetUpgrade() != nil {
			t.Errorf("no edition helps an old SDK: %v", d)
		}
		s.app(2, "standard")
		d = s.check(createGroup(2, "g", "community"))
		if v := d.GetViolations(); len(v) != 1 || v[0].GetUpstreamCode() != 10059 || d.GetUpgrade().GetEdition() != "premium" {
			t.Errorf("community in standard: %v", d)
		}
		s.wantUsed(2, "groups", "", "", 0)
		s.app(3, "premium")
		s.allow(createGroup(3, "g", "community"))
	})
}

// TestDissolveCountsSameDay: the catalog may say that only groups created on
// the same day lower its net.
func TestDissolveCountsSameDay(t *testing.T) {
	t.Parallel()
	cat := edited(t, "dissolve_counts: any_age", "dissolve_counts: same_day")
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-15T23:59:59+08:00")
		s := start(t, st.first, c, cat)
		s.app(1, "developer")
		s.allow(createGroup(1, "old", "work"))
		c.Advance(time.Second)
		s.allow(createGroup(1, "new", "work"))
		s.release(dissolve(1, "old"))
		s.wantUsed(1, "daily_net_groups", "", "", 1)
		s.wantUsed(1, "groups", "", "", 1)
		s.release(dissolve(1, "new"))
		s.wantUsed(1, "daily_net_groups", "", "", 0)
		s.wantUsed(1, "groups", "", "", 0)
	})
}
