package redisstore

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// maxSweep bounds the keys of one script.
const maxSweep = 1000

// positionBits are what a position in a sequence of names takes of quota.Swept.Next;
// 16 more, above them, tell the sequence.
const positionBits = 47

// Sweep implements quota.Store. The names of all keys follow from the fan-out,
// so nothing is searched for: a sweep goes through the names one by one. Which
// those are the caller says. When that is not what it was, by another catalog or
// another day, a position means another name: the sweep begins anew, or it would
// leave out what has moved to the front.
func (s *Store) Sweep(ctx context.Context, sweep quota.Sweep) (quota.Swept, error) {
	header, err := s.read(ctx, "hmget", s.headerKey(sweep.App), "v", "c")
	if err != nil {
		return quota.Swept{}, err
	}
	if len(header) != 2 || header[0] != versionText(sweep.Version) {
		return quota.Swept{}, quota.ErrStale
	}
	clock, _ := header[1].(string)
	// A clock that is damaged names no generation; request ids expire anyhow.
	millis, _ := strconv.ParseInt(clock, 10, 64)
	names := namesOf(&sweep, time.UnixMilli(millis))

	limit := int64(min(max(1, sweep.Limit), maxSweep))
	keys := []string{s.headerKey(sweep.App)}
	next := names.position(sweep.From)
	for ; int64(len(keys)) <= limit && next < names.total(); next++ {
		keys = append(keys, s.appPrefix(sweep.App)+names.at(next))
	}
	swept := quota.Swept{}
	if len(keys) > 1 {
		reply, err := s.repeatable(ctx, sweepScript, keys, versionText(sweep.Version))
		if err != nil {
			return quota.Swept{}, err
		}
		removed, ok := reply.(int64)
		switch {
		case !ok:
			return quota.Swept{}, s.faultOf(errReply, false)
		case removed < 0:
			return quota.Swept{}, quota.ErrStale
		}
		swept.Removed = removed
	}
	if next < names.total() {
		swept.Next = names.sequence()<<positionBits | next
	}
	return swept, nil
}

// sweptNames are the names of an app's keys, after its prefix, in a sequence
// that is the same in every call: those that are one key, then families that
// are spread over buckets.
type sweptNames struct {
	single   []string
	families []family
}

// family is the beginning of the names of buckets, and how many there are.
type family struct {
	name string
	bits uint8
}

func namesOf(sweep *quota.Sweep, clock time.Time) *sweptNames {
	n := &sweptNames{single: []string{"c", gatewaysName, heldName, endsName}, families: []family{{"u:", sweep.FanoutBits}, {"g:", sweep.FanoutBits}}}
	// One before the clock's, and one after: who writes now makes it later.
	for offset := int64(-1); offset <= 1; offset++ {
		n.families = append(n.families,
			family{requestsFamily(generationOf(clock) + offset), sweep.FanoutBits - 1},
			family{holdsFamily(holdGenerationOf(clock) + offset), sweep.FanoutBits - 1})
	}
	for i := range sweep.Counters {
		n.add(&sweep.Counters[i], sweep.FanoutBits)
	}
	return n
}

// add adds a counter's keys. Quotas of an app share theirs, and bills are made
// from those of its months.
func (n *sweptNames) add(c *quota.Counter, bits uint8) {
	switch name := counterFamily(c); {
	case c.Scope != catalog.ScopeApp:
		if f := (family{name, bits}); !slices.Contains(n.families, f) {
			n.families = append(n.families, f)
		}
	case c.Window.Kind != catalog.KindMonth && !slices.Contains(n.single, name):
		n.single = append(n.single, name)
	}
}

// sequence tells this sequence of names from others, in 16 bits.
func (n *sweptNames) sequence() int64 {
	h := fnv.New64a()
	for _, name := range n.single {
		_, _ = fmt.Fprintf(h, "%s\n", name) // never fails
	}
	for _, f := range n.families {
		_, _ = fmt.Fprintf(h, "%s%d\n", f.name, f.bits)
	}
	return int64(h.Sum64() >> 48)
}

// position is where a sweep goes on in this sequence; zero if it was in another.
func (n *sweptNames) position(from int64) int64 {
	if from>>positionBits != n.sequence() {
		return 0
	}
	return from & (1<<positionBits - 1)
}

func (n *sweptNames) total() int64 {
	total := int64(len(n.single))
	for _, f := range n.families {
		total += 1 << f.bits
	}
	return total
}

func (n *sweptNames) at(i int64) string {
	if i < int64(len(n.single)) {
		return n.single[i]
	}
	i -= int64(len(n.single))
	for _, f := range n.families {
		if i < 1<<f.bits {
			return f.name + bucketName(uint32(i))
		}
		i -= 1 << f.bits
	}
	return ""
}
