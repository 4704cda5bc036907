package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/imquota/imquota/bench"
	"github.com/imquota/imquota/scaling"
)

// benchSimulateFlags say what is worked out, rather than measured.
type benchSimulateFlags struct {
	Simulate      bool    `help:"Start and measure nothing: work out how apps of very different sizes spread over the shards of a Redis Cluster, and how hot and full those get. --seed says which app has which size." group:"Simulation:"`
	SimApps       int     `help:"How many apps there are." default:"5000" group:"Simulation:"`
	SimUsers      int64   `help:"How many users they have, in all." default:"100000000" group:"Simulation:"`
	Tail          float64 `help:"Exponent of the Pareto law of their sizes: the smaller, the more of all users the largest app has. By default a little above 1, near which the sizes of firms are." default:"1.1" group:"Simulation:"`
	Shards        []int   `help:"Over how many shards, from few to many." default:"1,3,6,12,24,48,96" group:"Simulation:"`
	ChecksPerUser float64 `help:"Counted checks of a user a day, such as logins and changes of friends and groups; messages are not counted. The default is an assumption: put yours." default:"20" group:"Simulation:"`
	Peak          float64 `help:"Checks of the busiest second, of those of the day's mean one. The default is an assumption: put yours." default:"3" group:"Simulation:"`
	RedisMicros   float64 `help:"Time of Redis a check, µs. By default what is aimed at for batches of 32; REDIS µs of imquota bench --store redis --batch 32 is this machine's." default:"6" group:"Simulation:"`
	BytesPerUser  int64   `help:"Bytes of all counters of a user. By default three times the 35 that are aimed at for ids of 20 bytes: known and active, friends, groups joined." default:"105" group:"Simulation:"`
	BytesPerApp   int64   `help:"Bytes of what an app has once: its record, log and own counters. The default is an allowance." default:"10000" group:"Simulation:"`
}

// simulateFlags are the flags of the input's fields.
var simulateFlags = map[string]string{
	"apps": "--sim-apps", "users": "--sim-users", "tail": "--tail", "shards": "--shards", "checks_per_user": "--checks-per-user",
	"peak": "--peak", "redis_micros": "--redis-micros", "bytes_per_user": "--bytes-per-user", "bytes_per_app": "--bytes-per-app",
}

func (f *benchSimulateFlags) load(seed uint64) scaling.Load {
	return scaling.Load{
		Apps: f.SimApps, Users: f.SimUsers, Tail: f.Tail, Seed: seed,
		ChecksPerUser: f.ChecksPerUser, Peak: f.Peak, RedisMicros: f.RedisMicros, BytesPerUser: f.BytesPerUser, BytesPerApp: f.BytesPerApp,
	}
}

// validateSimulation refuses what cannot be worked out.
func (c *BenchCmd) validateSimulation() error {
	switch {
	case c.Goals:
		return errors.New("--goals: is not for --simulate, which measures nothing")
	case c.HTML != "":
		return errors.New("--html: is not for --simulate")
	case c.Target != "":
		return errors.New("--target: is not for --simulate, which asks no server")
	}
	err := scaling.Validate(c.load(c.Seed), c.Shards)
	if field, ok := errors.AsType[*scaling.FieldError](err); ok {
		return fmt.Errorf("%s: %s", simulateFlags[field.Field], field.Problem)
	}
	return err
}

func (c *BenchCmd) runSimulation(s *streams) error {
	report, err := scaling.Simulate(c.load(c.Seed), c.Shards)
	if err != nil {
		return err
	}
	if c.Output == outputJSON {
		return writeJSON(s.out, report)
	}
	printSimulation(s.out, report)
	return nil
}

const gibibyte = 1 << 30

// printSimulation prints a report as a table, a count of shards a row.
func printSimulation(w io.Writer, r *scaling.Report) {
	l := &r.Load
	_, _ = fmt.Fprintf(w, "%s apps with %s users, tail %v; %v checks a user a day, peak %v, %v µs of Redis each.\n",
		bench.Thousands(float64(l.Apps)), bench.Thousands(float64(l.Users)), l.Tail, l.ChecksPerUser, l.Peak, l.RedisMicros)
	_, _ = fmt.Fprintf(w, "The largest app has %s users, %s %% of all: %s checks/s, %s %% of a shard's CPU.\n\n",
		bench.Thousands(float64(r.Largest.Users)), percent(r.Largest.Share), bench.Thousands(r.Largest.ChecksPerSecond), percent(r.Largest.CPU))
	t := &table{right: map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true}}
	t.add("SHARDS", "CHECKS/S", "P99", "HOTTEST", "OF MEAN", "CPU %", "MEAN GiB", "FULLEST", "LARGEST APP %", "MOVED %")
	for i := range r.Rows {
		row := &r.Rows[i]
		moved := "-"
		if i > 0 {
			moved = percent(row.Moved)
		}
		t.add(strconv.Itoa(row.Shards), bench.Thousands(row.MeanPerSecond), bench.Thousands(row.P99PerSecond), bench.Thousands(row.HottestPerSecond),
			fixed(row.Imbalance, 2), percent(row.HottestCPU), fixed(row.MeanBytes/gibibyte, 2), fixed(float64(row.FullestBytes)/gibibyte, 2),
			percent(row.LargestOfShard), moved)
	}
	t.write(w)
	_, _ = fmt.Fprintln(w, "\nCHECKS/S: of the mean shard. CPU %: of the hottest shard's thread. LARGEST APP %: of its own shard's checks.\nMOVED %: of the apps, from the row above.")
	_, _ = fmt.Fprintln(w, saturation(r))
}

// saturation says from how many shards on more are of no use, and why.
func saturation(r *scaling.Report) string {
	const alone = 0.9
	from := fmt.Sprintf("From %d shards on", r.SaturatedAt)
	if r.SaturatedAt == 1 {
		from = "From 1 shard on"
	}
	switch {
	case r.SaturatedAt == 0:
		return fmt.Sprintf("Up to %d shards, more still relieve the hottest.", scaling.MostShards)
	case r.SlotShare >= alone:
		return from + " the largest app alone decides: more take less than a tenth off the hottest."
	default:
		return from + " one slot decides, with apps that share it: more take less than a tenth off the hottest."
	}
}

func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

func percent(share float64) string { return fixed(100*share, 1) }
