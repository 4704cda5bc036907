package boltstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

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
			return tx.Bucket(journalBucket).Put(recordKey(2), damaged.encode())
		})
		if s, err := Open(path, Options{}); !errors.Is(err, errJournal) {
			t.Errorf("%d bytes: got %v", len(numbers), err)
			if err == nil {
				shut(t, s)
			}
		}
	}
}
