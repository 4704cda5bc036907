package boltstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// Restore implements quota.Store. Some entries at a time, so that others who
// write need not wait long.
func (s *Store) Restore(ctx context.Context, r quota.Restoration) error {
	for part := range slices.Chunk(r.Entries, keysOfView) {
		if err := s.submit(ctx, func(tx *bolt.Tx) error { return restore(tx, &r, part) }); err != nil {
			return err
		}
	}
	return nil
}

func restore(tx *bolt.Tx, r *quota.Restoration, entries []quota.Entry) error {
	if tx.Bucket(appsBucket).Get(appKey(r.App)) != nil {
		return answer{account.ErrAppExists}
	}
	in := inPlace(tx)
	var peaks *online
	for i := range entries {
		e := &entries[i]
		var err error
		switch e.Kind {
		case quota.EntryUser:
			err = tx.Bucket(usersBucket).Put(idKeyOf(r.App, e.ID), encodeUser(user{month: e.Month, deleted: !e.Registered}))
		case quota.EntryGroup:
			err = tx.Bucket(groupsBucket).Put(idKeyOf(r.App, e.ID), encodeGroup(e.Group))
		case quota.EntryDissolved:
			err = restoreIn(tx, goneKey(r.App, e.Day), []byte(e.ID), []byte{})
		case quota.EntryCounter:
			err = restoreCounter(tx, r, e)
		case quota.EntryPeak:
			if peaks == nil {
				if peaks, err = onlineAt(in, r.App); err != nil {
					peaks, err = decodeOnline(nil) // what is damaged is written over
				}
			}
			peaks.Peaks[strconv.FormatInt(e.Start.UnixMilli(), 10)] = e.Used
		}
		if err != nil {
			return err
		}
	}
	if peaks == nil {
		return nil
	}
	return peaks.put(in, r.App)
}

func restoreCounter(tx *bolt.Tx, r *quota.Restoration, e *quota.Entry) error {
	key, w := counterKey(r.App, e.Counter.Quota, e.ID), e.Counter.Window
	switch {
	case w.IsStock():
		return tx.Bucket(countersBucket).Put(key, encodeCount(e.Used))
	case w.KeptUntil().Before(r.Now.Add(time.Millisecond)):
		return nil
	}
	return restoreIn(tx, windowKey(r.App, w), key, encodeCount(e.Used))
}

// restoreIn puts a key in a bucket among the windows.
func restoreIn(tx *bolt.Tx, name, key, value []byte) error {
	b, err := tx.Bucket(windowsBucket).CreateBucketIfNotExists(name)
	if err != nil {
		return err
	}
	return b.Put(key, value)
}
