package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/boltstore"
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
	conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
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
