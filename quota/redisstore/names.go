package redisstore

import (
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// positionBits are what a position in a sequence of names takes of a number that
// says where to go on; 16 more, above them, tell the sequence.
const positionBits = 47

// family is the beginning of the names of keys, after the app's prefix, and over
// how many buckets they are spread: 1<<bits, or none, and it is one key.
type family struct {
	name   string
	bits   uint8
	isOne  bool
	counts *quota.Counter // what it counts, of any subject; nil: something else
}

func one(name string) family { return family{name: name, isOne: true} }

func spread(name string, bits uint8) family { return family{name: name, bits: bits} }

func (f *family) size() int64 {
	if f.isOne {
		return 1
	}
	return 1 << f.bits
}

// keyNames are the names of an app's keys in a sequence that is the same in every
// call: so that nothing is searched for.
type keyNames []family

// sweptNames are all that goes with an app that is gone.
func sweptNames(sweep *quota.Sweep, clock time.Time) keyNames {
	bits := sweep.FanoutBits
	n := keyNames{one("c"), one(gatewaysName), one(heldName), one(endsName)}
	spreads := keyNames{spread(usersName, bits), spread(groupsName, bits)}
	// One before the clock's, and one after: who writes now makes it later.
	for offset := int64(-1); offset <= 1; offset++ {
		spreads = append(spreads,
			spread(requestsFamily(generationOf(clock)+offset), bits-1),
			spread(holdsFamily(holdGenerationOf(clock)+offset), bits-1))
	}
	for i := range sweep.Counters {
		c := &sweep.Counters[i]
		switch name := counterFamily(c); {
		case c.Scope != catalog.ScopeApp:
			spreads = spreads.with(spread(name, bits))
		case c.Window.Kind != catalog.KindMonth: // bills are made from those of months
			n = n.with(one(name))
		}
	}
	return append(n, spreads...)
}

// exportedNames are all that is exported of an app. Its totals come last: where
// they say less than the users they were counted from, they were read before.
func exportedNames(e *quota.Export) keyNames {
	n := keyNames{spread(usersName, e.FanoutBits), spread(groupsName, e.FanoutBits)}
	totals := keyNames{one("c"), one(peaksName)}
	for i := range e.Counters {
		c := &e.Counters[i]
		f := family{name: counterFamily(c), bits: e.FanoutBits, counts: c}
		if f.isOne = c.Scope == catalog.ScopeApp; f.isOne {
			totals = totals.with(f)
		} else {
			n = n.with(f)
		}
	}
	return append(n, totals...)
}

// with adds a family, if it is not there yet. Quotas of an app share theirs.
func (n keyNames) with(f family) keyNames {
	if slices.ContainsFunc(n, func(other family) bool { return other.name == f.name }) {
		return n
	}
	return append(n, f)
}

// sequence tells this sequence of names from others, in 16 bits.
func (n keyNames) sequence() int64 {
	h := fnv.New64a()
	for i := range n {
		if n[i].isOne {
			_, _ = fmt.Fprintf(h, "%s\n", n[i].name) // never fails
		} else {
			_, _ = fmt.Fprintf(h, "%s%d\n", n[i].name, n[i].bits)
		}
	}
	return int64(h.Sum64() >> 48)
}

// token says where to go on in this sequence.
func (n keyNames) token(position int64) int64 { return n.sequence()<<positionBits | position }

// position is where a token goes on; false if it is of another sequence.
func (n keyNames) position(token int64) (int64, bool) {
	return token & (1<<positionBits - 1), token>>positionBits == n.sequence()
}

func (n keyNames) total() (total int64) {
	for i := range n {
		total += n[i].size()
	}
	return total
}

// at returns the name at a position, and the family it is of.
func (n keyNames) at(i int64) (string, *family) {
	for k := range n {
		f := &n[k]
		switch size := f.size(); {
		case i >= size:
			i -= size
		case f.isOne:
			return f.name, f
		default:
			return f.name + bucketName(uint32(i)), f
		}
	}
	return "", nil
}
