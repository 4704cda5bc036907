package proof

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// The clocks of the sidecars are apart by as much as machines' may be. Nothing
// here ends by itself within a history, so that the model needs no clock; what
// does is TestHoldsEnd's.
var skews = []time.Duration{0, 1500 * time.Millisecond, -1500 * time.Millisecond}

// durable has Redis keep what it has answered through a crash.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

// TestLinearizable: through every fault of the way and of the server, what the
// callers of three sidecars were told is what they would have been told by one
// that does one thing after the other.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) tally {
		w := newWorld(t, seed, nil)
		chains := w.strain(t, 3*time.Second)
		inDoubt := w.load.settle(t, w.whole(t), chains)
		w.load.wantNothingStrange(t, false)
		wantLinearizable(t, fmt.Sprintf("%d calls, %d faults, %d outcomes in doubt at the end", w.load.calls, w.breaker.total(), inDoubt), chains)
		return w.tally()
	})
}

// world is one Redis, three sidecars each with a way of its own, and clients.
type world struct {
	server  *redistest.Server
	ways    []*way
	load    *load
	breaker *breaker
}

// tally is what was done in it.
func (w *world) tally() tally { return tally{w.load.calls, w.breaker.total()} }

// newWorld starts all of it and creates apps. wrap stands between the Enforcers
// and their stores; nil: nothing.
func newWorld(t *testing.T, seed uint64, wrap func(quota.Store) quota.Store) *world {
	t.Helper()
	w := &world{server: redistest.Standalone(t, durable...)}
	initialize(t, "redis://"+w.server.Addr)
	w.load = &load{seed: seed, apps: []uint32{1, 2, 3}, pick: anything, pace: 16 * time.Millisecond, deadline: time.Second}
	for _, skew := range skews {
		way := newWay(t, w.server.Addr)
		w.ways = append(w.ways, way)
		w.load.sidecars = append(w.load.sidecars, start(t, setup{url: "redis://" + way.addr + "?timeout=300ms", skew: skew, inFlight: 4, wrap: wrap}))
	}
	createApps(t, w.load.sidecars[0], firstLimits, w.load.apps...)
	others := operator{t, w.server}.faults()
	others["paused"], others["crashed"], others["restarted"] = paused(w.server), crashed(w.server), restarted(t, w.load.sidecars[1])
	others["a day ahead"], others["a day behind"] = jumped(w.load.sidecars[1], 24*time.Hour), jumped(w.load.sidecars[2], -24*time.Hour)
	w.breaker = newBreaker(seed, 200*time.Millisecond, 150*time.Millisecond, w.ways, others)
	return w
}

// strain has clients ask for so long while things break.
func (w *world) strain(t *testing.T, lasts time.Duration) []*chain {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var breaking sync.WaitGroup
	breaking.Go(func() { w.breaker.run(ctx) })
	w.load.began = time.Now()
	chains := w.load.run(ctx, 6)
	breaking.Wait()
	return chains
}

// whole ends all sidecars and their ways, and starts one on the straight way: all
// that was on its way has come then, or never will.
func (w *world) whole(t *testing.T) *sidecar {
	t.Helper()
	for _, s := range w.load.sidecars {
		s.stop()
	}
	for _, way := range w.ways {
		way.close()
	}
	return start(t, setup{url: "redis://" + w.server.Addr})
}
