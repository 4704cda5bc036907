package boltstore

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/imquota/imquota/quota"
)

// party is one who calls, one call after the other, about users and groups of
// its own: what comes of its calls is known, save whether the app's groups are
// full.
type party struct {
	Name    string                      `json:"name"`
	Next    int                         `json:"next"` // number of the next try
	Groups  map[string][]string         `json:"groups"`
	Held    []held                      `json:"held"`
	Counts  map[string]map[string]int64 `json:"counts"` // by quota and subject
	Renames int                         `json:"renames"`

	doubt      *try // nobody has answered it
	last       *try
	lastAnswer *answered
}

// held is a reservation that is open.
type held struct {
	ID  string `json:"id"`
	Try try    `json:"try"`
}

// try is a call.
type try struct {
	Party   int      `json:"party"`
	Number  int      `json:"number"`
	Kind    string   `json:"kind"`         // an action, or what is done with a reservation, a counter or the record
	ID      string   `json:"id,omitempty"` // of the request
	Reserve bool     `json:"reserve,omitempty"`
	Users   []string `json:"users,omitempty"`
	Group   string   `json:"group,omitempty"`
	N       int64    `json:"n,omitempty"`
	Hold    string   `json:"hold,omitempty"`
}

// answered is what came of it.
type answered struct {
	Allowed  bool   `json:"allowed"`
	Replayed bool   `json:"replayed,omitempty"`
	Hold     string `json:"hold,omitempty"`
}

func newParty(name string) *party {
	return &party{Name: name, Groups: make(map[string][]string), Counts: make(map[string]map[string]int64)}
}

func (p *party) users() []string {
	return []string{p.Name + "-a", p.Name + "-b", p.Name + "-c", p.Name + "-set"}
}

func (p *party) group(n int) string { return p.Name + "-g" + strconv.Itoa(n) }

// draw draws a call that makes sense.
func (p *party) draw(r *rand.Rand) try {
	n := p.Next
	p.Next++
	t := try{Number: n, ID: p.Name + "#" + strconv.Itoa(n)}
	users := p.users()
	friends := slices.Clone(users[:3])
	r.Shuffle(len(friends), func(i, j int) { friends[i], friends[j] = friends[j], friends[i] })
	switch r.IntN(12) {
	case 0:
		t.Kind, t.Users = "login", []string{p.Name + "-u" + strconv.Itoa(n)}
	case 1:
		t.Kind, t.Users, t.N = "set", users[3:], r.Int64N(killedLimits["friends"])
	case 2:
		if p.Name != "p0" { // the name tells of one party's changes
			return p.befriend(t, friends)
		}
		t.Kind = "rename"
	case 3, 4:
		if len(p.Held) > 0 {
			t.Kind, t.Hold = []string{"commit", "cancel"}[r.IntN(2)], p.Held[0].ID
			return t
		}
		fallthrough
	case 5, 6:
		t.Kind, t.Group, t.Users = "create_group", p.group(n), friends[:1+r.IntN(3)]
		t.Reserve = len(p.Held) < 4 && r.IntN(2) == 0
	case 7, 8:
		return p.leave(t, r, friends)
	case 9:
		t.Reserve = len(p.Held) < 4
		return p.befriend(t, friends)
	default:
		return p.befriend(t, friends)
	}
	return t
}

// befriend makes friends of two, or ends that when they have many.
func (p *party) befriend(t try, users []string) try {
	t.Kind, t.Users = "add_friend", users[:2]
	if !t.Reserve && p.Counts["friends"][users[0]] > 8 && p.Counts["friends"][users[1]] > 0 {
		t.Kind = "remove_friend"
	}
	return t
}

// leave empties a group, or dissolves an empty one.
func (p *party) leave(t try, r *rand.Rand, users []string) try {
	groups := slices.Sorted(maps.Keys(p.Groups))
	if len(groups) == 0 {
		return p.befriend(t, users)
	}
	t.Kind, t.Group = "dissolve_group", groups[r.IntN(len(groups))]
	if members := p.Groups[t.Group]; len(members) > 0 {
		t.Kind, t.Users = "remove_group_members", members
	}
	return t
}

func (t *try) action() quota.Action {
	switch t.Kind {
	case "login":
		return &quota.Login{UserID: t.Users[0]}
	case "add_friend":
		return &quota.AddFriend{UserID: t.Users[0], FriendID: t.Users[1]}
	case "remove_friend":
		return &quota.RemoveFriend{UserID: t.Users[0], FriendID: t.Users[1]}
	case "create_group":
		return &quota.CreateGroup{GroupID: t.Group, GroupType: "work", MemberIDs: t.Users}
	case "remove_group_members":
		return &quota.RemoveGroupMembers{GroupID: t.Group, UserIDs: t.Users}
	case "dissolve_group":
		return &quota.DissolveGroup{GroupID: t.Group}
	}
	panic(t.Kind)
}

// parts calls add with what a call adds to each counter.
func (t *try) parts(add func(quota, subject string, n int64)) {
	each := func(quota string, n int64) {
		for _, user := range t.Users {
			add(quota, user, n)
		}
	}
	switch t.Kind {
	case "login":
		add("users", "", 1)
		add("free_mau", "", 1)
	case "add_friend":
		each("friends", 1)
	case "remove_friend":
		each("friends", -1)
	case "create_group":
		add("groups", "", 1)
		each("joined_groups", 1)
		add("group_members", t.Group, int64(len(t.Users)))
	case "remove_group_members":
		each("joined_groups", -1)
		add("group_members", t.Group, -int64(len(t.Users)))
	case "dissolve_group":
		add("groups", "", -1)
	}
}

func (p *party) add(quota, subject string, n int64) {
	if p.Counts[quota] == nil {
		p.Counts[quota] = make(map[string]int64)
	}
	p.Counts[quota][subject] += n
}

// settle notes what a call came to.
func (p *party) settle(t *try, a *answered) {
	switch {
	case !a.Allowed:
	case t.Reserve:
		p.Held = append(p.Held, held{a.Hold, *t})
	case t.Kind == "commit", t.Kind == "cancel":
		at := slices.IndexFunc(p.Held, func(h held) bool { return h.ID == t.Hold })
		of := p.Held[at].Try
		p.Held = slices.Delete(p.Held, at, at+1)
		if t.Kind == "commit" {
			p.take(&of)
		}
	case t.Kind == "set":
		p.add("friends", t.Users[0], t.N-p.Counts["friends"][t.Users[0]])
	case t.Kind == "rename":
		p.Renames++
	default:
		p.take(t)
	}
}

// take notes a call that counts.
func (p *party) take(t *try) {
	t.parts(p.add)
	switch t.Kind {
	case "create_group":
		p.Groups[t.Group] = t.Users
	case "remove_group_members":
		p.Groups[t.Group] = []string{}
	case "dissolve_group":
		delete(p.Groups, t.Group)
	}
}

// addTo adds up what the party's calls came to.
func (p *party) addTo(all map[number]count) {
	for quota, counts := range p.Counts {
		for subject, n := range counts {
			c := all[number{quota, subject}]
			c.Used += n
			all[number{quota, subject}] = c
		}
	}
	for _, h := range p.Held {
		h.Try.parts(func(quota, subject string, n int64) {
			if quota == "group_members" {
				return // of a group that is not there yet
			}
			c := all[number{quota, subject}]
			c.Held += n
			all[number{quota, subject}] = c
		})
	}
	maps.DeleteFunc(all, func(_ number, c count) bool { return c == count{} })
}
