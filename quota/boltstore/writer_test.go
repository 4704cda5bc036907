package boltstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// block keeps the writer busy until the returned function is called. What waits by
// then is of the same transaction.
func block(t *testing.T, s *Store) (release func()) {
	t.Helper()
	return hold(t, s, nil)
}

// hold is block with a call of this outcome: with an answer, it changes nothing.
// It leaves the journal as it is.
func hold(t *testing.T, s *Store, outcome error) (release func()) {
	t.Helper()
	busy, free, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once // it is run again where the transaction is undone
	go func() {
		done <- s.enqueue(context.Background(), &work{do: func(*transaction) error {
			once.Do(func() { close(busy) })
			<-free
			return outcome
		}})
	}()
	<-busy
	return func() {
		close(free)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// queued waits until this many calls wait for the writer.
func queued(s *Store, n int) {
	for len(s.queue) < n {
		runtime.Gosched()
	}
}

// start applies transactions and returns where their outcomes come.
func start(ctx context.Context, s *Store, txns ...quota.Txn) <-chan []quota.Outcome {
	outcomes := make(chan []quota.Outcome, 1)
	go func() { outcomes <- s.Apply(ctx, txns) }()
	return outcomes
}

func fault(err error) account.FaultReason {
	if f, ok := errors.AsType[*account.Fault](err); ok {
		return f.Reason
	}
	return ""
}

// TestCallerWhoLeftIsNotCounted: calls whose context ended before the writer
// took them write nothing, and the others of the same commit do.
func TestCallerWhoLeftIsNotCounted(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	release := block(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	gone := start(ctx, s, adding(app, "sent"), adding(app, "sent"))
	queued(s, 1)
	stays := start(t.Context(), s, adding(app, "sent"))
	queued(s, 2)
	cancel()
	release()
	for _, o := range <-gone {
		same(t, "reason", account.CallerGone, fault(o.Err))
		if !errors.Is(o.Err, context.Canceled) {
			t.Errorf("got %v", o.Err)
		}
	}
	if o := (<-stays)[0]; !o.Applied {
		t.Errorf("got %v", o.Err)
	}
	same(t, "counter", int64(1), used(t, s, app, "sent"))

	before := read(t, path)
	for name, txn := range map[string]quota.Txn{"consume": adding(app, "sent"), "judge": judging(app, "sent")} {
		same(t, name, account.CallerGone, fault(s.Apply(ctx, []quota.Txn{txn})[0].Err))
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file was written to")
	}
}

// TestRefusedWriteFailsAlone: bbolt refuses keys above 32 KiB. The transaction
// is undone, and the other calls of it are carried out without that one.
func TestRefusedWriteFailsAlone(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	tooLong := adding(app, "long")
	tooLong.Charges[0].Subjects = []string{strings.Repeat("x", bolt.MaxKeySize)}
	release := block(t, s)
	var outcomes []<-chan []quota.Outcome
	for i, txn := range []quota.Txn{adding(app, "sent"), tooLong, adding(app, "sent"), tooLong, adding(app, "sent")} {
		outcomes = append(outcomes, start(t.Context(), s, txn))
		queued(s, i+1)
	}
	release()
	var got []account.FaultReason
	for _, o := range outcomes {
		got = append(got, fault((<-o)[0].Err))
	}
	same(t, "reasons", []account.FaultReason{"", account.StoreUnavailable, "", account.StoreUnavailable, ""}, got)
	same(t, "counter", int64(3), used(t, s, app, "sent"))
}

// TestCommitsAreBounded: many small calls share one, and large ones do not make it
// last as long as all of them.
func TestCommitsAreBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		calls, counters int
		want            int64 // commits
	}{
		{"small calls", 200, 1, 1},
		{"too many small calls", 300, 1, 2},
		{"large calls", 20, 1000, 3}, // 9 reach the bound
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			app := found(t, s, 1)
			txn := adding(app, "friends")
			txn.Charges[0].Scope = catalog.ScopeUser
			for n := range tt.counters {
				txn.Charges[0].Subjects = append(txn.Charges[0].Subjects, bulkyUser(n))
			}
			release := block(t, s)
			var outcomes []<-chan []quota.Outcome
			for i := range tt.calls {
				outcomes = append(outcomes, start(t.Context(), s, txn))
				queued(s, i+1)
			}
			before := s.committed.Load()
			release()
			for _, o := range outcomes {
				if got := (<-o)[0]; !got.Applied {
					t.Error(got.Err)
				}
			}
			same(t, "commits", tt.want, s.committed.Load()-before)
		})
	}
}

// TestLateCallsJoin: who comes while a transaction is made up is still in it, but
// only as long as it has room.
func TestLateCallsJoin(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	const late = batchCalls + 10
	outcomes := make(chan []quota.Outcome, late)
	before := s.committed.Load()
	if err := s.submit(t.Context(), func(*bolt.Tx) error {
		for i := range late {
			go func() { outcomes <- s.Apply(context.Background(), []quota.Txn{adding(app, "sent")}) }()
			queued(s, i+1)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range late {
		if o := (<-outcomes)[0]; !o.Applied {
			t.Error(o.Err)
		}
	}
	same(t, "commits", before+2, s.committed.Load())
	same(t, "counter", int64(late), used(t, s, app, "sent"))
}

// TestThoseWhoCanRunJoin: a commit is not begun before those who are about to call
// have done so.
func TestThoseWhoCanRunJoin(t *testing.T) { //nolint:paralleltest // it needs all others to stand still
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := open(t, newPath(t))
	app := found(t, s, 1)
	const callers = 10
	outcomes := make(chan []quota.Outcome, callers)
	before := s.committed.Load()
	if err := s.submit(t.Context(), func(*bolt.Tx) error {
		for range callers {
			go func() { outcomes <- s.Apply(context.Background(), []quota.Txn{adding(app, "sent")}) }()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range callers {
		same(t, "applied", true, (<-outcomes)[0].Applied)
	}
	same(t, "commits", int64(1), s.committed.Load()-before)
}

// TestFailedCommit: what is on the disk after a commit that failed is unknown.
// A disk that is full may be emptied; one that could not sync must not be
// trusted with another commit, nor be read.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	type answers struct {
		First, Read, Next account.FaultReason
		Ready             bool
	}
	tests := []struct {
		name   string
		err    error
		counts bool // what was written counts all the same
		want   answers
	}{
		{"full disk", &os.PathError{Op: "write", Err: syscall.ENOSPC}, false, answers{First: account.StoreUnavailable, Ready: true}},
		{"no room to grow", errors.New("file resize error: truncate x.db: no space left on device"), false, answers{First: account.StoreUnavailable, Ready: true}},
		{"failed sync", syscall.EIO, false, answers{account.OutcomeUnknown, account.StoreUnavailable, account.StoreUnavailable, false}},
		{"failed sync of a file that grew", errors.New("file sync error: sync x.db: input/output error"), false, answers{account.OutcomeUnknown, account.StoreUnavailable, account.StoreUnavailable, false}},
		{"failed write that counts", &os.PathError{Op: "write", Err: syscall.ENOSPC}, true, answers{account.OutcomeUnknown, account.StoreUnavailable, account.StoreUnavailable, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			app := found(t, s, 1)
			release := block(t, s)
			s.update = func(do func(*bolt.Tx) error) error {
				s.update = s.db.Update
				if tt.counts {
					if err := s.db.Update(do); err != nil {
						t.Error(err)
					}
				}
				return tt.err
			}
			release()
			got := answers{
				First: fault(s.Apply(t.Context(), []quota.Txn{adding(app, "sent")})[0].Err),
				Read:  fault(s.Apply(t.Context(), []quota.Txn{judging(app, "sent")})[0].Err),
				Next:  fault(s.Apply(t.Context(), []quota.Txn{adding(app, "sent")})[0].Err),
				Ready: s.Ready(t.Context()) == nil,
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestReplayedMeansOnDisk: a request is not answered as one that took effect
// before its commit is synced.
func TestReplayedMeansOnDisk(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	release := block(t, s)
	committed, sync := make(chan struct{}), make(chan struct{})
	s.update = func(do func(*bolt.Tx) error) error {
		err := s.transact(do)
		s.update = s.transact
		close(committed)
		<-sync
		return err
	}
	release()
	txn := adding(app, "sent")
	txn.Request = request(1)
	first := start(t.Context(), s, txn)
	<-committed

	txn.Mode = quota.ModeJudge
	asked := start(t.Context(), s, txn)
	for len(s.queue) == 0 && len(asked) == 0 {
		runtime.Gosched()
	}
	if len(asked) != 0 {
		t.Error("it is answered before the sync")
	}
	close(sync)
	same(t, "applied, replayed", []bool{true, true}, []bool{(<-first)[0].Applied, (<-asked)[0].Replayed})
}
