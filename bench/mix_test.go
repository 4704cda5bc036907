package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func crowd(apps, users int) *Population {
	p := &Population{Users: users, Features: []string{"user_status", "conversation_mark", "local_search"}, Seed: 1}
	for i := range apps {
		p.Apps = append(p.Apps, uint32(1400000000+i))
	}
	return p
}

// kindOf names what a call is about.
func kindOf(c *Call) string {
	if c.Release != nil {
		return strings.TrimPrefix(fmt.Sprintf("%T", c.Release.GetRelease()), "*imquotav1.ReleaseQuotaRequest_")
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", c.Checks[0].GetAction()), "*imquotav1.CheckQuotaRequest_")
}

// TestShares: what the mixes promise of themselves.
func TestShares(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]float64{
		"messages": {"UseFeature": .95, "Login": .025, "AddFriend": .025},
		"features": {"UseFeature": 1},
		"logins":   {"Login": 1},
		"hot-app":  {"Login": .5, "AddFriend": .5},
		"uniform":  {"AddFriend": 1},
		"relations": {
			"AddFriend": .26, "RemoveFriend": .26, "JoinGroup": .17, "LeaveGroup": .17,
			"CreateGroup": .05, "DissolveGroup": .05, "RemoveGroupMembers": .05,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mix, err := MixOf(name)
			if err != nil {
				t.Fatal(err)
			}
			const n = 50_000
			next := mix.calls(crowd(10, 1000), 3, 0)
			seen := make(map[string]int)
			for range n {
				c := next.draw()
				seen[kindOf(c)]++
				if isRelease := c.Release != nil; isRelease && !mix.HasReleases {
					t.Fatal("it says that it has no releases, and has")
				}
			}
			for kind, share := range want {
				if got := float64(seen[kind]) / n; math.Abs(got-share) > .015 {
					t.Errorf("%s: %.3f of all, want %.3f", kind, got, share)
				}
				delete(seen, kind)
			}
			if len(seen) > 0 {
				t.Errorf("beside what it says: %v", seen)
			}
		})
	}
	if len(Mixes) != 6 {
		t.Errorf("%d mixes, and not all are looked at here", len(Mixes))
	}
	if _, err := MixOf("nonsense"); err == nil || !strings.Contains(err.Error(), "messages") {
		t.Errorf("an unknown one: %v", err)
	}
}

// TestNewcomers: one login of ten is of a user that nobody has seen.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	p := crowd(3, 300)
	known := make(map[string]bool)
	for app := range p.Apps {
		for user := range p.usersOf(app) {
			known[p.userID(app, user)] = true
		}
	}
	if len(known) != 300 {
		t.Fatalf("%d ids for 300 users", len(known))
	}
	mix, _ := MixOf("logins")
	fresh := make(map[string]bool)
	const n = 20_000
	for caller := range 2 {
		next := mix.calls(p, caller, 0)
		for range n {
			user := next.draw().Checks[0].GetLogin().GetUserId()
			if len(user) != 20 {
				t.Fatalf("id %q", user)
			}
			if !known[user] {
				if fresh[user] {
					t.Fatalf("%s comes twice", user)
				}
				fresh[user] = true
			}
		}
	}
	if got := len(fresh); got < 3700 || got > 4300 {
		t.Errorf("%d of %d are new", got, 2*n)
	}
}

// TestDrawnAlike: the same seed and caller ask the same, others do not.
func TestDrawnAlike(t *testing.T) {
	t.Parallel()
	text := func(m *Mix, seed uint64, caller int) string {
		p := crowd(5, 500)
		p.Seed, p.RequestIDs = seed, true
		next := m.calls(p, caller, 0)
		var all strings.Builder
		for range 200 {
			c := next.draw()
			var one proto.Message = c.Release
			if c.Release == nil {
				one = c.Checks[0]
			}
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(raw)
		}
		return all.String()
	}
	for _, m := range Mixes {
		one := text(m, 1, 0)
		if again := text(m, 1, 0); one != again {
			t.Errorf("%s: the same seed draws another run", m.Name)
		}
		if one == text(m, 2, 0) || one == text(m, 1, 1) {
			t.Errorf("%s: another seed or caller draws the same", m.Name)
		}
	}
}

// TestUsersAreOfTheirApp: whoever is drawn, at any size, is one of the app's users,
// and nobody befriends himself.
func TestUsersAreOfTheirApp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		apps := rapid.IntRange(1, 40).Draw(t, "apps")
		p := crowd(apps, rapid.IntRange(apps, 3*apps+1).Draw(t, "users"))
		total := 0
		for app := range apps {
			total += p.usersOf(app)
		}
		if total != p.Users {
			t.Fatalf("%d users of apps, want %d", total, p.Users)
		}
		mix, _ := MixOf("uniform")
		next := mix.calls(p, 0, 0)
		for range 100 {
			c := next.draw().Checks[0]
			app := slices.Index(p.Apps, c.GetAppId())
			a, b := c.GetAddFriend().GetUserId(), c.GetAddFriend().GetFriendId()
			var users []string
			for i := range p.usersOf(app) {
				users = append(users, p.userID(app, i))
			}
			if len(users) == 1 {
				users = append(users, p.userID(app, 1)) // the guest
			}
			if a == b || !slices.Contains(users, a) || !slices.Contains(users, b) {
				t.Fatalf("%s and %s of %d users", a, b, len(users))
			}
		}
	})
}

// TestRelationsAreUndoneOnce: as they are sent, in batches too, nothing is undone
// that was not done before, and what stands does not grow.
func TestRelationsAreUndoneOnce(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{0, 32, 256} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			mix, _ := MixOf("relations")
			next := mix.calls(crowd(3, 300), 0, batch)
			standing := make(map[string]int)
			ids := make(map[string]bool)
			for range 20_000 / max(1, batch) * 2 {
				c := next.draw()
				for _, check := range c.Checks {
					if g := check.GetCreateGroup(); g != nil {
						if ids[g.GetGroupId()] {
							t.Fatalf("group %s is created twice", g.GetGroupId())
						}
						ids[g.GetGroupId()] = true
					}
					if g := check.GetJoinGroup(); g != nil && !ids[g.GetGroupId()] {
						t.Fatalf("group %s is joined before it is created", g.GetGroupId())
					}
					for _, key := range doneBy(check) {
						standing[key]++
					}
				}
				for _, key := range undoneBy(c.Release) {
					if standing[key]--; standing[key] == 0 {
						delete(standing, key)
					} else if standing[key] < 0 {
						t.Fatalf("%s is undone before it is done", key)
					}
				}
			}
			keeps := max(leastKept, 2*batch)
			if got, most := len(standing), 4*2*keeps+2*max(1, batch); got > most {
				t.Errorf("%d relations stand, want %d at most", got, most)
			}
		})
	}
}

func doneBy(c *imquotav1.CheckQuotaRequest) []string {
	switch a := c.GetAction().(type) {
	case *imquotav1.CheckQuotaRequest_AddFriend:
		return []string{"friends " + a.AddFriend.GetUserId() + " " + a.AddFriend.GetFriendId()}
	case *imquotav1.CheckQuotaRequest_JoinGroup:
		return []string{"member " + a.JoinGroup.GetGroupId() + " " + a.JoinGroup.GetUserId()}
	case *imquotav1.CheckQuotaRequest_CreateGroup:
		g := a.CreateGroup
		return []string{"group " + g.GetGroupId(), "first " + g.GetGroupId() + " " + g.GetOwnerId() + " " + g.GetMemberIds()[0]}
	}
	return nil
}

func undoneBy(r *imquotav1.ReleaseQuotaRequest) []string {
	switch a := r.GetRelease().(type) {
	case *imquotav1.ReleaseQuotaRequest_RemoveFriend:
		return []string{"friends " + a.RemoveFriend.GetUserId() + " " + a.RemoveFriend.GetFriendId()}
	case *imquotav1.ReleaseQuotaRequest_LeaveGroup:
		return []string{"member " + a.LeaveGroup.GetGroupId() + " " + a.LeaveGroup.GetUserId()}
	case *imquotav1.ReleaseQuotaRequest_DissolveGroup:
		return []string{"group " + a.DissolveGroup.GetGroupId()}
	case *imquotav1.ReleaseQuotaRequest_RemoveGroupMembers:
		return []string{"first " + a.RemoveGroupMembers.GetGroupId() + " " + strings.Join(a.RemoveGroupMembers.GetUserIds(), " ")}
	}
	return nil
}

func TestPopulation(t *testing.T) {
	t.Parallel()
	if err := crowd(3, 3).Validate(); err != nil {
		t.Error(err)
	}
	for _, p := range []*Population{crowd(0, 3), crowd(4, 3)} {
		if p.Validate() == nil {
			t.Errorf("%d users of %d apps are accepted", p.Users, len(p.Apps))
		}
	}
}
