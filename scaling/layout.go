package scaling

import (
	"cmp"
	"math"
	"slices"
)

// slotRange is the slots that a shard serves: from first up to, without, end.
type slotRange struct{ first, end int }

// slotRanges deals all slots out to shards as redis-cli --cluster create does: in
// ranges, evenly. It steps through them in single precision, and so do we: double
// would put some borders one slot further.
func slotRanges(shards int) []slotRange {
	ranges := make([]slotRange, shards)
	each, cursor := float32(Slots)/float32(shards), float32(0)
	first := 0
	for i := range ranges {
		last := int(math.Round(float64(cursor + each - 1)))
		if i == shards-1 {
			last = Slots - 1
		}
		ranges[i] = slotRange{first, last + 1}
		first = last + 1
		cursor += each
	}
	return ranges
}

// owners returns the range that each slot is in.
func owners(ranges []slotRange) []int {
	owner := make([]int, Slots)
	for i, r := range ranges {
		for slot := r.first; slot < r.end; slot++ {
			owner[slot] = i
		}
	}
	return owner
}

// movedSlots tells of every slot whether it changes shards when the slots are
// dealt out anew. Which of the new ranges is an old shard's is free: each gets
// one of which it serves much already, the largest overlaps first.
func movedSlots(from, to []slotRange) []bool {
	type overlap struct{ from, to, slots int }
	var overlaps []overlap
	for i, j := 0, 0; i < len(from) && j < len(to); {
		first, end := max(from[i].first, to[j].first), min(from[i].end, to[j].end)
		if first < end {
			overlaps = append(overlaps, overlap{i, j, end - first})
		}
		if from[i].end < to[j].end {
			i++
		} else {
			j++
		}
	}
	slices.SortStableFunc(overlaps, func(a, b overlap) int { return cmp.Compare(b.slots, a.slots) })
	isKept, isTaken := make([]bool, len(from)), make([]bool, len(to))
	moved := make([]bool, Slots)
	for slot := range moved {
		moved[slot] = true
	}
	for _, o := range overlaps {
		if isKept[o.from] || isTaken[o.to] {
			continue
		}
		isKept[o.from], isTaken[o.to] = true, true
		first := max(from[o.from].first, to[o.to].first)
		for slot := first; slot < first+o.slots; slot++ {
			moved[slot] = false
		}
	}
	return moved
}
