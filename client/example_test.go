package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/imquota/imquota/client"
	"github.com/imquota/imquota/client/grpcquota"
	"github.com/imquota/imquota/client/httpquota"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A group service creates groups until an app of the developer edition may have
// no more of a type: ten live groups.
func ExampleClient_Reserve() {
	conn, stop := exampleConn() // grpc.NewClient("127.0.0.1:7400", …) to a sidecar
	defer stop()
	quotas := client.New(conn, client.Options{ID: "group-service"})

	create := func(name string, insert func(context.Context) error) {
		decision, err := quotas.Reserve(context.Background(), &imquotav1.CheckQuotaRequest{
			AppId: 1400000001,
			Hold:  durationpb.New(10 * time.Second), // insert takes 5 at most
			Action: &imquotav1.CheckQuotaRequest_CreateGroup{
				CreateGroup: &imquotav1.CreateGroup{GroupId: name, GroupType: "live", OwnerId: "alice"},
			},
		}, insert)
		notCounted, refused := errors.AsType[*client.NotCountedError](err)
		unsettled, open := errors.AsType[*client.UnsettledError](err)
		switch {
		case refused: // it took too long, and by now there is no room
			fmt.Println(name, "is to be dissolved:", notCounted)
		case open: // a job commits it later
			fmt.Println(name, "is to be committed:", unsettled.ReservationID)
		case err != nil:
			fmt.Println(name, "is not created:", err)
		case !decision.GetAllowed():
			fmt.Println(name, "is denied:", decision.GetViolations()[0].GetReason())
		default:
			fmt.Println(name, "is created,", decision.GetQuotas()[0].GetUsed(), "of", decision.GetQuotas()[0].GetLimit())
		}
	}

	inserted := func(context.Context) error { return nil }
	create("news", func(context.Context) error { return errors.New("the database is full") })
	create("news", inserted)
	for i := range 8 {
		_, _ = quotas.Reserve(context.Background(), &imquotav1.CheckQuotaRequest{
			AppId: 1400000001,
			Action: &imquotav1.CheckQuotaRequest_CreateGroup{
				CreateGroup: &imquotav1.CreateGroup{GroupId: fmt.Sprint("channel-", i), GroupType: "live"},
			},
		}, inserted)
	}
	create("sports", inserted)
	create("music", inserted)
	// Output:
	// news is not created: the database is full
	// news is created, 1 of 10
	// sports is created, 10 of 10
	// music is denied: REASON_LIMIT_EXCEEDED
}

// A gateway asks before it serves. Features go on when imquota is away, and say so;
// what is counted does not.
func ExampleClient_Check() {
	conn, stop := exampleConn()
	defer stop()
	ctx := context.Background()

	quotas := client.New(conn, client.Options{
		ID:       "gateway",
		Timeout:  200 * time.Millisecond,
		FailOpen: client.FailOpenFeatures,
	})
	answer, err := quotas.Check(ctx, &imquotav1.CheckQuotaRequest{
		AppId:  1400000001,
		Action: &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: "alice", FriendId: "bob"}},
	})
	switch {
	case err != nil:
		fmt.Println("nobody knows:", err)
	case answer.FailedOpen != nil:
		fmt.Println("goes on unchecked:", answer.FailedOpen)
	case !answer.Allowed():
		fmt.Println("denied:", answer.Decision.GetViolations()[0].GetMessage())
	default:
		fmt.Println("allowed,", answer.Decision.GetQuotas()[0].GetUsed(), "of", answer.Decision.GetQuotas()[0].GetLimit())
	}

	decision, err := quotas.Release(ctx, &imquotav1.ReleaseQuotaRequest{
		AppId:   1400000001,
		Release: &imquotav1.ReleaseQuotaRequest_RemoveFriend{RemoveFriend: &imquotav1.RemoveFriend{UserId: "alice", FriendId: "bob"}},
	})
	if err == nil {
		fmt.Println("given back,", decision.GetQuotas()[0].GetUsed(), "of", decision.GetQuotas()[0].GetLimit())
	}
	// Output:
	// allowed, 1 of 20
	// given back, 0 of 20
}

// Which actions fail open is any function's choice: here logins too, but not of an
// app whose users are billed.
func ExampleOptions() {
	conn, stop := exampleConn()
	defer stop()

	const billed = 1400000003
	quotas := client.New(conn, client.Options{
		FailOpen: func(r *imquotav1.CheckQuotaRequest) bool {
			return client.FailOpenFeatures(r) || (r.GetLogin() != nil && r.GetAppId() != billed)
		},
	})
	fmt.Println(quotas.Stats().FailedOpen, "failed open")
	// Output: 0 failed open
}

// What a Client counts is read by whatever collects metrics: here Prometheus.
func ExampleClient_Stats() {
	conn, stop := exampleConn()
	defer stop()
	quotas := client.New(conn, client.Options{ID: "gateway"})

	metrics := prometheus.NewRegistry()
	for name, read := range map[string]func(client.Stats) int64{
		"imquota_client_failed_open_total": func(s client.Stats) int64 { return s.FailedOpen },
		"imquota_client_faults_total":      func(s client.Stats) int64 { return s.Faults },
		"imquota_client_calls_total":       func(s client.Stats) int64 { return s.Calls + s.Batches },
		"imquota_client_checks_total":      func(s client.Stats) int64 { return s.Calls + s.Gathered },
	} {
		metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: "See client.Stats."},
			func() float64 { return float64(read(quotas.Stats())) }))
	}

	found, _ := metrics.Gather()
	fmt.Println(len(found), "metrics")
	// Output: 4 metrics
}

// Handlers of an HTTP server are called for what is allowed alone.
func Example_http() {
	conn, stop := exampleConn()
	defer stop()
	quotas := client.New(conn, client.Options{ID: "gateway", FailOpen: client.FailOpenFeatures})
	mux := http.NewServeMux()

	checked := httpquota.Middleware(quotas, httpquota.Options{
		Request: func(r *http.Request) *imquotav1.CheckQuotaRequest {
			return &imquotav1.CheckQuotaRequest{
				AppId:  appOf(r),
				Action: &imquotav1.CheckQuotaRequest_UseFeature{UseFeature: &imquotav1.UseFeature{Feature: "group_read_receipt"}},
			}
		},
	})
	mux.Handle("POST /v1/receipts", checked(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := client.FromContext(r.Context()); ok && answer.FailedOpen != nil {
			slog.Warn("a request goes on unchecked", "error", answer.FailedOpen)
		}
		fmt.Fprintln(w, "read")
	})))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/receipts", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 200 read
}

// The methods of a gRPC server are called for what is allowed alone.
func Example_grpc() {
	conn, stop := exampleConn()
	defer stop()
	quotas := client.New(conn, client.Options{ID: "gateway", FailOpen: client.FailOpenFeatures})

	options := grpcquota.Options{
		Request: func(ctx context.Context, method string, _ any) *imquotav1.CheckQuotaRequest {
			if method != "/chat.v1.Chat/Login" {
				return nil // not checked
			}
			return &imquotav1.CheckQuotaRequest{
				AppId:  1400000001,
				Action: &imquotav1.CheckQuotaRequest_Login{Login: &imquotav1.Login{UserId: userOf(ctx)}},
			}
		},
	}
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpcquota.Unary(quotas, options)),
		grpc.ChainStreamInterceptor(grpcquota.Stream(quotas, options)))

	server.Stop()
	// Output:
}

// appOf and userOf are what was authenticated before.
func appOf(*http.Request) uint32    { return 1400000001 }
func userOf(context.Context) string { return "alice" }

// What the README shows.
func Example() {
	conn, stop := exampleConn()
	defer stop()
	ctx := context.Background()
	var groups groupTable

	quotas := client.New(conn, client.Options{ID: "group-service"})
	decision, err := quotas.Reserve(ctx, &imquotav1.CheckQuotaRequest{
		AppId: 1400000001,
		Action: &imquotav1.CheckQuotaRequest_CreateGroup{
			CreateGroup: &imquotav1.CreateGroup{GroupId: "g1", GroupType: "work", OwnerId: "alice"},
		},
	}, func(ctx context.Context) error { return groups.Insert(ctx, "g1") })

	fmt.Println(decision.GetAllowed(), err, groups)
	// Output: true <nil> [g1]
}

// groupTable is where a group service keeps its groups.
type groupTable []string

func (t *groupTable) Insert(_ context.Context, name string) error {
	*t = append(*t, name)
	return nil
}

// exampleConn connects to a sidecar of its own, which has app 1400000001.
func exampleConn() (conn *grpc.ClientConn, stop func()) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "imquota")
	must(err)
	store, err := boltstore.Open(dir+"/example.db", boltstore.Options{})
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	g, unwatch := serve(store, time.Now, func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		return handle(ctx, in)
	})
	go func() { _ = g.Serve(listener) }()
	target := listener.Addr().String()
	conn, err = grpc.NewClient(target, append(client.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	must(err)
	_, err = imquotav1.NewAppServiceClient(conn).CreateApp(context.Background(), &imquotav1.CreateAppRequest{
		AppId: 1400000001, AccountId: "example", Import: &imquotav1.AppImport{Edition: "developer"},
	})
	must(err)
	return conn, func() {
		_ = conn.Close()
		g.Stop()
		unwatch()
		_ = store.Close()
		_ = os.RemoveAll(dir)
	}
}
