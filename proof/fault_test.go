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

// way is the way from one sidecar to Redis, on which everything may break.
type way struct {
	*toxiproxy.Proxy

	t testing.TB
}

// newWay opens a way to a server.
func newWay(t testing.TB, target string) *way {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	w := &way{Proxy: toxiproxy.NewProxy(api, "way", "127.0.0.1:0", target), t: t}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// toxic puts a toxic on the way, and returns what takes it off. Up is where
// requests go, down where replies come.
func (w *way) toxic(kind, stream, attributes string) (end func()) {
	text := fmt.Sprintf(`{"name": "fault", "type": %q, "stream": "%sstream", "attributes": {%s}}`, kind, stream, attributes)
	if _, err := w.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		w.t.Error(text, err)
	}
	return func() {
		if err := w.Toxics.RemoveToxic(context.Background(), "fault"); err != nil {
			w.t.Error(err)
		}
	}
}

// cut closes all connections; there are no new ones until it ends.
func (w *way) cut() (end func()) {
	w.Stop()
	return func() {
		// The port may still be in use by what is being closed.
		eventually(w.t, "a way to open again", func(context.Context) error { return w.Start() })
	}
}

// fault breaks something, and returns what mends it.
type fault func(r *rand.Rand) (end func())

// onWay are the faults of a way.
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
