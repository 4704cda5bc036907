package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// keepList makes a store's file one with a list of free pages in it, as earlier
// versions wrote them.
func keepList(t *testing.T, path string) {
	t.Helper()
	plant(t, path, func(*bolt.Tx) error { return nil })
	if !keepsList(t, path) {
		t.Fatal("there is no list of free pages")
	}
}

// keepsList reports whether there is a list of free pages in a file, as of its
// last commit.
func keepsList(t *testing.T, path string) bool {
	t.Helper()
	const listAt, commitAt = 48, 64 // in the page
	b := read(t, path)
	first, second := b[:os.Getpagesize()], b[os.Getpagesize():]
	if binary.NativeEndian.Uint64(second[commitAt:]) > binary.NativeEndian.Uint64(first[commitAt:]) {
		first = second
	}
	return binary.NativeEndian.Uint64(first[listAt:]) != math.MaxUint64
}

// sound checks that each page of an open store is in use, once, or free.
func sound(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.View(func(tx *bolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}); err != nil {
		t.Error(err)
	}
}

// TestCommitDoesNotGrowWithFreePages: bbolt's list of them is not written.
func TestCommitDoesNotGrowWithFreePages(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	written := func() int64 {
		before := s.db.Stats().TxStats.PageAlloc
		applyOne(t, s, adding(app, "sent"))
		return s.db.Stats().TxStats.PageAlloc - before
	}
	written() // the counter's page is made
	before := written()
	freePages(t, s, 100_000)
	written() // the dropped pages are free from here on
	if free := s.db.Stats().FreePageN; free < 1000 {
		t.Fatalf("there are %d free pages", free)
	}
	same(t, "bytes of a commit", before, written())
}

// TestNoListOfFreePagesIsWritten: not when a store is made, nor when it is
// compacted; and one that an earlier version wrote is given up with the first
// commit, not before.
func TestNoListOfFreePagesIsWritten(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	if keepsList(t, path) {
		t.Error("a new store has a list")
	}
	app := found(t, s, 1)
	freePages(t, s, 10_000)
	shut(t, s)
	if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
		t.Fatal(err)
	}
	if keepsList(t, path) {
		t.Error("a compacted store has a list")
	}

	keepList(t, path)
	before := read(t, path)
	s = open(t, path)
	if !bytes.Equal(before, read(t, path)) {
		t.Error("opening wrote to the file")
	}
	applyOne(t, s, adding(app, "sent"))
	if keepsList(t, path) {
		t.Error("a store that had a list still has one")
	}
	sound(t, s)
	shut(t, s)
	s = open(t, path)
	same(t, "counter", int64(1), used(t, s, app, "sent"))
	sound(t, s)
}

// TestOpeningFindsTheFreePages: space that was free before a restart is used.
func TestOpeningFindsTheFreePages(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	freePages(t, s, 100_000)
	shut(t, s)
	s = open(t, path)
	before := s.db.Stats().FreePageN
	if before < 1000 {
		t.Errorf("%d free pages are found", before)
	}
	old, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(500) {
		txn := adding(app, "sent")
		txn.Request = scattered(n)
		applyOne(t, s, txn)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "size", old.Size(), info.Size())
	sound(t, s)
}

// TestFailedCommitFindsTheFreePages: bbolt takes pages for a commit before it
// fails, and finds them anew.
func TestFailedCommitFindsTheFreePages(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	freePages(t, s, 10_000)
	applyOne(t, s, adding(app, "sent"))
	s.db.MaxSize = 1
	err := s.update(func(tx *bolt.Tx) error {
		return tx.Bucket(usersBucket).Put([]byte("long"), make([]byte, 8<<20))
	})
	if !errors.Is(err, bolterrors.ErrMaxSizeReached) {
		t.Fatalf("got %v", err)
	}
	s.db.MaxSize = 0
	applyOne(t, s, adding(app, "sent"))
	same(t, "counter", int64(2), used(t, s, app, "sent"))
	sound(t, s)
}
