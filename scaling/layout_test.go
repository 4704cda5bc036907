package scaling

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The borders are those that redis-cli --cluster create prints.
func TestSlotRangesOfRedisCLI(t *testing.T) {
	t.Parallel()
	for shards, want := range map[int][]slotRange{
		1: {{0, 16384}},
		3: {{0, 5461}, {5461, 10923}, {10923, 16384}},
		6: {{0, 2731}, {2731, 5461}, {5461, 8192}, {8192, 10923}, {10923, 13653}, {13653, 16384}},
	} {
		if diff := cmp.Diff(want, slotRanges(shards), cmp.AllowUnexported(slotRange{})); diff != "" {
			t.Errorf("%d shards (-want +got):\n%s", shards, diff)
		}
	}
}

func TestEverySlotIsServedOnceAndEvenly(t *testing.T) {
	t.Parallel()
	for shards := 1; shards <= MostShards; shards++ {
		next, fewest, most := 0, Slots, 0
		for _, r := range slotRanges(shards) {
			if r.first != next {
				t.Fatalf("%d shards: a range begins at %d, want %d", shards, r.first, next)
			}
			next = r.end
			fewest, most = min(fewest, r.end-r.first), max(most, r.end-r.first)
		}
		if next != Slots || most-fewest > 2 { // redis-cli's last shard takes what is left
			t.Fatalf("%d shards end at %d and have %d to %d slots", shards, next, fewest, most)
		}
	}
}

// What moves is no less than must, whoever keeps what: a shard keeps at most
// what it has afterwards.
func TestMovedSlots(t *testing.T) {
	t.Parallel()
	share := func(from, to int) float64 {
		n := 0
		for _, isMoved := range movedSlots(slotRanges(from), slotRanges(to)) {
			if isMoved {
				n++
			}
		}
		return float64(n) / Slots
	}
	for _, c := range []struct {
		from, to int
		want     float64
	}{{1, 3, 2. / 3}, {3, 6, 0.5}, {6, 12, 0.5}, {3, 4, 1. / 3}, {7, 7, 0}} {
		if got := share(c.from, c.to); got < c.want-0.001 || got > c.want+0.001 {
			t.Errorf("from %d to %d shards %.4f of the slots move, want %.4f", c.from, c.to, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(1, 200).Draw(t, "from")
		to := rapid.IntRange(from, 400).Draw(t, "to")
		least := 1 - float64(from)/float64(to)
		if got := share(from, to); got < least-0.03 || got > 1 {
			t.Fatalf("from %d to %d shards %.4f of the slots move, at least %.4f must", from, to, got, least)
		}
	})
}
