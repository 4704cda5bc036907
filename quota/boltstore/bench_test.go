package boltstore

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
	bolt "go.etcd.io/bbolt"
)

// BenchmarkApply measures what is synced to disk, as callers at the same time ask
// for it: transactions of 8 apps of 100,000 users, each alone or 32 together. No
// two in a row are of one page by chance.
func BenchmarkApply(b *testing.B) {
	for _, w := range storetest.Workloads {
		for _, load := range []struct{ callers, batch int }{{1, 1}, {64, 1}, {256, 1}, {8, 32}} {
			b.Run(fmt.Sprintf("%s/callers=%d/txns=%d", w.Name, load.callers, load.batch), func(b *testing.B) {
				s := open(b, newPath(b))
				var apps []*account.App
				for id := range uint32(8) {
					apps = append(apps, grownApp(b, s, id+1, 100_000))
				}
				benchmarkApply(b, s, apps, 100_000, w, load.callers, load.batch)
			})
		}
	}
}

// BenchmarkApplyOfSize shows that an app's size does not matter much: compare the
// results.
func BenchmarkApplyOfSize(b *testing.B) {
	for _, users := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) {
			s := open(b, newPath(b))
			apps := []*account.App{grownApp(b, s, 1, users)}
			for _, w := range storetest.Workloads {
				b.Run(w.Name, func(b *testing.B) { benchmarkApply(b, s, apps, users, w, 64, 1) })
			}
		})
	}
}

// grownApp creates an app with users who are active and have friends and groups.
func grownApp(b *testing.B, s *Store, id uint32, users int) *account.App {
	b.Helper()
	app := found(b, s, id)
	var txns []quota.Txn
	for from := 0; from < users; from += 1000 {
		txn := txnOf(app)
		txn.Users = quota.UserStep{Op: quota.UsersLogin, Month: catalog.Month(noon, catalog.Default().Zone())}
		for n := from; n < min(users, from+1000); n++ {
			txn.Users.IDs = append(txn.Users.IDs, storetest.UserID(n))
		}
		for _, key := range []string{catalog.Friends, catalog.JoinedGroups} {
			txn.Charges = append(txn.Charges, quota.Charge{
				Counter: quota.Counter{Quota: key, Scope: catalog.ScopeUser}, Subjects: txn.Users.IDs, Delta: 150, Limit: catalog.Unlimited(),
			})
		}
		txns = append(txns, txn)
	}
	for part := range slices.Chunk(txns, 5) {
		for _, o := range s.Apply(context.Background(), part) {
			if o.Err != nil {
				b.Fatal(o.Err)
			}
		}
	}
	return app
}

// BenchmarkApplyWithFreePages measures the same in a file that is half empty,
// as it is once generations of request ids were dropped.
func BenchmarkApplyWithFreePages(b *testing.B) {
	path := newPath(b)
	s := open(b, path)
	apps := []*account.App{grownApp(b, s, 1, 100_000)}
	freePages(b, s, 600_000)
	shut(b, s)
	half := read(b, path)
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			path := newPath(b)
			write(b, path, half)
			s := open(b, path)
			benchmarkApply(b, s, apps, 100_000, storetest.Workloads[0], callers, 1)
			b.ReportMetric(float64(s.db.Stats().FreePageN), "free-pages")
		})
	}
}

// BenchmarkOpen opens a store of a million users, whose pages are all visited.
func BenchmarkOpen(b *testing.B) {
	path := newPath(b)
	s := open(b, path)
	const users, step = 1_000_000, 100_000
	for from := 0; from < users; from += step {
		if err := s.db.Update(func(tx *bolt.Tx) error {
			var err error
			for n := from; err == nil && n < from+step; n++ {
				err = tx.Bucket(usersBucket).Put(idKeyOf(1, fmt.Sprintf("user-%020d", n)), encodeUser(user{month: 7}))
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	shut(b, s)
	size := int64(len(read(b, path)))
	b.ReportAllocs()
	for b.Loop() {
		shut(b, open(b, path))
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/float64(size>>20), "ms/MiB")
}

// BenchmarkReadRequests reads the request ids of a busy app's generation, which an
// app waits for that is asked first after a start: a million, of 10 minutes at 1,700
// a second.
func BenchmarkReadRequests(b *testing.B) {
	const ids = 1_000_000
	s := open(b, newPath(b))
	name := putRequests(b, s, ids)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var table *requestTable
	for b.Loop() {
		if err := s.db.View(func(tx *bolt.Tx) error {
			var err error
			table, err = newRequestIndex().table(inPlace(tx), name)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(table.ids) != ids {
		b.Fatalf("%d ids", len(table.ids))
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/ids, "bytes/id")
}

// freePages fills a store with request ids and drops them.
func freePages(t testing.TB, s *Store, ids uint64) {
	t.Helper()
	name := putRequests(t, s, ids)
	if err := s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(requestsBucket).DeleteBucket(generationKey(name.app, name.generation))
	}); err != nil {
		t.Fatal(err)
	}
}

// putRequests fills a generation of an app with request ids.
func putRequests(t testing.TB, s *Store, ids uint64) requestsName {
	t.Helper()
	name, index := requestsName{app: 1}, newRequestIndex()
	const step = 10_000
	for from := uint64(0); from < ids; from += step {
		if err := s.db.Update(func(tx *bolt.Tx) error {
			key := generationKey(name.app, name.generation)
			_, err := tx.Bucket(requestsBucket).CreateBucketIfNotExists(key)
			for n := from; err == nil && n < min(ids, from+step); n++ {
				id := scattered(n)
				err = index.put(inPlace(tx).requests(key), name, &id)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// benchmarkApply carries out b.N rounds of transactions of a workload. Those of a
// benchmark that is run again are the next ones.
func benchmarkApply(b *testing.B, s *Store, apps []*account.App, users int, w storetest.Workload, callers, batch int) {
	b.Helper()
	first := int(s.committed.Load()) * 10_000 // nobody has been there yet
	rounds := make([][][]quota.Txn, len(apps))
	for i, app := range apps {
		n := (b.N + len(apps) - 1) / len(apps)
		requests := make([]*quota.Request, n*batch)
		for k := range requests {
			requests[k] = w.Request(app.ID, first+k, users)
		}
		rounds[i] = slices.Collect(slices.Chunk(storetest.Planned(b, app, noon, requests...), batch))
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	commits := s.committed.Load()
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
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "decisions/s")
	if n := s.committed.Load() - commits; n > 0 {
		b.ReportMetric(float64(b.N*batch)/float64(n), "decisions/commit")
	}
}

// scattered makes request ids that have no order, as hashes have none.
func scattered(n uint64) quota.RequestKey { return request(n * 0x9e3779b97f4a7c15) }
