package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// takePlace gives an app a place in its account. One whose tombstone was lost
// is no more among the deleted ones then.
func takePlace(tx *bolt.Tx, app *account.App) error {
	key := placeKey(app.Account, app.ID)
	if err := tx.Bucket(goneBucket).Delete(key); err != nil {
		return err
	}
	return tx.Bucket(accountsBucket).Put(key, []byte{})
}

// freePlace puts an app among the deleted ones of its account.
func freePlace(tx *bolt.Tx, app *account.App) error {
	key := placeKey(app.Account, app.ID)
	if err := tx.Bucket(accountsBucket).Delete(key); err != nil {
		return err
	}
	return tx.Bucket(goneBucket).Put(key, []byte{})
}

func hasPlace(tx *bolt.Tx, app *account.App) bool {
	return tx.Bucket(accountsBucket).Get(placeKey(app.Account, app.ID)) != nil
}

// places counts the places of an account in a bucket.
func places(tx *bolt.Tx, bucket []byte, name string) (n int) {
	prefix := accountPrefix(name)
	c := tx.Bucket(bucket).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		n++
	}
	return n
}

// FreePlace implements account.Registry. DeleteApp frees it in its own step, so
// there is something to do only for a record that says Deleted by UpdateApp.
func (s *Store) FreePlace(ctx context.Context, app *account.App) error {
	return s.submit(ctx, func(tx *bolt.Tx) error {
		stored, err := readApp(tx, app.ID)
		switch {
		case err != nil:
			return answer{err}
		case stored.Deleted.IsZero(): // who asks has another record
			return answer{account.ErrConflict}
		}
		return freePlace(tx, stored)
	})
}

// Apps implements account.Registry.
func (s *Store) Apps(ctx context.Context, name string, after uint32, limit int, deleted bool) ([]account.Loaded, error) {
	bucket := accountsBucket
	if deleted {
		bucket = goneBucket
	}
	var apps []account.Loaded
	err := s.view(ctx, func(tx *bolt.Tx) error {
		prefix := accountPrefix(name)
		c := tx.Bucket(bucket).Cursor()
		k, _ := c.Seek(placeKey(name, after))
		for ; bytes.HasPrefix(k, prefix) && len(apps) < limit; k, _ = c.Next() {
			id := binary.BigEndian.Uint32(k[len(prefix):])
			if id <= after {
				continue
			}
			app, err := readApp(tx, id)
			if err != nil && !account.IsOfRecord(err) {
				return err
			}
			apps = append(apps, account.Loaded{ID: id, App: app, Err: account.ForApp(id, err)})
		}
		return nil
	})
	return apps, err
}
