package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// filled makes a store that has something in it and returns its bytes.
func filled(t *testing.T, path string) []byte {
	t.Helper()
	s := open(t, path)
	app := found(t, s, 1)
	for n := range 100 {
		txn := adding(app, "sent")
		txn.Request = request(uint64(n))
		applyOne(t, s, txn)
	}
	shut(t, s)
	return read(t, path)
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses: whatever cannot be a sound store of ours is refused, with
// its path and the cause, and is not written to.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	pageSize := os.Getpagesize()
	tests := []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"a text file", func(t *testing.T, path string) {
			write(t, path, []byte("my notes\n"))
		}, "not a store of imquota: invalid database"},
		{"a text file of two pages", func(t *testing.T, path string) {
			write(t, path, bytes.Repeat([]byte("#"), 7301))
		}, "not a store of imquota"},
		{"a long text file", func(t *testing.T, path string) {
			write(t, path, bytes.Repeat([]byte("my notes\n"), 10_000))
		}, "not a store of imquota: invalid database"},
		{"an empty file", func(t *testing.T, path string) {
			write(t, path, nil)
		}, "it is empty"},
		{"zeros", func(t *testing.T, path string) {
			write(t, path, make([]byte, 4*pageSize))
		}, "not a store of imquota: invalid database"},
		{"another program's database", func(t *testing.T, path string) {
			plant(t, path, func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
		}, "a database, but not a store of imquota"},
		{"another program's database without a list of free pages", func(t *testing.T, path string) {
			// Whoever opens this one for writing, and would keep a list, writes it.
			db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket(metaBucket)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			_ = db.Close()
		}, "a database, but not a store of imquota"},
		{"another format", func(t *testing.T, path string) {
			filled(t, path)
			plant(t, path, func(tx *bolt.Tx) error {
				return tx.Bucket(metaBucket).Put(formatKey, binary.BigEndian.AppendUint32(nil, 7))
			})
		}, "it has format 7; this version of imquota knows formats 1 and 2"},
		{"a journal of another format", func(t *testing.T, path string) {
			journaled(t, path)
			plant(t, path, func(tx *bolt.Tx) error { return putFormat(tx, format) })
		}, "it is damaged: it has format 1, and its journal does not agree"},
		{"a lost journal", func(t *testing.T, path string) {
			journaled(t, path)
			plant(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket(journalBucket) })
		}, "it is damaged: it has format 2, and its journal does not agree"},
		{"a journal without one of its records", func(t *testing.T, path string) {
			journaled(t, path)
			plant(t, path, func(tx *bolt.Tx) error { return tx.Bucket(journalBucket).Delete(recordKey(1)) })
		}, "it is damaged: its journal cannot be read"},
		{"an empty journal", func(t *testing.T, path string) {
			journaled(t, path)
			plant(t, path, func(tx *bolt.Tx) error {
				if err := tx.DeleteBucket(journalBucket); err != nil {
					return err
				}
				_, err := tx.CreateBucket(journalBucket)
				return err
			})
		}, "it is damaged: its journal cannot be read"},
		{"a damaged journal", func(t *testing.T, path string) {
			journaled(t, path)
			plant(t, path, func(tx *bolt.Tx) error { return tx.Bucket(journalBucket).Put(recordKey(2), []byte{9}) })
		}, "it is damaged: its journal cannot be read"},
		{"a store without one of its buckets", func(t *testing.T, path string) {
			filled(t, path)
			plant(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket(usersBucket) })
		}, "it is damaged: it has no users"},
		{"a store without one of its later buckets", func(t *testing.T, path string) {
			filled(t, path)
			plant(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket(goneBucket) })
		}, "it is damaged: it has no gone"},
		{"a store cut off at a page", func(t *testing.T, path string) {
			write(t, path, filled(t, path)[:3*pageSize])
		}, "it is damaged: cut off"},
		{"a store cut off inside a page", func(t *testing.T, path string) {
			write(t, path, filled(t, path)[:3*pageSize+100])
		}, "it is damaged: cut off"},
		{"a store cut off in its first page", func(t *testing.T, path string) {
			write(t, path, filled(t, path)[:100])
		}, "not a store of imquota: invalid database"},
		{"a store whose pages are overwritten", func(t *testing.T, path string) {
			b := filled(t, path)
			for i := 2 * pageSize; i < len(b); i++ {
				b[i] = 0xa5
			}
			write(t, path, b)
		}, "it is damaged"},
		{"a store whose pages are zero", func(t *testing.T, path string) {
			b := filled(t, path)
			clear(b[2*pageSize:])
			write(t, path, b)
		}, "it is damaged"},
		{"an earlier version's store whose list of free pages is overwritten", func(t *testing.T, path string) {
			filled(t, path)
			keepList(t, path)
			b := read(t, path)
			for at := 2 * pageSize; at < len(b); at += pageSize {
				const freelistFlag = 0x10
				if flags := b[at+8 : at+10]; flags[0] == freelistFlag {
					flags[0] = 0xff
				}
			}
			write(t, path, b)
		}, "it is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			tt.make(t, path)
			before := read(t, path)
			s, err := Open(path, impatient)
			refused(t, s, err, path, tt.want)
			_, _, err = Compact(t.Context(), path, impatient, nil)
			refused(t, nil, err, path, tt.want)
			if !bytes.Equal(before, read(t, path)) {
				t.Error("the file was written to")
			}
			onlyFile(t, path)
		})
	}
}

func refused(t *testing.T, s *Store, err error, path, want string) {
	t.Helper()
	if err == nil {
		if s != nil {
			_ = s.Close()
		}
		t.Fatal("it was opened")
	}
	if strings.Count(err.Error(), path) != 1 || !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want the path once and %q", err, want)
	}
}

// onlyFile checks that nothing lies beside a store.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	same(t, "files", []string{filepath.Base(path)}, names)
}

func TestOpenRefusesADirectory(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	s, err := Open(path, impatient)
	refused(t, s, err, path, "not a regular file")
}

func TestOpenRefusesAMissingDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "quota.db")
	s, err := Open(path, impatient)
	refused(t, s, err, path, "no such file or directory")
	_, _, err = Compact(t.Context(), path, impatient, nil)
	refused(t, nil, err, path, "no such file or directory")
}

func TestOpenRefusesAFileInTheDirectorysPlace(t *testing.T) {
	t.Parallel()
	file := newPath(t)
	write(t, file, []byte("my notes\n"))
	path := filepath.Join(file, "quota.db")
	s, err := Open(path, impatient)
	refused(t, s, err, path, "not a directory")
	same(t, "the file", "my notes\n", string(read(t, file)))
}

// TestOpenRefusesAReadOnlyPlace uses one that is read-only for root too.
func TestOpenRefusesAReadOnlyPlace(t *testing.T) {
	t.Parallel()
	const path = "/proc/quota.db"
	s, err := Open(path, impatient)
	refused(t, s, err, path, "make the store")
}

func TestOpenRefusesADanglingLink(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := os.Symlink("nowhere", path); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path, impatient)
	refused(t, s, err, path, "no such file or directory")
}

func TestOpenRefusesAStoreInUse(t *testing.T) {
	t.Parallel()
	const want = "in use by another process"
	t.Run("by this process", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		first := open(t, path)
		s, err := Open(path, impatient)
		refused(t, s, err, path, want)
		_, _, err = Compact(t.Context(), path, impatient, nil)
		refused(t, nil, err, path, want)
		app := found(t, first, 1)
		applyOne(t, first, adding(app, "sent"))
	})
	t.Run("by another process", func(t *testing.T) {
		t.Parallel()
		path := newPath(t)
		filled(t, path)
		c := startChild(t, "hold", path)
		if !c.lines.Scan() {
			t.Fatal("the other process did not open the store")
		}
		s, err := Open(path, impatient)
		refused(t, s, err, path, want)
		_, _, err = Compact(t.Context(), path, impatient, nil)
		refused(t, nil, err, path, want)
		_ = c.stdin.Close()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		open(t, path)
	})
}

// TestOpenFollowsAReplacedFile: who waited for the lock of a file that was
// replaced meanwhile gets the new one, not the one without a name.
func TestOpenFollowsAReplacedFile(t *testing.T) {
	t.Parallel()
	path, other := newPath(t), newPath(t)
	holder := open(t, path)
	replacement := open(t, other)
	shut(t, replacement)

	waits := make(chan struct{}, 10)
	opened := make(chan error, 1)
	var s *Store
	go func() {
		var err error
		s, err = Open(path, Options{LockWait: time.Minute, opened: func() { waits <- struct{}{} }})
		opened <- err
	}()
	<-waits
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	shut(t, holder)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	same(t, "store id", replacement.StoreID(), s.StoreID())
}

// TestLockRefusesAReplacedFile holds the moment in which the path is given to
// another file after this one was found to be sound.
func TestLockRefusesAReplacedFile(t *testing.T) {
	t.Parallel()
	path, other := newPath(t), newPath(t)
	shut(t, open(t, path))
	replacement := open(t, other)
	shut(t, replacement)
	openings := 0
	s, err := Open(path, Options{opened: func() {
		if openings++; openings == 2 { // the one that locks, after the one that looks
			if err := os.Rename(other, path); err != nil {
				t.Error(err)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	same(t, "store id", replacement.StoreID(), s.StoreID())
}

func TestOpenGivesUpOnAFileThatIsAlwaysReplaced(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	bytes := filled(t, path)
	s, err := Open(path, Options{opened: func() {
		write(t, path+".other", bytes)
		if err := os.Rename(path+".other", path); err != nil {
			t.Error(err)
		}
	}})
	refused(t, s, err, path, "replaced meanwhile")
}

// TestOpenMakesOneStore: of many who find no file, all but one find the store
// of that one, in use; and that one knows that it made it.
func TestOpenMakesOneStore(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	const callers = 8
	ids := make(chan string, callers)
	var made atomic.Int64
	for range callers {
		go func() {
			s, err := Open(path, Options{LockWait: time.Minute})
			if err != nil {
				ids <- err.Error()
				return
			}
			id := s.StoreID()
			if s.IsNew() {
				made.Add(1)
			}
			_ = s.Close()
			ids <- id
		}()
	}
	distinct := map[string]int{}
	for range callers {
		distinct[<-ids]++
	}
	s := open(t, path)
	same(t, "store ids", map[string]int{s.StoreID(): callers}, distinct)
	if s.IsNew() || made.Load() != 1 {
		t.Errorf("%d made it; it is new again: %v", made.Load(), s.IsNew())
	}
	onlyFile(t, path)
}

// TestOpenFinishesAnInterruptedCreation: what a process that was killed while
// it made the store has left does not stand in the way.
func TestOpenFinishesAnInterruptedCreation(t *testing.T) {
	t.Parallel()
	for name, left := range map[string][]byte{
		"an empty file":  nil,
		"a few zeros":    make([]byte, 100),
		"pages of zeros": make([]byte, 4*os.Getpagesize()),
		"an empty database": func() []byte {
			path := newPath(t)
			plant(t, path, func(*bolt.Tx) error { return nil })
			return read(t, path)
		}(),
		"a whole store": func() []byte {
			path := newPath(t)
			shut(t, open(t, path))
			return read(t, path)
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			write(t, path+".new", left)
			s := open(t, path)
			onlyFile(t, path)
			found(t, s, 1)
		})
	}
}

func TestClosedStoreAnswersNothing(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	shut(t, s)
	shut(t, s) // twice is fine
	ctx := context.Background()
	_, readErr := s.App(ctx, 1)
	for what, err := range map[string]error{
		"Ready": s.Ready(ctx), "App": readErr,
		"UpdateApp": s.UpdateApp(ctx, app, account.Event{}),
	} {
		if err != errClosed { //nolint:errorlint // it is never wrapped
			t.Errorf("%s: got %v", what, err)
		}
	}
	for mode, txn := range map[string]quota.Txn{"judge": judging(app, "sent"), "consume": adding(app, "sent")} {
		if o := s.Apply(ctx, []quota.Txn{txn})[0]; o.Err != errClosed { //nolint:errorlint // it is never wrapped
			t.Errorf("%s: got %v", mode, o.Err)
		}
	}
}
