package proof

import (
	"slices"
	"strconv"
)

// anything draws an operation of an app: few counters, low limits, so that most
// operations meet others.
func anything(c *client) *chain {
	p := partition{c.apps[c.random.IntN(len(c.apps))], family(c.random.IntN(int(families)))}
	if len(c.reserved) > 0 && c.random.IntN(3) == 0 {
		return c.endReservation()
	}
	in := input{partition: p, seen: -1}
	switch n := c.random.IntN(100); {
	case n < 12:
		in.verb = read
	case n < 18:
		in.verb, in.value = setLimit, firstLimits[p.family]-1+c.random.Int64N(3)
		return &chain{input: in}
	case n < 45:
		in.verb = release
	case n < 50:
		in.verb, in.mode = charge, checkOnly
	case n < 52:
		in.verb, in.mode = charge, adjust
	case n < 66:
		in.verb, in.mode = charge, reserve
	case n < 70 && p.family == friends:
		in.verb, in.value = setUsage, c.random.Int64N(5)
		if c.random.IntN(2) == 0 {
			in.seen = c.random.Int64N(5)
		}
		return &chain{input: in}
	default:
		in.verb = charge
	}
	c.drawObject(&in)
	return &chain{input: in}
}

// drawObject draws what an operation is about.
func (c *client) drawObject(in *input) {
	switch in.family {
	case friends:
		in.delta = [][2]int64{{1, 0}, {1, 0}, {0, 1}, {1, 1}}[c.random.IntN(4)]
		if in.verb == read && in.delta[0] != 0 {
			in.delta[1] = 0
		}
		if in.verb == release {
			in.delta[0], in.delta[1] = -in.delta[0], -in.delta[1]
		}
	case groups:
		in.group = c.random.IntN(len(groupNames))
	case users:
		in.users = uint8(1 + c.random.IntN(1<<len(userNames)-1))
		if in.mode == reserve {
			in.mode = consume // registering is not reserved
		}
		if c.random.IntN(2) == 0 {
			in.users = 1 << c.random.IntN(len(userNames))
		}
	case families:
	}
}

// endReservation commits or cancels one, now and then both: the other is left
// where it is.
func (c *client) endReservation() *chain {
	i := c.random.IntN(len(c.reserved))
	made := c.reserved[i]
	c.reserved = slices.Delete(c.reserved, i, i+1)
	in := made.input
	in.mode, in.verb = consume, commit
	if c.random.IntN(2) == 0 {
		in.verb = cancel
	}
	return &chain{input: in, makes: made, name: made.name}
}

// additive draws an operation whose effects add up, whatever their order: what
// is given back was counted before, and limits stay.
func additive(c *client) *chain {
	p := partition{c.apps[c.random.IntN(len(c.apps))], family(c.random.IntN(2))} // friends, groups
	n := c.random.IntN(100)
	switch {
	case len(c.reserved) > 0 && n < 30:
		return c.endReservation()
	case len(c.counted) > 0 && n < 55 && !c.keeps.Load():
		i := c.random.IntN(len(c.counted))
		counted := c.counted[i]
		c.counted = slices.Delete(c.counted, i, i+1)
		in := counted.input
		in.verb, in.mode = release, consume
		in.delta[0], in.delta[1] = -in.delta[0], -in.delta[1]
		return &chain{input: in, name: counted.name}
	}
	in := input{partition: p, verb: charge, seen: -1}
	switch {
	case n < 65:
		in.mode = reserve
	case n < 70:
		in.verb = read
	case n < 75:
		in.mode = checkOnly
	}
	c.drawObject(&in)
	name := ""
	if p.family == groups {
		c.made++
		name = "g" + strconv.Itoa(c.number) + "-" + strconv.Itoa(c.made)
	}
	return &chain{input: in, name: name}
}
