//go:build !race

package server_test

import (
	"context"
	"strings"
	"testing"
)

// TestAllocations: a handler makes no garbage of its own for what the plan decides.
// Under the race detector pools lose what they are given, and so there it is not
// held.
func TestAllocations(t *testing.T) { //nolint:paralleltest // what others allocate is counted too
	const most = 2
	for _, c := range benchCases() {
		if !strings.HasPrefix(c.name, "feature") || c.want == "fault" {
			continue
		}
		for view, v := range views {
			c.request.View = v
			h, ctx := newHandlers(t, c.used), context.Background()
			got := testing.AllocsPerRun(200, func() {
				out, err := h.CheckQuota(ctx, c.request)
				if is := verdict(out.GetDecision(), err); is != c.want {
					t.Fatalf("%s: %s (%v), want %s", c.name, is, err, c.want)
				}
			})
			if got > most {
				t.Errorf("%s, %s: %v allocations, want at most %d", c.name, view, got, most)
			}
		}
	}
}
