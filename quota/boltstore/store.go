// Package boltstore is the embedded store: one durable file, no server, one
// process. What it has answered survives the loss of the process, and of the
// machine as far as the disk keeps its promises.
package boltstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Store keeps records and counters in one bbolt file. It implements
// quota.Store and account.Registry.
type Store struct {
	db   *bolt.DB
	path string
	id   string

	queue   chan *work
	closing chan struct{}
	stopped chan struct{}
	once    sync.Once
}

// Options configures a store. The zero value is right for production.
type Options struct {
	// LockWait is how long Open waits for another process to let go of the
	// file; a second when it is zero.
	LockWait time.Duration
}

// format is the version of the file's layout.
const format = 1

var (
	metaBucket      = []byte("meta")
	appsBucket      = []byte("apps")      // app -> record
	accountsBucket  = []byte("accounts")  // account, app -> nothing
	directoryBucket = []byte("directory") // app -> account
	countersBucket  = []byte("counters")  // app, quota, subject -> count
	windowsBucket   = []byte("windows")   // window -> the same; dropped whole
	usersBucket     = []byte("users")     // app, user -> last active month
	groupsBucket    = []byte("groups")    // app, group -> record
	requestsBucket  = []byte("requests")  // generation -> app, id -> fingerprint; dropped whole

	formatKey = []byte("imquota format")
	idKey     = []byte("store id")
)

// Open opens the file, or makes and initialises it. It refuses a file that
// another process holds, or that is not a store of imquota.
func Open(path string, o Options) (*Store, error) {
	if o.LockWait == 0 {
		o.LockWait = time.Second
	}
	isNew, err := checkFile(path)
	if err != nil {
		return nil, err
	}
	var opened *os.File
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: o.LockWait, FreelistType: bolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			opened, err = os.OpenFile(name, flag, mode)
			return opened, err
		},
	})
	if err == nil {
		if err = checkPlace(opened, path); err != nil {
			_ = db.Close()
		}
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("the store %s is in use by another process: the embedded store is one process's; several sidecars share a store with redis://", path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%s is not a store of imquota: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	s := &Store{
		db: db, path: path,
		queue: make(chan *work, queueSize), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := s.prepare(isNew); err != nil {
		_ = db.Close()
		return nil, err
	}
	go s.write()
	return s, nil
}

// checkFile refuses what bbolt would hang on or overwrite.
func checkFile(path string) (isNew bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return false, fmt.Errorf("open the store %s: %w", path, err)
		}
		return true, nil
	case err != nil:
		return false, fmt.Errorf("open the store: %w", err)
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("the store %s is not a regular file", path)
	case info.Size() == 0:
		return true, nil
	}
	return false, nil
}

// checkPlace refuses a file that was replaced while Open waited for its lock:
// what would be written to it is lost with it.
func checkPlace(opened *os.File, path string) error {
	locked, err := opened.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(locked, named) {
		return errors.New("it was replaced meanwhile: try again")
	}
	return nil
}

// prepare initialises a new file and checks that an old one is ours.
func (s *Store) prepare(isNew bool) error {
	if isNew {
		return s.db.Update(func(tx *bolt.Tx) error {
			meta, err := tx.CreateBucketIfNotExists(metaBucket)
			if err != nil {
				return err
			}
			for _, name := range [][]byte{appsBucket, accountsBucket, directoryBucket, countersBucket, windowsBucket, usersBucket, groupsBucket, requestsBucket} {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			var id [16]byte
			_, _ = rand.Read(id[:]) // never fails
			s.id = hex.EncodeToString(id[:])
			if err := meta.Put(idKey, []byte(s.id)); err != nil {
				return err
			}
			return meta.Put(formatKey, binary.BigEndian.AppendUint32(nil, format))
		})
	}
	return s.db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil || len(meta.Get(formatKey)) != 4 {
			return fmt.Errorf("%s is a database, but not a store of imquota", s.path)
		}
		if got := binary.BigEndian.Uint32(meta.Get(formatKey)); got != format {
			return fmt.Errorf("the store %s has format %d; this version of imquota knows format %d", s.path, got, format)
		}
		s.id = string(meta.Get(idKey))
		return nil
	})
}

// StoreID names the store; it was drawn when the file was made.
func (s *Store) StoreID() string { return s.id }

// String names the store.
func (s *Store) String() string { return "the embedded store " + s.path }

// Ready reports whether the store can answer.
func (s *Store) Ready(context.Context) error {
	select {
	case <-s.closing:
		return errClosed
	default:
		return nil
	}
}

var errClosed = &account.Fault{Reason: account.StoreUnavailable, Detail: "the store is closed"}

// Close answers what waits and closes the file.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.closing) })
	<-s.stopped
	return s.db.Close()
}
