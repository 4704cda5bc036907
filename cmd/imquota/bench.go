package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/imquota/imquota/bench"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore"
)

// BenchCmd puts load on a server and measures it beside its floors.
type BenchCmd struct {
	Mix         []string      `help:"What is asked: messages, features, relations, logins, hot-app or uniform; several are measured one after the other." default:"messages" group:"Load:" placeholder:"MIX"`
	Callers     []int         `help:"How many ask at once; each number is measured by itself. With --rate: how many calls may be under way. (default: ${bench_callers}; with --rate ${bench_open_callers})" group:"Load:" placeholder:"N"`
	Rate        float64       `help:"An open loop: so many calls are due each second, whether or not those before are answered, and latency begins when a call is due. 0: a closed loop, where callers ask as soon as they are answered." default:"0" group:"Load:"`
	Batch       int           `help:"Checks a call, in BatchCheckQuota; 0: one, in CheckQuota." default:"0" group:"Load:"`
	Connections int           `help:"How many connections the callers share." default:"4" group:"Load:"`
	Duration    time.Duration `help:"For how long each is measured, at each number of callers: imquota, and each floor." default:"3s" group:"Load:"`
	Warmup      time.Duration `help:"For how long each is under load before." default:"500ms" group:"Load:"`
	Rounds      int           `help:"In how many turns the time is spent: all are measured in turns, so that what else the machine does hits all alike." default:"5" group:"Load:"`
	Apps        int           `help:"How many apps are asked about; hot-app asks about one. (default: ${bench_apps}; with --goals ${bench_goal_apps})" placeholder:"N" group:"Load:"`
	Users       int           `help:"How many users they have, in all. (default: ${bench_users}; with --goals ${bench_goal_users})" placeholder:"N" group:"Load:"`
	NoFill      bool          `help:"Begin with empty counters. Else something is counted of every user before, so that counters are as many as they will be." group:"Load:"`
	Edition     string        `help:"Edition of the apps that are made." default:"premium" group:"Load:"`
	View        string        `help:"How much of each decision is asked for: full or basic." enum:"full,basic" default:"full" group:"Load:"`
	RequestIDs  bool          `name:"request-ids" help:"Have what counts carry a request id, as callers do that repeat calls; the store remembers it." group:"Load:"`
	Seed        uint64        `help:"What is asked is drawn by this: the same for the same seed." default:"1" group:"Load:"`

	NoFloors bool `help:"Measure imquota alone. Else its floors are measured too: echo, a gRPC server with default options that answers messages of the same size; typed, the same with imquota's own messages, so without a decision; and, of what is counted, Redis with the least script that judges and counts, or below the embedded store bbolt with the least transaction that does." group:"Load:"`

	benchServerFlags
	benchTargetFlags
	benchSimulateFlags

	Goals  bool   `help:"Measure what imquota is to reach, in a few minutes, on servers of its own: a goal a line, with its figure. Of the load --duration, --warmup, --rounds, --apps, --users and --seed are used, the last but one as the largest that are asked about." group:"Output:"`
	Strict bool   `help:"With --goals: exit with 1 if one is not met. Machines that do other things besides are not for this." group:"Output:"`
	HTML   string `name:"html" help:"Write a page with plots too: one file that needs no other." placeholder:"FILE" group:"Output:"`
	outputFlag
}

// benchServerFlags say what is started where no target is given.
type benchServerFlags struct {
	Store string `help:"What imquota stands on: bolt, redis (both started, and removed afterwards), or the URL of a Redis, redis://HOST:PORT/DB, where all is kept under a prefix of its own and removed afterwards." default:"bolt" env:"IMQUOTA_BENCH_STORE" group:"Servers of its own:"`
	Over  string `help:"How they are reached: tcp or unix." enum:"tcp,unix" default:"tcp" group:"Servers of its own:"`
	Dir   string `help:"Where their files are kept meanwhile: on the disk that is to be measured. (default: the system's place for such files)" placeholder:"DIR" env:"IMQUOTA_BENCH_DIR" group:"Servers of its own:"`
}

// benchTargetFlags name a server that runs already.
type benchTargetFlags struct {
	Target        string   `help:"Measure a server that runs, HOST:PORT or unix:PATH, instead of one that is started. Apps are made there and deleted afterwards." placeholder:"ADDRESS" group:"Server:"`
	TargetAdmin   string   `help:"Where it serves operators, if not at the same address." placeholder:"ADDRESS" group:"Server:"`
	App           []uint32 `help:"Ask about these apps, which are there, and make none. What was counted stays." placeholder:"ID" env:"IMQUOTA_BENCH_APP" group:"Server:"`
	TargetMetrics string   `help:"Its page of metrics, for its processor time." placeholder:"URL" group:"Server:"`
	TargetRedis   string   `help:"The Redis it counts in, redis://HOST:PORT/DB, for its processor time and round trips, and the floor." placeholder:"URL" group:"Server:"`
	TargetEcho    string   `help:"An echo that runs beside it, by imquota bench-echo --listen ADDRESS. Else one is started here." placeholder:"ADDRESS" group:"Server:"`
	clientTLSFlags
}

// Help is printed below the summary.
func (*BenchCmd) Help() string {
	var text strings.Builder
	text.WriteString("Without --target a server is started on a store of its own, and both are removed at the end.\n\nMixes:\n")
	for _, m := range bench.Mixes {
		_, _ = fmt.Fprintf(&text, "  %-10s %s\n", m.Name, m.Help)
	}
	return text.String() + `
Ratios say more than figures, which are this machine's: RATIO is imquota's
throughput, of that floor's, in the same minute. A denial is an answer and counts
as such; errors are shown by reason, and the exit code is then 1.

  imquota bench --mix uniform --store redis --callers 1,64
  imquota bench --target unix:/run/imquota.sock --rate 2000 --html report.html
  imquota bench --simulate --sim-users 400000000 --shards 6,12,24`
}

// Defaults that depend on other flags.
const (
	openCallers   = 256
	fewApps       = 10
	someUsers     = 100_000
	goalApps      = 10_000
	goalUsers     = 1_000_000
	closedCallers = "1, 8, 64, 128"
)

// benchDefaults are they, for the help.
var benchDefaults = kong.Vars{
	"bench_callers": closedCallers, "bench_open_callers": strconv.Itoa(openCallers),
	"bench_apps": strconv.Itoa(fewApps), "bench_goal_apps": strconv.Itoa(goalApps),
	"bench_users": strconv.Itoa(someUsers), "bench_goal_users": strconv.Itoa(goalUsers),
}

// setDefaults fills in what was not given.
func (c *BenchCmd) setDefaults() {
	apps, users := fewApps, someUsers
	if c.Goals {
		apps, users = goalApps, goalUsers
	}
	if len(c.App) > 0 {
		apps = len(c.App)
	}
	if c.Apps == 0 {
		c.Apps = apps
	}
	if c.Users == 0 {
		c.Users = max(users, c.Apps)
	}
	switch {
	case len(c.Callers) > 0:
	case c.Rate > 0:
		c.Callers = []int{openCallers}
	default:
		c.Callers = []int{1, 8, 64, 128}
	}
}

// Bounds of flags: beyond them a machine measures its own load client.
const (
	mostCallers     = 10_000
	mostBatch       = 256
	mostConnections = 1000
	mostRate        = 1_000_000
	leastDuration   = 50 * time.Millisecond
	mostRounds      = 100
)

// Validate refuses what cannot be measured.
func (c *BenchCmd) Validate() error {
	if c.Simulate {
		return c.validateSimulation()
	}
	if c.Goals {
		err := refuseGiven("is not for --goals, which say by themselves what is asked", map[string]bool{
			"--callers": len(c.Callers) > 0, "--rate": c.Rate != 0, "--batch": c.Batch != 0, "--request-ids": c.RequestIDs,
			"--no-fill": c.NoFill, "--no-floors": c.NoFloors,
		})
		if err != nil {
			return err
		}
	}
	c.setDefaults()
	if err := c.validateLoad(); err != nil {
		return err
	}
	if c.Target == "" {
		return c.validateOwn()
	}
	if err := serverAddress("--target", c.Target); err != nil {
		return err
	}
	if c.Goals {
		return errors.New("--goals: is for servers of its own; leave --target out")
	}
	for flag, address := range map[string]string{"--target-admin": c.TargetAdmin, "--target-echo": c.TargetEcho} {
		if address == "" {
			continue
		}
		if err := serverAddress(flag, address); err != nil {
			return err
		}
	}
	if c.TargetRedis != "" {
		return plainRedis("--target-redis", c.TargetRedis)
	}
	return nil
}

func (c *BenchCmd) validateLoad() error {
	for _, name := range c.Mix {
		if _, err := bench.MixOf(name); err != nil {
			return fmt.Errorf("--mix: %w", err)
		}
	}
	for _, n := range c.Callers {
		if n < 1 || n > mostCallers {
			return fmt.Errorf("--callers: %d is not from 1 to %d", n, mostCallers)
		}
	}
	switch {
	case len(c.Mix) == 0:
		return errors.New("--mix: is empty")
	case c.Batch < 0 || c.Batch > mostBatch:
		return fmt.Errorf("--batch: %d is not from 0 to %d", c.Batch, mostBatch)
	case c.Connections < 1 || c.Connections > mostConnections:
		return fmt.Errorf("--connections: %d is not from 1 to %d", c.Connections, mostConnections)
	case !(c.Rate >= 0 && c.Rate <= mostRate): // NaN is neither
		return fmt.Errorf("--rate: %v is not from 0 to %d", c.Rate, mostRate)
	case c.Duration < leastDuration:
		return fmt.Errorf("--duration: %v is less than %v, which says nothing", c.Duration, leastDuration)
	case c.Warmup < 0:
		return fmt.Errorf("--warmup: %v is negative", c.Warmup)
	case c.Rounds < 1 || c.Rounds > mostRounds:
		return fmt.Errorf("--rounds: %d is not from 1 to %d", c.Rounds, mostRounds)
	case c.Apps < 1:
		return fmt.Errorf("--apps: %d is not at least 1", c.Apps)
	case c.Users < c.Apps:
		return fmt.Errorf("--users: %d are fewer than one for each of %d apps", c.Users, c.Apps)
	case len(c.App) > 0 && c.Apps != len(c.App):
		return fmt.Errorf("--apps: %d is not how many --app names: leave one of them out", c.Apps)
	case c.HTML != "" && c.Goals:
		return errors.New("--html: is not for --goals")
	case c.Strict && !c.Goals:
		return errors.New("--strict: is for --goals alone")
	}
	return nil
}

// refuseGiven refuses any flag that is given, for what reason.
func refuseGiven(why string, isGiven map[string]bool) error {
	for flag, given := range isGiven {
		if given {
			return fmt.Errorf("%s: %s", flag, why)
		}
	}
	return nil
}

func (c *BenchCmd) validateOwn() error {
	err := refuseGiven("is for --target alone", map[string]bool{
		"--target-admin": c.TargetAdmin != "", "--app": len(c.App) > 0, "--target-metrics": c.TargetMetrics != "",
		"--target-redis": c.TargetRedis != "", "--target-echo": c.TargetEcho != "", "--tls": c.TLS,
	})
	if err != nil {
		return err
	}
	if c.Store == storeBolt || c.Store == storeRedis {
		return nil
	}
	return plainRedis("--store", c.Store)
}

// Stores that are started.
const (
	storeBolt  = "bolt"
	storeRedis = "redis"
)

// plainRedis refuses what is not the URL of one Redis.
func plainRedis(flag, url string) error {
	switch {
	case strings.HasPrefix(url, "redis+"):
		return fmt.Errorf("%s: a Sentinel or a Cluster is not measured by its parts; measure a server that stands on it, with --target", flag)
	case !redisstore.IsURL(url):
		return fmt.Errorf("%s: %q is not the URL of a Redis, such as redis://127.0.0.1:6379/0", flag, url)
	case strings.Contains(url, "prefix="):
		return fmt.Errorf("%s: leave the option prefix out: all is kept under a prefix of its own", flag)
	}
	return nil
}

// mixes returns the mixes that are asked for.
func (c *BenchCmd) mixes() []*bench.Mix {
	var all []*bench.Mix
	for _, name := range c.Mix {
		if m, err := bench.MixOf(name); err == nil { // Validate has seen them all
			all = append(all, m)
		}
	}
	return all
}

func (c *BenchCmd) view() imquotav1.View {
	if c.View == "basic" {
		return imquotav1.View_VIEW_BASIC
	}
	return imquotav1.View_VIEW_FULL
}

// failuresError ends a run whose calls did not all succeed; what failed was printed.
type failuresError struct{ first bench.Failure }

// Error says what failed first.
func (e *failuresError) Error() string {
	return fmt.Sprintf("%d calls failed with %s: %s", e.first.Count, e.first.Reason, e.first.First)
}

// errInterrupted ends a run that was stopped.
var errInterrupted = errors.New("stopped before it was done; what was started is stopped and removed too")

// Run carries the command out.
func (c *BenchCmd) Run(ctx context.Context, s *streams) error {
	if c.Simulate {
		return c.runSimulation(s)
	}
	heard := newBenchProgress(s.err)
	if c.Goals {
		return c.runGoals(ctx, s, heard)
	}
	if c.HTML != "" { // before minutes have passed
		if _, err := os.Stat(filepath.Dir(c.HTML)); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	report, err := c.measure(ctx, heard)
	heard.end()
	if err = whyEnded(ctx, err); err != nil && (report == nil || len(report.Rows) == 0) {
		return err
	}
	report.IsPartial = err != nil
	if err := c.write(s, report); err != nil {
		return err
	}
	if first, ok := report.FirstFailure(); ok && err == nil {
		return &failuresError{first}
	}
	return err
}

// whyEnded returns why a run ended before it was done.
func whyEnded(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return plainly(err)
	}
	return nil
}

// write writes a report, as a page too where that is asked for.
func (c *BenchCmd) write(s *streams, report *bench.Report) error {
	if c.HTML != "" {
		if err := writeWhole(c.HTML, report.WritePage); err != nil {
			return fmt.Errorf("--html: %w", err)
		}
	}
	if c.Output == outputJSON {
		return writeJSON(s.out, report)
	}
	printBench(s.out, report)
	return nil
}
