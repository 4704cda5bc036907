package server_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/server"
	"github.com/redis/go-redis/v9"
)

// floodOf is how many distinct apps and users a flood names: so many that what is
// kept of each would be seen, and IMQUOTA_FLOOD times as many where that is set.
func floodOf(t *testing.T) int {
	t.Helper()
	const few = 30_000
	text := os.Getenv("IMQUOTA_FLOOD")
	if text == "" {
		return few
	}
	times, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("IMQUOTA_FLOOD: %v", err)
	}
	return few * times
}

// inUse is what is reachable.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one had finalized
	m := runtime.MemStats{}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// flood asks for n distinct apps or users, by full batches and, for some of them,
// by all other calls that name one.
func (s *sidecar) flood(n int, item func(i int) *imquotav1.CheckQuotaRequest, other func(i int)) {
	s.t.Helper()
	const callers, batch = 4, 256
	var next atomic.Int64
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for {
				first := int(next.Add(batch)) - batch
				if first >= n {
					return
				}
				in := &imquotav1.BatchCheckQuotaRequest{}
				for i := range batch {
					in.Items = append(in.Items, item(first+i))
				}
				out, err := s.BatchCheckQuota(context.Background(), in)
				if err != nil {
					s.t.Error(err)
					return
				}
				for _, o := range out.GetItems() {
					if o.GetDecision() == nil {
						s.t.Errorf("no decision: %v", o)
						return
					}
				}
				other(first)
			}
		})
	}
	running.Wait()
}

// TestFloods: a flood of distinct unknown apps, and of distinct users, request
// ids and callers of an app that is known, leaves nothing in the process; nor in
// the store, as long as nothing is counted. It is alone while it measures.
func TestFloods(t *testing.T) { //nolint:paralleltest,nolintlint // memory is the process's
	n := floodOf(t)
	t.Run("bolt", func(t *testing.T) {
		path := t.TempDir() + "/test.db"
		store, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		testFloods(t, store, n, func() string {
			file, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(file.Size(), " bytes, written ", file.ModTime())
		})
	})
	t.Run("redis", func(t *testing.T) {
		address := redistest.Standalone(t).Addr
		look := redis.NewClient(&redis.Options{Addr: address})
		t.Cleanup(func() { _ = look.Close() })
		testFloods(t, openRedis(t, address), n, func() string {
			keys, err := look.DBSize(context.Background()).Result()
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(keys, " keys")
		})
	})
}

func testFloods(t *testing.T, b backend, n int, stored func() string) {
	const most = 2 << 20 // a number and a pointer to each that is named are more
	s, _ := admitting(t, b, server.Limits{InFlight: 100, InFlightPerConnection: 100, LongestArrival: time.Minute, LongestCall: time.Minute})
	s.app(1, "premium")
	client := func(i int) *imquotav1.Client { return &imquotav1.Client{Id: "c" + strconv.Itoa(i)} }
	modes := []imquotav1.Mode{imquotav1.Mode_MODE_CHECK_ONLY, imquotav1.Mode_MODE_CONSUME, imquotav1.Mode_MODE_ADJUST}
	for name, f := range map[string]struct {
		item  func(i int) *imquotav1.CheckQuotaRequest
		other func(i int)
	}{
		"unknown apps": {
			item: func(i int) *imquotav1.CheckQuotaRequest {
				r := login(uint32(2+i), "alice")
				r.RequestId, r.Client, r.Mode = "r"+strconv.Itoa(i), client(i), modes[i%len(modes)]
				return r
			},
			other: func(i int) {
				app, ctx := uint32(2+i), context.Background()
				_, _ = s.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: app, UserId: "alice", HistoryMonths: 13})
				_, _ = s.GetEntitlements(ctx, &imquotav1.GetEntitlementsRequest{AppId: app})
				_, _ = s.ReportOnline(ctx, &imquotav1.ReportOnlineRequest{AppId: app, GatewayId: "g", OnlineUsers: 1})
				_, _ = s.CommitReservation(ctx, &imquotav1.CommitReservationRequest{AppId: app, ReservationId: "x"})
				_, _ = s.CheckQuota(ctx, check(app, &imquotav1.UseFeature{Feature: "f" + strconv.Itoa(i)}))
				r := dissolve(app, "g")
				r.RequestId = "r"
				_, _ = s.ReleaseQuota(ctx, r)
			},
		},
		"users": {
			item: func(i int) *imquotav1.CheckQuotaRequest {
				r := login(1, "u"+strconv.Itoa(i))
				if i%2 == 1 {
					r = addFriend(1, "u"+strconv.Itoa(i), "alice")
				}
				r.RequestId, r.Client, r.Mode = "r"+strconv.Itoa(i), client(i), imquotav1.Mode_MODE_CHECK_ONLY
				return r
			},
			other: func(i int) {
				_, _ = s.GetUsage(context.Background(), &imquotav1.GetUsageRequest{AppId: 1, UserId: "u" + strconv.Itoa(i), GroupId: "g" + strconv.Itoa(i)})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := *s
			s.t = t
			had := stored()
			s.flood(4*256, f.item, f.other) // what is there once is there by now
			before := inUse()
			s.flood(n, f.item, f.other)
			grown, has := inUse()-before, stored()
			t.Logf("%d of them: the heap grew by %d KiB; the store has %s", n, grown>>10, has)
			if grown > most {
				t.Errorf("the heap grew by %d bytes", grown)
			}
			if has != had {
				t.Errorf("the store has %s, and had %s", has, had)
			}
		})
	}
}
