package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// failed says what a commit that failed means, and gives the store up where it
// cannot go on.
//
// bbolt makes the file as long as it is to be, writes the pages, syncs, writes
// the page that makes them count, and syncs.
func (s *Store) failed(err error) *account.Fault {
	pathError, ofWrite := errors.AsType[*os.PathError](err)
	switch {
	case ofWrite && s.isUnchanged():
		return s.notWritten(pathError.Err, err)
	case strings.HasPrefix(err.Error(), "file resize error: "): // bbolt has no name for it
		return s.notWritten(resizeCause(err), err)
	case ofWrite:
		// Readers see what may not be there after a restart.
		s.giveUp(&account.Fault{
			Reason: account.StoreUnavailable,
			Detail: "the store " + s.path + " could not be written; restart once the disk is sound", Err: err,
		})
	default:
		// After a sync that failed nobody knows what is on the disk, and the next
		// one may succeed without having written what this one lost: so there is
		// none.
		s.giveUp(&account.Fault{
			Reason: account.StoreUnavailable,
			Detail: "the store " + s.path + " could not be synced to disk; restart once the disk is sound", Err: err,
		})
	}
	return &account.Fault{Reason: account.OutcomeUnknown, Detail: "the store " + s.path + " could not be written", Err: err}
}

// notWritten says that a commit came to nothing: the disk is full, say. What was
// there is there, and the next commit may find room.
func (s *Store) notWritten(cause, err error) *account.Fault {
	return &account.Fault{
		Reason: account.StoreUnavailable, Detail: fmt.Sprintf("the store %s could not be written, and nothing was: %v", s.path, cause), Err: err,
	}
}

// sound says why nothing is answered any more, or nil. A file that its path does
// not name any more is not written to: nobody would find again what was counted
// there, and another process may be counting in a new one by now.
func (s *Store) sound() *account.Fault {
	if fault := s.broken.Load(); fault != nil {
		return fault
	}
	if s.isNamed() {
		return nil
	}
	s.giveUp(&account.Fault{
		Reason: account.StoreUnavailable,
		Detail: "the store " + s.path + " was removed, renamed or replaced while it was in use; put it back, or its backup, before the next start",
	})
	return s.broken.Load()
}

// isNamed reports whether the path names the open file, as far as can be seen.
func (s *Store) isNamed() bool {
	named, err := os.Stat(s.path)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return os.SameFile(named, s.info)
}

// isUnchanged reports whether the last commit that succeeded is still the one
// that counts.
func (s *Store) isUnchanged() (unchanged bool) {
	err := s.view(context.Background(), func(tx *bolt.Tx) error {
		unchanged = int64(tx.ID()) == s.committed.Load()
		return nil
	})
	return err == nil && unchanged
}

// resizeCause is the end of a text like "file resize error: truncate PATH: CAUSE".
func resizeCause(err error) error {
	text := err.Error()
	return errors.New(text[strings.LastIndex(text, ": ")+2:])
}
