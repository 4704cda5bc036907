package scaling

// firstApp is the id that apps begin at.
const firstApp = 1_400_000_001

// shard is what one carries.
type shard struct{ apps, users int64 }

// fleet is all apps, by slot.
type fleet struct {
	// Before each slot, so that the sum of a range is one subtraction.
	appsBefore, usersBefore [Slots + 1]int64

	apps int64
	app  uint32 // the largest
	most int64  // its users
	slot int    // its slot
	// fullest is how many users the fullest slot has: no shard that serves it has fewer.
	fullest int64
}

func newFleet(sizes []int64) *fleet {
	f := &fleet{apps: int64(len(sizes))}
	var apps, users [Slots]int64
	for i, size := range sizes {
		id := uint32(firstApp + i)
		slot := Slot(id)
		apps[slot]++
		users[slot] += size
		if size > f.most {
			f.app, f.most, f.slot = id, size, slot
		}
	}
	for slot := range Slots {
		f.appsBefore[slot+1] = f.appsBefore[slot] + apps[slot]
		f.usersBefore[slot+1] = f.usersBefore[slot] + users[slot]
		f.fullest = max(f.fullest, users[slot])
	}
	return f
}

func (f *fleet) in(r slotRange) shard {
	return shard{f.appsBefore[r.end] - f.appsBefore[r.first], f.usersBefore[r.end] - f.usersBefore[r.first]}
}

func (f *fleet) over(ranges []slotRange) []shard {
	shards := make([]shard, len(ranges))
	for i, r := range ranges {
		shards[i] = f.in(r)
	}
	return shards
}

// moved is how many apps change shards.
func (f *fleet) moved(from, to []slotRange) (apps int64) {
	for slot, isMoved := range movedSlots(from, to) {
		if isMoved {
			apps += f.in(slotRange{slot, slot + 1}).apps
		}
	}
	return apps
}

// relief is the share of the hottest shard's load that more shards could take off
// it at most, below which they are of no use.
const relief = 0.1

// saturation is the least count of shards from which on, up to MostShards, the
// fullest slot is all but relief of the hottest shard; zero: there is none.
func (f *fleet) saturation() (least int) {
	for n := MostShards; n > 0; n-- {
		var hottest int64
		for _, s := range f.over(slotRanges(n)) {
			hottest = max(hottest, s.users)
		}
		if float64(f.fullest) < (1-relief)*float64(hottest) {
			break
		}
		least = n
	}
	return least
}
