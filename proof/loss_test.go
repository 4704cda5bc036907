package proof

import (
	"context"
	"testing"
	"time"

	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// TestEmptyStore: Redis loses everything under load. Whoever asks afterwards is
// told that nothing is known: never zero, and never that there is no such app.
func TestEmptyStore(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testing.T, *redistest.Server){
		"flushed": func(t *testing.T, s *redistest.Server) {
			t.Helper()
			if err := s.Client().FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		},
		"another one at its address": func(_ *testing.T, s *redistest.Server) {
			s.Kill()
			s.Restart() // it keeps nothing
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Standalone(t)
			url := "redis://" + server.Addr
			l := startLoad(t, firstSeed(t), url, anything, firstLimits, 1)
			var gone time.Duration
			chains := l.through(t, func() {
				lose(t, server)
				gone = time.Since(l.began)
			})
			answered, refused := 0, 0
			for _, c := range chains {
				for i := range c.attempts {
					switch a := &c.attempts[i]; {
					case a.call < gone && a.outcome == settled:
						answered++
					case a.call < gone:
					case a.outcome == settled:
						t.Errorf("%v was answered %v after all was lost", &c.input, &a.output)
					default:
						refused++
					}
				}
			}
			l.wantNothingStrange(t, true)
			if answered == 0 || refused == 0 || l.reasons["STORE_NOT_INITIALIZED"] == 0 {
				t.Errorf("%d answers before, %d refusals after: %v", answered, refused, l.reasons)
			}
			for i, s := range l.sidecars {
				if err := s.store.Ready(t.Context()); err == nil {
					t.Errorf("sidecar %d is ready", i)
				}
			}
		})
	}
}

// TestOldSnapshot: Redis crashes and comes back with what it last saved. What is
// lost is noticed, and counted once when it is repeated.
func TestOldSnapshot(t *testing.T) {
	t.Parallel()
	rounds(t, func(t *testing.T, seed uint64) tally {
		server := redistest.Standalone(t)
		l := startLoad(t, seed, "redis://"+server.Addr+"?timeout=500ms", additive, unreached, 1)
		chains := l.through(t, func() {
			l.keeps.Store(true)
			eventually(t, "a snapshot", func(ctx context.Context) error { return server.Client().Save(ctx).Err() })
			l.more(t, 30)
			server.Kill()
			server.Restart()
		})
		l.wantLossMadeUp(t, start(t, setup{url: "redis://" + server.Addr}), chains)
		return tally{l.calls, 1}
	})
}
