// Package boltstore is the embedded store: one durable file, no server, one
// process. What it has answered survives the loss of the process, and of the
// machine as far as the disk keeps its promises.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// Store keeps records and counters in one bbolt file. It implements
// quota.Store and account.Registry.
type Store struct {
	*boltFile
	path  string
	id    string
	isNew bool // Open made it
	now   func() time.Time

	update    func(func(tx *bolt.Tx) error) error // transact, but in tests
	committed atomic.Int64                        // the number of the last commit
	broken    atomic.Pointer[account.Fault]       // why nothing is answered any more
	watchers  watchers
	requests  *requestIndex // the writer's
	journal   *journal

	door  sync.Mutex    // held while a transaction begins
	lost  atomic.Bool   // bbolt may not be asked any more
	given chan struct{} // up: closed when the file is lost
	stuck chan struct{} // closed when the writer may wait for a lock of bbolt's for ever

	queue   chan *work
	closing chan struct{}
	stopped chan struct{}
	once    sync.Once
	giving  sync.Once
	closed  error // what Close returns
}

// Options configures a store. The zero value is right for production.
type Options struct {
	// LockWait is how long Open waits for another process to let go of the
	// file; a second when it is zero.
	LockWait time.Duration

	journal int              // bound of its changes; journalChanges, but in tests
	opened  func()           // called when the file is open, and not yet locked; of tests
	now     func() time.Time // by which quotes are forgotten; time.Now, but in tests
}

func (o Options) lockWait() time.Duration {
	if o.LockWait == 0 {
		return time.Second
	}
	return o.LockWait
}

func (o Options) journalLimit() int {
	if o.journal == 0 {
		return journalChanges
	}
	return o.journal
}

// Versions of the file's layout.
const (
	format        = 1
	formatJournal = 2 // the same, while there is a journal
)

var (
	metaBucket      = []byte("meta")
	appsBucket      = []byte("apps")      // app -> record
	accountsBucket  = []byte("accounts")  // account, app -> nothing
	directoryBucket = []byte("directory") // app -> account
	countersBucket  = []byte("counters")  // app, quota, subject -> count
	windowsBucket   = []byte("windows")   // app, window -> the same; dropped whole
	usersBucket     = []byte("users")     // app, user -> last active month
	groupsBucket    = []byte("groups")    // app, group -> record
	requestsBucket  = []byte("requests")  // app, generation -> number -> id, fingerprint; dropped whole
	eventsBucket    = []byte("events")    // app, revision -> event
	ownersBucket    = []byte("owners")    // account -> record
	goneBucket      = []byte("gone")      // account, app -> nothing: the places of deleted apps

	// buckets are all of them but meta; those that are later came after the
	// first release, all at once.
	buckets      = [][]byte{appsBucket, accountsBucket, directoryBucket, countersBucket, windowsBucket, usersBucket, groupsBucket, requestsBucket}
	laterBuckets = [][]byte{eventsBucket, ownersBucket, goneBucket}

	formatKey = []byte("imquota format")
	idKey     = []byte("store id")
)

// Open opens the file, or makes and initialises it. It refuses a file that
// another process holds, or that is not a store of imquota.
func Open(path string, o Options) (*Store, error) {
	isNew := false
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if isNew, err = createFile(path, o); err != nil {
			return nil, fmt.Errorf("make the store %s: %w", path, err)
		}
	}
	f, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(compactPath(path)) // what a Compact left that was killed
	s := &Store{
		boltFile: f, path: path, isNew: isNew, now: o.now, requests: newRequestIndex(), journal: newJournal(o.journalLimit()), stuck: make(chan struct{}), given: make(chan struct{}),
		queue: make(chan *work, queueSize), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.update = s.transact
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store %s: %w", path, explain(err)), s.letGo())
	}
	go s.write()
	return s, nil
}

// prepare reads what the store is, and the journal of a process that was killed,
// and makes the buckets that an earlier version did not. A file that has all of them
// is not written to.
//
// It syncs what is there: whoever was killed before may have written a commit that
// is not on the disk yet, and what is answered from it may need no other.
func (s *Store) prepare() error {
	if err := s.db.Sync(); err != nil {
		return err
	}
	isEarlier := false
	if err := s.db.View(func(tx *bolt.Tx) (err error) {
		s.committed.Store(int64(tx.ID()))
		isEarlier = tx.Bucket(laterBuckets[0]) == nil
		s.id, err = identify(tx)
		return err
	}); err != nil {
		return err
	}
	if err := s.update(func(tx *bolt.Tx) error {
		if err := s.journal.load(tx); err != nil {
			return err
		}
		return errUnchanged
	}); err != errUnchanged { //nolint:errorlint // it is never wrapped
		return err
	}
	if !isEarlier {
		return nil
	}
	return s.update(func(tx *bolt.Tx) error { return makeBuckets(tx, laterBuckets) })
}

// StoreID names the store; it was drawn when the file was made.
func (s *Store) StoreID() string { return s.id }

// IsNew reports whether there was no store, and Open made this one.
func (s *Store) IsNew() bool { return s.isNew }

// String names the store.
func (s *Store) String() string { return "the embedded store " + s.path }

// Ready reports whether the store can answer.
func (s *Store) Ready(context.Context) error {
	if s.isClosing() {
		return errClosed
	}
	if fault := s.sound(); fault != nil {
		return fault
	}
	return nil
}

// Lease implements quota.Store. The file is one process's, so that one has them
// all.
func (s *Store) Lease(ctx context.Context, _ string, _ time.Duration) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, gone(err)
	}
	err := s.Ready(ctx)
	return err == nil, err
}

var errClosed = &account.Fault{Reason: account.StoreUnavailable, Detail: "the store is closed"}

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Close answers what waits and closes the file.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		s.watchers.missed()
		select {
		case <-s.stopped:
		case <-s.stuck:
		}
		s.closed = s.letGo()
	})
	return s.closed
}

// letGo closes the file.
func (s *Store) letGo() error {
	s.door.Lock() // whoever is in it came before closing, and may lose the file yet
	lost := s.lost.Load()
	s.door.Unlock()
	if lost {
		return abandon(s.file)
	}
	return s.db.Close()
}
