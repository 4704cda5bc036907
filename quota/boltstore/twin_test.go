package boltstore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

const (
	twinSeeds = 20
	twinCalls = 200
)

// TestTwins: whatever a store has in its journal, at whatever point it is killed or
// refused, it answers as one that has carried everything out after each call.
func TestTwins(t *testing.T) {
	t.Parallel()
	did, ran := make(map[string]int), 0
	for seed := range uint64(twinSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { //nolint:paralleltest // what they did is counted below
			ran++
			w := newTwins(t, seed, did)
			for range twinCalls {
				w.call()
			}
			w.compare()
		})
	}
	t.Log(did)
	if ran < twinSeeds {
		return // somebody looks at one of them
	}
	for _, what := range []string{"applied", "refused", "killed", "killed in a round", "compacted", "lost", "swept", "swept in part", "restored"} {
		if did[what] == 0 {
			t.Errorf("nothing was %s", what)
		}
	}
}

// twins are two stores of which the same is asked. The first has a short journal.
type twins struct {
	t             *testing.T
	r             *rand.Rand
	first, second *Store
	limit         int // of the first one's journal
	calm          int // of so many calls one is of each kind but transactions
	apps          [2]*account.App
	now           time.Time
	request       uint64
	refuses       bool   // the next commit
	due           func() // what to do once a round is unfinished
	did           map[string]int
}

func newTwins(t *testing.T, seed uint64, did map[string]int) *twins {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	w := &twins{t: t, r: r, limit: 1 + r.IntN(40), calm: 30 << r.IntN(4), now: noon, request: 100, did: did}
	w.first, w.second = w.open(newPath(t), w.limit), w.open(newPath(t), 1)
	for i := range w.apps {
		w.create(i, false)
	}
	return w
}

func (w *twins) open(path string, limit int) *Store {
	s := openShort(w.t, path, limit)
	s.db.NoSync = true
	s.now = func() time.Time { return w.now }
	s.update = func(do func(*bolt.Tx) error) error {
		return s.transact(func(tx *bolt.Tx) error {
			if err := do(tx); err != nil || !w.refuses {
				return err
			}
			w.refuses = false
			return &fullDisk
		})
	}
	return s
}

// call makes any call.
func (w *twins) call() {
	w.now = w.now.Add(time.Duration(w.r.IntN(30)) * time.Second)
	switch w.r.IntN(w.calm) {
	case 0:
		w.now = w.now.Add(time.Duration(w.r.IntN(30)) * time.Minute)
	case 1:
		w.now = w.now.Add(time.Duration(w.r.IntN(60)) * time.Hour)
	case 2:
		w.now = w.now.Add(time.Duration(w.r.IntN(90)) * 24 * time.Hour)
	case 3:
		w.kill()
	case 4, 5:
		w.due = w.kill
	case 6, 7:
		w.due = w.lose
	case 8:
		w.compare()
	case 9:
		w.export(w.apps[w.r.IntN(len(w.apps))])
	case 10:
		w.quote()
	default:
		w.apply()
	}
	if due := w.due; due != nil && w.isInRound() {
		w.due = nil
		due()
	}
}

// isInRound reports whether some of the first one's journal is in its place, and
// some is not.
func (w *twins) isInRound() bool { return len(w.first.journal.round) > 0 }

// both asks the same of both, of the first once more if its commit was refused.
func (w *twins) both(what string, ask func(s *Store) (any, error)) {
	w.t.Helper()
	w.refuses = w.r.IntN(4) == 0
	got, gotErr := ask(w.first)
	if fault(gotErr) == account.StoreUnavailable {
		w.did["refused"]++
		got, gotErr = ask(w.first)
	}
	// What only judges is answered before its transaction ends.
	_ = w.first.enqueue(w.t.Context(), &work{do: func(*transaction) error { return nil }})
	w.refuses = false
	want, wantErr := ask(w.second)
	settle(w.t, w.second)
	same(w.t, what, fmt.Sprintf("%+v, %v", want, wantErr), fmt.Sprintf("%+v, %v", got, gotErr))
	if w.t.Failed() || fault(wantErr) != "" {
		w.t.Fatalf("%s at %v: %v", what, w.now, wantErr)
	}
}

// compare compares all that they have, but what names the store, and the numbers of
// request ids, of which refused commits have left some out.
func (w *twins) compare() {
	w.t.Helper()
	seen := func(s *Store) (all map[string]string) {
		if err := s.read(w.t.Context(), func(t *transaction) error { all = everything(t); return nil }); err != nil {
			w.t.Fatal(err)
		}
		for k, v := range maps.Clone(all) {
			isRequest := strings.HasPrefix(k, string(requestsBucket)+"/") && v != ""
			if isRequest {
				all[k[:len(k)-requestKeySize]+v] = ""
			}
			if isRequest || strings.HasPrefix(k, string(metaBucket)) {
				delete(all, k)
			}
		}
		return all
	}
	if want, got := seen(w.second), seen(w.first); !maps.Equal(want, got) { // comparing takes long
		same(w.t, "all that is stored", want, got)
		w.t.FailNow()
	}
}

// kill kills the first, and compacts the files of both now and then.
func (w *twins) kill() {
	w.t.Helper()
	if w.r.IntN(3) > 0 {
		w.restart(func(string) {})
		return
	}
	w.did["compacted"]++
	w.restart(func(path string) {
		if _, _, err := Compact(w.t.Context(), path, Options{}, nil); err != nil {
			w.t.Fatal(err)
		}
	})
}

// restart opens the file of the first as it is between two calls, and that of the
// second after it was closed, each with a change made behind its back.
func (w *twins) restart(change func(path string)) {
	w.t.Helper()
	w.did["killed"]++
	if w.isInRound() {
		w.did["killed in a round"]++
	}
	killed, whole := newPath(w.t), w.second.path
	write(w.t, killed, read(w.t, w.first.path))
	shut(w.t, w.first)
	shut(w.t, w.second)
	change(killed)
	change(whole)
	w.first, w.second = w.open(killed, w.limit), w.open(whole, 1)
}
