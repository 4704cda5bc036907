//go:build !race

package quota_test

import (
	"context"
	"testing"
)

// How often the Enforcer may allocate memory for a decision of its own, and for one
// that a counter makes. What storetest.Instant allocates is a store's.
const (
	localAllocs   = 2
	countedAllocs = 10
	instantAllocs = 3
)

// TestAllocations: an Enforcer that has warmed up makes next to no garbage. Under
// the race detector pools lose what they are given, and so there it is not held.
func TestAllocations(t *testing.T) { //nolint:paralleltest // what others allocate is counted too
	for _, c := range benchCases() {
		for _, isBasic := range []bool{true, false} {
			c.request.Basic = isBasic
			e, limit := newBench(t, c.used), float64(countedAllocs+instantAllocs)
			if c.isLocal() {
				limit = localAllocs
			}
			got := testing.AllocsPerRun(200, func() {
				if v := verdict(e.Check(context.Background(), &c.request)); v != c.want {
					t.Fatalf("%s: %s, want %s", c.name, v, c.want)
				}
			})
			t.Logf("%s, basic %v: %v", c.name, isBasic, got)
			if got > limit {
				t.Errorf("%s, basic %v: %v allocations, want at most %v", c.name, isBasic, got, limit)
			}
		}
	}
}
