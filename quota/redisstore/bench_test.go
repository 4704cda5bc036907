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
						b.ReportMetric(microseconds(b, client, "fcall")*float64(b.N)/n, "script-µs/txn")
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
				s := initialized(b, "redis://"+redistest.Standalone(b).Addr)
				benchmarkApply(b, s, populated(b, s, 8, 100_000), 100_000, w, load.callers, load.batch)
			})
		}
	}
}

// BenchmarkApplyOfSize shows that it does not matter how many apps there are, and
// how many users they have: compare the results, of several runs.
func BenchmarkApplyOfSize(b *testing.B) {
	for _, size := range []struct{ apps, users int }{{1, 2}, {1, 10_000}, {1, 1_000_000}, {10_000, 10}} {
		b.Run(fmt.Sprintf("apps=%d/users=%d", size.apps, size.users), func(b *testing.B) {
			s := initialized(b, "redis://"+redistest.Standalone(b).Addr)
			apps := populated(b, s, size.apps, size.users)
			for _, load := range []struct{ callers, batch int }{{64, 1}, {8, 32}} {
				b.Run(fmt.Sprintf("callers=%d/txns=%d", load.callers, load.batch), func(b *testing.B) {
					benchmarkApply(b, s, apps, size.users, storetest.Workloads[0], load.callers, load.batch)
				})
			}
		})
	}
}

// populated creates apps with users who are active and have friends, each with the
// fan-out that such an app is given.
func populated(b *testing.B, s *Store, apps, users int) []*account.App {
	b.Helper()
	const perAccount = 500
	all := make([]*account.App, apps)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < apps; n = int(next.Add(1)) - 1 {
				app := &account.App{
					ID: uint32(n + 1), Account: fmt.Sprintf("acme%d", n/perAccount), Region: "eu", Edition: "standard",
					Created: monday, FanoutBits: account.FanoutBitsFor(int64(users)),
				}
				if err := s.CreateApp(context.Background(), app, account.Event{}, perAccount, false); err != nil {
					b.Error(err)
					return
				}
				form := idForm{id: storetest.UserID}
				for _, o := range s.Apply(context.Background(), append(userTxns(app, form, 0, users), counterTxns(app, "friends", form, 0, users)...)) {
					if !o.Applied {
						b.Error(o.Err)
						return
					}
				}
				all[n] = app
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return all
}

// benchmarkApply carries out b.N rounds of transactions of a workload, of the apps
// in turn. A workload that runs again on the same apps goes on where it was.
func benchmarkApply(b *testing.B, s *Store, apps []*account.App, users int, w storetest.Workload, callers, batch int) {
	b.Helper()
	rounds := make([][][]quota.Txn, len(apps))
	for i := range min(len(apps), b.N) {
		rounds[i] = planned(b, apps[i], w, asked, (b.N+len(apps)-1)/len(apps), batch, users)
	}
	asked += b.N * batch
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < b.N; n = int(next.Add(1)) - 1 {
				for _, o := range s.Apply(context.Background(), rounds[n%len(apps)][n/len(apps)]) {
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

// asked is how many requests benchmarkApply has made: no id comes twice.
var asked int
