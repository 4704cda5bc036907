package bench

import (
	"context"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
)

// Bolt is a file of bbolt's that something is counted in, the floor below the
// embedded store.
type Bolt struct{ db *bbolt.DB }

// boltDelay is how long those wait for others at most who commit together.
const boltDelay = time.Millisecond

// OpenBolt makes a file.
func OpenBolt(path string) (*Bolt, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = boltDelay
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(boltCounters)
		return err
	})
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Bolt{db}, nil
}

// Close closes the file.
func (b *Bolt) Close() error { return b.db.Close() }

// boltCounters is where all counters lie.
var boltCounters = []byte("counters")

// Caller returns a Caller that so many share, which counts two counters for each check
// and returns when they are synced. Who calls commits together with the others: when all
// have called, or a millisecond after the first. Callers of other numbers take turns.
func (b *Bolt) Caller(callers int) Caller {
	b.db.MaxBatchSize = callers
	return boltCaller{b.db}
}

type boltCaller struct{ db *bbolt.DB }

// Call implements Caller.
func (b boltCaller) Call(_ context.Context, c *Call) (Outcome, error) {
	pairs := pairsOf(c)
	return Outcome{}, b.db.Batch(func(tx *bbolt.Tx) error {
		counters := tx.Bucket(boltCounters)
		for i := range pairs {
			p := &pairs[i]
			if err := raise(counters, [2][]byte{p.key(p.a), p.key(p.b)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// raise raises two counters, both or none, as floor.lua does.
func raise(counters *bbolt.Bucket, keys [2][]byte) error {
	var raised [2]uint64
	for i, key := range keys {
		raised[i] = 1
		if stored := counters.Get(key); stored != nil {
			raised[i] += binary.BigEndian.Uint64(stored)
		}
		if raised[i] > floorLimit {
			return nil
		}
	}
	for i, key := range keys {
		if err := counters.Put(key, binary.BigEndian.AppendUint64(nil, raised[i])); err != nil {
			return err
		}
	}
	return nil
}
