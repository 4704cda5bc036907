package client_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// backend is what a sidecar stands on.
type backend interface {
	quota.Store
	account.Registry
	Close() error
}

// clock is the sidecar's time, which only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// sidecar is a running server, and the client of it that is tested. The test
// itself looks at it by a connection of its own.
type sidecar struct {
	imquotav1.QuotaServiceClient
	*wire
	t      testing.TB
	clock  *clock
	open   func() backend
	socket string // a file: nobody else takes it while the server is away, as a port
	stop   func()
	apps   imquotav1.AppServiceClient
	conn   *grpc.ClientConn
}

// onStores runs a test with a sidecar on each store. It has app 1, where alice
// may join one more group.
func onStores(t *testing.T, test func(t *testing.T, s *sidecar)) {
	t.Helper()
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		path := t.TempDir() + "/test.db"
		test(t, newSidecar(t, func() (backend, error) { return boltstore.Open(path, boltstore.Options{}) }))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		url := "redis://" + redistest.Standalone(t).Addr
		test(t, newSidecar(t, func() (backend, error) {
			store, err := redisstore.Open(context.Background(), url, redisstore.Options{})
			if err == nil {
				_, _, err = store.Init(context.Background(), false)
			}
			return store, err
		}))
	})
}

const limit = 50 // of a user's joined groups in a developer app

func newSidecar(t testing.TB, open func() (backend, error)) *sidecar {
	t.Helper()
	s := &sidecar{
		t: t, wire: &wire{calls: map[string]int{}, conns: map[string]net.Conn{}}, socket: t.TempDir() + "/socket",
		clock: &clock{now: time.Date(2024, 6, 15, 4, 0, 0, 0, time.UTC)},
		open: func() backend {
			b, err := open()
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	s.conn = s.dial()
	observer := s.dial()
	s.QuotaServiceClient, s.apps = imquotav1.NewQuotaServiceClient(observer), imquotav1.NewAppServiceClient(observer)
	_, err := s.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{AppId: 1, AccountId: "test", Import: &imquotav1.AppImport{Edition: "developer"}})
	if err != nil {
		t.Fatal(err)
	}
	s.setJoined(limit - 1)
	return s
}

// start serves, where it did before.
func (s *sidecar) start() {
	s.t.Helper()
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	b := s.open()
	g, stop := serve(b, s.clock.Now, s.intercept)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.Serve(&listener{Listener: l, wire: s.wire})
	}()
	s.stop = sync.OnceFunc(func() {
		g.Stop()
		<-served
		stop()
		_ = b.Close()
	})
}

// serve makes a server of everything that imquota offers.
func serve(b backend, now func() time.Time, intercept grpc.UnaryServerInterceptor) (g *grpc.Server, stop func()) {
	enforcer := quota.New(quota.Options{Catalog: catalog.Default(), Store: b, Registry: b, Now: now})
	watching, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		b.Watch(watching, enforcer)
	}()
	apps := &account.Apps{Registry: b, Catalog: enforcer.Catalog, Now: now}
	services := server.New(server.Options{
		Enforcer: enforcer, Now: now, Apps: apps,
		Accounts: &account.Accounts{Registry: b, Catalog: enforcer.Catalog, Now: now},
		Sweeper:  &quota.Sweeper{Store: b, Apps: apps},
	})
	g = grpc.NewServer(grpc.UnaryInterceptor(server.Guard(slog.New(slog.DiscardHandler), intercept)), grpc.ForceServerCodecV2(server.Codec()))
	services.RegisterQuota(g)
	services.RegisterAdmin(g)
	return g, func() {
		cancel()
		<-watched
	}
}

func (s *sidecar) address() string { return "unix:" + s.socket }

func (s *sidecar) dial() *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(s.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// client returns the client that is tested.
func (s *sidecar) client() *client.Client { return client.New(s.conn, client.Options{ID: "test"}) }

// setJoined sets how many groups alice has joined.
func (s *sidecar) setJoined(n int64) {
	s.t.Helper()
	_, err := s.apps.SetUsage(context.Background(), &imquotav1.SetUsageRequest{AppId: 1, Quota: "joined_groups", Subject: "alice", Used: n})
	if err != nil {
		s.t.Fatal(err)
	}
}

// wantJoined expects how many groups alice has joined, and how many more are held.
func (s *sidecar) wantJoined(used, held int64) {
	s.t.Helper()
	out, err := s.GetUsage(context.Background(), &imquotav1.GetUsageRequest{AppId: 1, Quotas: []string{"joined_groups"}, UserId: "alice"})
	if err != nil {
		s.t.Fatal(err)
	}
	if q := out.GetQuotas()[0]; q.GetUsed() != used || q.GetHeld() != held {
		s.t.Errorf("alice joined %d groups and %d are held, want %d and %d", q.GetUsed(), q.GetHeld(), used, held)
	}
}

// group asks to create a group of alice's.
func group(id string) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: 1, Action: &imquotav1.CheckQuotaRequest_CreateGroup{
		CreateGroup: &imquotav1.CreateGroup{GroupId: id, GroupType: "public", OwnerId: "alice"},
	}}
}
