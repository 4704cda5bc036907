package boltstore

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// createFile makes a store beside its path and then renames it, so that the
// path never names half a store, whatever happens. The lock on the file beside
// it makes all but one of those who try at the same time wait and give way. It
// reports whether it was this one that made it.
func createFile(path string, o Options) (isNew bool, err error) {
	temporary := path + ".new"
	db, err := openNew(temporary, o)
	if isHalfMade(err) {
		if err := os.Remove(temporary); err != nil {
			return false, err
		}
		db, err = openNew(temporary, o)
	}
	if err != nil {
		return false, explain(err)
	}
	if _, err := os.Lstat(path); err == nil {
		_ = os.Remove(temporary) // may have become the store already
		return false, db.Close()
	}
	err = db.Update(initialise)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err == nil {
		// Counts that are synced to a file which a power failure takes out of
		// its directory are lost all the same.
		err = syncDir(path)
	}
	err = errors.Join(err, db.Close())
	return err == nil, err
}

// openNew opens a file for a new store, and makes it. On one that is cut short
// bbolt may panic, or read past its end.
func openNew(path string, o Options) (db *bolt.DB, err error) {
	var file *os.File
	options := boltOptions(o)
	options.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	err = guard(func() (err error) {
		if db, err = bolt.Open(path, 0o600, options); err != nil {
			return err
		}
		return db.View(func(tx *bolt.Tx) error {
			if err := checkPages(file, tx); err != nil {
				return damageError{err}
			}
			return nil
		})
	})
	switch {
	case !isDamage(err):
		return db, err
	case db != nil:
		_ = db.Close()
	default:
		_ = abandon(file)
	}
	return nil, err
}

// isHalfMade reports whether a new store's file is one that the process before
// began: the power failed meanwhile, or the disk was full.
func isHalfMade(err error) bool {
	return errors.Is(err, bolterrors.ErrInvalid) || isTooSmall(err) || isDamage(err)
}

// initialise makes the buckets and draws the store's id.
func initialise(tx *bolt.Tx) error {
	if err := errors.Join(makeBuckets(tx, buckets), makeBuckets(tx, laterBuckets)); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	if err := meta.Put(idKey, []byte(hex.EncodeToString(id[:]))); err != nil {
		return err
	}
	return putFormat(tx, format)
}

// putFormat says which format a file has.
func putFormat(tx *bolt.Tx, number uint32) error {
	return tx.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint32(nil, number))
}

func makeBuckets(tx *bolt.Tx, names [][]byte) error {
	for _, name := range names {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}
