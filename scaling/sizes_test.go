package scaling

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sum(values []int64) (total int64) {
	for _, v := range values {
		total += v
	}
	return total
}

func TestSizesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		apps := rapid.IntRange(1, 3000).Draw(t, "apps")
		users := rapid.Int64Range(int64(apps), MostUsers).Draw(t, "users")
		tail := rapid.Float64Range(0.01, 20).Draw(t, "tail")
		sizes := Sizes(apps, users, tail, rapid.Uint64().Draw(t, "seed"))
		if len(sizes) != apps || sum(sizes) != users || slices.Min(sizes) < 1 {
			t.Fatalf("%d apps have %d users, at least %d each; want %d with %d", len(sizes), sum(sizes), slices.Min(sizes), apps, users)
		}
	})
}

func TestSizesAreBySeed(t *testing.T) {
	t.Parallel()
	first, same, other := Sizes(500, 1_000_000, 1.1, 7), Sizes(500, 1_000_000, 1.1, 7), Sizes(500, 1_000_000, 1.1, 8)
	if diff := cmp.Diff(first, same); diff != "" {
		t.Errorf("the same seed (-first +second):\n%s", diff)
	}
	if slices.Equal(first, other) {
		t.Error("another seed gives the same sizes to the same apps")
	}
	slices.Sort(first)
	slices.Sort(other)
	if diff := cmp.Diff(first, other); diff != "" {
		t.Errorf("another seed gives other sizes (-7 +8):\n%s", diff)
	}
}

func TestHeavierTailHasLargerLargestApp(t *testing.T) {
	t.Parallel()
	before := int64(math.MaxInt64)
	for _, tail := range []float64{0.2, 0.8, 1, 1.1, 1.5, 3, 10} {
		largest := slices.Max(Sizes(5000, 100_000_000, tail, 1))
		if largest >= before {
			t.Errorf("with tail %v the largest app has %d users, with the heavier one before %d", tail, largest, before)
		}
		before = largest
	}
}

// Of a Pareto law twice the rank is 2^(1/tail) times fewer users.
func TestSizesFollowTheLaw(t *testing.T) {
	t.Parallel()
	const tail = 1.25
	sizes := Sizes(4000, 10_000_000_000, tail, 3)
	slices.SortFunc(sizes, func(a, b int64) int { return int(b - a) })
	for rank := 1; rank <= 1000; rank *= 2 {
		got := float64(sizes[rank-1]) / float64(sizes[2*rank-1])
		if want := math.Pow(2, 1/tail); math.Abs(got-want) > 0.001 {
			t.Errorf("rank %d has %.4f times the users of rank %d, want %.4f", rank, got, 2*rank, want)
		}
	}
}
