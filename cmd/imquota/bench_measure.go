package main

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"time"

	"github.com/imquota/imquota/bench"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// measured is a server under load, and what is known of it.
type measured struct {
	quotas []grpc.ClientConnInterface // that callers share
	setup  grpc.ClientConnInterface   // to look at it
	admin  grpc.ClientConnInterface   // for operators
	cpu    func(context.Context) (time.Duration, error)
	redis  *bench.Redis // nil: not known, or none
	bolt   *bench.Bolt  // the floor below an embedded store; nil: none
	echo   *echoed      // nil: no floors
}

// echoed is an echo, over the same number of connections.
type echoed struct{ conns []grpc.ClientConnInterface }

// setupPatience is how long a call may take that is no part of the load.
const setupPatience = 30 * time.Second

// measure carries a run out, from servers that are not there yet to a report. One that
// is broken off has the rows that were done.
func (c *BenchCmd) measure(ctx context.Context, heard *benchProgress) (*bench.Report, error) {
	l, err := openLab(c.Dir)
	if err != nil {
		return nil, err
	}
	defer l.close()
	on, err := c.server(ctx, l, heard)
	if err != nil {
		return nil, err
	}
	population, err := c.population(ctx, l, on, heard)
	if err != nil {
		return nil, err
	}
	if err := c.floors(ctx, l, on); err != nil {
		return nil, err
	}
	report := &bench.Report{
		Version: version(), Time: time.Now(), Setup: c.setup(len(population.Apps)),
		Machine: bench.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version()},
	}
	first := 0
	for _, mix := range c.mixes() {
		of := *population
		if mix.IsOneApp {
			of.Apps = of.Apps[:1]
		}
		if !c.NoFill {
			if err := of.Warm(ctx, on.setup, mix, heard.task("filling counters for "+mix.Name)); err != nil {
				return report, err
			}
		}
		if on.echo != nil {
			sample, err := of.Sample(ctx, on.setup, mix, c.Batch)
			if err != nil {
				return report, fmt.Errorf("a sample of %s: %w", mix.Name, err)
			}
			if err := bench.PrepareEcho(ctx, on.echo.conns[0], sample); err != nil {
				return report, fmt.Errorf("the echo: %w", err)
			}
		}
		for _, callers := range c.Callers {
			plan := &bench.Plan{Duration: c.Duration, Warmup: c.Warmup, Rounds: c.Rounds, Heard: heard.step(fmt.Sprintf("measuring %s, %s", mix.Name, bench.Callers(callers)))}
			series, err := plan.Measure(ctx, c.sides(on, mix, &of, callers, first))
			if err != nil {
				return report, err
			}
			first += callers
			report.Rows = append(report.Rows, bench.RowOf(series))
		}
	}
	return report, nil
}

// sides are imquota and its floors, at one load.
func (c *BenchCmd) sides(on *measured, mix *bench.Mix, of *bench.Population, callers, first int) []*bench.Side {
	side := func(name string, caller func(i int) bench.Caller) *bench.Side {
		return &bench.Side{Name: name, Mix: mix, Population: of, Callers: callers, First: first, Batch: c.Batch, Rate: c.Rate, Caller: caller}
	}
	isBatch := c.Batch > 0
	sides := []*bench.Side{side(bench.NameQuota, func(i int) bench.Caller {
		return bench.QuotaCaller(on.quotas[i%len(on.quotas)], isBatch)
	})}
	sides[0].CPU, sides[0].Redis = on.cpu, on.redis
	if on.echo != nil {
		bare := side(bench.NameEcho, func(i int) bench.Caller { return bench.BareCaller(on.echo.of(i), isBatch) })
		typed := side(bench.NameTyped, func(i int) bench.Caller { return bench.TypedCaller(on.echo.of(i), isBatch) })
		bare.CPU, typed.CPU = on.echo.cpu, on.echo.cpu
		sides = append(sides, bare, typed)
	}
	if c.NoFloors || !mix.IsCounted {
		return sides
	}
	if on.redis != nil {
		least := side(bench.NameRedis, func(int) bench.Caller { return on.redis.Caller() })
		least.Redis = on.redis
		sides = append(sides, least)
	}
	if on.bolt != nil {
		least := on.bolt.Caller(callers)
		sides = append(sides, side(bench.NameBolt, func(int) bench.Caller { return least }))
	}
	return sides
}

func (c *BenchCmd) setup(apps int) bench.Setup {
	s := bench.Setup{
		Target: c.Target, Store: c.Store, Over: c.Over, Apps: apps, Users: c.Users, Seed: c.Seed,
		Connections: c.Connections, Batch: c.Batch, Rate: c.Rate, Duration: c.Duration, Rounds: c.Rounds,
		View: c.View, RequestIDs: c.RequestIDs,
	}
	if c.Target != "" {
		s.Store, s.Over = "", ""
	}
	return s
}

// population makes the apps, or takes those that are given.
func (c *BenchCmd) population(ctx context.Context, l *lab, on *measured, heard *benchProgress) (*bench.Population, error) {
	p := &bench.Population{Apps: c.App, Users: c.Users, Seed: c.Seed, View: c.view(), RequestIDs: c.RequestIDs}
	if len(c.App) > 0 {
		p.Run = l.prefix[len(labPrefix):]
	} else {
		made := &bench.Apps{Conn: on.admin, Account: l.prefix, Edition: c.Edition}
		if c.Target != "" {
			l.closers = append(l.closers, func() {
				err := made.Remove(context.WithoutCancel(ctx), heard.task("deleting apps"))
				if err != nil {
					heard.tell(made.Left() + ": " + plainly(err).Error())
				}
			})
		}
		if err := made.Create(ctx, c.appCount(), c.mixes(), heard.task("making apps")); err != nil {
			return nil, c.asked(err)
		}
		p.Apps = made.IDs
	}
	var err error
	if p.Features, err = bench.Features(ctx, on.setup, p.Apps[0]); err != nil {
		return nil, c.asked(err)
	}
	return p, p.Validate()
}

// appCount is how many apps are made.
func (c *BenchCmd) appCount() int {
	for _, m := range c.mixes() {
		if !m.IsOneApp {
			return c.Apps
		}
	}
	return 1
}

// dialAll opens connections to a server.
func (l *lab) dialAll(address string, n int, transport credentials.TransportCredentials, options ...grpc.DialOption) ([]grpc.ClientConnInterface, error) {
	options = append(options, grpc.WithTransportCredentials(transport))
	var conns []grpc.ClientConnInterface
	for range n {
		conn, err := grpc.NewClient(address, options...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		l.closers = append(l.closers, func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	return conns, nil
}

// dialPlain opens connections to a server of this machine.
func (l *lab) dialPlain(address string, n int) ([]grpc.ClientConnInterface, error) {
	return l.dialAll(address, n, insecure.NewCredentials())
}

// patient is a connection whose calls each take setupPatience at most.
func (l *lab) patient(address string, transport credentials.TransportCredentials) (grpc.ClientConnInterface, error) {
	f := &clientFlags{Timeout: setupPatience}
	conns, err := l.dialAll(address, 1, transport, grpc.WithUnaryInterceptor(f.patiently), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return nil, err
	}
	return conns[0], nil
}

// echoAt connects to an echo.
func (l *lab) echoAt(address string, connections int) (*echoed, error) {
	conns, err := l.dialPlain(address, connections)
	return &echoed{conns}, err
}

// of returns the connection of the i-th caller.
func (e *echoed) of(i int) grpc.ClientConnInterface { return e.conns[i%len(e.conns)] }

func (e *echoed) cpu(ctx context.Context) (time.Duration, error) {
	return bench.EchoCPU(ctx, e.conns[0])
}

// statusWords is what gRPC puts before the server's own words.
var statusWords = regexp.MustCompile(`rpc error: code = \w+ desc = `)

// plainly leaves out of an error what gRPC puts before the server's words.
func plainly(err error) error {
	return &plainError{err}
}

type plainError struct{ err error }

func (e *plainError) Error() string { return statusWords.ReplaceAllString(e.err.Error(), "") }
func (e *plainError) Unwrap() error { return e.err }
