package client_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// BenchmarkCheck asks a server in this process, over a Unix socket: what plan and
// state decide, and what Redis counts; by the generated stub alone, by a Client that
// does not gather, and by one that does. It tells how many checks an RPC carried.
func BenchmarkCheck(b *testing.B) {
	url := "redis://" + redistest.Standalone(b).Addr
	s := newSidecar(b, func() (backend, error) {
		store, err := redisstore.Open(context.Background(), url, redisstore.Options{})
		if err == nil {
			_, _, err = store.Init(context.Background(), false)
		}
		return store, err
	})
	_, err := s.apps.CreateApp(context.Background(), &imquotav1.CreateAppRequest{AppId: 3, AccountId: "test", Import: &imquotav1.AppImport{Edition: "premium"}})
	if err != nil {
		b.Fatal(err)
	}
	for _, action := range []struct {
		name    string
		request func() *imquotav1.CheckQuotaRequest
	}{{"feature", feature}, {"friend", friends()}, {"traffic", traffic()}} {
		for _, callers := range []int{1, 8, 64, 128} {
			for _, how := range []string{"stub", "unary", "gathered"} {
				b.Run(fmt.Sprintf("%s/%d/%s", action.name, callers, how), func(b *testing.B) {
					c := client.New(s.conn, client.Options{NoGathering: how == "unary"})
					check := func() (allowed bool, err error) {
						a, err := c.Check(context.Background(), action.request())
						return a.Allowed(), err
					}
					if how == "stub" { // what there is without this package
						quotas := imquotav1.NewQuotaServiceClient(s.conn)
						check = func() (allowed bool, err error) {
							ctx, cancel := context.WithTimeout(context.Background(), time.Second)
							defer cancel()
							out, err := quotas.CheckQuota(ctx, action.request())
							return out.GetDecision().GetAllowed(), err
						}
					}
					work := func(next func() bool) {
						for next() {
							if ok, err := check(); err != nil || !ok {
								b.Error(ok, err)
								return
							}
						}
					}
					b.ReportAllocs()
					if callers == 1 {
						work(b.Loop)
					} else {
						b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
						b.RunParallel(func(p *testing.PB) { work(p.Next) })
					}
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
					if st := c.Stats(); st.Calls+st.Batches > 0 {
						b.ReportMetric(float64(st.Calls+st.Gathered)/float64(st.Calls+st.Batches), "checks/rpc")
					}
				})
			}
		}
	}
}

// traffic asks for a friend among 19 features.
func traffic() func() *imquotav1.CheckQuotaRequest {
	var n atomic.Int64
	friend := friends()
	return func() *imquotav1.CheckQuotaRequest {
		if n.Add(1)%20 == 0 {
			return friend()
		}
		return feature()
	}
}

// friends asks for friends of users who have room for them.
func friends() func() *imquotav1.CheckQuotaRequest {
	var n atomic.Int64
	return func() *imquotav1.CheckQuotaRequest {
		i := n.Add(1)
		return &imquotav1.CheckQuotaRequest{AppId: 3, View: imquotav1.View_VIEW_BASIC, Action: &imquotav1.CheckQuotaRequest_AddFriend{
			AddFriend: &imquotav1.AddFriend{UserId: "user-" + strconv.FormatInt(i%10000, 10), FriendId: "friend-" + strconv.FormatInt(i%9973, 10)},
		}}
	}
}

// feature asks what the plan decides alone.
func feature() *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: 1, View: imquotav1.View_VIEW_BASIC, Action: &imquotav1.CheckQuotaRequest_UseFeature{
		UseFeature: &imquotav1.UseFeature{Feature: "user_status"},
	}}
}
