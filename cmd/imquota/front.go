package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// front is the server in its two shapes: all services, for operators on this
// machine, and those that gateways may reach from elsewhere.
type front struct {
	all, quotas, admin *grpc.Server
	http               *http.Server // nil: none
	services           *server.Server
	intercept          grpc.UnaryServerInterceptor
	admission          *server.Admission
	streams            uint32 // of one connection
	tls                *tls.Config
	health             *health.Server
	ready              atomic.Pointer[error] // why the store cannot be trusted; nil: it can
	metrics            *metrics
	losses             *tailLosses
	log                *slog.Logger
}

// longestArrival is how long the request of a call may take to arrive.
const longestArrival = 10 * time.Second

// longestCall is how long a call without a deadline may take.
const longestCall = 30 * time.Second

// spareStreams, beside twice the calls that a connection may have under way, have
// those beyond them answered OVERLOADED, and not wait unseen in the client.
const spareStreams = 64

// errNotProbed is why a store cannot be trusted that nobody has looked at yet.
var errNotProbed = errors.New("the store was not looked at yet")

func (c *serveCmd) front(s *server.Server, m *metrics, log *slog.Logger) (*front, error) {
	f := &front{services: s, health: health.NewServer(), metrics: m, log: log}
	f.admission = server.NewAdmission(server.Limits{InFlight: c.MaxInFlight, InFlightPerConnection: c.inFlightPerConnection(), LongestArrival: longestArrival, LongestCall: longestCall})
	f.streams = uint32(2*c.inFlightPerConnection() + spareStreams)
	m.admits(f.admission.InFlight, f.admission.Arriving)
	f.intercept = m.calls.Intercept(server.Guard(log, f.admission.Intercept))
	var err error
	if f.tls, err = c.tlsConfig(); err != nil {
		return nil, err
	}
	f.all = f.server(server.MaxMessageBytes, s.RegisterQuota, s.RegisterAdmin)
	f.quotas = f.server(server.MaxQuotaBytes, s.RegisterQuota)
	f.admin = f.server(server.MaxMessageBytes, s.RegisterAdmin)
	f.setReady(errNotProbed)
	return f, nil
}

func (f *front) server(messageBytes int, register ...func(grpc.ServiceRegistrar)) *grpc.Server {
	options := append(transportOptions(messageBytes, f.streams),
		grpc.ForceServerCodecV2(server.Codec()), grpc.UnaryInterceptor(f.intercept),
	)
	creds := insecure.NewCredentials()
	if f.tls != nil {
		creds = &tcpOnly{credentials.NewTLS(f.tls)}
	}
	g := grpc.NewServer(append(options, grpc.Creds(f.admission.Credentials(creds)))...)
	bounded := f.admission.Registrar(g)
	for _, r := range register {
		r(bounded)
	}
	healthpb.RegisterHealthServer(bounded, f.health)
	reflection.Register(&reflected{bounded, g})
	return g
}

// reflected registers a service that tells of all others.
type reflected struct {
	grpc.ServiceRegistrar
	reflection.ServiceInfoProvider
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
		if f.http != nil {
			stopping.Go(func() { _ = f.http.Shutdown(context.WithoutCancel(ctx)) })
		}
		stopping.Wait()
	}()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		f.log.Warn("calls under way are cut off", "drain_timeout", drain.String())
		f.stop()
		<-drained
	}
	f.log.Info("stopped")
	return err
}

// stop cuts off what is under way, and frees the workers of servers that have
// nothing to serve.
func (f *front) stop() {
	for _, g := range []*grpc.Server{f.all, f.quotas, f.admin} {
		g.Stop()
	}
	if f.http != nil {
		_ = f.http.Close()
	}
}

// probeEvery is how often the store's readiness becomes the health.
const probeEvery = time.Second

// watch keeps the health what the store's readiness is, and logs its changes.
func (f *front) watch(ctx context.Context, s store) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	last := errNotProbed.Error()
	for {
		err := s.Ready(ctx)
		if ctx.Err() != nil {
			return
		}
		f.setReady(err)
		switch {
		case err == nil && last != "":
			f.log.Info("ready")
			last = ""
		case err != nil && last != err.Error():
			f.log.Error("not ready", "error", err)
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// setReady tells everybody who asks whether the store can be trusted.
func (f *front) setReady(err error) {
	health, ready, why := healthpb.HealthCheckResponse_SERVING, 1.0, (*error)(nil)
	if err != nil {
		health, ready, why = healthpb.HealthCheckResponse_NOT_SERVING, 0, &err
	}
	f.ready.Store(why) // once: in between, a probe must not find a store sound that is not
	f.metrics.ready.Set(ready)
	f.health.SetServingStatus("", health)
	for _, services := range [][]string{server.QuotaServices, server.AdminServices} {
		for _, name := range services {
			f.health.SetServingStatus(name, health)
		}
	}
}
