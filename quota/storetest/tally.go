package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// tally keeps what actions count in plain sets and sums, as FACTS §2 says it
// in words: it knows neither charges nor stores.
type tally struct {
	limits  map[string]int64
	known   map[string]bool
	active  map[string]bool // "user month"
	groups  map[string]string
	gone    map[string]time.Time // groups that were dissolved, and when
	sums    map[sum]int64
	effects map[string]effect // by request id
}

// sum names one number: "friends" of a user, "daily_net_groups" of a day.
type sum struct{ quota, subject, window string }

// effect is a request that took effect.
type effect struct {
	action string
	at     time.Time
}

// part is what an action adds to one number.
type part struct {
	sum
	delta int64
}

// verdict is what an action comes to.
type verdict struct {
	fault    bool
	denied   bool     // whatever the limits
	exceeded []string // "quota of subject"
	parts    []part
	settle   func() // changes the sets, if the action is allowed
}

func newTally(limits map[string]int64) *tally {
	return &tally{
		limits: limits, known: make(map[string]bool), active: make(map[string]bool), groups: make(map[string]string), gone: make(map[string]time.Time),
		sums: make(map[sum]int64), effects: make(map[string]effect),
	}
}

func dayOf(now time.Time) string   { return now.In(zone).Format(time.DateOnly) }
func monthOf(now time.Time) string { return now.In(zone).Format("2006-01") }

// judge says what an action comes to at an instant.
func (y *tally) judge(a quota.Action, now time.Time) verdict {
	v := verdict{settle: func() {}}
	y.weigh(&v, a, now)
	for _, p := range v.parts {
		if p.delta > 0 && y.sums[p.sum]+p.delta > y.limits[p.quota] {
			v.exceeded = append(v.exceeded, p.quota+" of "+p.subject)
		}
	}
	slices.Sort(v.exceeded)
	return v
}

func (v *verdict) add(quota, subject, window string, delta int64) {
	v.parts = append(v.parts, part{sum{quota, subject, window}, delta})
}

func (y *tally) weigh(v *verdict, a quota.Action, now time.Time) {
	switch a := a.(type) {
	case *quota.RegisterUsers:
		y.register(v, a.UserIDs)
	case *quota.Login:
		y.register(v, []string{a.UserID})
		if month := a.UserID + " " + monthOf(now); !y.active[month] {
			v.add("free_mau", "", monthOf(now), 1)
			registered := v.settle
			v.settle = func() { registered(); y.active[month] = true }
		}
	case *quota.DeleteUsers:
		y.deleteUsers(v, a.UserIDs)
	case *quota.AddFriend:
		befriend(v, a.UserID, a.FriendID, a.OneWay, 1)
	case *quota.RemoveFriend:
		befriend(v, a.UserID, a.FriendID, a.OneWay, -1)
	case *quota.CreateGroup:
		y.createGroup(v, a, now)
	case *quota.JoinGroup:
		y.enter(v, a.GroupID, a.GroupType, []string{a.UserID}, now)
	case *quota.AddGroupMembers:
		v.denied = a.GroupType == "live"
		y.enter(v, a.GroupID, a.GroupType, a.UserIDs, now)
	case *quota.LeaveGroup:
		y.leave(v, a.GroupID, []string{a.UserID})
	case *quota.RemoveGroupMembers:
		y.leave(v, a.GroupID, a.UserIDs)
	case *quota.DissolveGroup:
		if kind, ok := y.groups[a.GroupID]; ok {
			groupCounts(v, kind, now, -1)
			v.settle = func() {
				delete(y.groups, a.GroupID)
				y.gone[a.GroupID] = now
				delete(y.sums, sum{"group_members", a.GroupID, ""})
			}
		}
	default:
		panic(fmt.Sprintf("nobody draws %T", a))
	}
}

func (y *tally) register(v *verdict, ids []string) {
	var fresh []string
	for _, id := range ids {
		if !y.known[id] {
			fresh = append(fresh, id)
		}
	}
	v.add("users", "", "", int64(len(fresh)))
	v.settle = func() {
		for _, id := range fresh {
			y.known[id] = true
		}
	}
}

func (y *tally) deleteUsers(v *verdict, ids []string) {
	for _, id := range ids {
		if y.known[id] {
			v.add("users", "", "", -1)
		}
	}
	v.settle = func() {
		for _, id := range ids {
			delete(y.known, id)
			delete(y.sums, sum{"friends", id, ""})
			delete(y.sums, sum{"joined_groups", id, ""})
		}
	}
}

func befriend(v *verdict, user, friend string, oneWay bool, delta int64) {
	v.add("friends", user, "", delta)
	if !oneWay {
		v.add("friends", friend, "", delta)
	}
}

// groupCounts counts a group of a type that comes or goes.
func groupCounts(v *verdict, kind string, now time.Time, delta int64) {
	if kind == "live" {
		v.add("live_groups", "", "", delta)
	} else {
		v.add("groups", "", "", delta)
	}
	if kind == "broadcast" {
		v.add("daily_net_broadcast_groups", "", dayOf(now), delta)
	}
	v.add("daily_net_groups", "", dayOf(now), delta)
}

func (y *tally) createGroup(v *verdict, a *quota.CreateGroup, now time.Time) {
	_, v.fault = y.groups[a.GroupID]
	groupCounts(v, a.GroupType, now, 1)
	v.settle = func() { y.groups[a.GroupID] = a.GroupType }
	if a.GroupType == "live" {
		v.denied = len(a.MemberIDs) > 0
		return
	}
	ids := slices.Clone(a.MemberIDs)
	if a.OwnerID != "" && !slices.Contains(ids, a.OwnerID) {
		ids = append(ids, a.OwnerID)
	}
	join(v, a.GroupID, a.GroupType, ids, 1)
}

func join(v *verdict, group, kind string, ids []string, delta int64) {
	for _, id := range ids {
		v.add("joined_groups", id, "", delta)
	}
	if kind != "live" && len(ids) > 0 {
		v.add("group_members", group, "", delta*int64(len(ids)))
	}
}

func (y *tally) enter(v *verdict, group, kind string, ids []string, now time.Time) {
	known, ok := y.groups[group]
	v.fault = ok && known != kind
	if gone, went := y.gone[group]; !ok && went && dayOf(now) <= dayOf(gone.AddDate(0, 0, 1)) {
		join(v, group, "live", ids, 1) // too late: nobody's members
		return
	}
	join(v, group, kind, ids, 1)
	v.settle = func() { y.groups[group] = kind }
}

func (y *tally) leave(v *verdict, group string, ids []string) {
	kind, ok := y.groups[group]
	if !ok {
		kind = "live" // nobody's members
	}
	join(v, group, kind, ids, -1)
}

// settle counts what was allowed.
func (y *tally) settle(v *verdict) {
	for _, p := range v.parts {
		n := y.sums[p.sum] + p.delta
		if p.quota != "daily_net_groups" && p.quota != "daily_net_broadcast_groups" {
			n = max(0, n)
		}
		y.sums[p.sum] = n
	}
	v.settle()
}

// read returns a number as GetUsage tells it.
func (y *tally) read(q *catalog.Quota, subject string, now time.Time) int64 {
	window := ""
	switch q.Kind {
	case catalog.KindDay:
		window = dayOf(now)
	case catalog.KindMonth:
		window = monthOf(now)
	case catalog.KindStock, catalog.KindStatic:
	}
	return y.sums[sum{q.Key, subject, window}]
}

// names of what was exceeded, as judge gives them.
func exceeded(vs []quota.Violation) []string {
	var keys []string
	for _, v := range vs {
		if v.Reason == quota.LimitExceeded {
			keys = append(keys, v.Quota+" of "+v.Subject)
		}
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}
