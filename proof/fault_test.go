package proof

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// way is the way from one sidecar to Redis, on which everything may break: a proxy
// that is made anew for each fault, behind it one that breaks the connections that
// there are. Toxics are never put on a connection nor taken off one: toxiproxy
// waits for ever when it ends meanwhile.
type way struct {
	addr   string
	live   *redistest.Proxy
	t      testing.TB
	server *toxiproxy.ApiServer
	proxy  *toxiproxy.Proxy
}

// newWay opens a way to a server.
func newWay(t testing.TB, target string) *way {
	t.Helper()
	w := &way{
		addr: "127.0.0.1:0", live: redistest.NewProxy(t, target), t: t,
		server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop()),
	}
	w.open("")
	t.Cleanup(w.close)
	return w
}

// open lets connections through, with a toxic unless it is empty.
func (w *way) open(toxic string) {
	// The port may still be in use by what is being closed.
	eventually(w.t, "a way to open", func(context.Context) error {
		w.proxy = toxiproxy.NewProxy(w.server, "way", w.addr, w.live.Addr)
		if toxic != "" {
			if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				return err
			}
		}
		return w.proxy.Start()
	})
	w.addr = w.proxy.Listen
}

// close cuts all connections, and lets none through.
func (w *way) close() { w.proxy.Stop() }

// toxic has all connections be made anew with a toxic on them, and returns what
// has them be made anew without it. Up is where requests go, down where replies
// come.
func (w *way) toxic(kind, stream, attributes string) (end func()) {
	w.close()
	w.open(fmt.Sprintf(`{"name": "fault", "type": %q, "stream": "%sstream", "attributes": {%s}}`, kind, stream, attributes))
	return func() {
		w.close()
		w.open("")
	}
}

// cut closes all connections; there are no new ones until it ends.
func (w *way) cut() (end func()) {
	w.close()
	return func() { w.open("") }
}

// fault breaks something, and returns what mends it.
type fault func(r *rand.Rand) (end func())

// live is a fault of the connections that there are.
func (w *way) liveFault(begin func()) fault {
	return func(*rand.Rand) func() {
		begin()
		return func() {
			w.live.Pass()
			w.live.Lag(0)
		}
	}
}

// faults are those of a way.
func (w *way) faults() map[string]fault {
	toxic := func(kind, stream, format string, least, most int) fault {
		return func(r *rand.Rand) func() {
			attributes := format
			if strings.Contains(format, "%d") {
				attributes = fmt.Sprintf(format, least+r.IntN(most-least+1))
			}
			return w.toxic(kind, stream, attributes)
		}
	}
	return map[string]fault{
		"slow requests":        toxic("latency", "up", `"latency": %d, "jitter": 40`, 5, 250),
		"slow replies":         toxic("latency", "down", `"latency": %d, "jitter": 60`, 5, 250),
		"requests swallowed":   toxic("timeout", "up", `"timeout": 0`, 0, 0),
		"replies swallowed":    toxic("timeout", "down", `"timeout": 0`, 0, 0),
		"a reply cut off":      toxic("limit_data", "down", `"bytes": %d`, 0, 300),
		"a request cut off":    toxic("limit_data", "up", `"bytes": %d`, 100, 3000),
		"replies in pieces":    toxic("slicer", "down", `"average_size": 8, "size_variation": 4, "delay": %d`, 10, 400),
		"replies that trickle": toxic("bandwidth", "down", `"rate": %d`, 1, 3),
		"reset by requests":    toxic("reset_peer", "up", `"timeout": %d`, 0, 30),
		"reset by replies":     toxic("reset_peer", "down", `"timeout": %d`, 0, 30),
		"the next reply lost":  w.liveFault(func() { w.live.DropReplyTo("fcall") }),
		"a script unanswered":  w.liveFault(func() { w.live.DropReplyTo("evalsha") }), // also where functions are refused
		"no reply any more":    w.liveFault(w.live.HalfOpen),
		"rejected":             w.liveFault(w.live.Reject),
		"reset once":           w.liveFault(w.live.Cut),
		"late replies":         w.liveFault(func() { w.live.Lag(60 * time.Millisecond) }),
		"replies too late":     w.liveFault(func() { w.live.Lag(400 * time.Millisecond) }), // for whoever reads the connection next
		"cut":                  func(*rand.Rand) func() { return w.cut() },
	}
}

// paused stops a server for a while.
func paused(s *redistest.Server) fault {
	return func(*rand.Rand) func() {
		s.Pause()
		return s.Resume
	}
}

// crashed ends a server, and starts it again.
func crashed(s *redistest.Server) fault {
	return func(*rand.Rand) func() {
		s.Kill()
		return s.Restart
	}
}

// restarted ends a sidecar in the middle of its calls, and starts another one in
// its place, which remembers nothing.
func restarted(t testing.TB, s *sidecar) fault {
	return func(*rand.Rand) func() {
		s.end()
		return func() { eventually(t, "a sidecar to start again", func(context.Context) error { return s.begin() }) }
	}
}

// jumped has a sidecar's clock go wrong, and right again.
func jumped(s *sidecar, by time.Duration) fault {
	return func(*rand.Rand) func() {
		s.jumped.Store(int64(by))
		return func() { s.jumped.Store(0) }
	}
}

// breaker breaks one thing after the other.
type breaker struct {
	random *rand.Rand
	faults map[string]fault
	lasts  time.Duration // at most
	calm   time.Duration // between two, at most

	names []string
	count map[string]int // how often each was
}

// newBreaker collects the faults of some ways, and others.
func newBreaker(seed uint64, lasts, calm time.Duration, ways []*way, others map[string]fault) *breaker {
	b := &breaker{random: draw(seed, 1), faults: make(map[string]fault), lasts: lasts, calm: calm, count: make(map[string]int)}
	for i, w := range ways {
		for name, f := range w.faults() {
			b.faults[name+", way "+strconv.Itoa(i)] = f
		}
	}
	maps.Copy(b.faults, others)
	b.names = slices.Sorted(maps.Keys(b.faults))
	return b
}

// run breaks and mends until the context is done; then all is whole.
func (b *breaker) run(ctx context.Context) {
	for ctx.Err() == nil {
		name := b.names[b.random.IntN(len(b.names))]
		b.count[name]++
		end := b.faults[name](b.random)
		wait(ctx, b.lasts/4+time.Duration(b.random.Int64N(int64(b.lasts))))
		end()
		wait(ctx, time.Duration(b.random.Int64N(int64(b.calm))))
	}
}

// total is how many faults there were.
func (b *breaker) total() (n int) {
	for _, k := range b.count {
		n += k
	}
	return n
}

// wait lets time go by until the context is done.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
