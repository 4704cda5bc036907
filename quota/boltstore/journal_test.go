package boltstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// openShort opens a store whose journal is short.
func openShort(t testing.TB, path string, limit int) *Store {
	t.Helper()
	s, err := Open(path, Options{journal: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

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
// opens the file does it.
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

// phases counts what the transactions of watched stores found.
type phases struct {
	every                               int // of so many one is checked
	journaled, inRound, dropped, placed atomic.Int64
}

// watch checks before transactions that the file alone, as a process that is
// killed would leave it, says what the store does.
func (p *phases) watch(t testing.TB, s *Store) {
	var before uint64
	n := 0
	s.update = func(do func(*bolt.Tx) error) error {
		if n++; n%p.every == 0 {
			p.check(t, s, &before)
		}
		return s.transact(do)
	}
}

func (p *phases) check(t testing.TB, s *Store, before *uint64) {
	j := s.journal
	for phase, is := range map[*atomic.Int64]bool{
		&p.journaled: len(j.pending) > 0, &p.inRound: len(j.round) > 0, &p.dropped: j.first > 0, &p.placed: j.next < *before,
	} {
		if is {
			phase.Add(1)
		}
	}
	*before = j.next
	var want, got map[string]string
	if err := s.db.View(func(tx *bolt.Tx) error {
		want = everything(&transaction{tx: tx, pending: j.pending})
		return nil
	}); err != nil {
		t.Error(err)
	}
	killed := filepath.Join(t.TempDir(), "killed.db")
	write(t, killed, read(t, s.path))
	db, err := bolt.Open(killed, 0o600, &bolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	if err := db.Update(func(tx *bolt.Tx) error {
		if err := replay(tx); err != nil {
			return err
		}
		got = everything(inPlace(tx))
		return nil
	}); err != nil {
		t.Error(err)
	}
	if !maps.Equal(want, got) { // comparing takes long
		same(t, "the file", want, got)
	}
}

// everything is all that a transaction sees, but the journal and its format.
func everything(in *transaction) map[string]string {
	all := make(map[string]string)
	add := func(name string, b table) {
		all[name] = ""
		for k, v := range b.from(nil) {
			all[name+"/"+string(k)] = "=" + string(v)
		}
	}
	var raw func(name string, b *bolt.Bucket) error
	raw = func(name string, b *bolt.Bucket) error {
		all[name] = ""
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return raw(name+"/"+string(k), b.Bucket(k))
			}
			all[name+"/"+string(k)] = "=" + string(v)
			return nil
		})
	}
	_ = in.tx.ForEach(func(name []byte, b *bolt.Bucket) error {
		switch string(name) {
		case string(journalBucket):
		case string(appsBucket):
			return b.ForEach(func(k, v []byte) error {
				if numbers, ok := in.headers().changed(k); ok {
					v = append(slices.Clip(numbers), v[headerSize:]...)
				}
				all["apps/"+string(k)] = "=" + string(v)
				return nil
			})
		case string(countersBucket):
			add("counters", in.counters())
		case string(groupsBucket):
			add("groups", in.groups())
		case string(usersBucket):
			add("users", in.users())
		case string(onlineBucket):
			add("online", in.online())
		case string(windowsBucket):
			return b.ForEachBucket(func(k []byte) error {
				add("windows/"+string(k), in.window(k))
				return nil
			})
		case string(requestsBucket):
			return b.ForEachBucket(func(k []byte) error {
				add("requests/"+string(k), in.requests(k))
				return nil
			})
		default:
			return raw(string(name), b)
		}
		return nil
	})
	delete(all, string(metaBucket)+"/"+string(formatKey))
	return all
}

// TestSuiteWithAShortJournal runs the suite with journals that are carried out all
// the time, and after each commit looks at the file.
func TestSuiteWithAShortJournal(t *testing.T) {
	t.Parallel()
	p := &phases{every: 40}
	t.Run("suite", func(t *testing.T) { //nolint:paralleltest // what it found is counted below
		runSuite(t, func(t testing.TB) *Store {
			t.Helper()
			s := openShort(t, newPath(t), 20)
			p.watch(t, s)
			return s
		})
	})
	got := [4]int64{p.journaled.Load(), p.inRound.Load(), p.dropped.Load(), p.placed.Load()}
	if slices.Min(got[:]) == 0 {
		t.Errorf("of commits that found a journal, a round, dropped records, and everything in its place, there were %v", got)
	}
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

// TestReadersOfAJournal: whatever is carried out meanwhile, they see both counters
// of a step or none, and never less than before.
func TestReadersOfAJournal(t *testing.T) {
	t.Parallel()
	s := openShort(t, newPath(t), 6)
	s.db.NoSync = true
	app := found(t, s, 1)
	both := adding(app, "friends")
	both.Charges[0].Subjects = []string{"alice", "bob"}
	look := both
	look.Mode = quota.ModeJudge
	var wg sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		wg.Go(func() {
			var before int64
			for !done.Load() {
				got := applyOne(t, s, look).Charges[0].Used
				if got[0] != got[1] || got[0] < before {
					t.Errorf("it sees %d after %d", got, before)
					return
				}
				before = got[0]
			}
		})
	}
	const steps = 400
	for n := range steps {
		applyOne(t, s, both)
		other := adding(app, "friends") // which make a round
		other.Charges[0].Subjects = []string{strconv.Itoa(n % 10)}
		applyOne(t, s, other)
		if n%7 == 0 {
			settle(t, s)
		}
	}
	done.Store(true)
	wg.Wait()
	same(t, "counters", []int64{steps, steps}, applyOne(t, s, look).Charges[0].Used)
}

// TestTableFrom compares what a table goes through with a map.
func TestTableFrom(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		want := make(map[string]string)
		pending, fresh := make(changes), make(changes)
		if err := s.submit(context.Background(), func(tx *bolt.Tx) error {
			b := tx.Bucket(usersBucket)
			for n := range 12 {
				k := []byte{byte(n)}
				_ = b.Delete(k)
				if r.IntN(2) == 0 {
					want[string(k)] = "stored"
					_ = b.Put(k, []byte("stored"))
				}
			}
			for _, c := range []changes{pending, fresh} {
				for range r.IntN(8) {
					k := string(rune(r.IntN(12)))
					c["u"+k] = [][]byte{nil, []byte("changed"), []byte("changed again")}[r.IntN(3)]
					c["c"+k] = []byte("a counter")
				}
				for k, v := range c {
					switch {
					case k[0] != 'u':
					case v == nil:
						delete(want, k[1:])
					default:
						want[k[1:]] = string(v)
					}
				}
			}
			in := (&transaction{tx: tx, pending: pending, fresh: fresh}).users()
			for first := range 13 {
				var keys, wanted []string
				for k, v := range in.from([]byte{byte(first)}) {
					keys = append(keys, fmt.Sprintf("%x=%s", k, v))
				}
				for _, k := range slices.Sorted(maps.Keys(want)) {
					if k[0] >= byte(first) {
						wanted = append(wanted, fmt.Sprintf("%x=%s", k, want[k]))
					}
				}
				same(t, fmt.Sprintf("from %d", first), wanted, keys)
			}
			return answer{}
		}); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
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

// beforeSettling has a store's second commit from now on not be settled before the
// returned function is called. Once committed is closed it is done.
func beforeSettling(t *testing.T, s *Store) (committed <-chan struct{}, settle func()) {
	t.Helper()
	done, settles := make(chan struct{}), make(chan struct{})
	commits := 0
	release := block(t, s)
	s.update = func(do func(*bolt.Tx) error) error {
		err := s.transact(do)
		if commits++; commits == 2 {
			close(done)
			<-settles
		}
		return err
	}
	release()
	return done, func() { close(settles) }
}

// TestReadersOfACommitThatIsNotSettled: where a step writes in place as well, they
// do not see that without what the journal says of the step.
func TestReadersOfACommitThatIsNotSettled(t *testing.T) {
	t.Parallel()
	later := noon.AddDate(0, 0, 10)
	onDay := func(txn *quota.Txn, at time.Time) {
		txn.Now, txn.Charges = at, append(txn.Charges, txn.Charges[0])
		txn.Charges[1].Window = catalog.WindowAt(catalog.KindDay, at, time.UTC)
	}
	hold := quota.HoldStep{Op: quota.HoldPlace, ID: quota.HoldID{1}, For: time.Minute}
	for name, tt := range map[string]struct {
		before, step, look func(txn *quota.Txn)
		want               []quota.ChargeOutcome
	}{
		"a new window in the place of a past one": {
			func(txn *quota.Txn) { onDay(txn, noon) },
			func(txn *quota.Txn) { onDay(txn, later) },
			func(txn *quota.Txn) { onDay(txn, noon) },
			[]quota.ChargeOutcome{{Used: []int64{2}, Delta: 1}, {Used: []int64{0}, Delta: 1}},
		},
		"a reservation that is committed": {
			func(txn *quota.Txn) { txn.Mode, txn.Hold = quota.ModeReserve, hold },
			func(txn *quota.Txn) {
				txn.Mode, txn.Hold = quota.ModeForce, quota.HoldStep{Op: quota.HoldCommit, ID: hold.ID}
			},
			func(*quota.Txn) {},
			[]quota.ChargeOutcome{{Used: []int64{1}, Held: []int64{0}, Delta: 1}},
		},
		"a reservation that has ended": {
			func(txn *quota.Txn) { txn.Mode, txn.Hold = quota.ModeReserve, hold },
			func(txn *quota.Txn) { txn.Now = noon.Add(2 * hold.For) },
			func(*quota.Txn) {},
			[]quota.ChargeOutcome{{Used: []int64{1}, Held: []int64{0}, Delta: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			app := found(t, s, 1)
			before, between, step, look := adding(app, "sent"), adding(app, "read"), adding(app, "sent"), judging(app, "sent")
			tt.before(&before)
			tt.step(&step)
			tt.look(&look)
			applyOne(t, s, before)
			settle(t, s)
			committed, end := beforeSettling(t, s)
			applyOne(t, s, between)
			applied := start(t.Context(), s, step)
			<-committed
			seen := start(t.Context(), s, look)
			for range 1000 {
				runtime.Gosched() // it would have looked meanwhile
			}
			end()
			same(t, "applied", true, (<-applied)[0].Applied)
			same(t, "what a reader sees", tt.want, (<-seen)[0].Charges)
		})
	}
}

// TestReadersOfACarriedOutJournal: once everything is in its place, and before the
// writer knows, what the journal said is not looked at.
func TestReadersOfACarriedOutJournal(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	committed, end := beforeSettling(t, s)
	applyOne(t, s, adding(app, "sent")) // is in the journal
	both := adding(app, "sent")
	both.Charges = append(both.Charges, adding(app, "read").Charges...)
	joined := make(chan (<-chan []quota.Outcome), 1)
	go func() {
		_ = s.submit(context.Background(), func(*bolt.Tx) error {
			joined <- start(context.Background(), s, both)
			queued(s, 1)
			return nil
		})
	}()
	applied := <-joined
	<-committed
	look := both
	look.Mode = quota.ModeJudge
	seen := applyOne(t, s, look).Charges
	same(t, "both counters", [2]int64{2, 1}, [2]int64{seen[0].Used[0], seen[1].Used[0]})
	end()
	same(t, "applied", true, (<-applied)[0].Applied)
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

// TestJournalOfARecord: the journal says nothing of a record but its numbers,
// however long it is, and the record is as it was when they are in their place.
func TestJournalOfARecord(t *testing.T) {
	t.Parallel()
	living, path := newPath(t), newPath(t)
	s := open(t, living)
	app := &account.App{ID: 1, Account: "acme", Edition: "standard", Created: noon.UTC(), Name: strings.Repeat("a long name ", 1000)}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	const steps = 10
	for range steps {
		applyOne(t, s, adding(app, "sent"))
	}
	s.journal.mu.RLock()
	size := s.journal.size
	s.journal.mu.RUnlock()
	if most := steps * 100; size > most || size == 0 {
		t.Errorf("%d bytes in the journal, want %d at most", size, most)
	}
	write(t, path, read(t, living))
	for _, s := range []*Store{s, open(t, path)} {
		settle(t, s)
		got, err := s.App(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "app", app, got)
		x, err := s.Export(t.Context(), quota.Export{App: 1, Version: app.Version, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "sequence", uint64(steps), x.Sequence)
	}
}

// TestJournalOfALostRecord: the numbers of a record bring none back that is lost,
// and do not keep the others from being read.
func TestJournalOfALostRecord(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	app := journaled(t, path)
	plant(t, path, func(tx *bolt.Tx) error { return tx.Bucket(appsBucket).Delete(appKey(app.ID)) })
	s := open(t, path)
	if _, err := s.App(t.Context(), app.ID); !errors.Is(err, account.ErrUsageUnknown) {
		t.Errorf("got %v", err)
	}
	found(t, s, 2)
}

// TestJournalOfNoNumbers: what cannot be the numbers of a record is damage, and
// the record is left as it is.
func TestJournalOfNoNumbers(t *testing.T) {
	t.Parallel()
	for _, numbers := range [][]byte{nil, {}, {1}, make([]byte, headerSize+1)} {
		path := newPath(t)
		app := journaled(t, path)
		plant(t, path, func(tx *bolt.Tx) error {
			damaged := changes{"h" + string(appKey(app.ID)): numbers}
			return tx.Bucket(journalBucket).Put(recordKey(1<<32), damaged.encode())
		})
		if s, err := Open(path, Options{}); !errors.Is(err, errJournal) {
			t.Errorf("%d bytes: got %v", len(numbers), err)
			if err == nil {
				shut(t, s)
			}
		}
	}
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

// TestJournalOfAFailedSync: as long as nobody knows whether the commit that carried
// it out came to nothing, no reader looks at it beside what that commit wrote.
func TestJournalOfAFailedSync(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	var carries *transaction
	if err := s.db.Update(func(tx *bolt.Tx) error {
		carries = s.journal.begin(tx)
		return carries.carryOut()
	}); err != nil {
		t.Fatal(err)
	}
	s.journal.settle(carries, false)
	if err := s.read(t.Context(), func(in *transaction) error {
		same(t, "changes beside the places", 0, len(in.pending))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
