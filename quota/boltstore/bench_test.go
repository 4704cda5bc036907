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
	bolt "go.etcd.io/bbolt"
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
				benchmarkApply(b, open(b, newPath(b)), callers, workload.txn)
			})
		}
	}
}

// BenchmarkApplyWithFreePages measures the same in a file that is half empty,
// as it is once generations of request ids were dropped.
func BenchmarkApplyWithFreePages(b *testing.B) {
	path := newPath(b)
	s := open(b, path)
	freePages(b, s, 600_000)
	shut(b, s)
	half := read(b, path)
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("user counter/callers=%d", callers), func(b *testing.B) {
			path := newPath(b)
			write(b, path, half)
			s := open(b, path)
			benchmarkApply(b, s, callers, counting)
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

// freePages fills a store with request ids and drops them.
func freePages(t testing.TB, s *Store, ids uint64) {
	t.Helper()
	for _, change := range []func(requests *bolt.Bucket) error{
		func(requests *bolt.Bucket) error {
			b, err := requests.CreateBucket(generationKey(1, 0))
			for n := uint64(0); err == nil && n < ids; n++ {
				id := scattered(n)
				err = b.Put(id.Hash[:], id.Fingerprint[:])
			}
			return err
		},
		func(requests *bolt.Bucket) error { return requests.DeleteBucket(generationKey(1, 0)) },
	} {
		if err := s.db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket(requestsBucket)) }); err != nil {
			t.Fatal(err)
		}
	}
}

func benchmarkApply(b *testing.B, s *Store, callers int, txnOf func(app *account.App, n int64) quota.Txn) {
	b.Helper()
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
	txn.Request = scattered(uint64(n))
	return txn
}

// scattered makes request ids that have no order, as hashes have none.
func scattered(n uint64) quota.RequestKey { return request(n * 0x9e3779b97f4a7c15) }

// befriending is what add_friend makes.
func befriending(app *account.App, n int64) quota.Txn {
	txn := remembering(app, n)
	txn.Charges[0].Subjects = append(txn.Charges[0].Subjects, benchUser(n+1))
	return txn
}

func benchUser(n int64) string { return "user-" + strconv.FormatInt(n*7919%100_000, 10) }
