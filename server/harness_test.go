package server_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/server"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	rpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// backend is what a sidecar stands on.
type backend interface {
	quota.Store
	account.Registry
}

// onStores runs a test on every store. share opens another sidecar's view of
// the same store, where the store can be shared.
func onStores(t *testing.T, test func(t *testing.T, s stores)) {
	t.Helper()
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		store, err := boltstore.Open(t.TempDir()+"/test.db", boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		test(t, stores{first: store, another: func() backend { return store }})
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		address := redistest.Standalone(t).Addr
		open := func() backend { return openRedis(t, address) }
		test(t, stores{first: open(), another: open})
	})
}

// openRedis opens a store that is ready.
func openRedis(t testing.TB, address string) backend {
	t.Helper()
	store, err := redisstore.Open(t.Context(), "redis://"+address, redisstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, _, err := store.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return store
}

type stores struct {
	first   backend
	another func() backend
}

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock(rfc3339 string) *clock {
	now, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		panic(err)
	}
	return &clock{now: now}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func (c *clock) Advance(d time.Duration) { c.Set(c.Now().Add(d)) }

// sidecar is a running server and its clients.
type sidecar struct {
	t testing.TB
	imquotav1.QuotaServiceClient
	apps    imquotav1.AppServiceClient
	billing imquotav1.BillingServiceClient
	clock   *clock
	conn    *grpc.ClientConn
}

// start runs a sidecar over real TCP on a free port.
func start(t testing.TB, b backend, c *clock, cat *catalog.Snapshot) *sidecar {
	t.Helper()
	return startWith(t, b, c, cat, nil, nil)
}

// direct intercepts nothing.
func direct(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(ctx, in)
}

// startWith is start with metrics, an admission that its calls arrive at, or nil,
// and options of the gRPC server.
func startWith(t testing.TB, b backend, c *clock, cat *catalog.Snapshot, m *server.Metrics, a *server.Admission, options ...grpc.ServerOption) *sidecar {
	t.Helper()
	enforcer := quota.New(quota.Options{Catalog: cat, Store: b, Registry: b, Now: c.Now})
	watching, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		b.Watch(watching, enforcer)
	}()
	t.Cleanup(func() {
		stop()
		<-watched
	})
	apps := &account.Apps{Registry: b, Catalog: enforcer.Catalog, Now: c.Now}
	s := server.New(server.Options{
		Enforcer: enforcer, Now: c.Now, Apps: apps,
		Accounts: &account.Accounts{Registry: b, Catalog: enforcer.Catalog, Now: c.Now},
		Sweeper:  &quota.Sweeper{Store: b, Apps: apps}, Metrics: m,
	})
	options = append(options, grpc.MaxRecvMsgSize(server.MaxMessageBytes), grpc.ForceServerCodecV2(server.Codec()), grpc.UnaryInterceptor(server.Guard(slog.New(slog.DiscardHandler), direct)))
	if a != nil {
		options = append(options, grpc.Creds(a.Credentials(insecure.NewCredentials())))
	}
	g := grpc.NewServer(options...)
	services := grpc.ServiceRegistrar(g)
	if a != nil {
		services = a.Registrar(g)
	}
	s.RegisterQuota(services)
	s.RegisterAdmin(services)
	healthpb.RegisterHealthServer(services, health.NewServer())
	rpb.RegisterServerReflectionServer(services, reflection.NewServerV1(reflection.ServerOptions{Services: g}))
	conn := connected(t, g)
	return &sidecar{t, imquotav1.NewQuotaServiceClient(conn), imquotav1.NewAppServiceClient(conn), imquotav1.NewBillingServiceClient(conn), c, conn}
}

// connected has a server serve on a free port, and connects to it.
func connected(t testing.TB, g *grpc.Server) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// app creates an app of an edition.
func (s *sidecar) app(id uint32, edition string) {
	s.t.Helper()
	_, err := s.apps.CreateApp(context.Background(), &imquotav1.CreateAppRequest{
		AppId: id, AccountId: "test", Import: &imquotav1.AppImport{Edition: edition},
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// check asks and fails the test on a fault.
func (s *sidecar) check(r *imquotav1.CheckQuotaRequest) *imquotav1.Decision {
	s.t.Helper()
	out, err := s.CheckQuota(context.Background(), r)
	if err != nil {
		s.t.Fatalf("check %v: %v", r, err)
	}
	return out.GetDecision()
}

// release gives back and fails the test on a fault.
func (s *sidecar) release(r *imquotav1.ReleaseQuotaRequest) *imquotav1.Decision {
	s.t.Helper()
	out, err := s.ReleaseQuota(context.Background(), r)
	if err != nil {
		s.t.Fatalf("release %v: %v", r, err)
	}
	return out.GetDecision()
}

// allow asks and expects the action to be allowed.
func (s *sidecar) allow(r *imquotav1.CheckQuotaRequest) *imquotav1.Decision {
	s.t.Helper()
	d := s.check(r)
	if !d.GetAllowed() {
		s.t.Fatalf("check %v: denied: %v", r, d.GetViolations())
	}
	return d
}

// set sets a counter.
func (s *sidecar) set(app uint32, quota, subject string, used int64, groupType string) {
	s.t.Helper()
	_, err := s.apps.SetUsage(context.Background(), &imquotav1.SetUsageRequest{
		AppId: app, Quota: quota, Subject: subject, Used: used, GroupType: groupType,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// used reads one counter.
func (s *sidecar) used(app uint32, quota, user, group string) int64 {
	s.t.Helper()
	out, err := s.GetUsage(context.Background(), &imquotav1.GetUsageRequest{AppId: app, Quotas: []string{quota}, UserId: user, GroupId: group})
	if err != nil {
		s.t.Fatal(err)
	}
	if len(out.GetQuotas()) != 1 {
		s.t.Fatalf("usage of %s: %d counters, want 1", quota, len(out.GetQuotas()))
	}
	return out.GetQuotas()[0].GetUsed()
}

// wantUsed expects a counter.
func (s *sidecar) wantUsed(app uint32, quota, user, group string, want int64) {
	s.t.Helper()
	if got := s.used(app, quota, user, group); got != want {
		s.t.Errorf("%s of %s%s: %d used, want %d", quota, user, group, got, want)
	}
}

// wantFault expects an error of a code and reason, and returns the fields that
// it names.
func wantFault(t testing.TB, err error, code codes.Code, reason string) []string {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Fatalf("got %v (%v), want %v", st.Code(), err, code)
	}
	var fields []string
	got := ""
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			got = d.GetReason()
			if d.GetDomain() != "imquota" {
				t.Errorf("domain %q", d.GetDomain())
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	if got != reason {
		t.Errorf("reason %q, want %q (%v)", got, reason, err)
	}
	return fields
}
