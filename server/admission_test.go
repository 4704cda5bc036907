package server_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/server"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// gate is a store whose steps wait until it is opened.
type gate struct {
	backend
	entered chan struct{}
	opened  chan struct{}
}

func (g *gate) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	g.entered <- struct{}{}
	<-g.opened
	return g.backend.Apply(ctx, txns)
}

// wantOverloaded is the refusal with a time to come back.
func wantOverloaded(t *testing.T, err error) {
	t.Helper()
	wantFault(t, err, codes.Unavailable, "OVERLOADED")
	for _, d := range status.Convert(err).Details() {
		if retry, ok := d.(*errdetails.RetryInfo); ok && retry.GetRetryDelay().AsDuration() > 0 {
			return
		}
	}
	t.Error("no RetryInfo")
}

// TestOverload: calls beyond the bounds are refused while others are under way,
// and taken again once those are over.
func TestOverload(t *testing.T) {
	t.Parallel()
	const inAll, ofOne = 5, 3
	store, err := boltstore.Open(t.TempDir()+"/test.db", boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	g := &gate{backend: store, entered: make(chan struct{}, 100), opened: make(chan struct{})}
	a := server.NewAdmission(server.Limits{InFlight: inAll, InFlightPerConnection: ofOne, LongestArrival: time.Minute, LongestCall: time.Minute})
	s := startWith(t, g, newClock("2024-06-15T12:00:00+08:00"), catalog.Default(), nil, a, grpc.ChainUnaryInterceptor(a.Intercept))
	s.app(1, "premium")
	another, err := grpc.NewClient(s.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = another.Close() })
	others := imquotav1.NewQuotaServiceClient(another)

	var running sync.WaitGroup
	call := func(c imquotav1.QuotaServiceClient) {
		running.Go(func() {
			if _, err := c.CheckQuota(t.Context(), addFriend(1, "alice", "bob")); err != nil {
				t.Error(err)
			}
		})
		<-g.entered
	}
	for range ofOne {
		call(s)
	}
	_, err = s.CheckQuota(t.Context(), addFriend(1, "alice", "bob"))
	wantOverloaded(t, err)
	for range inAll - ofOne {
		call(others)
	}
	_, err = others.CheckQuota(t.Context(), addFriend(1, "alice", "bob"))
	wantOverloaded(t, err)
	if n := a.InFlight(); n != inAll {
		t.Errorf("%d under way", n)
	}
	if _, err := healthpb.NewHealthClient(s.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
	close(g.opened)
	running.Wait()
	if _, err := s.CheckQuota(t.Context(), addFriend(1, "alice", "bob")); err != nil {
		t.Errorf("once they are over: %v", err)
	}
	if n := a.InFlight(); n != 0 {
		t.Errorf("%d under way", n)
	}
	s.wantUsed(1, "friends", "alice", "", inAll+1)
}

// TestAdmissionOfOneCall goes without a server.
func TestAdmissionOfOneCall(t *testing.T) {
	t.Parallel()
	a := server.NewAdmission(server.Limits{InFlight: 1, InFlightPerConnection: 1, LongestCall: time.Minute})
	_, info, err := a.Credentials(insecure.NewCredentials()).ServerHandshake(nil)
	if err != nil {
		t.Fatal(err)
	}
	ofConnection := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
	method := &grpc.UnaryServerInfo{FullMethod: imquotav1.QuotaService_CheckQuota_FullMethodName}
	over, cancel := context.WithCancel(ofConnection)
	cancel()
	late, stop := context.WithDeadline(ofConnection, time.Now().Add(-time.Second))
	defer stop()
	for name, ctx := range map[string]context.Context{"cancelled": over, "late": late} {
		_, err := a.Intercept(ctx, nil, method, func(context.Context, any) (any, error) {
			t.Errorf("%s: it was begun", name)
			return nil, nil
		})
		if st := status.Convert(err); st.Code() != codes.Canceled && st.Code() != codes.DeadlineExceeded {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 3 { // each takes the one place there is
		func() {
			defer func() { _ = recover() }()
			_, _ = a.Intercept(ofConnection, nil, method, func(context.Context, any) (any, error) { panic("a defect") })
		}()
	}
	forYears, stop := context.WithTimeout(ofConnection, 24*365*time.Hour)
	defer stop()
	soon, stop := context.WithTimeout(ofConnection, time.Second)
	defer stop()
	for name, tt := range map[string]struct {
		ctx   context.Context
		until time.Duration
	}{
		"no deadline": {ofConnection, time.Minute}, "one that is far away": {forYears, time.Minute}, "one that is near": {soon, time.Second},
	} {
		began := time.Now()
		_, err = a.Intercept(tt.ctx, nil, method, func(ctx context.Context, _ any) (any, error) {
			deadline, ok := ctx.Deadline()
			if earliest := began.Add(tt.until - time.Second/2); !ok || deadline.Before(earliest) || deadline.After(time.Now().Add(tt.until)) {
				t.Errorf("%s: it ends at %v", name, deadline)
			}
			_, err := a.Intercept(ofConnection, nil, method, nil)
			wantOverloaded(t, err)
			return nil, nil
		})
		if err != nil {
			t.Errorf("%s: a place was not given back: %v", name, err)
		}
	}
}
