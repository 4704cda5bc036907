package boltstore

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// TestCompactLeavesOutWhatIsPast: by each app's own clock. What an app could
// still ask for is kept, however long ago it is by the time of day.
func TestCompactLeavesOutWhatIsPast(t *testing.T) {
	t.Parallel()
	const ahead, idle, lost, behind, anew = 1, 2, 3, 4, 5
	path := newPath(t)
	s := open(t, path)
	apps := map[uint32]*account.App{}
	day, month := catalog.WindowAt(catalog.KindDay, noon, time.UTC), catalog.WindowAt(catalog.KindMonth, noon, time.UTC)
	asked := func(app uint32) quota.Txn {
		txn := adding(apps[app], "sent")
		txn.Request = request(1)
		return txn
	}
	counted := func(app uint32, w catalog.Window) quota.Txn {
		txn := adding(apps[app], "sent")
		txn.Charges[0].Window = w
		return txn
	}
	for _, id := range []uint32{ahead, idle, lost, behind, anew} {
		apps[id] = found(t, s, id)
		for _, txn := range []quota.Txn{asked(id), counted(id, day), counted(id, month)} {
			applyOne(t, s, txn)
		}
	}
	// Their clocks go on, without ids or windows, with which they would drop
	// what is past by themselves.
	later := adding(apps[ahead], "others")
	later.Now = day.KeptUntil().Add(time.Second)
	applyOne(t, s, later)
	later = adding(apps[behind], "others")
	later.Now = noon.Add(quota.RequestHorizon)
	applyOne(t, s, later)
	shut(t, s)
	plant(t, path, func(tx *bolt.Tx) error {
		return errors.Join(tx.Bucket(appsBucket).Delete(appKey(lost)), tx.Bucket(appsBucket).Delete(appKey(anew)))
	})
	s = open(t, path)
	if err := s.CreateApp(t.Context(), apps[anew], account.Event{}, 1000, true); err != nil {
		t.Fatal(err)
	}
	shut(t, s)

	var last, total int64
	if _, _, err := Compact(t.Context(), path, Options{}, func(done, of int64) { last, total = done, of }); err != nil {
		t.Fatal(err)
	}
	same(t, "progress", total, last)
	s = open(t, path)
	var ids, windows []string
	for _, app := range []uint32{idle, lost, behind, anew} {
		ids = append(ids, string(generationKey(app, generationOf(noon))))
	}
	same(t, "generations", ids, inside(t, s, requestsBucket))
	windows = append(windows, string(windowKey(ahead, month)))
	for _, app := range []uint32{idle, lost, behind, anew} {
		windows = append(windows, string(windowKey(app, day)), string(windowKey(app, month)))
	}
	same(t, "windows", windows, inside(t, s, windowsBucket))
	for _, app := range []uint32{idle, behind, anew} {
		if !applyOne(t, s, asked(app)).Replayed {
			t.Errorf("app %d: the request is forgotten", app)
		}
		txn := counted(app, day)
		txn.Mode = quota.ModeJudge
		same(t, "counter", []int64{1}, applyOne(t, s, txn).Charges[0].Used)
	}
}

// TestCompactForgetsNothingThatIsKept compacts at every minute of an id's life.
func TestCompactForgetsNothingThatIsKept(t *testing.T) {
	t.Parallel()
	for minutes := range int(quota.RequestHorizon/time.Minute) + 1 {
		path := newPath(t)
		s := open(t, path)
		app := found(t, s, 1)
		txn := adding(app, "sent")
		txn.Request = request(1)
		applyOne(t, s, txn)
		other := adding(app, "others")
		other.Now = noon.Add(time.Duration(minutes) * time.Minute)
		applyOne(t, s, other)
		shut(t, s)
		if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
		txn.Now = other.Now
		if !applyOne(t, s, txn).Replayed {
			t.Errorf("it is forgotten after %d minutes", minutes)
		}
		shut(t, s)
	}
}

// TestCompactLeavesOutWhatIsPastByTheJournal: of a process that was killed, the
// journal may have the clock by which something is past, or some of that itself.
func TestCompactLeavesOutWhatIsPastByTheJournal(t *testing.T) {
	t.Parallel()
	day := catalog.WindowAt(catalog.KindDay, noon, time.UTC)
	for name, killed := range map[string]func(t *testing.T, s *Store, later quota.Txn, path string){
		"the clock": func(t *testing.T, s *Store, later quota.Txn, path string) {
			t.Helper()
			settle(t, s)
			applyOne(t, s, later)
			write(t, path, read(t, s.path))
		},
		"a counter and a request": func(t *testing.T, s *Store, later quota.Txn, path string) {
			t.Helper()
			applyOne(t, s, later)
			settle(t, s)
			write(t, path, read(t, s.path))
			left := changes{
				inner('w', windowKey(later.App, day)) + string(counterKey(later.App, "sent", "")):               encodeCount(1),
				inner('r', generationKey(later.App, generationOf(noon))) + string(make([]byte, requestKeySize)): make([]byte, 24),
			}
			plant(t, path, func(tx *bolt.Tx) error {
				b, err := tx.CreateBucket(journalBucket)
				return errors.Join(err, putFormat(tx, formatJournal), b.Put(recordKey(0), left.encode()))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, filepath.Join(t.TempDir(), "living.db"))
			app := found(t, s, 1)
			txn, later := adding(app, "sent"), adding(app, "others")
			txn.Charges[0].Window, txn.Request = day, request(1)
			applyOne(t, s, txn)
			later.Now = day.KeptUntil().Add(time.Second)
			killed(t, s, later, path)
			if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
				t.Fatal(err)
			}
			s = open(t, path)
			same(t, "generations", []string(nil), inside(t, s, requestsBucket))
			same(t, "windows", []string(nil), inside(t, s, windowsBucket))
			same(t, "counter", int64(1), used(t, s, app, "others"))
		})
	}
}
