package proof

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// Histories that are too long for an order to be looked for are held against
// sums. Their operations add up whatever their order: nothing is given back that
// was not counted before, and limits stay.

// roomyLimits are for sums: often reached, and often not.
var roomyLimits = [families]int64{friends: 12, groups: 8, users: 3}

// TestSums: after every fault, what is used is what was acknowledged, within what
// is in doubt; and exactly that, once each call in doubt has been repeated.
func TestSums(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) tally {
		w := newWorld(t, seed, nil)
		w.load.pick, w.load.pace = additive, 8*time.Millisecond
		createApps(t, w.load.sidecars[0], roomyLimits, 4, 5)
		w.load.apps = []uint32{4, 5}
		chains := w.strain(t, max(4*time.Second, min(soak(t)/4, time.Minute)))
		s := w.whole(t)
		wantNoneAbove(t, chains)
		wantBetween(t, s, chains, w.load.apps)
		inDoubt := w.load.settle(t, s, chains)
		chains = append(chains, w.load.cancelAll(t, s, chains)...)
		wantSums(t, s, chains, w.load.apps)
		w.load.wantNothingStrange(t, false)
		t.Logf("%d calls, %d faults, %d operations in doubt at the end", w.load.calls, w.breaker.total(), inDoubt)
		return w.tally()
	})
}

// TestHoldsEnd: reservations that end by themselves, by clocks that are apart,
// while they are committed in time, late or never. The model knows no time, so
// the limit is held at every answer, and the sums at the end.
func TestHoldsEnd(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) tally {
		w := newWorld(t, seed, nil)
		w.load.pick, w.load.pace = ending, 12*time.Millisecond
		createApps(t, w.load.sidecars[0], roomyLimits, 4)
		w.load.apps, w.load.began = []uint32{4}, time.Now()
		// One that outlasts the others: they end by themselves, not because all have.
		lasting := &chain{input: input{partition: partition{4, friends}, verb: charge, mode: reserve, delta: [2]int64{1, 0}, seen: -1}, lasts: longHold}
		w.load.repeat(t, w.load.sidecars[0], lasting)
		chains := append(w.strain(t, 5*time.Second), lasting)
		s := w.whole(t)
		wantNoneAbove(t, chains)
		w.load.settle(t, s, chains)
		eventually(t, "all holds to end", func(ctx context.Context) error {
			for _, p := range additivePartitions(w.load.apps) {
				for i, used := range usedOf(ctx, t, s, p) {
					if used.GetHeld() != 0 && (p.family != friends || i != 0 || used.GetHeld() != 1) {
						return fmt.Errorf("%v of app %d, counter %d: %d held", p.family, p.app, i, used.GetHeld())
					}
				}
			}
			return nil
		})
		w.load.cancelAll(t, s, []*chain{lasting})
		wantSums(t, s, chains, w.load.apps)
		w.load.wantNothingStrange(t, false)
		late, inTime := 0, 0
		for _, c := range chains {
			switch {
			case c.verb != commit || !c.hasEffect():
			case c.late:
				late++
			default:
				inTime++
			}
		}
		if late == 0 || inTime == 0 {
			t.Errorf("%d commits late and %d in time: both are to be tried", late, inTime)
		}
		return w.tally()
	})
}

// ending is additive with reservations that end soon, and are committed about
// then or never.
func ending(c *client) *chain {
	i := slices.IndexFunc(c.reserved, func(made *chain) bool { return made.due.Before(time.Now()) })
	if i >= 0 && c.random.IntN(3) > 0 {
		made := c.reserved[i]
		c.reserved = slices.Delete(c.reserved, i, i+1)
		in := made.input
		in.mode, in.verb = consume, commit
		return &chain{input: in, makes: made, name: made.name}
	}
	for {
		kept := slices.Clone(c.reserved)
		chain := additive(c)
		if chain.makes != nil {
			c.reserved = kept
			continue
		}
		if chain.mode == reserve || chain.verb == charge && c.random.IntN(2) == 0 {
			chain.mode, chain.lasts = reserve, time.Second+time.Duration(c.random.Int64N(int64(500*time.Millisecond)))
		}
		return chain
	}
}

// wantNoneAbove fails the test for an answer that shows a counter above its limit.
func wantNoneAbove(t testing.TB, chains []*chain) {
	t.Helper()
	for _, c := range chains {
		for i := range c.attempts {
			for _, s := range c.attempts[i].output.shown {
				if s.used+s.held > s.limit {
					t.Errorf("%v: %d used and %d held, of %d", &c.input, s.used, s.held, s.limit)
				}
			}
		}
	}
}

// counted is what an operation adds to what is used, if it takes effect.
func (c *chain) adds() (delta [2]int64) {
	switch {
	case c.verb == read, c.verb == cancel, c.mode == checkOnly, c.mode == reserve:
		return delta
	case c.family == groups && c.verb == release:
		return [2]int64{-1}
	case c.family == groups:
		return [2]int64{1}
	}
	return c.delta
}

// additivePartitions are what sums are made of.
func additivePartitions(apps []uint32) (all []partition) {
	for _, app := range apps {
		all = append(all, partition{app, friends}, partition{app, groups})
	}
	return all
}

// sumsOf adds up what is known to be counted, and how far it may be off.
func sumsOf(p partition, chains []*chain) (sums, less, more [2]int64) {
	for _, c := range chains {
		if c.partition != p {
			continue
		}
		for i, delta := range c.adds() {
			switch {
			case c.hasEffect():
				sums[i] += delta
			case !c.isInDoubt():
			case delta < 0:
				less[i] += delta
			default:
				more[i] += delta
			}
		}
	}
	return sums, less, more
}

// usedOf reads the counters of a partition.
func usedOf(ctx context.Context, t testing.TB, s *sidecar, p partition) (all []*imquotav1.QuotaState) {
	t.Helper()
	subjects := []string{""}
	if p.family == friends {
		subjects = friendsOf[:]
	}
	for _, subject := range subjects {
		eventually(t, "usage", func(context.Context) error {
			got, err := s.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: p.app, Quotas: []string{quotaKeys[p.family]}, UserId: subject})
			if err == nil {
				all = append(all, got.GetQuotas()[0])
			}
			return err
		})
	}
	return all
}

// wantBetween fails the test when counters are not what was acknowledged, give or
// take what is in doubt.
func wantBetween(t testing.TB, s *sidecar, chains []*chain, apps []uint32) {
	t.Helper()
	for _, p := range additivePartitions(apps) {
		sums, less, more := sumsOf(p, chains)
		for i, q := range usedOf(t.Context(), t, s, p) {
			if used := q.GetUsed(); used < sums[i]+less[i] || used > sums[i]+more[i] {
				t.Errorf("%v of app %d, counter %d: %d used, want %d to %d", p.family, p.app, i, used, sums[i]+less[i], sums[i]+more[i])
			}
		}
	}
}

// wantSums fails the test when counters are not what was acknowledged, or anything
// is held. Nothing is in doubt any more: what was, and is denied now, was not
// counted and will not be.
func wantSums(t testing.TB, s *sidecar, chains []*chain, apps []uint32) {
	t.Helper()
	for _, p := range additivePartitions(apps) {
		sums, _, _ := sumsOf(p, chains)
		for i, q := range usedOf(t.Context(), t, s, p) {
			if q.GetUsed() != sums[i] || q.GetHeld() != 0 {
				t.Errorf("%v of app %d, counter %d: %d used and %d held, want %d and none", p.family, p.app, i, q.GetUsed(), q.GetHeld(), sums[i])
			}
		}
	}
}

// cancelAll cancels the reservations that nobody has ended.
func (l *load) cancelAll(t testing.TB, s *sidecar, chains []*chain) (cancels []*chain) {
	t.Helper()
	ended := make(map[*chain]bool)
	for _, c := range chains {
		if c.makes != nil && c.hasEffect() {
			ended[c.makes] = true
		}
	}
	for _, c := range chains {
		if c.mode != reserve || !c.hasEffect() || ended[c] {
			continue
		}
		in := c.input
		in.mode, in.verb = consume, cancel
		end := &chain{input: in, makes: c}
		l.repeat(t, s, end)
		cancels = append(cancels, end)
	}
	return cancels
}
