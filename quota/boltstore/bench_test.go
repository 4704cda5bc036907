package boltstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// BenchmarkApply measures counted decisions that are synced to disk, with a
// request id each, as callers at the same time ask for them.
func BenchmarkApply(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, newPath(b))
			var apps [8]*account.App
			for i := range apps {
				apps[i] = found(b, s, uint32(i+1))
			}
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						if o := s.Apply(context.Background(), []quota.Txn{befriending(apps[n%int64(len(apps))], n)})[0]; !o.Applied {
							b.Error(o.Err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
	}
}

// befriending is what add_friend makes: two counters of users, among many.
func befriending(app *account.App, n int64) quota.Txn {
	txn := txnOf(app)
	txn.Request = request(uint64(n) * 0x9e3779b97f4a7c15) // hashes have no order
	name := func(i int64) string { return "user-" + strconv.FormatInt(i*7919%100_000, 10) }
	txn.Charges = []quota.Charge{{
		Counter: quota.Counter{Quota: "friends", Scope: catalog.ScopeUser}, Subjects: []string{name(n), name(n + 1)},
		Delta: 1, Limit: catalog.Unlimited(),
	}}
	return txn
}
