package boltstore

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// loggingIn is a login in month 7 that counts users and those who are active.
func loggingIn(app *account.App, ids ...string) quota.Txn {
	txn := txnOf(app)
	txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: ids, Month: 7}
	txn.Charges = []quota.Charge{
		{Counter: quota.Counter{Quota: "users"}, Delta: 1, Basis: quota.PerNewUser, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "mau"}, Delta: 1, Basis: quota.PerNewActive, Limit: catalog.Unlimited()},
	}
	return txn
}

// TestWhatChangesNothingIsNotCommitted: what is denied, answered again, or applied
// without an effect costs no sync.
func TestWhatChangesNothingIsNotCommitted(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	counted := adding(app, "sent")
	counted.Request = request(1)
	applyOne(t, s, counted)
	applyOne(t, s, loggingIn(app, "alice", "bob"))

	denied := adding(app, "sent")
	denied.Charges[0].Limit = catalog.Max(1)
	registered := loggingIn(app, "bob")
	registered.Users.Op = quota.UsersRegister
	returned := adding(app, "lent")
	returned.Charges[0].Delta = -1
	of := catalog.WindowAt(catalog.KindDay, noon, catalog.Default().Zone())
	returnedToday := returned
	returnedToday.Charges = []quota.Charge{{Counter: quota.Counter{Quota: "lent", Window: of}, Delta: -1, Limit: catalog.Unlimited()}}
	deleted := txnOf(app)
	deleted.Users = quota.UserStep{Op: quota.UsersDelete, IDs: []string{"carol"}, Month: 7}
	left := txnOf(app)
	left.Group = quota.GroupStep{Op: quota.GroupLeave, ID: "nobody's"}

	before, commits := read(t, path), s.committed.Load()
	for _, tt := range []struct {
		name              string
		txn               quota.Txn
		applied, replayed bool
	}{
		{"denied", denied, false, false},
		{"replayed", counted, false, true},
		{"logged in again", loggingIn(app, "alice"), true, false},
		{"all logged in again", loggingIn(app, "bob", "alice"), true, false},
		{"registered again", registered, true, false},
		{"nothing to return", returned, true, false},
		{"nothing to return of a day", returnedToday, true, false},
		{"nobody to delete", deleted, true, false},
		{"no group to leave", left, true, false},
	} {
		o := applyOne(t, s, tt.txn)
		same(t, tt.name, [2]bool{tt.applied, tt.replayed}, [2]bool{o.Applied, o.Replayed})
		same(t, tt.name+": commits", commits, s.committed.Load())
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file was written to")
	}
	applyOne(t, s, adding(app, "sent"))
	same(t, "counters", [3]int64{2, 2, 2}, [3]int64{used(t, s, app, "sent"), used(t, s, app, "users"), used(t, s, app, "mau")})
	sound(t, s)
}

// TestOneChangeIsEnough: a call is committed whichever of its transactions changes
// something.
func TestOneChangeIsEnough(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	again := loggingIn(app, "alice")
	applyOne(t, s, again)
	for _, txns := range [][]quota.Txn{
		{adding(app, "sent"), again, again},
		{again, adding(app, "sent"), again},
		{again, again, adding(app, "sent")},
	} {
		before := s.committed.Load()
		for _, o := range s.Apply(t.Context(), txns) {
			same(t, "applied", true, o.Applied)
		}
		same(t, "commits", int64(1), s.committed.Load()-before)
	}
	shut(t, s)
	s = open(t, path)
	same(t, "counter", int64(3), used(t, s, app, "sent"))
}

// TestUnchangedDoesNotWait: of one transaction, what changes nothing is answered
// before the commit if it comes before all that does. If it comes after, it may have
// read what is not on the disk yet, and waits.
func TestUnchangedDoesNotWait(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, loggingIn(app, "alice"))
	made, commit := make(chan struct{}), make(chan struct{})
	s.update = func(do func(*bolt.Tx) error) error {
		return s.transact(func(tx *bolt.Tx) error {
			err := do(tx)
			close(made)
			<-commit
			return err
		})
	}
	release := hold(t, s, answer{})
	var outcomes []<-chan []quota.Outcome
	for _, txn := range []quota.Txn{loggingIn(app, "alice"), loggingIn(app, "bob"), loggingIn(app, "bob"), loggingIn(app, "alice")} {
		outcomes = append(outcomes, start(t.Context(), s, txn))
		queued(s, len(outcomes))
	}
	before := s.committed.Load()
	release()
	<-made
	first := (<-outcomes[0])[0] // for ever, if it waits
	same(t, "delta of the first", int64(0), first.Charges[0].Delta)
	for range 100 {
		runtime.Gosched() // others would be answered meanwhile
	}
	for i, o := range outcomes[1:] {
		if len(o) != 0 {
			t.Errorf("login %d was answered before the commit", i+2)
		}
	}
	close(commit)
	var deltas []int64
	for _, o := range outcomes[1:] {
		deltas = append(deltas, (<-o)[0].Charges[0].Delta)
	}
	same(t, "deltas", []int64{1, 0, 0}, deltas)
	same(t, "commits", int64(1), s.committed.Load()-before)
}

// TestUnchangedIsAnsweredOnce: what was answered is not carried out again where
// the rest of the transaction is.
func TestUnchangedIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, loggingIn(app, "alice"))
	release := hold(t, s, answer{})
	var runs int
	asked := make(chan error, 1)
	go func() {
		asked <- s.submit(t.Context(), func(*bolt.Tx) error {
			runs++
			return answer{}
		})
	}()
	queued(s, 1)
	sent := start(t.Context(), s, adding(app, "sent"))
	queued(s, 2)
	refused := make(chan error, 1)
	go func() { refused <- s.submit(t.Context(), func(*bolt.Tx) error { return errCorrupt }) }()
	queued(s, 3)
	release()
	same(t, "answer", nil, <-asked)
	same(t, "reason", account.StoreUnavailable, fault(<-refused))
	same(t, "applied", true, (<-sent)[0].Applied)
	same(t, "runs", 1, runs)
	same(t, "counter", int64(1), used(t, s, app, "sent"))
}

// TestUnchangedCallsAreBounded: a transaction ends however many calls come that
// change nothing.
func TestUnchangedCallsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	again := loggingIn(app, "alice")
	applyOne(t, s, again)
	settle(t, s) // else the writer's last would
	transactions := 0
	s.update = func(do func(*bolt.Tx) error) error {
		transactions++
		return s.transact(do)
	}
	release := hold(t, s, answer{})
	var outcomes []<-chan []quota.Outcome
	for range batchCalls + 10 {
		outcomes = append(outcomes, start(t.Context(), s, again))
		queued(s, len(outcomes))
	}
	before := s.committed.Load()
	release()
	for _, o := range outcomes {
		same(t, "applied", true, (<-o)[0].Applied)
	}
	shut(t, s) // the writer's last is over
	same(t, "transactions", 2, transactions)
	same(t, "commits", before, s.committed.Load())
}

// TestDeletionForgetsWhoWasActiveBefore: that a user was active in a month that is
// over is not remembered after a deletion that changes nothing else.
func TestDeletionForgetsWhoWasActiveBefore(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	applyOne(t, s, loggingIn(app, "alice"))
	remembered := func() (is bool) {
		settle(t, s)
		if err := s.db.View(func(tx *bolt.Tx) error {
			is = tx.Bucket(usersBucket).Get(idKeyOf(app.ID, "alice")) != nil
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return is
	}
	deleting := txnOf(app)
	deleting.Users = quota.UserStep{Op: quota.UsersDelete, IDs: []string{"alice"}, Month: 7}
	applyOne(t, s, deleting)
	same(t, "remembered in its month", true, remembered())
	deleting.Users.Month = 8
	applyOne(t, s, deleting)
	same(t, "remembered in the next", false, remembered())
}
