package server_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// unlimited stands for no limit in the tables of these tests.
const unlimited = -1

var editions = []string{"developer", "standard", "premium"}

// limitCase is one row of the plan comparison: its limit in each edition, and
// how to reach it.
type limitCase struct {
	quota  string
	limits map[string]int64
	code   int32
	// upgrade is the edition that a denial points to, by the app's edition.
	upgrade map[string]string
	// fill brings the counter to used; take asks for one more, free gives one back.
	fill func(s *sidecar, app uint32, used int64)
	take func(app uint32, n int) *imquotav1.CheckQuotaRequest
	free func(app uint32) *imquotav1.ReleaseQuotaRequest
	// subject is whose counter it is.
	subject string
}

var limitCases = []limitCase{
	{
		quota: "users", limits: map[string]int64{"developer": 100, "standard": unlimited, "premium": unlimited}, code: 70398,
		upgrade: map[string]string{"developer": "standard"},
		fill: func(s *sidecar, app uint32, used int64) {
			s.allow(check(app, &imquotav1.RegisterUsers{UserIds: users("u", int(used))}))
		},
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return check(app, &imquotav1.RegisterUsers{UserIds: []string{fmt.Sprintf("new%d", n)}})
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest {
			return release(app, &imquotav1.DeleteUsers{UserIds: []string{"u0000"}})
		},
	},
	{
		quota: "friends", limits: map[string]int64{"developer": 20, "standard": 3000, "premium": 3000}, code: 30010,
		upgrade: map[string]string{"developer": "standard"},
		fill:    func(s *sidecar, app uint32, used int64) { s.set(app, "friends", "alice", used, "") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return addFriend(app, "alice", fmt.Sprintf("f%d", n))
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest {
			return release(app, &imquotav1.RemoveFriend{UserId: "alice", FriendId: "f0"})
		},
		subject: "alice",
	},
	{
		quota: "groups", limits: map[string]int64{"developer": 100, "standard": unlimited, "premium": unlimited}, code: 10058,
		upgrade: map[string]string{"developer": "standard"},
		fill:    func(s *sidecar, app uint32, used int64) { s.set(app, "groups", "", used, "") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return createGroup(app, fmt.Sprintf("g%d", n), "work")
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest { return dissolve(app, "g0") },
	},
	{
		quota: "live_groups", limits: map[string]int64{"developer": 10, "standard": 50, "premium": unlimited}, code: 10036,
		upgrade: map[string]string{"developer": "standard", "standard": "premium"},
		fill:    func(s *sidecar, app uint32, used int64) { s.set(app, "live_groups", "", used, "") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return createGroup(app, fmt.Sprintf("g%d", n), "AVChatRoom")
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest { return dissolve(app, "g0") },
	},
	{
		quota: "daily_net_groups", limits: map[string]int64{"developer": 100, "standard": 10000, "premium": 10000}, code: 10006,
		upgrade: map[string]string{"developer": "standard"},
		fill:    func(s *sidecar, app uint32, used int64) { s.set(app, "daily_net_groups", "", used, "") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return createGroup(app, fmt.Sprintf("g%d", n), "Public")
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest { return dissolve(app, "g0") },
	},
	{
		quota: "daily_net_broadcast_groups", limits: map[string]int64{"developer": 5, "standard": 5, "premium": 5}, code: 10006,
		fill: func(s *sidecar, app uint32, used int64) { s.set(app, "daily_net_broadcast_groups", "", used, "") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return createGroup(app, fmt.Sprintf("g%d", n), "BChatRoom")
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest { return dissolve(app, "g0") },
	},
	{
		quota: "joined_groups", limits: map[string]int64{"developer": 50, "standard": 500, "premium": 1000}, code: 10037,
		upgrade: map[string]string{"developer": "standard", "standard": "premium"},
		fill:    func(s *sidecar, app uint32, used int64) { s.set(app, "joined_groups", "alice", used, "") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return joinGroup(app, fmt.Sprintf("room%d", n), "live", "alice")
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest {
			return release(app, &imquotav1.LeaveGroup{GroupId: "room0", UserId: "alice"})
		},
		subject: "alice",
	},
	{
		quota: "group_members", limits: map[string]int64{"developer": 20, "standard": 200, "premium": 2000}, code: 10014,
		upgrade: map[string]string{"developer": "standard", "standard": "premium"},
		fill:    func(s *sidecar, app uint32, used int64) { s.set(app, "group_members", "club", used, "ChatRoom") },
		take: func(app uint32, n int) *imquotav1.CheckQuotaRequest {
			return joinGroup(app, "club", "meeting", fmt.Sprintf("m%d", n))
		},
		free: func(app uint32) *imquotav1.ReleaseQuotaRequest {
			return release(app, &imquotav1.RemoveGroupMembers{GroupId: "club", UserIds: []string{"m0"}})
		},
		subject: "club",
	},
}

// prices of the editions that denials point to.
var monthlyPrice = map[string]string{"standard": "399.00", "premium": "699.00"}

// TestLimits holds every limit of the plan comparison in every edition: the
// Nth is allowed, the next denied, and after a release one more is allowed.
func TestLimits(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		app := uint32(0)
		for _, c := range limitCases {
			for _, edition := range editions {
				app++
				t.Run(c.quota+"/"+edition, func(t *testing.T) {
					s := *s
					s.t = t
					s.app(app, edition)
					limit := c.limits[edition]
					if limit == unlimited {
						s.checkUnlimited(app, c)
						return
					}
					s.checkLimit(app, c, limit, c.upgrade[edition])
				})
			}
		}
	})
}

func (s *sidecar) checkLimit(app uint32, c limitCase, limit int64, upgrade string) {
	s.t.Helper()
	if limit > 1 {
		c.fill(s, app, limit-1)
	}
	d := s.allow(c.take(app, 0))
	q := state(s.t, d, c.quota)
	if q.GetUsed() != limit || q.GetLimit() != limit || q.GetRemaining() != 0 || q.GetChange() != 1 || q.GetUnlimited() {
		s.t.Errorf("the last one that fits: %v", q)
	}

	d = s.check(c.take(app, 1))
	if d.GetAllowed() {
		s.t.Fatalf("one more than %d was allowed", limit)
	}
	v := d.GetViolations()[0]
	if v.GetReason() != imquotav1.Reason_REASON_LIMIT_EXCEEDED || v.GetQuota() != c.quota || v.GetSubject() != c.subject ||
		v.GetLimit() != limit || v.GetUsed() != limit || v.GetRequested() != 1 || v.GetUpstreamCode() != c.code {
		s.t.Errorf("violation: %v", v)
	}
	if got := d.GetUpgrade().GetEdition(); got != upgrade {
		s.t.Errorf("upgrade to %q, want %q", got, upgrade)
	}
	if got := d.GetUpgrade().GetMonthlyPrice().GetAmount(); got != monthlyPrice[upgrade] {
		s.t.Errorf("upgrade for %q, want %q", got, monthlyPrice[upgrade])
	}

	s.release(c.free(app))
	s.allow(c.take(app, 2))
	if d := s.check(c.take(app, 3)); d.GetAllowed() {
		s.t.Error("one more was allowed than was released")
	}
}

// checkUnlimited counts past the largest limit of any edition.
func (s *sidecar) checkUnlimited(app uint32, c limitCase) {
	s.t.Helper()
	if c.quota == "users" {
		c.fill(s, app, 1000)
	} else {
		c.fill(s, app, 1_000_000)
	}
	q := state(s.t, s.allow(c.take(app, 0)), c.quota)
	if !q.GetUnlimited() || q.GetOverage() != 0 {
		s.t.Errorf("state: %v", q)
	}
}

// state finds a quota in a decision.
func state(t testing.TB, d *imquotav1.Decision, quota string) *imquotav1.QuotaState {
	t.Helper()
	for _, q := range d.GetQuotas() {
		if q.GetQuota() == quota {
			return q
		}
	}
	t.Fatalf("no %s in %v", quota, d)
	return nil
}

// TestMonthlyActiveUsers: in developer the 101st is denied, elsewhere users
// beyond the free quota are allowed and billed.
func TestMonthlyActiveUsers(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		c := newClock("2024-06-30T23:59:59+08:00")
		s := start(t, st.first, c, catalog.Default())
		s.app(1, "developer")
		for _, u := range users("u", 100) {
			s.allow(login(1, u))
		}
		s.allow(login(1, "u0007")) // again, which is no new one
		s.wantUsed(1, "free_mau", "", "", 100)
		s.wantUsed(1, "users", "", "", 100)
		// A deleted user was active all the same: the place in the month is not free.
		s.release(release(1, &imquotav1.DeleteUsers{UserIds: []string{"u0001"}}))
		d := s.check(login(1, "newcomer"))
		if v := d.GetViolations(); d.GetAllowed() || len(v) != 1 || v[0].GetQuota() != "free_mau" || v[0].GetUpstreamCode() != 72000 {
			t.Fatalf("101st active user: %v", d)
		}
		if d.GetUpgrade().GetEdition() != "standard" {
			t.Errorf("upgrade: %v", d.GetUpgrade())
		}
		// The deleted one comes back: registered anew, active once.
		s.allow(login(1, "u0001"))
		s.wantUsed(1, "free_mau", "", "", 100)
		s.wantUsed(1, "users", "", "", 100)
		d = s.check(login(1, "newcomer"))
		if v := d.GetViolations(); len(v) != 2 || v[0].GetQuota() != "users" || v[0].GetUpstreamCode() != 70398 || v[1].GetQuota() != "free_mau" {
			t.Errorf("users come before active users: %v", d)
		}

		c.Advance(1e9) // July
		s.wantUsed(1, "free_mau", "", "", 0)
		s.allow(login(1, "u0001"))
		s.wantUsed(1, "free_mau", "", "", 1)

		for i, edition := range []string{"standard", "premium"} {
			app := uint32(2 + i)
			s.app(app, edition)
			s.loginAll(app, users("u", 10_000))
			q := state(t, s.allow(login(app, "u0000")), "free_mau")
			if q.GetUsed() != 10_000 || q.GetOverage() != 0 || q.GetRemaining() != 0 {
				t.Errorf("%s at the free quota: %v", edition, q)
			}
			q = state(t, s.allow(login(app, "one-more")), "free_mau")
			if q.GetUsed() != 10_001 || q.GetOverage() != 1 || q.GetRemaining() != 0 || q.GetLimit() != 10_000 {
				t.Errorf("%s beyond the free quota: %v", edition, q)
			}
			if got := q.GetResetTime().AsTime().Format("2006-01-02T15:04:05Z"); got != "2024-07-31T16:00:00Z" {
				t.Errorf("reset at %s", got)
			}
		}
	})
}

// loginAll logs users in, many a call.
func (s *sidecar) loginAll(app uint32, ids []string) {
	s.t.Helper()
	for len(ids) > 0 {
		n := min(256, len(ids))
		in := &imquotav1.BatchCheckQuotaRequest{}
		for _, u := range ids[:n] {
			in.Items = append(in.Items, login(app, u))
		}
		ids = ids[n:]
		out, err := s.BatchCheckQuota(context.Background(), in)
		if err != nil {
			s.t.Fatal(err)
		}
		for i, item := range out.GetItems() {
			if !item.GetDecision().GetAllowed() {
				s.t.Fatalf("login of %s: %v", in.GetItems()[i].GetLogin().GetUserId(), item)
			}
		}
	}
}

// TestRolesOfLimits: the codes of the other side, and of a list that is too
// long at creation, are their own.
func TestRolesOfLimits(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, st stores) {
		s := start(t, st.first, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
		s.app(1, "developer")
		s.set(1, "friends", "popular", 20, "")
		d := s.check(addFriend(1, "shy", "popular"))
		if v := d.GetViolations(); len(v) != 1 || v[0].GetUpstreamCode() != 30014 || v[0].GetSubject() != "popular" {
			t.Errorf("the other side is full: %v", d)
		}
		s.wantUsed(1, "friends", "shy", "", 0)
		s.set(1, "friends", "shy", 20, "")
		d = s.check(addFriend(1, "shy", "popular"))
		if v := d.GetViolations(); len(v) != 2 || v[0].GetUpstreamCode() != 30010 || v[1].GetUpstreamCode() != 30014 {
			t.Errorf("both sides are full: %v", d)
		}
		one := check(1, &imquotav1.AddFriend{UserId: "fan", FriendId: "popular", OneWay: true})
		s.allow(one)
		s.wantUsed(1, "friends", "popular", "", 20)

		d = s.check(check(1, &imquotav1.CreateGroup{GroupId: "big", GroupType: "work", OwnerId: "boss", MemberIds: users("m", 20)}))
		if v := d.GetViolations(); len(v) != 1 || v[0].GetQuota() != "group_members" || v[0].GetUpstreamCode() != 10038 || v[0].GetRequested() != 21 {
			t.Errorf("20 members and an owner: %v", d)
		}
		s.wantUsed(1, "groups", "", "", 0)
		s.wantUsed(1, "joined_groups", "m0000", "", 0)
		s.allow(check(1, &imquotav1.CreateGroup{GroupId: "big", GroupType: "work", OwnerId: "boss", MemberIds: append(users("m", 19), "boss")}))
		s.wantUsed(1, "group_members", "", "big", 20)
		s.wantUsed(1, "joined_groups", "boss", "", 1)

		d = s.check(addMembers(1, "big", "work", "a", "b"))
		if v := d.GetViolations(); len(v) != 1 || v[0].GetUpstreamCode() != 10014 || v[0].GetUsed() != 20 || v[0].GetRequested() != 2 {
			t.Errorf("a full group: %v", d)
		}
	})
}
