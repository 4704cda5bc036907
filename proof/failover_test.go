package proof

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// replicated is a Redis that a replica takes over when its primary dies.
type replicated struct {
	url       string // without options
	isCluster bool
	primary   *redistest.Server
	// promoted waits until the replica has taken the primary's place.
	promoted func()
}

// behindSentinel is one that Sentinels watch.
func behindSentinel(t *testing.T) *replicated {
	t.Helper()
	s := redistest.Sentinel(t)
	return &replicated{
		url: "redis+sentinel://" + strings.Join(s.Addrs, ",") + "/" + s.MasterName, primary: s.Primary,
		promoted: func() {
			s.Primary, s.Replica = s.Replica, s.Primary
			s.AwaitPrimary(t)
		},
	}
}

// inCluster is the part of a Cluster that the apps lie on.
func inCluster(t *testing.T) *replicated {
	t.Helper()
	c := redistest.Cluster(t, 3, 1)
	primary, _ := c.Owner(t, tagOf(1))
	replica := c.ReplicaOf(t, primary)
	return &replicated{
		url: "redis+cluster://" + strings.Join(c.Addrs, ","), isCluster: true, primary: primary,
		promoted: func() { c.AwaitPrimary(t, replica) },
	}
}

// tagOf is a key that lies where an app does.
func tagOf(app uint32) string { return "{" + strconv.Itoa(int(app)) + "}" }

// isolate has the primary go on without its replica.
func (r *replicated) isolate(t *testing.T) {
	t.Helper()
	client := r.primary.Client()
	for _, args := range [][]any{{"ACL", "SETUSER", "default", "-psync", "-sync"}, {"CLIENT", "KILL", "TYPE", "replica"}} {
		if err := client.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
}

// onBoth runs a test on each.
func onBoth(t *testing.T, run func(t *testing.T, seed uint64, r *replicated) tally) {
	t.Helper()
	for name, begin := range map[string]func(*testing.T) *replicated{"sentinel": behindSentinel, "cluster": inCluster} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rounds(t, func(t *testing.T, seed uint64) tally { return run(t, seed, begin(t)) })
		})
	}
}

// startLoad starts sidecars that share a store, and creates apps.
func startLoad(t *testing.T, seed uint64, url string, pick func(*client) *chain, limits [families]int64, apps ...uint32) *load {
	t.Helper()
	initialize(t, url)
	l := &load{seed: seed, apps: apps, pick: pick, pace: 16 * time.Millisecond, deadline: time.Second}
	for _, skew := range skews {
		l.sidecars = append(l.sidecars, start(t, setup{url: url, skew: skew, inFlight: 4}))
	}
	createApps(t, l.sidecars[0], limits, apps...)
	return l
}

// through has clients ask for a while, while something happens, and for a second
// more.
func (l *load) through(t *testing.T, happens func()) (chains []*chain) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.began = time.Now()
	var running sync.WaitGroup
	running.Go(func() { chains = l.run(ctx, 6) })
	l.more(t, 50)
	happens()
	pass(time.Second)
	cancel()
	running.Wait()
	return chains
}

// TestFailOverKeepsWhatIsReplicated: the primary dies under load. What was
// answered as replicated is there, whatever else was lost: all answers since, and
// those effects, have one order; and so have all answers from before.
func TestFailOverKeepsWhatIsReplicated(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, seed uint64, r *replicated) tally {
		l := startLoad(t, seed, withOptions(r.url, "timeout=500ms&wait=1&wait_timeout=200ms"), anything, firstLimits, 1)
		var died, dead time.Duration
		chains := l.through(t, func() {
			if isEven := seed%2 == 0; isEven != r.isCluster { // some of the last answers say that the replica does not have it
				r.isolate(t)
				l.more(t, 10)
			}
			died = time.Since(l.began)
			r.primary.Kill()
			dead = time.Since(l.began)
			r.promoted()
		})
		l.repeatAll(t, start(t, setup{url: r.url}), chains)
		l.wantNothingStrange(t, false)
		wantLinearizable(t, "before", upTo(chains, died))
		kept := since(chains, dead)
		wantLinearizable(t, "after", kept)
		durable := 0
		for _, c := range kept {
			for i := range c.attempts {
				if c.attempts[i].output.answer == sometime {
					durable++
				}
			}
		}
		if durable == 0 {
			t.Error("nothing was answered as replicated: the test tries nothing")
		}
		t.Logf("%d calls, %d effects answered as replicated before the primary died; errors %v", l.calls, durable, l.reasons)
		return tally{l.calls, 1}
	})
}

// TestFailOverLossIsNoticed: without waiting for replicas, a primary that goes on
// without its replica takes along what it has acknowledged when it dies. The
// sidecars notice, and when all is repeated each request is counted once.
func TestFailOverLossIsNoticed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, seed uint64, r *replicated) tally {
		l := startLoad(t, seed, withOptions(r.url, "timeout=500ms"), additive, unreached, 1)
		chains := l.through(t, func() {
			l.keeps.Store(true) // what is given back after it was lost stops at zero, and adds up no more
			r.isolate(t)
			l.more(t, 30)
			r.primary.Kill()
			r.promoted()
		})
		l.wantLossMadeUp(t, start(t, setup{url: r.url}), chains)
		return tally{l.calls, 1}
	})
}

// unreached are limits that nothing reaches, so that all that was counted may be
// counted again in another order.
var unreached = [families]int64{1 << 40, 1 << 40, 1 << 40}

// withOptions puts options behind a URL.
func withOptions(url, options string) string { return url + "?" + options }

// repeatAll repeats every call that may have had an effect, each client's in their
// order.
func (l *load) repeatAll(t testing.TB, s *sidecar, chains []*chain) {
	t.Helper()
	for _, c := range chains {
		if c.verb != read && c.mode != checkOnly && (c.hasEffect() || c.isInDoubt()) {
			l.repeat(t, s, c)
		}
	}
}

// wantLossMadeUp expects that the store has lost acknowledged operations, that a
// sidecar has noticed it, and that they are counted once when they are repeated.
func (l *load) wantLossMadeUp(t *testing.T, s *sidecar, chains []*chain) {
	t.Helper()
	noticed, told := int64(0), 0
	for _, sidecar := range l.sidecars {
		noticed += sidecar.losses.Load()
		for _, app := range l.apps {
			eventually(t, "usage", func(ctx context.Context) error {
				got, err := sidecar.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: app})
				if got.GetTailLossTime() != nil {
					told++
				}
				return err
			})
		}
	}
	if noticed == 0 || told == 0 {
		t.Errorf("%d losses are noticed, and %d callers told", noticed, told)
	}
	acknowledged := make(map[*chain]bool)
	for _, c := range chains {
		acknowledged[c] = c.hasEffect()
	}
	l.repeatAll(t, s, chains)
	gone := 0
	for _, c := range chains {
		if last := c.last(); acknowledged[c] && last != nil && last.output.answer == applied && c.isCountedOnce() != nil {
			gone++
		}
	}
	if gone == 0 {
		t.Error("nothing that was acknowledged is lost: the test tries nothing")
	}
	chains = append(chains, l.cancelAll(t, s, chains)...)
	wantSums(t, s, chains, l.apps)
	l.wantNothingStrange(t, false)
	t.Logf("%d calls, %d acknowledged operations lost and counted again, %d losses noticed; errors %v", l.calls, gone, noticed, l.reasons)
}

// upTo is what callers knew when the primary died.
func upTo(chains []*chain, died time.Duration) (known []*chain) {
	return trim(chains, func(a attempt) (attempt, bool) {
		if a.ret >= died {
			a.outcome = doubt
		}
		return a, a.call < died
	})
}

// since is what must hold after a fail-over: what was answered as replicated has
// had its effect; what else was acknowledged may be lost, like what others saw of
// it.
func since(chains []*chain, dead time.Duration) (known []*chain) {
	return trim(chains, func(a attempt) (attempt, bool) {
		if a.call >= dead || a.outcome != settled {
			return a, true
		}
		switch {
		case a.output.answer == applied && a.output.durable:
			a.output = output{answer: sometime}
			return a, true
		case a.output.answer == applied, a.output.answer == replayed:
			a.outcome = doubt
			return a, true
		}
		return a, false
	})
}

// trim makes chains of some of their attempts.
func trim(chains []*chain, keep func(attempt) (attempt, bool)) (kept []*chain) {
	made := make(map[*chain]*chain)
	for _, c := range chains {
		k := *c
		k.attempts = nil
		for _, a := range c.attempts {
			if a, ok := keep(a); ok {
				k.attempts = append(k.attempts, a)
			}
		}
		made[c] = &k
		kept = append(kept, &k)
	}
	for _, k := range kept {
		if k.makes != nil {
			k.makes = made[k.makes]
		}
	}
	return kept
}

// TestSlotMoves: an app's slot goes from node to node of a Cluster under load, and
// stays between them for a while. Calls are answered right, or say that it moves.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) tally {
		c := redistest.Cluster(t, 2, 0)
		l := startLoad(t, seed, "redis+cluster://"+c.Addrs[0]+"?timeout=500ms", anything, firstLimits, 1)
		l.deadline = 3 * time.Second // what waits for a slot waits for a second
		chains := l.through(t, func() {
			for range 2 {
				from, slot := c.Owner(t, tagOf(1))
				to := c.Nodes[0]
				if from == to {
					to = c.Nodes[1]
				}
				move := c.BeginMove(t, slot, from, to)
				for range 4 {
					move.MoveKeys(2)
					pass(300 * time.Millisecond)
				}
				move.Finish()
				pass(200 * time.Millisecond)
			}
		})
		l.settle(t, l.sidecars[0], chains)
		l.wantNothingStrange(t, false)
		if l.reasons["SLOT_MOVING"] == 0 {
			t.Error("nobody was told that the slot moves")
		}
		wantLinearizable(t, strconv.Itoa(l.calls)+" calls", chains)
		t.Logf("errors %v", l.reasons)
		return tally{l.calls, 2}
	})
}
