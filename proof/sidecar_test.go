package proof

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// sidecar is a running server with a store of its own, and its clients.
type sidecar struct {
	imquotav1.QuotaServiceClient
	apps   imquotav1.AppServiceClient
	store  *redisstore.Store
	losses atomic.Int64 // of tails, as the store told them
	jumped atomic.Int64 // by how much its clock has, a time.Duration

	setup
	addr string // empty: any
	end  func() // of what begin began
	stop func() // for good
}

// setup is how a sidecar is to be.
type setup struct {
	url  string
	skew time.Duration // of its clock
	// inFlight bounds the calls it takes at once; zero: it does not.
	inFlight int
	// wrap puts something between the Enforcer and the store. Optional.
	wrap func(quota.Store) quota.Store
}

// start runs a sidecar over real TCP on a free port.
func start(t testing.TB, o setup) *sidecar {
	t.Helper()
	s := &sidecar{setup: o}
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond},
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.QuotaServiceClient, s.apps = imquotav1.NewQuotaServiceClient(conn), imquotav1.NewAppServiceClient(conn)
	s.stop = once(func() {
		_ = conn.Close()
		s.end()
	})
	t.Cleanup(s.stop)
	return s
}

// begin runs the server, as a new process would.
func (s *sidecar) begin() error {
	now := func() time.Time { return time.Now().Add(s.skew + time.Duration(s.jumped.Load())) }
	store, err := redisstore.Open(context.Background(), s.url, redisstore.Options{
		Now: now, TailLost: func(redisstore.TailLoss) { s.losses.Add(1) },
	})
	if err != nil {
		return err
	}
	s.store = store
	var counted quota.Store = store
	if s.wrap != nil {
		counted = s.wrap(store)
	}
	enforcer := quota.New(quota.Options{Catalog: catalog.Default(), Store: counted, Registry: store, Now: now, StaleMax: time.Minute})
	apps := &account.Apps{Registry: store, Catalog: enforcer.Catalog, Now: now}
	edge := server.New(server.Options{
		Enforcer: enforcer, Now: now, Apps: apps,
		Accounts: &account.Accounts{Registry: store, Catalog: enforcer.Catalog, Now: now},
		Sweeper:  &quota.Sweeper{Store: store, Apps: apps},
	})
	most := cmp.Or(s.inFlight, 1<<20)
	admission := server.NewAdmission(server.Limits{InFlight: most, InFlightPerConnection: most, LongestCall: 30 * time.Second})
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(server.Codec()), grpc.Creds(admission.Credentials(insecure.NewCredentials())),
		grpc.UnaryInterceptor(server.Guard(slog.New(slog.DiscardHandler), admission.Intercept)),
	)
	edge.RegisterQuota(g)
	edge.RegisterAdmin(g)
	l, err := net.Listen("tcp", cmp.Or(s.addr, "127.0.0.1:0"))
	if err != nil {
		_ = store.Close()
		return err
	}
	s.addr = l.Addr().String()
	watching, stopWatching := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { store.Watch(watching, enforcer) })
	running.Go(func() { _ = g.Serve(l) })
	s.end = func() {
		g.Stop()
		stopWatching()
		running.Wait()
		_ = store.Close()
	}
	return nil
}

// once makes a function that does something the first time only.
func once(do func()) func() {
	var done atomic.Bool
	return func() {
		if done.CompareAndSwap(false, true) {
			do()
		}
	}
}

// initialize marks an empty store.
func initialize(t testing.TB, url string) {
	t.Helper()
	store, err := redisstore.Open(t.Context(), url, redisstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	if _, _, err := store.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
}
