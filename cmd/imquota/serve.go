package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/server"
)

// serveCmd serves over gRPC.
type serveCmd struct {
	storeFlag
	catalogsFlag
	Listen      []string `help:"Address to serve on: HOST:PORT or unix:PATH; may be repeated. Beyond loopback only QuotaService is served." default:"${listen}"`
	HTTPListen  string   `name:"http-listen" help:"Address to serve the same as JSON over HTTP on, with /metrics, /livez and /readyz; off for none." default:"${http_listen}"`
	AdminListen []string `help:"Address to serve the operators' services on, and nowhere else; may be repeated." placeholder:"ADDRESS"`
	TLSCert     string   `name:"tls-cert" help:"Certificate of TCP addresses, a PEM file." placeholder:"FILE"`
	TLSKey      string   `name:"tls-key" help:"Its key, a PEM file." placeholder:"FILE"`
	TLSClientCA string   `name:"tls-client-ca" help:"Authorities that clients on TCP addresses need a certificate of, a PEM file. Request ids are then scoped to the certificate's owner." placeholder:"FILE"`

	PlaintextBeyondLoopback bool `help:"Allow addresses beyond loopback without TLS."`

	MaxInFlight              int `help:"How many calls may be under way; more are refused with OVERLOADED." default:"4096"`
	MaxInFlightPerConnection int `help:"How many of them may be of one connection; never more than --max-in-flight." default:"1024"`

	MaxConnections int `help:"How many connections an address may have open; more are closed at once." default:"1024"`

	StaleMax time.Duration `help:"For how long, while the store is away, features and states are answered by what is at hand, as SOURCE_DEGRADED; 0: not at all." default:"60s"`

	Demo         bool          `help:"Make the apps 1400000001 (developer), 1400000002 (standard), 1400000003 (premium), 1400000004 (standard, expired an hour ago and in grace) and 1400000005 (standard, expired and suspended), of the account demo. A Redis that is not imquota's yet is initialised for it."`
	DrainTimeout time.Duration `help:"How long calls under way may take after SIGTERM." default:"10s"`
	LogFormat    string        `help:"How to write the log: text or json." enum:"text,json" default:"text"`
	LogLevel     slog.Level    `help:"The least that is logged: debug, info, warn or error." default:"info"`
}

// Help is printed below the summary.
func (*serveCmd) Help() string {
	return `Serves until SIGTERM or SIGINT, then lets calls under way finish. SIGHUP reads the
catalog files again; a broken one is reported and the old ones stay in force.

The embedded store is one process's. Two sidecars share one with --store redis://.

Garbage is collected once there is as much as is in use, and 24 MiB. Go's variables
GOGC, which does away with the 24 MiB, and GOMEMLIMIT are heeded. As many processors
are used as the work fills, or as GOMAXPROCS says.`
}

// Bounds of --stale-max. What is at hand is known to be current to the second.
const (
	leastStaleMax = time.Second
	mostStaleMax  = time.Hour
)

// maxInFlight is more calls than any machine carries out at once.
const maxInFlight = 1_000_000

// maxConnections is more than a process may have files open.
const maxConnections = 1_000_000

// Validate refuses what would serve nobody, or nothing to its end.
func (c *serveCmd) Validate() error {
	switch {
	case len(c.Listen) == 0:
		return errors.New("--listen: is empty; name an address, such as " + defaultListen)
	case c.DrainTimeout < 0:
		return fmt.Errorf("--drain-timeout: %v is negative", c.DrainTimeout)
	case c.MaxInFlight < 1 || c.MaxInFlight > maxInFlight:
		return fmt.Errorf("--max-in-flight: %d is not from 1 to %d", c.MaxInFlight, maxInFlight)
	case c.MaxInFlightPerConnection < 1 || c.MaxInFlightPerConnection > maxInFlight:
		return fmt.Errorf("--max-in-flight-per-connection: %d is not from 1 to %d", c.MaxInFlightPerConnection, maxInFlight)
	case c.MaxConnections < 1 || c.MaxConnections > maxConnections:
		return fmt.Errorf("--max-connections: %d is not from 1 to %d", c.MaxConnections, maxConnections)
	case c.StaleMax != 0 && (c.StaleMax < leastStaleMax || c.StaleMax > mostStaleMax):
		return fmt.Errorf("--stale-max: %v is not from %v to %v, or 0 for not at all", c.StaleMax, leastStaleMax, mostStaleMax)
	}
	return nil
}

// inFlightPerConnection is what one connection may have, also where --max-in-flight
// alone was lowered.
func (c *serveCmd) inFlightPerConnection() int {
	return min(c.MaxInFlightPerConnection, c.MaxInFlight)
}

// Run carries the command out.
func (c *serveCmd) Run(ctx context.Context, s *streams) error {
	defer runtime.KeepAlive(reserveHeap())
	log := c.logger(s.err)
	cat, err := c.loadAll()
	if err != nil {
		return err
	}
	metrics := newMetrics()
	opened, isShared, err := c.openWith(ctx, redisstore.Options{
		TailLost: logTailLoss(log),
		Circuit:  func(change redisstore.CircuitChange) { tellCircuit(change, metrics, log) },
	})
	if err != nil {
		return err
	}
	defer func() {
		if err := opened.Close(); err != nil {
			log.Error("the store did not close", "error", err)
		}
	}()
	tellOpened(log, opened, isShared)
	enforcer := quota.New(quota.Options{Catalog: cat, Store: opened, Registry: opened, StaleMax: c.StaleMax})
	metrics.watching(enforcer.IsCurrent)
	losses := tailLossesOf(opened)
	metrics.losing(losses)
	apps := &account.Apps{Registry: opened, Catalog: enforcer.Catalog, Now: time.Now}
	accounts := &account.Accounts{Registry: opened, Catalog: enforcer.Catalog, Now: time.Now}
	sweeper := &quota.Sweeper{Store: opened, Apps: apps}
	front, err := c.front(server.New(server.Options{
		Enforcer: enforcer, Apps: apps, Accounts: accounts, Sweeper: sweeper, Metrics: metrics.calls,
	}), metrics, log)
	if err != nil {
		return err
	}
	defer front.stop()
	front.losses = losses
	listeners, err := c.listeners(ctx, front)
	if err != nil {
		return err
	}
	if c.Demo { // once nothing is in the way of serving it
		if err := makeDemo(ctx, opened, apps, log); err != nil {
			closeAll(listeners)
			return fmt.Errorf("--demo: %w", err)
		}
	}
	log.Info("catalog in force", "version", cat.Version(), "editions", len(cat.Editions()), "pinned", cat.PinnedVersions())
	for _, l := range listeners {
		log.Info("listening on "+l.address(), "protocol", l.kind, "services", l.services)
	}
	if c.Demo {
		printHints(s.out, listeners[0], front.tls != nil)
	}

	background, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { front.watch(background, opened) })
	running.Go(func() { opened.Watch(background, enforcer) })
	running.Go(func() { sweep(background, sweeper, log) })
	running.Go(func() { useFewProcessors(background) })
	running.Go(func() { c.reloads(background, enforcer, log) })
	err = front.serve(ctx, listeners, c.DrainTimeout)
	stop()
	running.Wait()
	return err
}

// tellOpened tells operators which store it is, before anything may go wrong with it.
func tellOpened(log *slog.Logger, s store, isShared bool) {
	told := "store opened"
	if isNew(s) {
		told = newStore
	}
	log.Info(told, "store", s.String(), "several_processes", isShared)
	if !isShared {
		log.Info("the embedded store is this process's alone; two sidecars need --store redis://, which is right for production")
	}
}

// tellCircuit tells operators whether calls are sent to the store.
func tellCircuit(change redisstore.CircuitChange, m *metrics, log *slog.Logger) {
	if change.IsOpen {
		m.circuit.Set(1)
		log.Error("the store is away: calls that need it fail at once until it answers", "error", change.Why)
		return
	}
	m.circuit.Set(0)
	log.Info("the store answers again", "away", change.After.Round(time.Millisecond).String())
}

func (c *serveCmd) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// sweepEvery is how often some apps are looked at, whether they are gone. To look at
// them takes about a millisecond, in which others wait.
const sweepEvery = 200 * time.Millisecond

// sweep removes the counters of apps that are deleted or reclaimed.
func sweep(ctx context.Context, sweeper *quota.Sweeper, log *slog.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	sweeper.Run(ctx, tick.C, func(step *quota.SweepStep, err error) {
		if fault, ok := errors.AsType[*account.Fault](err); ok {
			// What is wrong with the store is told once, by its readiness.
			log.Debug("the counters of apps that are gone could not be removed; they are tried again", "error", fault)
			return
		}
		if err != nil {
			log.Error("the counters of apps that are gone could not be removed; they are tried again", "error", err)
			return
		}
		for _, f := range step.Failed {
			log.Error("the counters of an app that is gone could not be removed; it is tried again", "app", f.ID, "error", f.Err)
		}
		if len(step.Gone) > 0 {
			log.Info("counters of apps that are gone were removed", "apps", len(step.Gone))
		}
	})
}

// reloads reads the catalog file again at every SIGHUP.
func (c *serveCmd) reloads(ctx context.Context, enforcer *quota.Enforcer, log *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		cat, err := c.loadAll()
		if err != nil {
			log.Error("the catalog stays as it is", "version", enforcer.Catalog().Version(), "error", err)
			continue
		}
		if old := enforcer.Catalog(); old.Version() == cat.Version() && old.Digest() != cat.Digest() {
			log.Warn("the catalog changed, and its version did not: decisions of before and after cannot be told apart", "version", cat.Version())
		}
		enforcer.SetCatalog(cat)
		log.Info("catalog in force", "version", cat.Version(), "editions", len(cat.Editions()), "pinned", cat.PinnedVersions())
	}
}
