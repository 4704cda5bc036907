package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// serveCmd serves over gRPC.
type serveCmd struct {
	storeFlag
	catalogFlag
	Listen      []string `help:"Address to serve on: HOST:PORT or unix:PATH; may be repeated. Beyond loopback only QuotaService is served." default:"${listen}"`
	AdminListen []string `help:"Address to serve the operators' services on, and nowhere else; may be repeated." placeholder:"ADDRESS"`
	TLSCert     string   `name:"tls-cert" help:"Certificate of TCP addresses, a PEM file." placeholder:"FILE"`
	TLSKey      string   `name:"tls-key" help:"Its key, a PEM file." placeholder:"FILE"`

	PlaintextBeyondLoopback bool `help:"Allow addresses beyond loopback without TLS."`

	Demo         bool          `help:"Make the apps 1400000001 (developer), 1400000002 (standard) and 1400000003 (premium)."`
	DrainTimeout time.Duration `help:"How long calls under way may take after SIGTERM." default:"10s"`
	LogFormat    string        `help:"How to write the log: text or json." enum:"text,json" default:"text"`
	LogLevel     slog.Level    `help:"The least that is logged: debug, info, warn or error." default:"info"`
}

// Help is printed below the summary.
func (*serveCmd) Help() string {
	return `Serves until SIGTERM or SIGINT, then lets calls under way finish. SIGHUP reads the
catalog file again; a broken one is reported and the old one stays in force.

The embedded store is one process's. Two sidecars share one with --store redis://.`
}

// sharedCacheFor bounds for how long an app's record is used unread when other
// processes may change it: what they change is in force within a second, and
// at once for what is counted.
const sharedCacheFor = 800 * time.Millisecond

// Run carries the command out.
func (c *serveCmd) Run(ctx context.Context, s *streams) error {
	log := c.logger(s.err)
	cat, err := c.load()
	if err != nil {
		return err
	}
	opened, isShared, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := opened.Close(); err != nil {
			log.Error("the store did not close", "error", err)
		}
	}()

	options := quota.Options{Catalog: cat, Store: opened, Registry: opened}
	if isShared {
		options.CacheFor = sharedCacheFor
	}
	enforcer := quota.New(options)
	apps := &account.Apps{Registry: opened, Catalog: enforcer.Catalog, Now: time.Now, Changed: enforcer.Forget}
	if c.Demo {
		if err := makeDemo(ctx, opened, apps); err != nil {
			return fmt.Errorf("--demo: %w", err)
		}
	}
	front, err := c.front(server.New(server.Options{Enforcer: enforcer, Apps: apps}))
	if err != nil {
		return err
	}
	listeners, err := c.listeners(ctx, front)
	if err != nil {
		return err
	}
	log.Info("store opened", "store", opened.String(), "several_processes", isShared)
	if !isShared {
		log.Info("the embedded store is this process's alone; two sidecars need --store redis://, which is right for production")
	}
	log.Info("catalog in force", "version", cat.Version(), "editions", len(cat.Editions()))
	for _, l := range listeners {
		log.Info("listening on "+l.address(), "services", l.services)
	}
	if c.Demo {
		printHints(s.out, listeners[0].address())
	}

	background, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { front.watch(background, opened, log) })
	running.Go(func() { c.reloads(background, enforcer, log) })
	err = front.serve(ctx, listeners, c.DrainTimeout, log)
	stop()
	running.Wait()
	return err
}

func (c *serveCmd) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
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
		cat, err := c.load()
		if err != nil {
			log.Error("the catalog stays as it is", "version", enforcer.Catalog().Version(), "error", err)
			continue
		}
		enforcer.SetCatalog(cat)
		log.Info("catalog in force", "version", cat.Version(), "editions", len(cat.Editions()))
	}
}

// front is the server in its two shapes: all services, for operators on this
// machine, and those that gateways may reach from elsewhere.
type front struct {
	all, quotas, admin *grpc.Server
	tls                *tls.Config
	health             *health.Server
}

func (c *serveCmd) front(s *server.Server) (*front, error) {
	f := &front{health: health.NewServer()}
	if c.TLSCert != "" || c.TLSKey != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		f.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	f.all = f.server(s.RegisterQuota, s.RegisterAdmin)
	f.quotas = f.server(s.RegisterQuota)
	f.admin = f.server(s.RegisterAdmin)
	f.setHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	return f, nil
}

func (f *front) server(register ...func(grpc.ServiceRegistrar)) *grpc.Server {
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(server.MaxMessageBytes)}
	if f.tls != nil {
		options = append(options, grpc.Creds(&tcpOnly{credentials.NewTLS(f.tls)}))
	}
	g := grpc.NewServer(options...)
	for _, r := range register {
		r(g)
	}
	healthpb.RegisterHealthServer(g, f.health)
	reflection.Register(g)
	return g
}

// tcpOnly leaves Unix sockets, which never leave the machine, in plain text.
type tcpOnly struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *tcpOnly) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, ok := conn.(*net.UnixConn); ok {
		return conn, unixAuth{}, nil
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

// Clone implements credentials.TransportCredentials.
func (c *tcpOnly) Clone() credentials.TransportCredentials {
	return &tcpOnly{c.TransportCredentials.Clone()}
}

type unixAuth struct{}

// AuthType implements credentials.AuthInfo.
func (unixAuth) AuthType() string { return "unix" }

// listener is one address and what is served on it.
type listener struct {
	net.Listener
	server   *grpc.Server
	services string
}

// address is how a client names it.
func (l *listener) address() string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return l.Addr().String()
}

// listeners opens every address, or none.
func (c *serveCmd) listeners(ctx context.Context, f *front) (opened []*listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
		}
	}()
	open := func(flag, address string, isAdmin bool) error {
		beyond, err := reachesBeyond(ctx, address)
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", flag, address, err)
		case beyond && f.tls == nil && !c.PlaintextBeyondLoopback:
			return fmt.Errorf("%s %s: reaches beyond loopback without TLS: give --tls-cert and --tls-key, or say --plaintext-beyond-loopback", flag, address)
		}
		l, err := listen(ctx, address)
		if err != nil {
			return fmt.Errorf("%s %s: %w", flag, address, err)
		}
		next := &listener{l, f.all, "all"}
		switch {
		case isAdmin:
			next.server, next.services = f.admin, "AppService"
		case len(c.AdminListen) > 0 || beyond:
			next.server, next.services = f.quotas, "QuotaService"
		}
		opened = append(opened, next)
		return nil
	}
	for _, address := range c.Listen {
		if err := open("--listen", address, false); err != nil {
			return opened, err
		}
	}
	for _, address := range c.AdminListen {
		if err := open("--admin-listen", address, true); err != nil {
			return opened, err
		}
	}
	return opened, nil
}

// serve answers until the context is done or a listener fails; then it lets
// the calls under way finish.
func (f *front) serve(ctx context.Context, listeners []*listener, drain time.Duration, log *slog.Logger) error {
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- l.server.Serve(l.Listener) }()
	}
	var err error
	select {
	case <-ctx.Done():
		log.Info("stopping", "drain_timeout", drain.String())
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	}
	f.health.Shutdown()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		var stopping sync.WaitGroup
		for _, g := range []*grpc.Server{f.all, f.quotas, f.admin} {
			stopping.Go(g.GracefulStop)
		}
		stopping.Wait()
	}()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		log.Warn("calls under way are cut off", "drain_timeout", drain.String())
		for _, g := range []*grpc.Server{f.all, f.quotas, f.admin} {
			g.Stop()
		}
		<-drained
	}
	log.Info("stopped")
	return err
}

// probeEvery is how often the store's readiness becomes the health.
const probeEvery = time.Second

// watch keeps the health what the store's readiness is, and logs its changes.
func (f *front) watch(ctx context.Context, s store, log *slog.Logger) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	last := "never probed"
	for {
		switch err := s.Ready(ctx); {
		case ctx.Err() != nil:
			return
		case err == nil:
			if last != "" {
				log.Info("ready")
			}
			last = ""
			f.setHealth(healthpb.HealthCheckResponse_SERVING)
		default:
			if last != err.Error() {
				log.Error("not ready", "error", err)
			}
			last = err.Error()
			f.setHealth(healthpb.HealthCheckResponse_NOT_SERVING)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *front) setHealth(status healthpb.HealthCheckResponse_ServingStatus) {
	f.health.SetServingStatus("", status)
	for _, services := range [][]string{server.QuotaServices, server.AdminServices} {
		for _, name := range services {
			f.health.SetServingStatus(name, status)
		}
	}
}

// demoApps are what --demo makes.
var demoApps = []account.NewApp{
	{ID: 1400000001, Edition: "developer", Name: "demo, developer"},
	{ID: 1400000002, Edition: "standard", Name: "demo, standard"},
	{ID: 1400000003, Edition: "premium", Name: "demo, premium"},
}

// makeDemo makes the demo apps that are not there yet.
func makeDemo(ctx context.Context, s store, apps *account.Apps) error {
	if _, _, err := initialize(ctx, s); err != nil {
		return err
	}
	for _, app := range demoApps {
		app.Account = "demo"
		if _, err := apps.Create(ctx, app, account.Change{}); err != nil && !errors.Is(err, account.ErrAppExists) {
			return fmt.Errorf("app %d: %w", app.ID, err)
		}
	}
	return nil
}

// printHints says what to try next.
func printHints(w io.Writer, address string) {
	server := ""
	if address != defaultListen {
		server = " --server " + address
	}
	program := "imquota"
	if len(os.Args) > 0 && os.Args[0] != "" {
		program = os.Args[0]
	}
	_, _ = fmt.Fprintf(w, `
Serving on %[1]s. In another terminal, try:

  %[3]s check add-friend --app 1400000001 --user alice --friend bob%[2]s
  %[3]s check use-feature --app 1400000002 --feature community%[2]s
  %[3]s usage show --app 1400000001 --user alice%[2]s
  %[3]s catalog show
  grpcurl -plaintext -d '{"appId": 1400000001, "login": {"userId": "alice"}}' %[1]s imquota.v1.QuotaService/CheckQuota

Stop with Ctrl-C. What was counted is kept.

`, address, server, program)
}
