package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// front is the server in its two shapes: all services, for operators on this
// machine, and those that gateways may reach from elsewhere.
type front struct {
	all, quotas, admin *grpc.Server
	tls                *tls.Config
	health             *health.Server
	log                *slog.Logger
}

func (c *serveCmd) front(s *server.Server, log *slog.Logger) (*front, error) {
	f := &front{health: health.NewServer(), log: log}
	var err error
	if f.tls, err = c.tlsConfig(); err != nil {
		return nil, err
	}
	f.all = f.server(s.RegisterQuota, s.RegisterAdmin)
	f.quotas = f.server(s.RegisterQuota)
	f.admin = f.server(s.RegisterAdmin)
	f.setHealth(healthpb.HealthCheckResponse_NOT_SERVING)
	return f, nil
}

func (f *front) server(register ...func(grpc.ServiceRegistrar)) *grpc.Server {
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(server.MaxMessageBytes), grpc.UnaryInterceptor(server.Recover(f.log))}
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
func (f *front) serve(ctx context.Context, listeners []*listener, drain time.Duration) error {
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- l.server.Serve(l.Listener) }()
	}
	var err error
	select {
	case <-ctx.Done():
		f.log.Info("stopping", "drain_timeout", drain.String())
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
		f.log.Warn("calls under way are cut off", "drain_timeout", drain.String())
		for _, g := range []*grpc.Server{f.all, f.quotas, f.admin} {
			g.Stop()
		}
		<-drained
	}
	f.log.Info("stopped")
	return err
}

// probeEvery is how often the store's readiness becomes the health.
const probeEvery = time.Second

// watch keeps the health what the store's readiness is, and logs its changes.
func (f *front) watch(ctx context.Context, s store) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	last := "never probed"
	for {
		switch err := s.Ready(ctx); {
		case ctx.Err() != nil:
			return
		case err == nil:
			if last != "" {
				f.log.Info("ready")
			}
			last = ""
			f.setHealth(healthpb.HealthCheckResponse_SERVING)
		default:
			if last != err.Error() {
				f.log.Error("not ready", "error", err)
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
