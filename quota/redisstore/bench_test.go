package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/quota/storetest"
)

// newBusyApp makes an app whose buckets hold so many fields each: of users, their
// counters and groups, and of request ids in both generations. It returns how many
// users that are.
func newBusyApp(b *testing.B, s *Store, id uint32, bits uint8, fields int) (*account.App, int) {
	b.Helper()
	app := newAppOf(b, s, id, bits)
	users := fields << bits
	form := idForm{id: storetest.UserID}
	const part = 64_000
	for from := 0; from < users; from += part {
		to := min(users, from+part)
		txns := append(userTxns(app, form, from, to), groupTxns(app, idForm{id: groupName}, from, to)...)
		txns = append(txns, counterTxns(app, "friends", form, from, to)...)
		txns = append(txns, counterTxns(app, "joined_groups", form, from, to)...)
		// Those of the generation before come first: the app's clock does not go back.
		if from == 0 {
			old := requestTxns(app, form, -users/2, 0)
			for i := range old {
				old[i].Now = monday.Add(-generation)
			}
			mustApply(b, s, old...)
		}
		txns = append(txns, requestTxns(app, form, from/2, to/2)...)
		mustApply(b, s, txns...)
	}
	return app, users
}

func groupName(n int) string { return fmt.Sprintf("there%015d", n) }

// BenchmarkBuckets reports how long the script holds Redis for each transaction, and
// what processor time Redis needs for it in all: of transactions that come alone
// and together, on buckets of several sizes.
func BenchmarkBuckets(b *testing.B) {
	for _, size := range []struct {
		bits   uint8
		fields int
	}{{11, 60}, {10, 128}, {8, 500}} {
		b.Run(fmt.Sprintf("fields=%d", size.fields), func(b *testing.B) {
			server := redistest.Standalone(b)
			s := initialized(b, "redis://"+server.Addr)
			client := server.Client()
			app, users := newBusyApp(b, s, 1, size.bits, size.fields)
			next := 0
			for _, w := range storetest.Workloads {
				for _, batch := range []int{1, 16, 64} {
					if size.fields != 60 && batch == 16 {
						continue
					}
					b.Run(fmt.Sprintf("%s/txns=%d", w.Name, batch), func(b *testing.B) {
						rounds := planned(b, app, w, next, b.N, batch, users)
						next += b.N * batch
						before := cpuMicros(b, client)
						if err := client.ConfigResetStat(context.Background()).Err(); err != nil {
							b.Fatal(err)
						}
						b.ResetTimer()
						for _, txns := range rounds {
							mustApply(b, s, txns...)
						}
						b.StopTimer()
						used, n := cpuMicros(b, client)-before, float64(b.N*batch)
						b.ReportMetric(microseconds(b, client, "evalsha")*float64(b.N)/n, "script-µs/txn")
						b.ReportMetric(used/n, "redis-µs/txn")
						b.ReportMetric(0, "ns/op")
					})
				}
			}
		})
	}
}

// planned makes rounds of transactions of a workload, from its n-th request on.
func planned(t testing.TB, app *account.App, w storetest.Workload, n, rounds, batch, users int) [][]quota.Txn {
	t.Helper()
	requests := make([]*quota.Request, 0, rounds*batch)
	for i := range rounds * batch {
		requests = append(requests, w.Request(app.ID, n+i, users))
	}
	txns := storetest.Planned(t, app, monday, requests...)
	if len(txns) != len(requests) {
		t.Fatalf("%s: %d transactions of %d requests", w.Name, len(txns), len(requests))
	}
	parts := make([][]quota.Txn, rounds)
	for i := range parts {
		parts[i] = txns[i*batch : (i+1)*batch]
	}
	return parts
}

// BenchmarkApply measures what callers at the same time wait for, and what it
// allocates in the process: transactions of 8 apps of 100,000 users, each alone or
// 32 together.
func BenchmarkApply(b *testing.B) {
	for _, w := range storetest.Workloads {
		for _, load := range []struct{ callers, batch int }{{1, 1}, {64, 1}, {8, 32}} {
			b.Run(fmt.Sprintf("%s/callers=%d/txns=%d", w.Name, load.callers, load.batch), func(b *testing.B) {
				benchmarkApply(b, w, load.callers, load.batch)
			})
		}
	}
}

func benchmarkApply(b *testing.B, w storetest.Workload, callers, batch int) {
	b.Helper()
	const users, apps = 100_000, 8
	server := redistest.Standalone(b)
	s := initialized(b, "redis://"+server.Addr)
	var rounds [][]quota.Txn
	for id := uint32(1); id <= apps; id++ {
		app := newApp(b, s, id)
		mustApply(b, s, userTxns(app, idForm{id: storetest.UserID}, 0, users)...)
		rounds = append(rounds, planned(b, app, w, 0, (b.N+apps-1)/apps, batch, users)...)
	}
	perApp := len(rounds) / apps
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(b.N); n = next.Add(1) - 1 {
				txns := rounds[int(n)%apps*perApp+int(n)/apps]
				for _, o := range s.Apply(context.Background(), txns) {
					if !o.Applied {
						b.Error(o.Err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "txns/s")
}
