package bench

import (
	"strconv"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// floorLimit is never reached.
const floorLimit = 1 << 52

// pair is two counters of an app, which the floor of a store raises for a check.
type pair struct {
	app  uint32
	a, b string
}

// key names one of them.
func (p *pair) key(subject string) []byte {
	return append(append(strconv.AppendUint(nil, uint64(p.app), 10), ':'), subject...)
}

// pairsOf are those that a call is about.
func pairsOf(c *Call) []pair {
	all := make([]pair, 0, c.Size())
	if c.Release != nil {
		a, b := releasedOf(c.Release)
		all = append(all, pair{c.Release.GetAppId(), a, b})
	}
	for _, check := range c.Checks {
		a, b := subjectsOf(check)
		all = append(all, pair{check.GetAppId(), a, b})
	}
	return all
}

// subjectsOf names two counters that a check raises.
func subjectsOf(c *imquotav1.CheckQuotaRequest) (a, b string) {
	switch action := c.GetAction().(type) {
	case *imquotav1.CheckQuotaRequest_AddFriend:
		return action.AddFriend.GetUserId(), action.AddFriend.GetFriendId()
	case *imquotav1.CheckQuotaRequest_Login:
		return action.Login.GetUserId(), "month"
	case *imquotav1.CheckQuotaRequest_CreateGroup:
		return action.CreateGroup.GetGroupId(), action.CreateGroup.GetOwnerId()
	case *imquotav1.CheckQuotaRequest_JoinGroup:
		return action.JoinGroup.GetGroupId(), action.JoinGroup.GetUserId()
	}
	return "app", "month"
}

// releasedOf names two counters that a release lowers; here they are raised,
// which takes as long.
func releasedOf(r *imquotav1.ReleaseQuotaRequest) (a, b string) {
	switch release := r.GetRelease().(type) {
	case *imquotav1.ReleaseQuotaRequest_RemoveFriend:
		return release.RemoveFriend.GetUserId(), release.RemoveFriend.GetFriendId()
	case *imquotav1.ReleaseQuotaRequest_LeaveGroup:
		return release.LeaveGroup.GetGroupId(), release.LeaveGroup.GetUserId()
	case *imquotav1.ReleaseQuotaRequest_DissolveGroup:
		return release.DissolveGroup.GetGroupId(), "day"
	case *imquotav1.ReleaseQuotaRequest_RemoveGroupMembers:
		return release.RemoveGroupMembers.GetGroupId(), "joined"
	}
	return "app", "month"
}
