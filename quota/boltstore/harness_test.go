package boltstore

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// noon is when the tests take place.
var noon = time.UnixMilli(1_750_000_200_000)

// impatient does not wait for a lock that will not be let go of.
var impatient = Options{LockWait: time.Millisecond}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "quota.db") }

// open opens a store and closes it when the test ends, if it is not closed by
// then.
func open(t testing.TB, path string) *Store {
	t.Helper()
	return openShort(t, path, journalChanges)
}

// openShort is open with a journal that holds no more changes than this.
func openShort(t testing.TB, path string, limit int) *Store {
	t.Helper()
	s, err := Open(path, Options{journal: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// shut closes a store whose file the test goes on with.
func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// found creates an app.
func found(t testing.TB, s *Store, id uint32) *account.App {
	t.Helper()
	app := &account.App{ID: id, Account: "acme", Edition: "standard", Created: noon.UTC()}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 1000, false); err != nil {
		t.Fatal(err)
	}
	return app
}

// txnOf begins a transaction that consumes.
func txnOf(app *account.App) quota.Txn {
	return quota.Txn{App: app.ID, Version: app.Version, Now: noon, Mode: quota.ModeConsume}
}

// adding is a transaction that adds one to a counter of the app.
func adding(app *account.App, name string) quota.Txn {
	txn := txnOf(app)
	txn.Charges = []quota.Charge{{Counter: quota.Counter{Quota: name}, Delta: 1, Limit: catalog.Unlimited()}}
	return txn
}

// judging is the same, but reads only.
func judging(app *account.App, name string) quota.Txn {
	txn := adding(app, name)
	txn.Mode = quota.ModeJudge
	return txn
}

// request makes a request id of a number.
func request(n uint64) quota.RequestKey {
	k := quota.RequestKey{Fingerprint: [8]byte{1}}
	binary.BigEndian.PutUint64(k.Hash[:], n)
	return k
}

// applyOne applies a transaction that must not fail.
func applyOne(t testing.TB, s *Store, txn quota.Txn) quota.Outcome {
	t.Helper()
	o := s.Apply(context.Background(), []quota.Txn{txn})[0]
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	return o
}

// used reads a counter of the app.
func used(t testing.TB, s *Store, app *account.App, name string) int64 {
	t.Helper()
	return applyOne(t, s, judging(app, name)).Charges[0].Used[0]
}

func same(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// plant changes a store's file behind its back.
func plant(t testing.TB, path string, change func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(change); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// settle carries the journal out, for a test that looks at the file itself or
// changes it.
func settle(t testing.TB, s *Store) {
	t.Helper()
	if err := s.submit(context.Background(), func(*bolt.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
}
