package proof

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// The sequential model: what an app's answers would be if its calls were carried
// out one after the other, each at some instant between its call and its answer.
// Quotas that share no counter, limit or id are families of their own, whose
// histories are linearizable by themselves or not: they are checked apart.

// family is one set of counters of an app.
type family uint8

const (
	friends family = iota // of alice and of bob, under one limit
	groups                // of the app, and which of three groups there are
	users                 // of the app, and which of five users are known
	families
)

func (f family) String() string { return [...]string{"friends", "groups", "users"}[f] }

// partition is what is checked by itself.
type partition struct {
	app    uint32
	family family
}

// firstLimits are those of a new app's families.
var firstLimits = [families]int64{friends: 4, groups: 2, users: 3}

// subjects of the counters, and the ids of groups and users. A family of one
// counter has one subject.
var (
	friendsOf  = [...]string{"alice", "bob"}
	groupNames = [...]string{"g0", "g1", "g2"}
	userNames  = [...]string{"u0", "u1", "u2", "u3", "u4"}
)

// verb is what is asked for.
type verb uint8

const (
	read     verb = iota // GetUsage
	charge               // CheckQuota
	release              // ReleaseQuota
	commit               // CommitReservation
	cancel               // CancelReservation
	setUsage             // of one counter
	setLimit             // SetLimitOverride of the family's quota
)

// mode is how a charge is made.
type mode uint8

const (
	consume mode = iota
	checkOnly
	adjust
	reserve
)

// input is one operation.
type input struct {
	partition

	verb  verb
	mode  mode
	delta [2]int64 // friends: added to each counter, or taken off
	group int      // of groups
	users uint8    // of users: a set
	value int64    // setUsage, setLimit
	seen  int64    // setUsage: as it was observed; -1: not told
	hold  int      // what the reservation is known by, if it makes or ends one
	id    int      // what the model remembers a request by, if it must
	fresh bool     // its request had no effect before
}

// answer is what a caller was told.
type answer uint8

const (
	applied   answer = iota // allowed, and not for a repeated request
	denied                  //
	replayed                // the request had taken effect before
	sometime                // it has had its effect, and nothing is known of what it found
	maybe                   // nobody knows whether it has had, has or will have its effect
	exists                  // the group is there, or reserved
	committed               // so it cannot be cancelled
	cancelled               // so it cannot be committed
	unknown                 // the reservation is not known
)

func (a answer) String() string {
	return [...]string{"applied", "denied", "replayed", "sometime", "maybe", "exists", "committed", "cancelled", "unknown"}[a]
}

// shown is a counter in an answer.
type shown struct {
	counter                   int
	limit, used, held, change int64 // change: of a violation what was requested
}

// output is an operation's answer.
type output struct {
	answer  answer
	shown   []shown // of a denial: its violations
	clamped bool
	before  int64 // setUsage
	// durable: what it counted survives a fail-over.
	durable bool
}

// state is what the store holds of a partition. It is comparable.
type state struct {
	limit      int64
	used, held [2]int64
	there      uint8 // groups, or users that are known
	reserved   uint8 // ids of groups
	known      bits  // requests that have had their effect
	placed     bits  // reservations that hold
	committed  bits
	cancelled  bits
}

// bits is a set of small numbers.
type bits [4]uint64

const maxBits = 256

func (b *bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b *bits) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b *bits) drop(i int)     { b[i/64] &^= 1 << (i % 64) }

// modelOf is the model of one partition.
func modelOf(p partition) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{limit: firstLimits[p.family]} },
		Step: func(s, in, out any) (bool, any) {
			before, asked, told := s.(state), in.(input), out.(output)
			ok, after := step(before, &asked, &told)
			return ok, after
		},
		DescribeOperation: func(in, out any) string {
			asked, told := in.(input), out.(output)
			return asked.String() + " -> " + told.String()
		},
		DescribeState: func(s any) string {
			st := s.(state)
			return fmt.Sprintf("limit %d, used %v, held %v, there %b, reserved %b", st.limit, st.used, st.held, st.there, st.reserved)
		},
	}
}

// effect is what an operation would do.
type effect struct {
	delta  [2]int64 // before the floor at zero
	there  uint8    // what is there afterwards
	exists bool     // it fails, for the group is there or reserved
	short  bool     // there is less than is given back
}

// effectOf finds out what an operation would do now.
func (s *state) effectOf(in *input) effect {
	e := effect{delta: in.delta, there: s.there}
	switch {
	case in.verb == setUsage && in.seen >= 0:
		e.delta[0] = in.value - in.seen
	case in.verb == setUsage:
		e.delta[0] = in.value - s.used[0]
	case in.family == groups:
		group := uint8(1) << in.group
		switch in.verb {
		case release:
			e.delta[0], e.there = -min(1, int64(s.there&group)), s.there&^group
			e.short = s.there&group == 0
		case charge:
			e.exists = (s.there|s.reserved)&group != 0
			fallthrough
		default:
			e.delta[0], e.there = 1, s.there|group
		}
	case in.family == users && in.verb == release:
		e.delta[0], e.there = -count(s.there&in.users), s.there&^in.users
		e.short = s.there&in.users != in.users
	case in.family == users:
		e.delta[0], e.there = count(in.users&^s.there), s.there|in.users
	}
	for i := range e.delta {
		e.short = e.short || in.verb == release && s.used[i]+e.delta[i] < 0
	}
	return e
}

func count(set uint8) (n int64) {
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

// fits reports whether a charge fits the limit.
func (s *state) fits(i int, delta int64) bool {
	return delta <= 0 || s.used[i]+s.held[i]+delta <= s.limit
}

// count adds an effect to what is used.
func (s *state) count(e effect) {
	for i, delta := range e.delta {
		s.used[i] = max(0, s.used[i]+delta)
	}
	s.there = e.there
}

// step carries an operation out, and reports whether its answer is the right one.
func step(s state, in *input, out *output) (bool, state) {
	if in.fresh && s.known.has(in.id) {
		return false, s
	}
	switch in.verb {
	case read:
		return s.shows(out.shown, effect{}, false), s
	case setLimit:
		if !s.known.has(in.id) {
			s.limit = in.value
			s.remember(in, out)
		}
		return true, s
	case commit, cancel:
		return end(s, in, out)
	case charge, release, setUsage:
	}
	if out.answer == replayed {
		return (in.id == 0 || s.known.has(in.id)) && s.shows(out.shown, effect{}, false), s
	}
	if out.answer == maybe && s.known.has(in.id) {
		return true, s
	}
	e, before := s.effectOf(in), s
	if e.exists {
		return out.answer == exists || out.answer == maybe, s
	}
	fits := true
	for i, delta := range e.delta {
		fits = fits && s.fits(i, delta)
	}
	if in.mode == adjust || in.verb == setUsage {
		fits = true
	}
	switch {
	case out.answer == maybe && !fits:
		return true, s
	case out.answer == denied:
		return !fits && s.violated(out.shown, e), s
	case !fits || out.answer == exists:
		return false, s
	case in.mode == checkOnly:
		return before.shows(out.shown, e, true), s
	case in.mode == reserve:
		for i, delta := range e.delta {
			s.held[i] += delta
		}
		s.reserved |= e.there &^ s.there
		s.placed.add(in.hold)
	default:
		s.count(e)
	}
	s.remember(in, out)
	switch {
	case out.answer != applied:
		return true, s
	case in.mode == reserve:
		return s.shows(out.shown, effect{}, false), s
	case in.verb == setUsage && out.before != before.used[0]:
		return false, s
	case out.clamped != e.short && in.verb != setUsage:
		return false, s
	}
	for i := range e.delta {
		e.delta[i] = s.used[i] - before.used[i]
	}
	return s.shows(out.shown, e, true), s
}

// remember notes that a request has had its effect, if that matters.
func (s *state) remember(in *input, out *output) {
	if in.id != 0 && (out.answer == sometime || out.answer == maybe) {
		s.known.add(in.id)
	}
}

// end commits or cancels a reservation.
func end(s state, in *input, out *output) (bool, state) {
	switch out.answer {
	case committed:
		return s.committed.has(in.hold), s
	case cancelled:
		return s.cancelled.has(in.hold), s
	case unknown:
		return !s.placed.has(in.hold) && !s.committed.has(in.hold) && !s.cancelled.has(in.hold), s
	case replayed:
		return in.verb == commit && s.committed.has(in.hold) || in.verb == cancel && s.cancelled.has(in.hold), s
	case applied, sometime, maybe, denied, exists:
	}
	if !s.placed.has(in.hold) {
		return out.answer == maybe, s
	}
	if out.answer == denied || out.answer == exists {
		return false, s // it was judged
	}
	before := s
	e := s.effectOf(in)
	s.placed.drop(in.hold)
	for i, delta := range e.delta {
		s.held[i] -= delta
	}
	if in.family == groups {
		s.reserved &^= 1 << in.group
	}
	if in.verb == commit {
		s.committed.add(in.hold)
		s.count(e)
	} else {
		s.cancelled.add(in.hold)
	}
	for i := range e.delta {
		e.delta[i] = s.used[i] - before.used[i]
	}
	return out.answer != applied || s.shows(out.shown, e, true), s
}

// shows reports whether the counters of an answer are as they are. changed: e is
// what the call has changed, or in a check would change.
func (s *state) shows(all []shown, e effect, changed bool) bool {
	for _, c := range all {
		if c.limit != s.limit || c.used != s.used[c.counter] || c.held != s.held[c.counter] {
			return false
		}
		if changed && c.change != e.delta[c.counter] {
			return false
		}
	}
	return true
}

// violated reports whether the violations of a denial are those there are.
func (s *state) violated(all []shown, e effect) bool {
	n := 0
	for i, delta := range e.delta {
		if !s.fits(i, delta) {
			n++
		}
	}
	for _, c := range all {
		if s.fits(c.counter, e.delta[c.counter]) {
			return false
		}
	}
	return n == len(all) && s.shows(all, e, true)
}

// String describes an operation.
func (in *input) String() string {
	var what string
	switch in.family {
	case friends:
		what = fmt.Sprint("friends", in.delta)
	case groups:
		what = "group " + groupNames[in.group]
	case users:
		what = "users " + strings.Join(in.userIDs(), ",")
	case families:
	}
	name := [...]string{"read", "charge", "release", "commit", "cancel", "set", "limit"}[in.verb]
	switch in.verb {
	case read:
		return "read " + in.family.String()
	case charge:
		name = [...]string{"consume", "check", "adjust", "reserve"}[in.mode]
	case setUsage:
		return fmt.Sprintf("set friends to %d of %d", in.value, in.seen)
	case setLimit:
		return fmt.Sprintf("limit %v to %d", in.family, in.value)
	case release:
	case commit, cancel:
		what += fmt.Sprintf(" #%d", in.hold)
	}
	return name + " " + what
}

// userIDs are the users of an operation.
func (in *input) userIDs() []string {
	var ids []string
	for i, name := range userNames {
		if in.users&(1<<i) != 0 {
			ids = append(ids, name)
		}
	}
	return slices.Clip(ids)
}

// String describes an answer.
func (out *output) String() string {
	text := out.answer.String()
	for _, c := range out.shown {
		text += fmt.Sprintf(" %d:%d+%d/%d(%+d)", c.counter, c.used, c.held, c.limit, c.change)
	}
	if out.clamped {
		text += " clamped"
	}
	return text
}
