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

// BenchmarkApply measures counted decisions that are synced to disk, as callers
// at the same time ask for them: of 8 apps with 100,000 users each, none of
// whom comes twice in a row, so that no two touch the same page by chance.
func BenchmarkApply(b *testing.B) {
	for _, workload := range []struct {
		name string
		txn  func(app *account.App, n int64) quota.Txn
	}{
		{"app counter", func(app *account.App, _ int64) quota.Txn { return adding(app, "sent") }},
		{"user counter", counting},
		{"user counter and request id", remembering},
		{"two user counters and request id", befriending},
	} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", workload.name, callers), func(b *testing.B) {
				benchmarkApply(b, callers, workload.txn)
			})
		}
	}
}

func benchmarkApply(b *testing.B, callers int, txnOf func(app *account.App, n int64) quota.Txn) {
	b.Helper()
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
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				txn := txnOf(apps[n%int64(len(apps))], n)
				if o := s.Apply(context.Background(), []quota.Txn{txn})[0]; !o.Applied {
					b.Error(o.Err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}

func counting(app *account.App, n int64) quota.Txn {
	txn := adding(app, "friends")
	txn.Charges[0].Scope, txn.Charges[0].Subjects = catalog.ScopeUser, []string{benchUser(n)}
	return txn
}

func remembering(app *account.App, n int64) quota.Txn {
	txn := counting(app, n)
	txn.Request = request(uint64(n) * 0x9e3779b97f4a7c15) // hashes have no order
	return txn
}

// befriending is what add_friend makes.
func befriending(app *account.App, n int64) quota.Txn {
	txn := remembering(app, n)
	txn.Charges[0].Subjects = append(txn.Charges[0].Subjects, benchUser(n+1))
	return txn
}

func benchUser(n int64) string { return "user-" + strconv.FormatInt(n*7919%100_000, 10) }
