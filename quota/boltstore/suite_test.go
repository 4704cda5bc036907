package boltstore

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/storetest"
	bolt "go.etcd.io/bbolt"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	runSuite(t, func(t testing.TB) *Store {
		t.Helper()
		return open(t, filepath.Join(t.TempDir(), "suite.db"))
	})
}

// runSuite runs the suite with stores that it closes itself.
func runSuite(t *testing.T, open func(t testing.TB) *Store) {
	t.Helper()
	storetest.Run(t, storetest.Harness{
		Open: func(t testing.TB) storetest.Driver {
			t.Helper()
			s := open(t)
			t.Cleanup(func() { shut(t, s) })
			return s
		},
		Damage: damage,
		Lose: func(t testing.TB, d storetest.Driver, app *account.App) {
			t.Helper()
			rewrite(t, d, func(tx *bolt.Tx) error { return tx.Bucket(appsBucket).Delete(appKey(app.ID)) })
		},
	})
}

// damage overwrites a value with bytes that are none.
func damage(t testing.TB, d storetest.Driver, app *account.App, v storetest.Value) {
	t.Helper()
	rewrite(t, d, func(tx *bolt.Tx) error {
		bucket, key := tx.Bucket(countersBucket), counterKey(app.ID, v.Counter.Quota, v.Subject)
		switch {
		case v.User != "":
			bucket, key = tx.Bucket(usersBucket), idKeyOf(app.ID, v.User)
		case v.GroupID != "":
			bucket, key = tx.Bucket(groupsBucket), idKeyOf(app.ID, v.GroupID)
		case v.Gateway != "":
			bucket, key = tx.Bucket(onlineBucket), appKey(app.ID)
		case !v.Counter.Window.IsStock():
			bucket = tx.Bucket(windowsBucket).Bucket(windowKey(app.ID, v.Counter.Window))
		}
		if bucket.Get(key) == nil {
			return errors.New("there is nothing to damage")
		}
		return bucket.Put(key, []byte{0xff, 0xff})
	})
}

func rewrite(t testing.TB, d storetest.Driver, change func(*bolt.Tx) error) {
	t.Helper()
	if err := d.(*Store).submit(context.Background(), change); err != nil {
		t.Fatal(err)
	}
}

// FuzzTransactions compares the store with the suite's model.
func FuzzTransactions(f *testing.F) {
	s := open(f, newPath(f))
	s.db.NoSync = true
	storetest.FuzzTransactions(f, s)
}
