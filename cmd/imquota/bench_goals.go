package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/imquota/imquota/bench"
	"google.golang.org/grpc"
)

// goalRun measures goals, scene by scene, on servers of its own.
type goalRun struct {
	*BenchCmd
	lab   *lab
	heard *benchProgress

	store         string // the URL that a sidecar stands on
	onRedis       *measured
	echoTCP       *echoed
	ownTCP        *echoed // with imquota's options of gRPC
	echoUnix      *echoed
	first         int // of callers
	few           *bench.Population
	goals         []bench.Goal
	failures      []bench.Failure
	quotaUnix     []grpc.ClientConnInterface
	redisDelayed  *bench.Redis
	quotasDelayed []grpc.ClientConnInterface
}

// The loads that the goals are about.
const (
	manyCallers  = 64
	batchCallers = 8
	batchSize    = 32
)

// addedLatency is what is added to each answer of Redis, as by a network.
const addedLatency = time.Millisecond

// errUnmet ends a run with --strict; which goals are not met was printed.
var errUnmet = errors.New("not all goals are met")

// runGoals measures and prints all goals.
func (c *BenchCmd) runGoals(ctx context.Context, s *streams, heard *benchProgress) error {
	goals, failures, err := c.measureGoals(ctx, heard)
	heard.end()
	if err = whyEnded(ctx, err); err != nil && len(goals) == 0 {
		return err
	}
	if c.Output == outputJSON {
		err := writeJSON(s.out, struct {
			Goals     []bench.Goal    `json:"goals"`
			Failures  []bench.Failure `json:"failures,omitempty"`
			IsPartial bool            `json:"isPartial,omitempty"` // not all are measured
		}{goals, failures, err != nil})
		if err != nil {
			return err
		}
	} else {
		printGoals(s.out, goals)
	}
	if err != nil {
		return err
	}
	return c.verdict(goals, failures)
}

// verdict is what a run of goals ends with.
func (c *BenchCmd) verdict(goals []bench.Goal, failures []bench.Failure) error {
	if len(failures) > 0 {
		return &failuresError{failures[0]}
	}
	for i := range goals {
		if c.Strict && !goals[i].IsMet {
			return errUnmet
		}
	}
	return nil
}

func (c *BenchCmd) measureGoals(ctx context.Context, heard *benchProgress) ([]bench.Goal, []bench.Failure, error) {
	l, err := openLab(c.Dir)
	if err != nil {
		return nil, nil, err
	}
	defer l.close()
	g := &goalRun{BenchCmd: c, lab: l, heard: heard}
	if err := g.begin(ctx); err != nil {
		return nil, nil, err
	}
	for _, scene := range []func(context.Context) error{
		g.local, g.localBatches, g.counted, g.countedBatches, g.unloaded, g.unloadedFarAway, g.flat, g.durable,
	} {
		if err := scene(ctx); err != nil {
			return g.goals, g.failures, err
		}
	}
	return g.goals, g.failures, nil
}

// begin starts a sidecar on Redis, reached over TCP and Unix sockets, the same with
// a Redis that is further away, and the echoes.
func (g *goalRun) begin(ctx context.Context) (err error) {
	g.heard.tell("starting servers")
	redisURL, err := g.lab.ownRedis(ctx)
	if err != nil {
		return err
	}
	if g.store, err = g.lab.initStore(ctx, redisURL); err != nil {
		return err
	}
	at, err := g.lab.sidecar(ctx, "near", g.store)
	if err != nil {
		return err
	}
	if g.onRedis, err = g.lab.serving(at, overTCP, g.Connections); err != nil {
		return err
	}
	if g.quotaUnix, err = g.lab.dialPlain(at.unix, 1); err != nil {
		return err
	}
	if err := g.farAway(ctx, redisURL); err != nil {
		return err
	}
	echo, err := g.lab.echo(ctx, "echo")
	if err != nil {
		return err
	}
	own, err := g.lab.echo(ctx, "own", "--own-options")
	if err != nil {
		return err
	}
	if g.echoTCP, err = g.lab.echoAt(echo.tcp, g.Connections); err != nil {
		return err
	}
	if g.echoUnix, err = g.lab.echoAt(echo.unix, 1); err != nil {
		return err
	}
	if g.ownTCP, err = g.lab.echoAt(own.tcp, g.Connections); err != nil {
		return err
	}
	if err := g.onRedis.redis.Prepare(ctx); err != nil {
		return err
	}
	g.few, err = g.populate(ctx, g.onRedis, 1, min(someUsers, g.Users))
	return err
}

// farAway has a second sidecar, and the floor, reach the same Redis by a longer way.
func (g *goalRun) farAway(ctx context.Context, redisURL string) error {
	near, err := url.Parse(redisURL)
	if err != nil {
		return err
	}
	way, err := bench.NewDelay(ctx, near.Host, addedLatency)
	if err != nil {
		return err
	}
	g.lab.closers = append(g.lab.closers, way.Close)
	at, err := g.lab.sidecar(ctx, "far", "redis://"+way.Addr()+"?prefix="+g.lab.prefix)
	if err != nil {
		return err
	}
	if g.quotasDelayed, err = g.lab.dialPlain(at.unix, 1); err != nil {
		return err
	}
	g.redisDelayed, err = bench.OpenRedis("redis://"+way.Addr(), g.lab.prefix, 1)
	if err == nil {
		g.lab.closers = append(g.lab.closers, func() { _ = g.redisDelayed.Close() })
	}
	return err
}

// populate makes apps, and counts friends of all their users.
func (g *goalRun) populate(ctx context.Context, on *measured, apps, users int) (*bench.Population, error) {
	mix := mixOf("uniform")
	what := fmt.Sprintf("apps: %d, users: %d", apps, users)
	made := &bench.Apps{Conn: on.admin, Account: g.lab.prefix + "-" + strconv.Itoa(users) + "-" + strconv.Itoa(apps), Edition: "premium"}
	if err := made.Create(ctx, apps, []*bench.Mix{mix}, g.heard.task("making "+what)); err != nil {
		return nil, err
	}
	p := &bench.Population{Apps: made.IDs, Users: users, Seed: g.Seed}
	var err error
	if p.Features, err = bench.Features(ctx, on.setup, p.Apps[0]); err != nil {
		return nil, err
	}
	return p, p.Warm(ctx, on.setup, mix, g.heard.task("filling counters of "+what))
}

// mixOf returns a mix that is there.
func mixOf(name string) *bench.Mix {
	for _, m := range bench.Mixes {
		if m.Name == name {
			return m
		}
	}
	return bench.Mixes[0]
}

// side is something under load.
func (g *goalRun) side(name, mix string, of *bench.Population, callers, batch int, caller func(i int) bench.Caller) *bench.Side {
	s := &bench.Side{Name: name, Mix: mixOf(mix), Population: of, Callers: callers, Batch: batch, First: g.first, Caller: caller}
	g.first += callers
	return s
}

// quota is a side of imquota, at the other end of connections.
func (g *goalRun) quota(mix string, of *bench.Population, callers, batch int, on []grpc.ClientConnInterface) *bench.Side {
	return g.side(bench.NameQuota, mix, of, callers, batch, func(i int) bench.Caller { return bench.QuotaCaller(on[i%len(on)], batch > 0) })
}

// echo is a side of an echo, which answers as imquota does.
func (g *goalRun) echo(ctx context.Context, mix string, callers, batch int, on *echoed) (*bench.Side, error) {
	sample, err := g.few.Sample(ctx, g.onRedis.setup, mixOf(mix), batch)
	if err == nil {
		err = bench.PrepareEcho(ctx, on.conns[0], sample)
	}
	return g.side(bench.NameEcho, mix, g.few, callers, batch, func(i int) bench.Caller {
		return bench.BareCaller(on.of(i), batch > 0)
	}), err
}

// measure measures sides in turns, imquota first.
func (g *goalRun) measure(ctx context.Context, what string, sides ...*bench.Side) ([]*bench.Series, error) {
	plan := &bench.Plan{Duration: g.Duration, Warmup: g.Warmup, Rounds: g.Rounds, Heard: g.heard.step("measuring " + what)}
	series, err := plan.Measure(ctx, sides)
	for _, s := range series {
		g.failures = append(g.failures, s.Figures().Failures...)
	}
	return series, err
}

func (g *goalRun) atLeast(goal int, name, unit string, figure, wanted float64) {
	g.goals = append(g.goals, bench.AtLeast(goal, name, unit, figure, wanted))
}

func (g *goalRun) atMost(goal int, name, unit string, figure, wanted float64) {
	g.goals = append(g.goals, bench.AtMost(goal, name, unit, figure, wanted))
}

// printGoals prints a goal a line.
func printGoals(w io.Writer, goals []bench.Goal) {
	t := &table{right: map[int]bool{0: true, 2: true, 3: true}}
	t.add("", "GOAL", "FIGURE", "WANTED", "")
	met := 0
	for i := range goals {
		g := &goals[i]
		sign, is := "≥ ", "not met"
		if g.IsMost {
			sign = "≤ "
		}
		if g.IsMet {
			is = "met"
			met++
		}
		t.add(strconv.Itoa(g.Goal), g.Name, goalFigure(g.Figure, g.Unit), sign+goalFigure(g.Wanted, g.Unit), is)
	}
	t.write(w)
	_, _ = fmt.Fprintf(w, `
%d of %d met, with one app unless more are named. Of the echo: throughput, of a gRPC
server that takes and answers messages of the same size, measured in turns.
Absolute figures are a machine's: they were wanted where a bare script took %v µs and
bbolt made %s/s, and the line below each is its ratio to what these make here.
Goals 5 and 7, allocations and memory, are Go's own benchmarks: make microbench.
`, met, len(goals), bareScriptMicros, bench.Thousands(bareBoltRate))
}

// goalFigure is a ratio, or a figure with its unit.
func goalFigure(v float64, unit string) string {
	switch {
	case unit == "/s":
		return bench.Thousands(v) + unit
	case unit != "":
		return strconv.FormatFloat(v, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
