package server_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	rpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

// admitting runs a sidecar behind an admission.
func admitting(t *testing.T, b backend, l server.Limits) (*sidecar, *server.Admission) {
	t.Helper()
	a := server.NewAdmission(l)
	s := startWith(t, b, newClock("2024-06-15T12:00:00+08:00"), catalog.Default(), nil, a, grpc.ChainUnaryInterceptor(a.Intercept))
	return s, a
}

func openBolt(t *testing.T) backend {
	t.Helper()
	store, err := boltstore.Open(t.TempDir()+"/test.db", boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// idle begins calls that send nothing.
func idle(ctx context.Context, t *testing.T, conn *grpc.ClientConn, method string, n int) (streams []grpc.ClientStream) {
	t.Helper()
	for range n {
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, method)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	return streams
}

// awaitArriving waits until so many calls are arriving.
func awaitArriving(t *testing.T, a *server.Admission, want int64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); a.Arriving() != want; {
		if time.Now().After(end) {
			t.Fatalf("%d calls are arriving, want %d", a.Arriving(), want)
		}
		<-time.After(time.Millisecond)
	}
}

// TestArrivals: calls whose requests do not come are bounded as those under way
// are, and are refused before anything of them is read; health answers.
func TestArrivals(t *testing.T) {
	t.Parallel()
	const inAll, ofOne = 5, 3
	s, a := admitting(t, openBolt(t), server.Limits{InFlight: inAll, InFlightPerConnection: ofOne, LongestArrival: time.Minute, LongestCall: time.Minute})
	s.app(1, "premium")
	another, err := grpc.NewClient(s.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = another.Close() })
	others := imquotav1.NewQuotaServiceClient(another)
	healthy := func() {
		t.Helper()
		if _, err := healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("health: %v", err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	idle(ctx, t, s.conn, imquotav1.QuotaService_CheckQuota_FullMethodName, ofOne)
	awaitArriving(t, a, ofOne)
	_, err = s.CheckQuota(t.Context(), addFriend(1, "alice", "bob"))
	wantOverloaded(t, err)
	healthy()
	idle(ctx, t, another, imquotav1.QuotaService_CheckQuota_FullMethodName, inAll-ofOne)
	awaitArriving(t, a, inAll)
	for range ofOne { // and takes no place of its connection
		_, err = others.CheckQuota(t.Context(), addFriend(1, "alice", "bob"))
		wantOverloaded(t, err)
	}
	healthy()
	cancel()
	awaitArriving(t, a, 0)
	for _, c := range []imquotav1.QuotaServiceClient{s, others} {
		for range 2 * inAll { // one that is over takes no place
			if _, err := c.CheckQuota(t.Context(), addFriend(1, "alice", "bob")); err != nil {
				t.Errorf("once they are gone: %v", err)
			}
		}
	}
	s.wantUsed(1, "friends", "alice", "", 4*inAll)
	awaitArriving(t, a, 0)
	idle(t.Context(), t, another, imquotav1.QuotaService_CheckQuota_FullMethodName, ofOne)
	awaitArriving(t, a, ofOne)
}

// TestArrivalsOfProbes: nor may what asks for the health be without bounds, and it
// keeps no calls out.
func TestArrivalsOfProbes(t *testing.T) {
	t.Parallel()
	s, a := admitting(t, openBolt(t), server.Limits{InFlight: 1, InFlightPerConnection: 1, LongestArrival: time.Minute, LongestCall: time.Minute})
	s.app(1, "premium")
	const ofOne = 32
	idle(t.Context(), t, s.conn, healthpb.Health_Check_FullMethodName, ofOne)
	awaitArriving(t, a, ofOne)
	_, err := healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	wantOverloaded(t, err)
	s.allow(addFriend(1, "alice", "bob"))
}

// watched is a gate that tells whether those who went through it were ended.
type watched struct {
	*gate
	ended error
}

func (w *watched) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	out := w.gate.Apply(ctx, txns)
	w.ended = ctx.Err()
	return out
}

// TestSlowArrival: a call whose request does not come ends; one that is under way
// for longer does not, nor does a stream that goes on.
func TestSlowArrival(t *testing.T) {
	t.Parallel()
	g := &watched{gate: &gate{backend: openBolt(t), entered: make(chan struct{}, 100), opened: make(chan struct{})}}
	s, a := admitting(t, g, server.Limits{InFlight: 10, InFlightPerConnection: 10, LongestArrival: 100 * time.Millisecond, LongestCall: time.Minute})
	s.app(1, "premium")
	stream, err := rpb.NewServerReflectionClient(s.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	goesOn := func(when string) {
		t.Helper()
		ask := &rpb.ServerReflectionRequest{MessageRequest: &rpb.ServerReflectionRequest_ListServices{}}
		if err := stream.Send(ask); err != nil {
			t.Errorf("a stream, %s: %v", when, err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Errorf("a stream, %s: %v", when, err)
		}
	}
	goesOn("at first")
	var running sync.WaitGroup
	running.Go(func() {
		if _, err := s.CheckQuota(t.Context(), addFriend(1, "alice", "bob")); err != nil {
			t.Errorf("it was under way: %v", err)
		}
	})
	<-g.entered
	patient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	slow := idle(patient, t, s.conn, imquotav1.QuotaService_CheckQuota_FullMethodName, 1)[0]
	wantFault(t, slow.RecvMsg(&imquotav1.CheckQuotaResponse{}), codes.Canceled, "CALLER_GONE")
	awaitArriving(t, a, 0)
	goesOn("later than its first message may come")
	close(g.opened)
	running.Wait()
	if g.ended != nil {
		t.Errorf("it was under way, and ended: %v", g.ended)
	}
}

// TestLongCall: a call that takes too long hears that nobody knows what became of
// it, and what it waits for is told that it is over.
func TestLongCall(t *testing.T) {
	t.Parallel()
	g := &watched{gate: &gate{backend: openBolt(t), entered: make(chan struct{}, 100), opened: make(chan struct{})}}
	s, a := admitting(t, g, server.Limits{InFlight: 1, InFlightPerConnection: 1, LongestArrival: time.Minute, LongestCall: 100 * time.Millisecond})
	s.app(1, "premium")
	patient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := s.CheckQuota(patient, addFriend(1, "alice", "bob"))
	wantFault(t, err, codes.Unavailable, "OUTCOME_UNKNOWN")
	if n := a.InFlight(); n != 1 {
		t.Errorf("%d under way, while the store is at it", n)
	}
	close(g.opened)
	for end := time.Now().Add(10 * time.Second); a.InFlight() != 0; {
		if time.Now().After(end) {
			t.Fatal("its place was not given back")
		}
		<-time.After(time.Millisecond)
	}
	if !errors.Is(g.ended, context.Canceled) {
		t.Errorf("what it waited for: %v", g.ended)
	}
	if _, err := s.CheckQuota(t.Context(), addFriend(1, "alice", "bob")); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestStreamThatReadsNothing: one that is over takes no place either when its
// request was never asked for.
func TestStreamThatReadsNothing(t *testing.T) {
	t.Parallel()
	a := server.NewAdmission(server.Limits{InFlight: 1, InFlightPerConnection: 1, LongestArrival: time.Minute, LongestCall: time.Minute})
	g := grpc.NewServer(grpc.Creds(a.Credentials(insecure.NewCredentials())))
	a.Registrar(g).RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Service", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ClientStreams: true, Handler: func(any, grpc.ServerStream) error {
			return status.Error(codes.Aborted, "read nothing")
		}}},
	}, nil)
	conn := connected(t, g)
	for range 3 {
		stream := idle(t.Context(), t, conn, "/test.Service/Stream", 1)[0]
		if err := stream.RecvMsg(&imquotav1.CheckQuotaResponse{}); status.Code(err) != codes.Aborted {
			t.Errorf("it was answered %v", err)
		}
	}
	awaitArriving(t, a, 0)
}

// counted is a store that counts what it is asked.
type counted struct {
	backend
	steps atomic.Int64
}

func (c *counted) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	c.steps.Add(1)
	return c.backend.Apply(ctx, txns)
}

func (c *counted) Load(ctx context.Context, ids []uint32) []account.Loaded {
	c.steps.Add(1)
	return c.backend.Load(ctx, ids)
}

func (c *counted) App(ctx context.Context, id uint32) (*account.App, error) {
	c.steps.Add(1)
	return c.backend.App(ctx, id)
}

func (c *counted) Accounts(ctx context.Context, names []string) []account.LoadedAccount {
	c.steps.Add(1)
	return c.backend.Accounts(ctx, names)
}

// TestExpiredDeadlines: a call whose deadline is over when its turn comes costs no
// step of the store, one or a batch.
func TestExpiredDeadlines(t *testing.T) {
	t.Parallel()
	store := &counted{backend: openBolt(t)}
	a := server.NewAdmission(server.Limits{InFlight: 100, InFlightPerConnection: 100, LongestArrival: time.Minute, LongestCall: time.Minute})
	answers := make(chan error, 1)
	late := func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > time.Second {
			return handle(ctx, in)
		}
		<-ctx.Done()
		out, err := handle(ctx, in)
		answers <- err
		return out, err
	}
	s := startWith(t, store, newClock("2024-06-15T12:00:00+08:00"), catalog.Default(), nil, a, grpc.ChainUnaryInterceptor(late, a.Intercept))
	s.app(1, "premium")
	batch := &imquotav1.BatchCheckQuotaRequest{}
	for range 256 {
		batch.Items = append(batch.Items, addFriend(1, "alice", "bob"))
	}
	for name, call := range map[string]func(context.Context) error{
		"check":   func(ctx context.Context) error { _, err := s.CheckQuota(ctx, addFriend(1, "alice", "bob")); return err },
		"batch":   func(ctx context.Context) error { _, err := s.BatchCheckQuota(ctx, batch); return err },
		"release": func(ctx context.Context) error { _, err := s.ReleaseQuota(ctx, dissolve(1, "g")); return err },
		"usage": func(ctx context.Context) error {
			_, err := s.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: 1})
			return err
		},
		"entitlements": func(ctx context.Context) error {
			_, err := s.GetEntitlements(ctx, &imquotav1.GetEntitlementsRequest{AppId: 2})
			return err
		},
		"app": func(ctx context.Context) error {
			_, err := s.apps.GetApp(ctx, &imquotav1.GetAppRequest{AppId: 1})
			return err
		},
	} {
		before := store.steps.Load()
		_ = call(t.Context()) // no app has the id 2
		if store.steps.Load() == before {
			t.Errorf("%s: in time it costs no step either", name)
		}
		before = store.steps.Load()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := call(ctx); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%s: the caller got %v", name, err)
		}
		cancel()
		err := <-answers
		code := codes.DeadlineExceeded
		if status.Code(err) == codes.Canceled { // the end of the stream was noticed first
			code = codes.Canceled
		}
		wantFault(t, err, code, "CALLER_GONE")
		if n := store.steps.Load() - before; n != 0 {
			t.Errorf("%s: %d steps of the store", name, n)
		}
	}
	s.wantUsed(1, "friends", "alice", "", 257)
}

// TestRefusedArrivalsLeaveNothing: a call that is refused before it is read is
// forgotten with the timer of its deadline, however far away that is.
func TestRefusedArrivalsLeaveNothing(t *testing.T) { //nolint:paralleltest // memory is the process's
	s, a := admitting(t, openBolt(t), server.Limits{InFlight: 1, InFlightPerConnection: 1, LongestArrival: time.Hour, LongestCall: time.Hour})
	idle(t.Context(), t, s.conn, imquotav1.QuotaService_CheckQuota_FullMethodName, 1)
	awaitArriving(t, a, 1)
	refused := func(n int) {
		for range n {
			ctx, end := context.WithTimeout(t.Context(), 24*time.Hour)
			_, err := s.CheckQuota(ctx, addFriend(1, "alice", "bob"))
			end()
			wantOverloaded(t, err)
		}
	}
	refused(1000)
	const n, most = 10_000, 1 << 20 // a timer and a context of each are 4 MB
	before := inUse()
	refused(n)
	if grown := inUse() - before; grown > most {
		t.Errorf("%d refused calls left %d bytes", n, grown)
	}
}
