package redisstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// circuitLog is what a store told of its circuit.
type circuitLog struct {
	mu  sync.Mutex
	all []CircuitChange
}

func (l *circuitLog) note(c CircuitChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, c)
}

func (l *circuitLog) changes() []CircuitChange {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// ways are those in which a server is away: how it leaves and comes back. within
// is how long the circuit may take to open.
var ways = []struct {
	name   string
	leave  func(*redistest.Server, *redistest.Proxy)
	back   func(*redistest.Server, *redistest.Proxy)
	within time.Duration
}{
	{"connections are refused", func(s *redistest.Server, _ *redistest.Proxy) { s.Kill() }, func(s *redistest.Server, _ *redistest.Proxy) { s.Restart() }, time.Second},
	{"connections are cut", func(_ *redistest.Server, p *redistest.Proxy) { p.Reject() }, func(_ *redistest.Server, p *redistest.Proxy) { p.Pass() }, time.Second},
	{"nothing is answered", func(_ *redistest.Server, p *redistest.Proxy) { p.HalfOpen() }, func(_ *redistest.Server, p *redistest.Proxy) { p.Pass(); p.Cut() }, 3 * time.Second},
	{"it stands still", func(s *redistest.Server, _ *redistest.Proxy) { s.Pause() }, func(s *redistest.Server, _ *redistest.Proxy) { s.Resume() }, 3 * time.Second},
}

// TestCircuit: while no server answers, many callers are answered at once and
// what goes out does not depend on how many they are; a second after it is back
// a call is counted.
func TestCircuit(t *testing.T) {
	t.Parallel()
	for _, tt := range ways {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Standalone(t)
			proxy := redistest.NewProxy(t, server.Addr)
			log := &circuitLog{}
			s := openWith(t, "redis://"+proxy.Addr, Options{Circuit: log.note})
			if _, _, err := s.Init(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			app := newApp(t, s, 1)
			mustApply(t, s, txnOf(app, add("users", 1)))
			if err := server.Client().Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}

			tt.leave(server, proxy)
			eventually(t, tt.within, "the circuit to open", func() error {
				if s.circuit.isOpen() {
					return nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				if _, err := s.App(ctx, 1); err != nil {
					return err
				}
				return context.DeadlineExceeded
			})

			const callers, during = 200, time.Second
			before := proxy.Connections()
			ctx, cancel := context.WithTimeout(t.Context(), during)
			defer cancel()
			var slowest [callers]time.Duration
			var calls [callers]int
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() {
					for ctx.Err() == nil {
						begun := time.Now()
						_, err := s.App(context.WithoutCancel(ctx), 1)
						slowest[i] = max(slowest[i], time.Since(begun))
						calls[i]++
						f, ok := err.(*account.Fault) //nolint:errorlint // what it answers is the fault
						if !ok || f.Reason != account.StoreUnavailable || f.RetryAfter <= 0 {
							t.Errorf("answered %v", err)
						}
						rest(ctx, s.client, time.Millisecond)
					}
				})
			}
			all.Wait()
			total, worst := 0, time.Duration(0)
			for i := range callers {
				total, worst = total+calls[i], max(worst, slowest[i])
			}
			connections := proxy.Connections() - before
			t.Logf("%d calls in %v, the slowest took %v; %d connections", total, during, worst, connections)
			if worst > during/2 {
				t.Errorf("a call took %v", worst)
			}
			if most := int(during/awayEvery) + 5; connections > most {
				t.Errorf("%d connections for %d calls, want at most %d", connections, total, most)
			}

			tt.back(server, proxy)
			back := time.Now()
			eventually(t, time.Second, "a call to be counted", func() error {
				return applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err
			})
			t.Logf("counted %v after it was back", time.Since(back))
			changes := log.changes()
			if n := len(changes); n < 2 || !changes[n-2].IsOpen || changes[n-2].Why == nil || changes[n-1].IsOpen || changes[n-1].After < during {
				t.Errorf("told %+v", changes)
			}
		})
	}
}

// TestManyUnderWay: those who are under way when the server dies do not try again
// and again either; they wait, and are answered when it is back within their time.
func TestManyUnderWay(t *testing.T) {
	t.Parallel()
	_, proxy, first := throughProxy(t, "")
	app := newApp(t, first, 1)
	s := open(t, "redis://"+proxy.Addr)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Reject()
	before := proxy.Connections()
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	const callers = 200
	var all sync.WaitGroup
	begun := time.Now()
	for range callers {
		all.Go(func() {
			o := applyOne(ctx, s, txnOf(app, add("users", 1)))
			if o.Err == nil {
				t.Error("counted")
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took > 900*time.Millisecond {
		t.Errorf("answered after %v, the callers' time was 600ms", took)
	}
	n := proxy.Connections() - before
	t.Logf("%d connections", n)
	if n > 2*callers {
		t.Errorf("%d connections for %d callers", n, callers)
	}
}

// TestManyRefused: more connections are refused than the pool has places, which
// must not keep a server waiting that is back.
func TestManyRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	first := initialized(t, "redis://"+server.Addr)
	app := newApp(t, first, 1)
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s := openWith(t, "redis://"+server.Addr+"?pool_size=2", Options{})
	mustApply(t, s, txnOf(app, add("users", 1)))
	server.Kill()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { _ = applyOne(t.Context(), s, txnOf(app, add("users", 1))) })
	}
	all.Wait()
	server.Restart()
	back := time.Now()
	eventually(t, time.Second, "a call to be counted", func() error {
		return applyOne(t.Context(), s, txnOf(app, add("users", 1))).Err
	})
	t.Logf("counted %v after it was back", time.Since(back))
}
