package boltstore

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// sweepOnce sweeps a piece.
func sweepOnce(t testing.TB, s *Store, app *account.App, from int64, limit int) quota.Swept {
	t.Helper()
	swept, err := s.Sweep(t.Context(), quota.Sweep{App: app.ID, Version: app.Version, From: from, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return swept
}

// swept sweeps an app to the end and returns how many keys went.
func swept(t testing.TB, s *Store, app *account.App, limit int) (removed int) {
	t.Helper()
	for from := int64(0); ; {
		part := sweepOnce(t, s, app, from, limit)
		removed += int(part.Removed)
		if from = part.Next; from == 0 {
			return removed
		}
	}
}

// keysFor counts the keys of an app that a sweep looks at, buckets among them.
func keysFor(t testing.TB, s *Store, app uint32) (n int) {
	t.Helper()
	if err := s.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{usersBucket, groupsBucket, countersBucket, requestsBucket, windowsBucket} {
			b := tx.Bucket(name)
			for _, k := range keysOf(b, appKey(app), 1<<30, all) {
				if n++; b.Bucket(k) != nil {
					n += len(keysOf(b.Bucket(k), nil, 1<<30, all))
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// crowd gives an app some thousand keys of each kind, in three months, days and
// generations.
func crowd(t testing.TB, s *Store, app uint32) {
	t.Helper()
	const n = 1500
	if err := s.db.Update(func(tx *bolt.Tx) error {
		put := func(b *bolt.Bucket, key func(i int) []byte) {
			for i := range n {
				if err := b.Put(key(i), encodeCount(7)); err != nil {
					t.Fatal(err)
				}
			}
		}
		inner := func(name, key []byte) *bolt.Bucket {
			b, err := tx.Bucket(name).CreateBucket(key)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		id := func(i int) []byte { return idKeyOf(app, bulkyUser(i)) }
		put(tx.Bucket(usersBucket), id)
		put(tx.Bucket(groupsBucket), id)
		count := func(i int) []byte { return counterKey(app, fmt.Sprint("q", i%3), bulkyUser(i)) }
		put(tx.Bucket(countersBucket), count)
		for k := range 3 {
			put(inner(requestsBucket, generationKey(app, int64(k))), func(i int) []byte {
				id := scattered(uint64(i))
				return bytes.Clone(id.Hash[:])
			})
			put(inner(windowsBucket, windowKey(app, catalog.WindowAt(catalog.KindDay, noon.AddDate(0, 0, k), time.UTC))), count)
			put(inner(windowsBucket, goneKey(app, int32(20_000+k))), func(i int) []byte { return []byte(bulkyUser(i)) })
			month := inner(windowsBucket, windowKey(app, catalog.WindowAt(catalog.KindMonth, noon.AddDate(0, k, 0), time.UTC)))
			put(month, count)
			if k == 2 {
				continue // nothing of this month stays
			}
			for q := range 3 {
				if err := month.Put(counterKey(app, fmt.Sprint("q", q), ""), encodeCount(9)); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestSweepIsBounded: no step removes more than it may, or less while there is
// something; what is left are the monthly totals, and others' keys.
func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{997, 1000, 100_000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			const months, totals = 2, 3
			path := newPath(t)
			s := open(t, path)
			app, before, behind := found(t, s, 2), found(t, s, 1), found(t, s, 3)
			for _, a := range []*account.App{app, before, behind} {
				crowd(t, s, a.ID)
			}
			all := keysFor(t, s, app.ID)
			left := all
			for from := int64(0); ; {
				part := sweepOnce(t, s, app, from, limit)
				now := keysFor(t, s, app.ID)
				same(t, "removed", left-now, int(part.Removed))
				left = now
				if part.Removed > int64(limit) {
					t.Errorf("%d keys went in one step", part.Removed)
				}
				if part.Next == 0 {
					break
				}
				same(t, "next", from+part.Removed, part.Next)
				same(t, "removed while there is more", int64(limit), part.Removed)
				from = part.Next
			}
			same(t, "left", months*(1+totals), left)
			same(t, "of others", []int{all, all}, []int{keysFor(t, s, before.ID), keysFor(t, s, behind.ID)})
			sound(t, s)
			shut(t, s)
			if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
				t.Fatal(err)
			}
			s = open(t, path)
			same(t, "left in a compacted file", left, keysFor(t, s, app.ID))
		})
	}
}

// TestSweepWithoutLimit: a limit that is none still ends.
func TestSweepWithoutLimit(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	first := sweepOnce(t, s, app, 0, 0)
	same(t, "first", quota.Swept{Next: 1, Removed: 1}, first)
	same(t, "second", quota.Swept{}, sweepOnce(t, s, app, first.Next, 0))
}

// TestSweepIsRefused: with a version that is not the app's, and of an app that
// is not there.
func TestSweepIsRefused(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	stale := *app
	change(t, s, app, "DisableApp")
	for what, app := range map[string]*account.App{"an older version": &stale, "no app": {ID: 7, Version: app.Version}} {
		swept, err := s.Sweep(t.Context(), quota.Sweep{App: app.ID, Version: app.Version, Limit: 10})
		if err != quota.ErrStale || swept != (quota.Swept{}) { //nolint:errorlint // it is never wrapped
			t.Errorf("%s: %+v, %v", what, swept, err)
		}
	}
	same(t, "counter", int64(1), used(t, s, app, "sent"))
}

// TestSweepIsCountedOnce: one that shares its step with a call that is refused
// is carried out twice, and the first time undone.
func TestSweepIsCountedOnce(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	for n := range 10 {
		applyOne(t, s, adding(app, fmt.Sprint(n)))
	}
	tooLong := adding(app, "long")
	tooLong.Charges[0].Subjects = []string{string(make([]byte, bolt.MaxKeySize))}
	release := block(t, s)
	done := make(chan quota.Swept, 1)
	go func() {
		swept, err := s.Sweep(t.Context(), quota.Sweep{App: app.ID, Version: app.Version, Limit: 4})
		if err != nil {
			t.Error(err)
		}
		done <- swept
	}()
	queued(s, 1)
	refused := start(t.Context(), s, tooLong)
	queued(s, 2)
	release()
	same(t, "refused", account.StoreUnavailable, fault((<-refused)[0].Err))
	same(t, "swept", quota.Swept{Next: 4, Removed: 4}, <-done)
	same(t, "left", 6, keysFor(t, s, app.ID))
}

// TestSweptCountsBeginAtZero: what is counted afterwards is the same as in a new
// app, and can be swept again.
func TestSweptCountsBeginAtZero(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	month := countedOnce(t, s, app)
	removed := swept(t, s, app, 3)
	countedOnce(t, s, app) // it would fail for a group or a request that is known
	same(t, "month", int64(2), monthly(t, s, app, month))
	same(t, "counter", int64(1), used(t, s, app, "sent"))
	same(t, "removed again", removed, swept(t, s, app, 3))
}
