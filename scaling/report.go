package scaling

import "slices"

// Report is how a load spreads over shards.
type Report struct {
	Load    Load    `json:"load"`
	Largest Largest `json:"largest_app"`
	Rows    []Row   `json:"shards"`
	// SaturatedAt is the count of shards from which on more of them take less than
	// a tenth off the hottest one, because the slot of one app is its load; zero: a
	// thousand do not suffice for that.
	SaturatedAt int `json:"saturated_at"`
	// SlotShare is the largest app's part of the fullest slot: 1 where it is alone
	// in it, and zero where that is another slot.
	SlotShare float64 `json:"slot_share"`
}

// Largest is the app with the most users.
type Largest struct {
	App             uint32  `json:"app"`
	Users           int64   `json:"users"`
	Share           float64 `json:"share"` // of all users
	ChecksPerSecond float64 `json:"checks_per_second"`
	CPU             float64 `json:"cpu"` // of one shard
}

// Row is how it spreads over one count of shards. Checks are those of the busiest
// second; CPU is a part of the one thread in which Redis runs commands, and above 1
// it is more than that can serve.
type Row struct {
	Shards           int     `json:"shards"`
	MeanPerSecond    float64 `json:"mean_checks_per_second"`
	HottestPerSecond float64 `json:"hottest_checks_per_second"`
	P99PerSecond     float64 `json:"p99_checks_per_second"` // between two shards in proportion
	Imbalance        float64 `json:"imbalance"`             // hottest, of the mean
	HottestCPU       float64 `json:"hottest_cpu"`
	MeanBytes        float64 `json:"mean_bytes"`
	FullestBytes     int64   `json:"fullest_bytes"`
	LargestOfShard   float64 `json:"largest_app_of_its_shard"`
	// Moved is the part of the apps that change shards on the way from the row
	// before; zero in the first.
	Moved float64 `json:"moved"`
}

// Simulate spreads a load over each of these counts of shards, which rise.
func Simulate(l Load, counts []int) (*Report, error) {
	if err := Validate(l, counts); err != nil {
		return nil, err
	}
	f := newFleet(Sizes(l.Apps, l.Users, l.Tail, l.Seed))
	r := &Report{Load: l, SaturatedAt: f.saturation()}
	perSecond := l.checksPerSecond(float64(f.most))
	r.Largest = Largest{f.app, f.most, float64(f.most) / float64(l.Users), perSecond, l.cpu(perSecond)}
	if users := f.in(slotRange{f.slot, f.slot + 1}).users; users == f.fullest {
		r.SlotShare = float64(f.most) / float64(users)
	}
	var before []slotRange
	for _, n := range counts {
		ranges := slotRanges(n)
		row := f.row(&l, ranges)
		if before != nil {
			row.Moved = float64(f.moved(before, ranges)) / float64(f.apps)
		}
		r.Rows = append(r.Rows, row)
		before = ranges
	}
	return r, nil
}

func (f *fleet) row(l *Load, ranges []slotRange) Row {
	shards := f.over(ranges)
	var users, bytes []int64
	for _, s := range shards {
		users = append(users, s.users)
		bytes = append(bytes, l.bytes(s.users, s.apps))
	}
	slices.Sort(users)
	n := len(shards)
	mean := float64(l.Users) / float64(n)
	hottest := l.checksPerSecond(float64(users[n-1]))
	its := shards[owners(ranges)[f.slot]]
	return Row{
		Shards: n, MeanPerSecond: l.checksPerSecond(mean), HottestPerSecond: hottest,
		P99PerSecond: l.checksPerSecond(quantile(users, 0.99)),
		Imbalance:    float64(users[n-1]) / mean, HottestCPU: l.cpu(hottest),
		MeanBytes: float64(l.bytes(l.Users, f.apps)) / float64(n), FullestBytes: slices.Max(bytes),
		LargestOfShard: float64(f.most) / float64(its.users),
	}
}

// cpu is the part of Redis's thread that so many checks a second take.
func (l *Load) cpu(perSecond float64) float64 { return perSecond * l.RedisMicros / 1e6 }

// quantile is where so great a part of what is sorted lies below, in proportion
// between two: of a few shards the hottest is not the only answer.
func quantile(sorted []int64, part float64) float64 {
	at := part * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return float64(sorted[below]) + (at-float64(below))*float64(sorted[above]-sorted[below])
}
