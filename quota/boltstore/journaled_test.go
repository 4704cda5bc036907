package boltstore

import (
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"
)

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
