package boltstore

import (
	"context"
	"errors"
	"runtime"
	"strconv"
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

// lockWatcher notes whether readers are held back when a store is given up.
type lockWatcher struct {
	s        *Store
	heldBack []bool
}

func (*lockWatcher) Announced(account.Subject, time.Time) {}
func (*lockWatcher) Confirmed(time.Time)                  {}
func (w *lockWatcher) Missed() {
	isFree := w.s.journal.mu.TryRLock()
	if isFree {
		w.s.journal.mu.RUnlock()
	}
	w.heldBack = append(w.heldBack, !isFree)
}

// TestReadersOfAFailedSync: those who wait for a commit that writes in place as well
// go on only when the store was given up, and see nothing of it.
func TestReadersOfAFailedSync(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	reserved := adding(app, "sent")
	reserved.Mode, reserved.Hold = quota.ModeReserve, quota.HoldStep{Op: quota.HoldPlace, ID: quota.HoldID{1}, For: time.Minute}
	committed, fails := make(chan struct{}), make(chan struct{})
	release := block(t, s)
	w := &lockWatcher{s: s}
	var watcher account.Watcher = w
	s.watchers.all = map[*account.Watcher]struct{}{&watcher: {}}
	s.update = func(do func(*bolt.Tx) error) error {
		err := s.transact(do)
		close(committed)
		<-fails
		return errors.Join(err, syscall.EIO)
	}
	release()
	placed := start(t.Context(), s, reserved)
	<-committed
	seen := start(t.Context(), s, judging(app, "sent"))
	close(fails)
	same(t, "reason", account.OutcomeUnknown, fault((<-placed)[0].Err))
	same(t, "what a reader hears", account.StoreUnavailable, fault((<-seen)[0].Err))
	same(t, "readers are held back", []bool{true}, w.heldBack)
}
