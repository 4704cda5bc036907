package boltstore

import (
	"bytes"
	"context"
	"math"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// Sweep implements quota.Store. It removes all that the app counted, whichever
// counters the caller knows of.
func (s *Store) Sweep(ctx context.Context, w quota.Sweep) (quota.Swept, error) {
	var b *broom
	err := s.submit(ctx, func(tx *bolt.Tx) error {
		if err := maySweep(tx, w); err != nil {
			return answer{err}
		}
		s.requests.forgetApp(w.App)
		b = &broom{app: w.App, limit: max(w.Limit, 1)}
		return b.sweep(tx)
	})
	if err != nil {
		return quota.Swept{}, err
	}
	swept := quota.Swept{Removed: int64(b.removed)}
	if b.left() == 0 { // there may be more
		swept.Next = w.From + swept.Removed
	}
	return swept, nil
}

// maySweep refuses to sweep an app whose record is another than the caller's.
func maySweep(tx *bolt.Tx, w quota.Sweep) error {
	if w.Version != (account.Version{}) {
		_, err := headerOf(tx.Bucket(appsBucket).Get(appKey(w.App)), w.App, w.Version)
		return err
	}
	if tx.Bucket(appsBucket).Get(appKey(w.App)) != nil {
		return quota.ErrStale
	}
	return nil
}

// broom removes keys of an app, up to a limit.
type broom struct {
	app            uint32
	limit, removed int
}

func (b *broom) left() int { return b.limit - b.removed }

func (b *broom) sweep(tx *bolt.Tx) error {
	for _, name := range [][]byte{usersBucket, groupsBucket, countersBucket} {
		if err := b.keys(tx.Bucket(name), appKey(b.app), all); err != nil {
			return err
		}
	}
	if err := b.sweepOnline(tx); err != nil {
		return err
	}
	if held := tx.Bucket(holdsBucket); held != nil {
		if err := b.buckets(held); err != nil {
			return err
		}
	}
	if err := b.buckets(tx.Bucket(requestsBucket)); err != nil {
		return err
	}
	return b.buckets(tx.Bucket(windowsBucket))
}

// buckets removes what goes of the app's buckets in a bucket, and those that
// are empty then. To drop one as a whole would take as long as it has pages,
// and all others would wait for that.
func (b *broom) buckets(in *bolt.Bucket) error {
	for _, name := range keysOf(in, appKey(b.app), math.MaxInt, all) {
		goes := all
		if isMonth(name) {
			goes = isOfSubject
		}
		inner := in.Bucket(name)
		if err := b.keys(inner, nil, goes); err != nil {
			return err
		}
		if k, _ := inner.Cursor().First(); k != nil || b.left() == 0 {
			continue
		}
		if err := in.DeleteBucket(name); err != nil {
			return err
		}
		b.removed++
	}
	return nil
}

// keys removes keys that begin so and go. Those that stay are few, so it does
// not matter that they are looked at again every time.
func (b *broom) keys(in *bolt.Bucket, prefix []byte, goes func(k []byte) bool) error {
	for _, k := range keysOf(in, prefix, b.left(), goes) {
		if err := in.Delete(k); err != nil {
			return err
		}
		b.removed++
	}
	return nil
}

// keysOf lists keys of a bucket that begin so, up to a limit. They outlive
// changes of the bucket.
func keysOf(b *bolt.Bucket, prefix []byte, limit int, belongs func(k []byte) bool) (keys [][]byte) {
	c := b.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix) && len(keys) < limit; k, _ = c.Next() {
		if belongs(k) {
			keys = append(keys, bytes.Clone(k))
		}
	}
	return keys
}

func all([]byte) bool { return true }
