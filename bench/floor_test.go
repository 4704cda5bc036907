package bench

import (
	"context"
	"encoding/binary"
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// newEcho serves an echo and connects to it.
func newEcho(t *testing.T) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	(&Echo{}).Register(g)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answersOf keeps what came back over a connection.
type answersOf struct {
	grpc.ClientConnInterface
	asked, last proto.Message
}

func (a *answersOf) Invoke(ctx context.Context, method string, in, out any, options ...grpc.CallOption) error {
	err := a.ClientConnInterface.Invoke(ctx, method, in, out, options...)
	a.asked, a.last = in.(proto.Message), out.(proto.Message)
	return err
}

func TestEchoAnswersWhatWasPrepared(t *testing.T) {
	t.Parallel()
	conn := &answersOf{ClientConnInterface: newEcho(t)}
	one, batch := TypedCaller(conn, false), TypedCaller(conn, true)
	bare, bareBatch := BareCaller(conn, false), BareCaller(conn, true)
	mix, _ := MixOf("features")
	check, many := mix.calls(crowd(1, 10), 0, 0).draw(), mix.calls(crowd(1, 10), 0, 3).draw()
	release := &Call{Release: &imquotav1.ReleaseQuotaRequest{AppId: 7, RequestId: "a-request-of-the-test"}}
	for name, call := range map[string]func() (Outcome, error){
		"check":   func() (Outcome, error) { return one.Call(t.Context(), check) },
		"release": func() (Outcome, error) { return one.Call(t.Context(), release) },
		"batch":   func() (Outcome, error) { return batch.Call(t.Context(), many) },
		"bare":    func() (Outcome, error) { return bare.Call(t.Context(), many) },
	} {
		if _, err := call(); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%s, before anything is prepared: %v", name, err)
		}
	}
	if err := PrepareEcho(t.Context(), conn, nil); status.Code(err) != codes.InvalidArgument {
		t.Errorf("an empty sample: %v", err)
	}

	decision := &imquotav1.Decision{Allowed: true, Edition: "premium", CatalogVersion: "2023-09-19"}
	sample := []*imquotav1.BatchItem{
		{Result: &imquotav1.BatchItem_Decision{Decision: decision}},
		{Result: &imquotav1.BatchItem_Decision{Decision: decision}},
		{Result: &imquotav1.BatchItem_Decision{Decision: decision}},
	}
	if err := PrepareEcho(t.Context(), conn, sample); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		caller Caller
		call   *Call
		want   proto.Message
	}{
		"check":              {one, check, &imquotav1.CheckQuotaResponse{Decision: decision}},
		"release":            {one, release, &imquotav1.ReleaseQuotaResponse{Decision: decision}},
		"batch":              {batch, many, &imquotav1.BatchCheckQuotaResponse{Items: sample}},
		"release in batches": {batch, release, &imquotav1.ReleaseQuotaResponse{Decision: decision}},
	} {
		if _, err := tt.caller.Call(t.Context(), tt.call); err != nil || !proto.Equal(conn.last, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, conn.last, err, tt.want)
		}
	}
	// The bare way has as many bytes of each, there and back.
	for name, tt := range map[string]struct {
		caller    Caller
		call      *Call
		ask, want proto.Message
	}{
		"check":   {bare, check, check.Checks[0], &imquotav1.CheckQuotaResponse{Decision: decision}},
		"release": {bareBatch, release, release.Release, &imquotav1.CheckQuotaResponse{Decision: decision}},
		"batch":   {bareBatch, many, &imquotav1.BatchCheckQuotaRequest{Items: many.Checks}, &imquotav1.BatchCheckQuotaResponse{Items: sample}},
	} {
		_, err := tt.caller.Call(t.Context(), tt.call)
		if err != nil || proto.Size(conn.asked) != proto.Size(tt.ask) || proto.Size(conn.last) != proto.Size(tt.want) {
			t.Errorf("%s: %d bytes there and %d back, want %d and %d; %v", name, proto.Size(conn.asked), proto.Size(conn.last), proto.Size(tt.ask), proto.Size(tt.want), err)
		}
	}
	used, err := EchoCPU(t.Context(), conn)
	if err != nil || used <= 0 || used > time.Hour {
		t.Errorf("it has used %v, %v", used, err)
	}
}

func friend(a, b string) *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: 7, Action: &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: a, FriendId: b}}}
}

func unfriend(a, b string) *imquotav1.ReleaseQuotaRequest {
	return &imquotav1.ReleaseQuotaRequest{AppId: 7, Release: &imquotav1.ReleaseQuotaRequest_RemoveFriend{RemoveFriend: &imquotav1.RemoveFriend{UserId: a, FriendId: b}}}
}

// TestRedisFloor: each check raises two counters, and what was raised goes with the
// prefix, and nothing else.
func TestRedisFloor(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	admin := server.Client()
	floor, err := OpenRedis("redis://"+server.Addr+"?pool_size=3&wait=1", "bench-test", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = floor.Close() })
	if err := floor.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if id, err := floor.ProcessID(t.Context()); err != nil || id <= 0 {
		t.Errorf("process %d, %v", id, err)
	}
	if err := admin.Set(t.Context(), "bench-test", "other", 0).Err(); err != nil {
		t.Fatal(err)
	}
	counters := func() (n, sum int) {
		t.Helper()
		for _, key := range admin.Keys(t.Context(), "bench-test:*").Val() {
			for _, text := range admin.HVals(t.Context(), key).Val() {
				n++
				sum += len(text) * int(text[0]-'0') // all are of one digit
			}
		}
		return n, sum
	}
	before, err := floor.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	caller := floor.Caller()
	calls := []*Call{
		{Checks: []*imquotav1.CheckQuotaRequest{friend("a", "b")}},
		{Checks: []*imquotav1.CheckQuotaRequest{friend("a", "c"), friend("c", "d"), friend("d", "a")}},
		{Release: unfriend("a", "b")},
	}
	for _, c := range calls {
		if out, err := caller.Call(t.Context(), c); err != nil || out != (Outcome{}) {
			t.Fatal(out, err)
		}
	}
	after, err := floor.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Reads - before.Reads - 1; got != 3 {
		t.Errorf("%d round trips for 3 calls", got)
	}
	if after.CPU <= before.CPU {
		t.Errorf("processor time %v, then %v", before.CPU, after.CPU)
	}
	if n, sum := counters(); n != 4 || sum != 10 {
		t.Errorf("%d counters that add up to %d, want 4 and 10", n, sum)
	}
	for _, m := range Mixes {
		next := m.calls(crowd(2, 20), 0, 4)
		for range 100 {
			if _, err := caller.Call(t.Context(), next.draw()); err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
		}
	}
	if err := floor.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := admin.Keys(t.Context(), "*").Val(); len(left) != 1 || left[0] != "bench-test" {
		t.Errorf("what is left: %v", left)
	}
}

// TestBoltFloor: each check raises two counters, which last.
func TestBoltFloor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "floor.db")
	floor, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	const callers = 3
	caller := floor.Caller(callers)
	var calling sync.WaitGroup
	for i := range callers {
		calling.Go(func() {
			for _, c := range []*Call{
				{Checks: []*imquotav1.CheckQuotaRequest{friend("a", "b"), friend("a", strconv.Itoa(i))}},
				{Release: unfriend("a", "b")},
			} {
				if out, err := caller.Call(t.Context(), c); err != nil || out != (Outcome{}) {
					t.Errorf("%+v, %v", out, err)
				}
			}
		})
	}
	calling.Wait()
	if err := floor.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	got := make(map[string]uint64)
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(boltCounters).ForEach(func(key, value []byte) error {
			got[string(key)] = binary.BigEndian.Uint64(value)
			return nil
		})
	})
	if want := map[string]uint64{"7:a": 9, "7:b": 6, "7:0": 1, "7:1": 1, "7:2": 1}; err != nil || !maps.Equal(got, want) {
		t.Errorf("counters %v, %v, want %v", got, err, want)
	}
	if _, err := OpenBolt(filepath.Join(path, "none")); err == nil {
		t.Error("a file below a file was made")
	}
}

func TestRedisThatIsNone(t *testing.T) {
	t.Parallel()
	if _, err := OpenRedis("http://127.0.0.1", "x", 1); err == nil || !strings.Contains(err.Error(), "scheme") {
		t.Errorf("%v", err)
	}
}
