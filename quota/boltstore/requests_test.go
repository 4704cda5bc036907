package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// asking is a transaction of an app with the n-th request id.
func asking(app *account.App, n uint64) quota.Txn {
	txn := adding(app, "sent")
	txn.Request = request(n)
	return txn
}

// wantReplayed asks again for requests, which must have been made or not.
func wantReplayed(t *testing.T, s *Store, app *account.App, want bool, ns ...uint64) {
	t.Helper()
	for _, n := range ns {
		txn := asking(app, n)
		txn.Mode = quota.ModeJudge
		if o := applyOne(t, s, txn); o.Replayed != want {
			t.Errorf("request %d: replayed %v, want %v", n, o.Replayed, want)
		}
	}
}

// requestKeys lists the keys that an app's requests of a generation lie under.
func requestKeys(t *testing.T, s *Store, app *account.App) (keys [][]byte) {
	t.Helper()
	settle(t, s)
	if err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(requestsBucket).Bucket(generationKey(app.ID, generationOf(noon))).ForEach(func(k, _ []byte) error {
			keys = append(keys, bytes.Clone(k))
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestRequestsLieInTheirOrder: whatever their hashes, each lies behind the one
// before it, also in a file that was opened anew, or compacted.
func TestRequestsLieInTheirOrder(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	var want [][]byte
	for n := range uint64(6) {
		if n%2 == 0 && n > 0 {
			shut(t, s)
			if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
				t.Fatal(err)
			}
			s = open(t, path)
		}
		txn := asking(app, 0)
		txn.Request = scattered(n)
		applyOne(t, s, txn)
		want = append(want, binary.BigEndian.AppendUint64(nil, n))
		same(t, "keys", want, requestKeys(t, s, app))
	}
	for n := range uint64(6) {
		txn := asking(app, 0)
		txn.Request = scattered(n)
		if o := applyOne(t, s, txn); !o.Replayed {
			t.Errorf("request %d is forgotten", n)
		}
	}
}

// TestRequestsOfAnEarlierFile: there they lie under their hashes. They are found,
// and others come beside them.
func TestRequestsOfAnEarlierFile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	shut(t, s)
	plant(t, path, func(tx *bolt.Tx) error {
		b, err := tx.Bucket(requestsBucket).CreateBucket(generationKey(app.ID, generationOf(noon)))
		for n := uint64(1); err == nil && n <= 3; n++ {
			k := request(n)
			err = b.Put(k.Hash[:], k.Fingerprint[:])
		}
		return err
	})
	for range 2 {
		s = open(t, path)
		wantReplayed(t, s, app, true, 1, 2, 3)
		other := asking(app, 1)
		other.Request.Fingerprint[0]++
		if o := s.Apply(t.Context(), []quota.Txn{other})[0]; !errors.Is(o.Err, quota.ErrRequestReused) {
			t.Errorf("another request of the same id: %v", o.Err)
		}
		applyOne(t, s, asking(app, 4))
		wantReplayed(t, s, app, true, 1, 2, 3, 4)
		wantReplayed(t, s, app, false, 5)
		shut(t, s)
	}
}

// TestUndoneRequestIsNotRemembered: neither in the file nor in memory, whether the
// transaction was refused or could not be committed.
func TestUndoneRequestIsNotRemembered(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, asking(app, 1))
	release := block(t, s)
	failures := 0
	s.update = func(do func(*bolt.Tx) error) error {
		if failures++; failures > 2 {
			return s.transact(do)
		}
		return s.transact(func(tx *bolt.Tx) error {
			if err := do(tx); err != nil {
				return err
			}
			return errors.New("file resize error: " + syscall.ENOSPC.Error())
		})
	}
	release()
	for range 2 {
		o := s.Apply(t.Context(), []quota.Txn{asking(app, 2)})[0]
		same(t, "reason", account.StoreUnavailable, fault(o.Err))
	}
	wantReplayed(t, s, app, true, 1)
	wantReplayed(t, s, app, false, 2)
	if o := applyOne(t, s, asking(app, 2)); !o.Applied {
		t.Errorf("repeated, it did not apply: %+v", o)
	}
	same(t, "counter", int64(2), used(t, s, app, "sent"))
}

// TestSweptRequests: an app that takes a swept one's id is not answered by what
// that one asked. A sweep that comes to nothing leaves them.
func TestSweptRequests(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	for n := range uint64(10) {
		applyOne(t, s, asking(app, n))
	}
	release := block(t, s)
	s.update = func(do func(*bolt.Tx) error) error {
		s.update = s.transact
		return s.transact(func(tx *bolt.Tx) error {
			if err := do(tx); err != nil {
				return err
			}
			// Another call of the same transaction reads what the sweep left.
			again := asking(app, 7)
			var o quota.Outcome
			if _, err := s.apply(inPlace(tx), &again, &o); err != nil || o.Replayed {
				t.Errorf("after the sweep: %+v, %v", o, err)
			}
			return errors.New("file resize error: " + syscall.ENOSPC.Error())
		})
	}
	release()
	_, err := s.Sweep(t.Context(), quota.Sweep{App: app.ID, Version: app.Version, Limit: 1000})
	same(t, "reason", account.StoreUnavailable, fault(err))
	wantReplayed(t, s, app, true, 0, 7, 9)
	swept(t, s, app, 1000)
	wantReplayed(t, s, app, false, 0, 7, 9)
	if o := applyOne(t, s, asking(app, 7)); !o.Applied {
		t.Errorf("after the sweep: %+v", o)
	}
}

// TestIndexForgets: what is held in memory does not grow with time.
func TestIndexForgets(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	busy, idle := found(t, s, 1), found(t, s, 2)
	applyOne(t, s, asking(idle, 0))
	for n := range uint64(10) {
		txn := asking(busy, n)
		txn.Now = noon.Add(generation * time.Duration(n))
		applyOne(t, s, txn)
	}
	if got := len(s.requests.tables); got > 2 {
		t.Errorf("it holds %d generations, want the last 2 of the busy app", got)
	}
	wantReplayed(t, s, idle, true, 0)
}
