//go:build !race

package redisstore

import (
	"context"
	"testing"

	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/quota/storetest"
)

// TestAllocations: what one transaction needs is used again by the next, but for its
// outcome and what go-redis makes of each call. Under the race detector pools lose
// what they are given, and so there it is not held.
func TestAllocations(t *testing.T) { //nolint:paralleltest // what others allocate is counted too
	const most = 37
	s := initialized(t, "redis://"+redistest.Standalone(t).Addr)
	app := newApp(t, s, 1)
	for _, w := range storetest.Workloads {
		if w.Name != "add_friend" {
			continue
		}
		txns := planned(t, app, w, 0, 1, 1, 100)[0]
		got := testing.AllocsPerRun(200, func() {
			if o := s.Apply(context.Background(), txns)[0]; o.Err != nil {
				t.Fatal(o.Err)
			}
		})
		if got > most {
			t.Errorf("%s: %v allocations, want at most %d", w.Name, got, most)
		}
		return
	}
	t.Error("nothing was measured")
}
