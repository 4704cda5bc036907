package boltstore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// journaled makes a store of a process that was killed with a journal, of two
// counters of app 1, and returns the app.
func journaled(t testing.TB, path string) *account.App {
	t.Helper()
	living := filepath.Join(t.TempDir(), "living.db")
	s := open(t, living)
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	applyOne(t, s, adding(app, "sent"))
	applyOne(t, s, adding(app, "read"))
	write(t, path, read(t, living))
	shut(t, s)
	return app
}

// formatOf reads a file's format, and whether it has a journal.
func formatOf(t testing.TB, path string) (number byte, hasJournal bool) {
	t.Helper()
	plant(t, path, func(tx *bolt.Tx) error {
		number, hasJournal = tx.Bucket(metaBucket).Get(formatKey)[3], tx.Bucket(journalBucket) != nil
		return nil
	})
	return number, hasJournal
}

// TestJournalOfAKilledProcess: a file that was not closed says by its format that
// it has a journal. Who opens it, or compacts it, finds in it all that was answered,
// and once it is closed an earlier version can read it.
func TestJournalOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for _, compacts := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted: %v", compacts), func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			app := journaled(t, path)
			number, hasJournal := formatOf(t, path)
			same(t, "format, journal", [2]any{byte(formatJournal), true}, [2]any{number, hasJournal})
			if compacts {
				if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
					t.Fatal(err)
				}
				number, hasJournal = formatOf(t, path)
				same(t, "format, journal", [2]any{byte(format), false}, [2]any{number, hasJournal})
			}
			s := open(t, path)
			same(t, "counters", [2]int64{2, 1}, [2]int64{used(t, s, app, "sent"), used(t, s, app, "read")})
			applyOne(t, s, adding(app, "sent"))
			same(t, "counters", [2]int64{3, 1}, [2]int64{used(t, s, app, "sent"), used(t, s, app, "read")})
			shut(t, s)
			number, hasJournal = formatOf(t, path)
			same(t, "format, journal", [2]any{byte(format), false}, [2]any{number, hasJournal})
			s = open(t, path)
			same(t, "counters", [2]int64{3, 1}, [2]int64{used(t, s, app, "sent"), used(t, s, app, "read")})
		})
	}
}

// TestCloseLeavesTheJournal: where it cannot be carried out at the end, whoever
// opens the file goes on with it.
func TestCloseLeavesTheJournal(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	release := block(t, s)
	s.update = func(func(*bolt.Tx) error) error { return &fullDisk }
	release()
	same(t, "reason", account.StoreUnavailable, fault(s.Apply(t.Context(), []quota.Txn{adding(app, "sent")})[0].Err))
	shut(t, s)
	s = open(t, path)
	same(t, "counter", int64(1), used(t, s, app, "sent"))
}

var fullDisk = resizeError{}

// resizeError is how bbolt says that there was no room, and nothing was written.
type resizeError struct{}

func (*resizeError) Error() string { return "file resize error: " + syscall.ENOSPC.Error() }

// TestJournalOfRefusedCommits: commits that came to nothing, at any point of a
// round, leave what was there.
func TestJournalOfRefusedCommits(t *testing.T) {
	t.Parallel()
	s := openShort(t, newPath(t), 12)
	app := found(t, s, 1)
	r := rand.New(rand.NewPCG(1, 2))
	p := &phases{every: 1}
	release := block(t, s)
	p.watch(t, s)
	checked := s.update
	s.update = func(do func(*bolt.Tx) error) error {
		return checked(func(tx *bolt.Tx) error {
			if err := do(tx); err != nil || r.IntN(3) > 0 {
				return err
			}
			return &fullDisk
		})
	}
	release()
	want := make(map[string]int64)
	for range 400 {
		if r.IntN(40) == 0 {
			_ = s.submit(t.Context(), func(*bolt.Tx) error { return nil })
		}
		txn := adding(app, "friends")
		txn.Charges[0].Subjects = []string{strconv.Itoa(r.IntN(30)), "everybody's"}
		o := s.Apply(t.Context(), []quota.Txn{txn})[0]
		if reason := fault(o.Err); reason != "" {
			same(t, "reason", account.StoreUnavailable, reason)
			continue
		}
		for _, id := range txn.Charges[0].Subjects {
			want[id]++
		}
	}
	all := judging(app, "friends")
	all.Charges[0].Subjects = slices.Sorted(maps.Keys(want))
	got := make(map[string]int64)
	for i, n := range applyOne(t, s, all).Charges[0].Used {
		got[all.Charges[0].Subjects[i]] = n
	}
	same(t, "counters", want, got)
	if p.inRound.Load() == 0 || p.dropped.Load() == 0 || p.placed.Load() == 0 {
		t.Error("nothing was carried out")
	}
}

// TestJournalIsBounded: neither counters that change all the time nor ones that
// never do again make it grow, and it is never carried out all at once for that.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	for name, users := range map[string]int{"one counter": 1, "always another": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit = 16
			s := openShort(t, newPath(t), limit)
			s.db.NoSync = true
			app := found(t, s, 1)
			var records, pending int
			var before uint64
			release := block(t, s)
			s.update = func(do func(*bolt.Tx) error) error {
				err := s.db.View(func(tx *bolt.Tx) error {
					if b := tx.Bucket(journalBucket); b != nil {
						records = max(records, b.Stats().KeyN)
					}
					return nil
				})
				pending = max(pending, len(s.journal.pending))
				if s.journal.next < before {
					t.Error("it is carried out all at once")
				}
				before = s.journal.next
				return errors.Join(err, s.transact(do))
			}
			release()
			for n := range 2000 {
				txn := adding(app, "friends")
				txn.Charges[0].Subjects = []string{strconv.Itoa(n % users)}
				applyOne(t, s, txn)
			}
			// A record is a hundred bytes at least; a round begins after so many, and they
			// are dropped when it ends.
			if most := 2*limit*journalChangeBytes/100 + 2; records > most || records < 2 || pending > limit+2 {
				t.Errorf("%d records and %d changes, want %d and %d at most", records, pending, most, limit+2)
			}
		})
	}
}

// FuzzJournal: whatever a record says, the file opens or is refused.
func FuzzJournal(f *testing.F) {
	for _, c := range []changes{
		{"u\x00\x00\x00\x01alice": encodeUser(user{month: 7}), "u\x00\x00\x00\x01bob": nil},
		{"w\x01x\x00\x00\x00\x01": {}},
		{"w": {1}},
		{"w\x00x": {1}},
		{"w\xffx": {1}},
		{"x1": {1}},
		{"": {}},
		{"h": nil},
		{"h\x00\x00\x00\x01": {1}},
		{"r\x0c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02key": {1, 2}},
	} {
		f.Add(c.encode())
	}
	f.Add([]byte{1})
	f.Add([]byte{1, 'u', 200})
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	living := newPath(f)
	shut(f, open(f, living))
	whole := read(f, living)
	f.Fuzz(func(t *testing.T, record []byte) {
		path := newPath(t)
		write(t, path, whole)
		plant(t, path, func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket(journalBucket)
			return errors.Join(err, putFormat(tx, formatJournal), b.Put(recordKey(0), record))
		})
		s, err := Open(path, Options{})
		if err != nil {
			return
		}
		found(t, s, 77)
		shut(t, s)
		_, hasJournal := formatOf(t, path)
		same(t, "journal", false, hasJournal)
	})
}

// TestJournalIsNoPlaceForCrowds: what is more than the journal may hold is put in
// its place at once.
func TestJournalIsNoPlaceForCrowds(t *testing.T) {
	t.Parallel()
	s := openShort(t, newPath(t), 16)
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	crowd := adding(app, "friends")
	for n := range 40 {
		crowd.Charges[0].Subjects = append(crowd.Charges[0].Subjects, bulkyUser(n))
	}
	applyOne(t, s, crowd)
	s.journal.mu.RLock()
	defer s.journal.mu.RUnlock()
	same(t, "changes in the journal", 0, len(s.journal.pending))
}

// TestJournalOfRefusedCalls: to find that a call is refused may take carrying the
// journal out, but once for all that follow.
func TestJournalOfRefusedCalls(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	ended := make(chan error, 10)
	release := block(t, s)
	s.update = func(do func(*bolt.Tx) error) error {
		err := s.transact(do)
		ended <- err
		return err
	}
	release()
	for _, want := range []error{nil, errUnchanged} {
		if err := s.CreateApp(t.Context(), app.Clone(), account.Event{}, 1000, false); !errors.Is(err, account.ErrAppExists) {
			t.Fatalf("got %v", err)
		}
		if err := <-ended; !errors.Is(err, want) {
			t.Errorf("the transaction ended with %v, want %v", err, want)
		}
	}
	same(t, "counter", int64(1), used(t, s, app, "sent"))
	shut(t, s)
	s = open(t, path)
	same(t, "counter", int64(1), used(t, s, app, "sent"))
}

// TestJournalOfACrowd: what one call changed does not make those after it slower.
func TestJournalOfACrowd(t *testing.T) {
	t.Parallel()
	s := openShort(t, newPath(t), 16)
	app := found(t, s, 1)
	// room tells which map it is that transactions note their changes in.
	room := func() uintptr {
		release := block(t, s)
		defer release()
		return reflect.ValueOf(s.journal.fresh).Pointer()
	}
	first := room()
	few, crowd := adding(app, "friends"), adding(app, "friends")
	few.Charges[0].Subjects = []string{"alice", "bob"}
	for n := range 100 {
		crowd.Charges[0].Subjects = append(crowd.Charges[0].Subjects, strconv.Itoa(n))
	}
	applyOne(t, s, few)
	if room() != first {
		t.Error("the room of a few is not used again")
	}
	applyOne(t, s, crowd)
	if room() == first {
		t.Error("the room of a crowd is kept")
	}
}
