package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// errReplaced: while the lock was waited for, the path came to name another
// file.
var errReplaced = errors.New("the file was replaced meanwhile")

// openings bounds how often a file that is replaced under its opener is opened
// anew. Compact replaces it once.
const openings = 5

// openFile locks a store's file and opens it. What it refuses it has not
// written to.
func openFile(path string, o Options) (*boltFile, error) {
	for range openings {
		f, err := lockFile(path, o)
		switch {
		case errors.Is(err, errReplaced):
			continue
		case err != nil:
			return nil, fmt.Errorf("open the store %s: %w", path, err)
		}
		return f, nil
	}
	return nil, fmt.Errorf("open the store %s: %w, %d times", path, errReplaced, openings)
}

// lockFile looks at the file through a read-only database first, and at all
// pages in use. bbolt looks at them too when it opens a file for writing, to find
// the free ones, but in a goroutine of its own, which guard does not reach: one
// that is damaged would end the process. And somebody else's file is not opened
// for writing at all.
func lockFile(path string, o Options) (*boltFile, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	if err := inspect(path, o); err != nil {
		return nil, err
	}
	f, err := openBolt(path, o, false)
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("it can be read, but not written to: %w", pathError.Err)
	}
	if err != nil {
		return nil, explain(err)
	}
	// The lock is on the file, not on its name: whoever waited for one that was
	// compacted away would go on with counters that nobody finds again.
	if named, err := os.Stat(path); err != nil || !os.SameFile(named, f.info) {
		_ = f.db.Close()
		return nil, errReplaced
	}
	return f, nil
}

// checkFile refuses what bbolt would hang on, make or overwrite.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return explain(err)
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case info.Size() == 0:
		// A store is never empty, not even for a moment (see createFile): its
		// counters are lost, and must not be taken for zero.
		return errors.New("it is empty, and a store never is; remove it to begin a new one")
	}
	return nil
}

// inspect checks that the file is one of ours, and whole.
func inspect(path string, o Options) error {
	f, err := openBolt(path, o, true)
	if err != nil {
		return explain(err)
	}
	defer f.db.Close() //nolint:errcheck // it was only read
	return guard(func() error {
		return f.db.View(func(tx *bolt.Tx) error {
			if tx.Size() > f.info.Size() {
				// Reading past the end of a mapped file would end the process.
				return fmt.Errorf("it is damaged: cut off after %d of %d bytes", f.info.Size(), tx.Size())
			}
			if _, err := identify(tx); err != nil {
				return err
			}
			return checkPages(f.file, tx)
		})
	})
}

// identify checks that a database is a store and returns its id.
func identify(tx *bolt.Tx) (id string, err error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil || len(meta.Get(formatKey)) != 4 {
		return "", errors.New("it is a database, but not a store of imquota")
	}
	got := binary.BigEndian.Uint32(meta.Get(formatKey))
	switch {
	case got != format && got != formatJournal:
		return "", fmt.Errorf("it has format %d; this version of imquota knows formats %d and %d", got, format, formatJournal)
	case (got == formatJournal) != (tx.Bucket(journalBucket) != nil):
		return "", fmt.Errorf("it is damaged: it has format %d, and its journal does not agree", got)
	}
	absent := lacking(tx, buckets)
	// One transaction made the later ones: some without the others are what is
	// left of them.
	if later := lacking(tx, laterBuckets); len(later) < len(laterBuckets) {
		absent = append(absent, later...)
	}
	if len(absent) > 0 {
		return "", fmt.Errorf("it is damaged: it has no %s", bytes.Join(absent, []byte(", ")))
	}
	return string(meta.Get(idKey)), nil
}

// lacking lists the buckets that are not there.
func lacking(tx *bolt.Tx, names [][]byte) (absent [][]byte) {
	for _, name := range names {
		if tx.Bucket(name) == nil {
			absent = append(absent, name)
		}
	}
	return absent
}

// boltFile is an open database. The path may not name it any more.
type boltFile struct {
	db   *bolt.DB
	file *os.File // of db
	info os.FileInfo
}

// openBolt opens a file that exists.
func openBolt(path string, o Options, readOnly bool) (*boltFile, error) {
	f := &boltFile{}
	options := boltOptions(o)
	options.ReadOnly = readOnly
	options.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		var err error
		if f.file, err = os.OpenFile(name, flag&^os.O_CREATE, mode); err == nil && o.opened != nil {
			o.opened()
		}
		return f.file, err
	}
	err := guard(func() (err error) {
		f.db, err = bolt.Open(path, 0, options)
		return err
	})
	if err != nil {
		if f.file != nil {
			_ = abandon(f.file)
		}
		return nil, err
	}
	if f.info, err = f.file.Stat(); err != nil {
		_ = f.db.Close()
		return nil, err
	}
	return f, nil
}

// boltOptions are those that all files are opened with.
//
// The list of free pages is not written: bbolt would write the whole of it with
// every commit, 8 bytes a page, and each generation of request ids that is
// dropped leaves thousands. They are found anew by a visit to all that are in
// use, when the file is opened (BenchmarkOpen) and when a commit has failed.
func boltOptions(o Options) *bolt.Options {
	return &bolt.Options{Timeout: o.lockWait(), FreelistType: bolt.FreelistMapType, NoFreelistSync: true}
}

// explain says what is wrong in an operator's words.
func explain(err error) error {
	pathError, ofPath := errors.AsType[*os.PathError](err)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return errors.New("it is in use by another process: the embedded store is one process's; several sidecars share a store with redis://")
	case isTooSmall(err):
		return errors.New("it is not a store of imquota: it is too small for one")
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return fmt.Errorf("it is not a store of imquota: %w", err)
	case ofPath:
		return pathError.Err // the path is named already
	}
	return err
}

// isTooSmall reports whether a file has fewer pages than a database begins with.
func isTooSmall(err error) bool {
	return err != nil && strings.Contains(err.Error(), "file size too small") // bbolt has no name for it
}

// syncDir makes a rename in a file's directory last.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
