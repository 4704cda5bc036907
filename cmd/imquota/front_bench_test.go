package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// inside is a front without a network: what is done with a call between the bytes
// of its request and those of its answer.
type inside struct {
	ctx     context.Context
	methods *inProcess
	codec   encoding.CodecV2
}

// newInside returns a front of the demo's apps, or of a service that decides
// nothing.
func newInside(t testing.TB, idle imquotav1.QuotaServiceServer) *inside {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "front.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	enforcer := quota.New(quota.Options{Catalog: catalog.Default(), Store: store, Registry: store})
	watching, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		store.Watch(watching, enforcer)
	}()
	t.Cleanup(func() {
		stop()
		<-watched
	})
	apps := &account.Apps{Registry: store, Catalog: enforcer.Catalog, Now: time.Now}
	if err := makeDemo(t.Context(), store, apps, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	m := newMetrics()
	s := server.New(server.Options{Enforcer: enforcer, Apps: apps, Metrics: m.calls})
	f, err := (&serveCmd{MaxInFlight: 4096, MaxInFlightPerConnection: 1024}).front(s, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stop)
	_, other, err := f.admission.Credentials(insecure.NewCredentials()).ServerHandshake(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := &inside{
		ctx:     grpc.NewContextWithServerTransportStream(peer.NewContext(t.Context(), &peer.Peer{AuthInfo: other}), stream{}),
		methods: &inProcess{methods: make(map[string]method), intercept: f.intercept},
		codec:   server.Codec(),
	}
	if services := f.admission.Registrar(in.methods); idle != nil {
		imquotav1.RegisterQuotaServiceServer(services, idle)
	} else {
		s.RegisterQuota(services)
	}
	return in
}

// stream is what of a call's stream is asked for: that it can be ended.
type stream struct{ grpc.ServerTransportStream }

// WriteStatus implements what grpc-go's streams do.
func (stream) WriteStatus(*status.Status) error { return nil }

// call answers one request.
func (in *inside) call(name string, wire mem.BufferSlice) error {
	m := in.methods.methods[name]
	out, err := m.handle(m.service, in.ctx, func(v any) error { return in.codec.Unmarshal(wire, v) }, in.methods.intercept)
	if err != nil {
		return err
	}
	answer, err := in.codec.Marshal(out)
	answer.Free()
	return err
}

// idle answers without deciding anything.
type idle struct {
	imquotav1.UnimplementedQuotaServiceServer
	answer imquotav1.CheckQuotaResponse
}

func (i *idle) CheckQuota(context.Context, *imquotav1.CheckQuotaRequest) (*imquotav1.CheckQuotaResponse, error) {
	return &i.answer, nil
}

func newIdle() *idle {
	return &idle{answer: imquotav1.CheckQuotaResponse{Decision: &imquotav1.Decision{
		Allowed: true, Source: imquotav1.Source_SOURCE_CACHE, Edition: "premium", AppState: imquotav1.AppState_APP_STATE_ACTIVE, CatalogVersion: "2024-06-15",
	}}}
}

// asked is a request that is decided by the plan alone, as it is on the wire.
func asked(t testing.TB, items int) (name string, wire mem.BufferSlice) {
	t.Helper()
	one := &imquotav1.CheckQuotaRequest{
		AppId: 1400000003, RequestId: "req-00000000000000000000000001",
		Client: &imquotav1.Client{Id: "gateway-7", Platform: "android", SdkVersion: "5.8.1668"},
		Action: &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "multi_device_login"}},
	}
	name, m := imquotav1.QuotaService_CheckQuota_FullMethodName, proto.Message(one)
	if items > 0 {
		batch := &imquotav1.BatchCheckQuotaRequest{}
		for range items {
			batch.Items = append(batch.Items, one)
		}
		name, m = imquotav1.QuotaService_BatchCheckQuota_FullMethodName, batch
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return name, mem.BufferSlice{mem.SliceBuffer(b)}
}

// BenchmarkFront is what a call costs between the bytes of its request and those of
// its answer: where nothing is decided, and where the plan decides.
func BenchmarkFront(b *testing.B) {
	for _, bb := range []struct {
		name  string
		idle  imquotav1.QuotaServiceServer
		items int
	}{{"nothing", newIdle(), 0}, {"feature", nil, 0}, {"features=32", nil, 32}} {
		b.Run(bb.name, func(b *testing.B) {
			in := newInside(b, bb.idle)
			name, wire := asked(b, bb.items)
			b.ReportAllocs()
			for b.Loop() {
				if err := in.call(name, wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestFrontAllocates holds what the front takes of each call, apart from the
// decision: the request, its texts, client and action; what the generated handler
// hands on; the call's context; the bytes of the answer.
func TestFrontAllocates(t *testing.T) { //nolint:paralleltest // it counts what the process takes
	most := 11.
	if memoryFactor > 1 {
		most = 20 // the race detector has pools forget
	}
	in := newInside(t, newIdle())
	name, wire := asked(t, 0)
	got := testing.AllocsPerRun(1000, func() {
		if err := in.call(name, wire); err != nil {
			t.Fatal(err)
		}
	})
	if got > most {
		t.Errorf("%v allocations, want at most %v", got, most)
	}
}
