package bench

import imquotav1 "github.com/imquota/imquota/proto/imquota/v1"

// leastKept is how many relations of a kind a caller lets stand before it undoes
// the oldest. It is more than are on their way.
const leastKept = 16

// The type of the groups, and the quotas that limit what the mixes count. All
// belong to the catalog that imquota comes with.
const groupType = "work"

// world is what one caller has made, oldest first.
type world struct {
	*source
	friends []friendship
	groups  []group
	members []membership
	undoing []step // that belong together
}

type friendship struct {
	app          int
	user, friend string
}

type group struct {
	app     int
	id      string
	members []string
}

type membership struct {
	app         int
	group, user string
}

// relations draws what group services ask. As much is undone as is done, so that
// nobody ever reaches a limit.
func relations(s *source) func() step {
	w := &world{source: s}
	return w.next
}

func (w *world) next() step {
	if len(w.undoing) > 0 {
		next := w.undoing[0]
		w.undoing = w.undoing[1:]
		return next
	}
	switch n := w.rng.IntN(20); {
	case n < 11:
		return w.befriend(n < 5)
	case n < 18 && len(w.groups) > 0:
		return w.join(n < 14)
	}
	return w.create(w.rng.IntN(2) == 0)
}

// befriend adds friends, or takes apart those who are friends for longest.
func (w *world) befriend(isLess bool) step {
	if isLess && len(w.friends) > w.keeps || len(w.friends) > 2*w.keeps {
		f := w.friends[0]
		w.friends = w.friends[1:]
		r := w.release(f.app)
		r.Release = &imquotav1.ReleaseQuotaRequest_RemoveFriend{RemoveFriend: &imquotav1.RemoveFriend{UserId: f.user, FriendId: f.friend}}
		return step{release: r}
	}
	app, user, friend := w.draw(w.rng)
	w.friends = append(w.friends, friendship{app, user, friend})
	return w.addFriendOf(app, user, friend, false)
}

// join has a user join a group, or leave the one that was joined first.
func (w *world) join(isLess bool) step {
	if isLess && len(w.members) > w.keeps || len(w.members) > 2*w.keeps {
		m := w.members[0]
		w.members = w.members[1:]
		r := w.release(m.app)
		r.Release = &imquotav1.ReleaseQuotaRequest_LeaveGroup{LeaveGroup: &imquotav1.LeaveGroup{GroupId: m.group, UserId: m.user}}
		return step{release: r}
	}
	g := &w.groups[w.rng.IntN(len(w.groups))]
	user, _ := w.drawUsers(w.rng, g.app)
	w.members = append(w.members, membership{g.app, g.id, user})
	c := w.check(g.app)
	c.RequestId = w.requestID()
	c.Action = &imquotav1.CheckQuotaRequest_JoinGroup{JoinGroup: &imquotav1.JoinGroup{GroupId: g.id, GroupType: groupType, UserId: user}}
	return step{check: c}
}

// create creates a group, or dissolves the oldest, whose first members leave it
// with it.
func (w *world) create(isLess bool) step {
	if isLess && len(w.groups) > w.keeps || len(w.groups) > 2*w.keeps {
		g := w.groups[0]
		w.groups = w.groups[1:]
		last := w.release(g.app)
		last.Release = &imquotav1.ReleaseQuotaRequest_RemoveGroupMembers{RemoveGroupMembers: &imquotav1.RemoveGroupMembers{GroupId: g.id, UserIds: g.members}}
		w.undoing = append(w.undoing, step{release: last})
		r := w.release(g.app)
		r.Release = &imquotav1.ReleaseQuotaRequest_DissolveGroup{DissolveGroup: &imquotav1.DissolveGroup{GroupId: g.id}}
		return step{release: r}
	}
	app, owner, member := w.draw(w.rng)
	g := group{app, w.groupID(), []string{owner, member}}
	w.groups = append(w.groups, g)
	c := w.check(app)
	c.RequestId = w.requestID()
	c.Action = &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: &imquotav1.CreateGroup{GroupId: g.id, GroupType: groupType, OwnerId: owner, MemberIds: []string{member}}}
	return step{check: c}
}
