package client_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// BenchmarkCheck asks a server in this process, over a Unix socket: what plan and
// state decide, and what Redis counts; each check an RPC of its own, and gathered.
// It tells how many checks an RPC carried.
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
	var n atomic.Int64
	for name, request := range map[string]func() *imquotav1.CheckQuotaRequest{
		"feature": feature,
		"friend": func() *imquotav1.CheckQuotaRequest {
			i := n.Add(1)
			return &imquotav1.CheckQuotaRequest{AppId: 3, View: imquotav1.View_VIEW_BASIC, Action: &imquotav1.CheckQuotaRequest_AddFriend{
				AddFriend: &imquotav1.AddFriend{UserId: "user-" + strconv.FormatInt(i%10000, 10), FriendId: "friend-" + strconv.FormatInt(i%9973, 10)},
			}}
		},
	} {
		for _, callers := range []int{1, 2, 8, 64, 128} {
			for how, unary := range map[string]bool{"unary": true, "gathered": false} {
				b.Run(fmt.Sprintf("%s/%d/%s", name, callers, how), func(b *testing.B) {
					c := client.New(s.conn, client.Options{NoGathering: unary})
					b.ReportAllocs()
					b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
					work := func(next func() bool) {
						for next() {
							if a, err := c.Check(context.Background(), request()); err != nil || !a.Allowed() {
								b.Fatal(a, err)
							}
						}
					}
					if callers == 1 {
						work(b.Loop)
					} else {
						b.RunParallel(func(p *testing.PB) { work(p.Next) })
					}
					st := c.Stats()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
					b.ReportMetric(float64(st.Calls+st.Gathered)/float64(st.Calls+st.Batches), "checks/rpc")
				})
			}
		}
	}
}

// feature asks what the plan decides alone.
func feature() *imquotav1.CheckQuotaRequest {
	return &imquotav1.CheckQuotaRequest{AppId: 1, View: imquotav1.View_VIEW_BASIC, Action: &imquotav1.CheckQuotaRequest_UseFeature{
		UseFeature: &imquotav1.UseFeature{Feature: "user_status"},
	}}
}
