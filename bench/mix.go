package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Mix is a kind of traffic.
type Mix struct {
	Name string
	Help string // what it is, as the rest of a sentence

	// IsCounted says that every check takes a step of the store, so that the bare
	// script of Redis is below it.
	IsCounted bool
	// HasReleases says that some calls are releases, which no batch carries.
	HasReleases bool

	// IsOneApp says that all is about the first app.
	IsOneApp bool

	// warm lists what is counted of every user before, so that counters are as
	// many as they will be.
	warm []warmth
	// raises lists the limits that it would reach.
	raises []string
	// begin returns what draws the steps of one caller.
	begin func(*source) func() step
}

// Mixes are all there are.
var Mixes = []*Mix{
	{
		Name: "messages", Help: "gateways' traffic: 95 % features, the rest logins and new friends",
		warm: []warmth{loggedIn, befriended}, raises: []string{"friends"}, begin: messages,
	},
	{
		Name: "features", Help: "features alone, which no counter decides",
		begin: features,
	},
	{
		Name: "relations", Help: "friends come and go, groups are created, joined, left and dissolved", IsCounted: true, HasReleases: true,
		warm: []warmth{befriended}, raises: []string{"friends", "groups", "daily_net_groups", "joined_groups", "group_members"}, begin: relations,
	},
	{
		Name: "logins", Help: "a login storm: nine of ten users are known this month, one is new", IsCounted: true,
		warm: []warmth{loggedIn}, begin: logins,
	},
	{
		Name: "hot-app", Help: "logins and new friends of many users of one app", IsCounted: true, IsOneApp: true,
		warm: []warmth{loggedIn, befriended}, raises: []string{"friends"}, begin: hotApp,
	},
	{
		Name: "uniform", Help: "new friends, of any user of any app", IsCounted: true,
		warm: []warmth{befriended}, raises: []string{"friends"}, begin: uniform,
	},
}

// MixNames returns the names of all mixes.
func MixNames() []string {
	var names []string
	for _, m := range Mixes {
		names = append(names, m.Name)
	}
	return names
}

// MixOf returns the mix of a name.
func MixOf(name string) (*Mix, error) {
	if i := slices.IndexFunc(Mixes, func(m *Mix) bool { return m.Name == name }); i >= 0 {
		return Mixes[i], nil
	}
	return nil, fmt.Errorf("there is no mix %q, only %s", name, strings.Join(MixNames(), ", "))
}

// calls returns what draws the calls of one caller, the same for the same seed,
// caller and size of batches (0: checks are no batch).
func (m *Mix) calls(p *Population, caller, batch int) *calls {
	s := &source{
		Population: p, rng: rand.New(rand.NewPCG(p.Seed, uint64(caller))), caller: caller,
		keeps: max(leastKept, 2*batch),
	}
	return &calls{next: m.begin(s), batch: max(1, batch)}
}

// messages is what gateways ask: a feature of nearly every message.
func messages(s *source) func() step {
	return func() step {
		switch n := s.rng.IntN(1000); {
		case n < 950:
			return s.useFeature()
		case n < 975:
			return s.login()
		}
		return s.addFriend()
	}
}

func features(s *source) func() step { return s.useFeature }

func logins(s *source) func() step {
	return func() step {
		if s.rng.IntN(10) == 0 {
			return s.firstLogin()
		}
		return s.login()
	}
}

func hotApp(s *source) func() step {
	return func() step {
		if s.rng.IntN(2) == 0 {
			return s.login()
		}
		return s.addFriend()
	}
}

func uniform(s *source) func() step { return s.addFriend }
