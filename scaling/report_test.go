package scaling

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func someLoad() Load {
	return Load{
		Apps: 5000, Users: 100_000_000, Tail: 1.1, Seed: 1,
		ChecksPerUser: 20, Peak: 3, RedisMicros: 6, BytesPerUser: 105, BytesPerApp: 10_000,
	}
}

func simulate(t *testing.T, l Load, counts ...int) *Report {
	t.Helper()
	r, err := Simulate(l, counts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever the shards, they carry all apps and all users, each app on the shard
// that serves its slot.
func TestShardsCarryAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		apps := rapid.IntRange(1, 30_000).Draw(t, "apps") // of many, some share a slot
		users := rapid.Int64Range(int64(apps), 1_000_000_000).Draw(t, "users")
		sizes := Sizes(apps, users, rapid.Float64Range(0.3, 4).Draw(t, "tail"), rapid.Uint64().Draw(t, "seed"))
		ranges := slotRanges(rapid.IntRange(1, MostShards).Draw(t, "shards"))
		want, owner := make([]shard, len(ranges)), owners(ranges)
		for i, size := range sizes {
			at := owner[Slot(uint32(firstApp+i))]
			want[at].apps++
			want[at].users += size
		}
		got := newFleet(sizes).over(ranges)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(shard{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		var all shard
		for _, s := range got {
			all.apps += s.apps
			all.users += s.users
		}
		if all != (shard{int64(apps), users}) {
			t.Fatalf("all shards carry %+v, want %d apps and %d users", all, apps, users)
		}
	})
}

// One app is one shard's: the figures can be had by hand.
func TestOneApp(t *testing.T) {
	t.Parallel()
	l := Load{Apps: 1, Users: 8_640_000, Tail: 1, ChecksPerUser: 10, Peak: 2, RedisMicros: 50, BytesPerUser: 100, BytesPerApp: 1000}
	got := simulate(t, l, 1, 4)
	want := &Report{
		Load: l, Largest: Largest{firstApp, 8_640_000, 1, 2000, 0.1}, SaturatedAt: 1, SlotShare: 1,
		Rows: []Row{
			{Shards: 1, MeanPerSecond: 2000, HottestPerSecond: 2000, P99PerSecond: 2000, Imbalance: 1, HottestCPU: 0.1, MeanBytes: 864_001_000, FullestBytes: 864_001_000, LargestOfShard: 1},
			{Shards: 4, MeanPerSecond: 500, HottestPerSecond: 2000, P99PerSecond: 1940, Imbalance: 4, HottestCPU: 0.1, MeanBytes: 216_000_250, FullestBytes: 864_001_000, LargestOfShard: 1, Moved: got.Rows[1].Moved},
		},
	}
	almost := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(math.Abs(a), 1) })
	if diff := cmp.Diff(want, got, almost); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestShardsBeyondSaturationDoNotHelp(t *testing.T) {
	t.Parallel()
	l := someLoad()
	at := simulate(t, l, 1).SaturatedAt
	if at < 2 || at > MostShards {
		t.Fatalf("%d shards saturate", at)
	}
	r := simulate(t, l, at-1, at, MostShards)
	floor := r.Largest.ChecksPerSecond
	if !(r.Rows[0].HottestPerSecond*(1-relief) > floor) {
		t.Errorf("%d shards are one too many: the hottest takes %.0f checks a second, the largest app %.0f", at, r.Rows[0].HottestPerSecond, floor)
	}
	for _, row := range r.Rows[1:] {
		if row.HottestPerSecond*(1-relief) > floor || row.HottestPerSecond < floor {
			t.Errorf("of %d shards the hottest takes %.0f checks a second, the largest app %.0f", row.Shards, row.HottestPerSecond, floor)
		}
	}
	if r.SlotShare < 0.9 {
		t.Errorf("the largest app is %.2f of its slot", r.SlotShare)
	}
}

// Of equal apps no one decides, and shards differ by chance alone.
func TestEqualAppsDoNotSaturate(t *testing.T) {
	t.Parallel()
	l := someLoad()
	l.Apps, l.Tail = 200_000, 1000
	r := simulate(t, l, 2, 16)
	if r.SaturatedAt != 0 || r.Rows[1].Imbalance > 1.1 {
		t.Errorf("%d shards saturate, and the hottest of 16 takes %.2f of the mean", r.SaturatedAt, r.Rows[1].Imbalance)
	}
}

func TestSimulateRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, field string
		change      func(*Load)
		shards      []int
	}{
		{"no app", "apps", func(l *Load) { l.Apps = 0 }, nil},
		{"more apps than fit", "apps", func(l *Load) { l.Apps = MostApps + 1 }, nil},
		{"fewer users than apps", "users", func(l *Load) { l.Users = 4999 }, nil},
		{"more users than fit", "users", func(l *Load) { l.Users = MostUsers + 1 }, nil},
		{"tail of zero", "tail", func(l *Load) { l.Tail = 0 }, nil},
		{"negative tail", "tail", func(l *Load) { l.Tail = -1 }, nil},
		{"tail that is no number", "tail", func(l *Load) { l.Tail = math.NaN() }, nil},
		{"endless tail", "tail", func(l *Load) { l.Tail = math.Inf(1) }, nil},
		{"no check", "checks_per_user", func(l *Load) { l.ChecksPerUser = 0 }, nil},
		{"no peak", "peak", func(l *Load) { l.Peak = 0 }, nil},
		{"no time", "redis_micros", func(l *Load) { l.RedisMicros = math.NaN() }, nil},
		{"negative bytes of users", "bytes_per_user", func(l *Load) { l.BytesPerUser = -1 }, nil},
		{"negative bytes of apps", "bytes_per_app", func(l *Load) { l.BytesPerApp = -1 }, nil},
		{"no count", "shards", nil, []int{}},
		{"no shard", "shards", nil, []int{0, 3}},
		{"too many shards", "shards", nil, []int{3, MostShards + 1}},
		{"falling counts", "shards", nil, []int{3, 6, 5}},
		{"a count twice", "shards", nil, []int{3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, shards := someLoad(), []int{1, 3}
			if c.change != nil {
				c.change(&l)
			}
			if c.shards != nil {
				shards = c.shards
			}
			_, err := Simulate(l, shards)
			var field *FieldError
			if !errors.As(err, &field) || field.Field != c.field {
				t.Errorf("error %v, want one of %s", err, c.field)
			}
		})
	}
}
