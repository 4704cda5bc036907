package boltstore

import (
	"context"
	"errors"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// transaction is one of bbolt's, and what the journal says besides.
type transaction struct {
	tx      *bolt.Tx
	journal *journal // of the writer; nil: it only reads
	pending changes
	fresh   changes // its own
	record  int     // bytes of what it adds to the journal
	placed  int     // how many keys of the journal's round it puts in their places
	// isInPlace: the journal is carried out, and what is written is written where it
	// belongs.
	isInPlace bool
	// isMixed: it writes in place what readers read beside tables. They wait until
	// it is settled, so as not to see one without the other.
	isMixed   bool
	holdsBack bool   // who reads waits for it
	failed    error  // why it could not be carried out, and nothing may be committed
	key       []byte // to be used again
}

// inPlace is a transaction of who has carried the journal out.
func inPlace(tx *bolt.Tx) *transaction { return &transaction{tx: tx, isInPlace: true} }

// begin starts a transaction.
//
// Damage at the head of the file makes bbolt panic while it holds locks that
// nothing releases any more. So transactions begin one at a time, and not at all
// once the file is lost: else they would wait for such a lock for ever. The
// writer may wait for one already, in a commit; then nobody is to wait for the
// writer.
func (s *Store) begin(writable bool) (*bolt.Tx, error) {
	s.door.Lock()
	defer s.door.Unlock()
	if !writable && s.isClosing() {
		return nil, errClosed
	}
	if fault := s.sound(); fault != nil {
		return nil, fault
	}
	oldest := s.committed.Load()
	if writable {
		oldest++ // it has the next number
	}
	var tx *bolt.Tx
	err := guard(func() (err error) {
		tx, err = s.db.Begin(writable)
		return err
	})
	if err == nil && int64(tx.ID()) < oldest {
		// Where the last commit is damaged, bbolt goes on from the one before.
		err = damageError{"its last commit is gone"}
	}
	damage, ok := errors.AsType[damageError](err)
	switch {
	case err == nil:
		return tx, nil
	case !ok:
		return nil, &account.Fault{Reason: account.StoreUnavailable, Detail: "the store " + s.path + " cannot be read", Err: err}
	}
	fault := s.lose(damage)
	if !writable {
		close(s.stuck)
	}
	return nil, fault
}

// end ends a reader's transaction, unless the file is lost.
//
// It cannot wait for those who begin. When a file has grown the writer waits for
// all readers to end before it maps the file anew, who begins waits for the
// writer, and so would who ends. It may come upon the locks that are never
// released, though, if who begins meanwhile finds the file lost: then it is left
// behind.
func (s *Store) end(tx *bolt.Tx) {
	rollback := func() {
		if !s.lost.Load() {
			_ = tx.Rollback() // which is how one ends that only read
		}
	}
	if s.door.TryLock() {
		defer s.door.Unlock()
		rollback()
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		rollback()
	}()
	select {
	case <-ended:
	case <-s.given:
	}
}

// view reads. It does not wait for the writer.
//
// A damaged page is a fault of this call alone: others may need none like it.
// The fault is not UsageUnknown, because it is the file that is to be restored;
// to create an app anew would not help.
func (s *Store) view(ctx context.Context, read func(tx *bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return gone(err)
	}
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	err = guard(func() error { return read(tx) })
	s.end(tx)
	if damage, ok := errors.AsType[damageError](err); ok {
		return s.damaged(damage)
	}
	return err
}

// read is view with what the journal says.
func (s *Store) read(ctx context.Context, read func(t *transaction) error) error {
	s.journal.mu.RLock()
	defer s.journal.mu.RUnlock()
	return s.view(ctx, func(tx *bolt.Tx) error { return read(s.journal.beside(tx)) })
}

// transact writes. db.Update would not do: it answers a panic by looking for the
// free pages among all pages, in a goroutine of its own, and on the page that
// made it panic that one ends the process.
func (s *Store) transact(do func(tx *bolt.Tx) error) error {
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	number, done := int64(tx.ID()), false
	err = guard(func() error {
		if err := do(tx); err != nil {
			_ = tx.Rollback()
			return err
		}
		done = true
		return tx.Commit()
	})
	damage, ok := errors.AsType[damageError](err)
	switch {
	case err == nil:
		s.committed.Store(number)
		if fault := s.sound(); fault != nil { // it was written where nobody finds it
			return &account.Fault{Reason: account.OutcomeUnknown, Detail: fault.Detail}
		}
	case ok:
		fault := s.lose(damage)
		if done {
			fault = &account.Fault{Reason: account.OutcomeUnknown, Detail: fault.Detail, Err: fault.Err}
		}
		return fault
	}
	return err
}

// lose gives the file up: bbolt is left as it is and not asked again.
func (s *Store) lose(damage damageError) *account.Fault {
	fault := s.damaged(damage)
	s.lost.Store(true)
	s.giving.Do(func() { close(s.given) })
	s.giveUp(fault)
	return fault
}

// giveUp has the store answer nothing any more, for the first cause there is.
func (s *Store) giveUp(fault *account.Fault) {
	s.broken.CompareAndSwap(nil, fault)
	s.watchers.missed()
}

func (s *Store) damaged(damage damageError) *account.Fault {
	return &account.Fault{Reason: account.StoreUnavailable, Detail: "the store " + s.path + " is damaged; restore it from a backup", Err: damage}
}
