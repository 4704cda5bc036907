package boltstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// TestReopenKeepsEverything writes one of each kind, and reads all of it from
// the file of a store that was closed.
func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	id := s.StoreID()
	app := found(t, s, 1)
	app.Name = "renamed"
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	day := catalog.WindowAt(catalog.KindDay, noon, time.UTC)
	month := catalog.WindowAt(catalog.KindMonth, noon, time.UTC)
	txn := txnOf(app)
	txn.Request = request(1)
	txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"alice", "bob"}, Month: 7}
	txn.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "chess", Type: 'p', Day: 20_000}
	txn.Charges = []quota.Charge{
		{Counter: quota.Counter{Quota: "mau"}, Basis: quota.PerNewActive, Delta: 1, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "friends"}, Subjects: []string{"alice", "bob"}, Delta: 3, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "sent", Window: day}, Delta: 5, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "sent", Window: month}, Delta: 7, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "net"}, Delta: -9, Signed: true, Limit: catalog.Unlimited()},
		{Members: true, Delta: 11, Limit: catalog.Unlimited()},
	}
	if o := applyOne(t, s, txn); !o.Applied {
		t.Fatal("it was not applied")
	}
	later := adding(app, "later")
	later.Now = noon.Add(time.Minute)
	applyOne(t, s, later)
	shut(t, s)

	s = open(t, path)
	same(t, "store id", id, s.StoreID())
	got, err := s.App(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "app", app, got)
	listed, err := s.Apps(t.Context(), "acme", 0, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "account", []account.Loaded{{ID: app.ID, App: app}}, listed)

	again := txn
	if o := applyOne(t, s, again); !o.Replayed {
		t.Error("the request is forgotten")
	}
	again.Request.Fingerprint[0]++
	if o := s.Apply(t.Context(), []quota.Txn{again})[0]; o.Err != quota.ErrRequestReused { //nolint:errorlint // it is never wrapped
		t.Errorf("got %v", o.Err)
	}
	again.Mode, again.Request, again.Group.Op = quota.ModeJudge, quota.RequestKey{}, quota.GroupRead
	same(t, "outcome", quota.Outcome{
		Clock: noon.Add(time.Minute),
		Group: quota.GroupRecord{Found: true, Type: 'p', Day: 20_000, Members: 11},
		Charges: []quota.ChargeOutcome{
			{Used: []int64{2}, Delta: 0},
			{Used: []int64{3, 3}, Delta: 3},
			{Used: []int64{5}, Delta: 5},
			{Used: []int64{7}, Delta: 7},
			{Used: []int64{-9}, Delta: -9},
			{Used: []int64{11}, Delta: 11},
		},
	}, applyOne(t, s, again))
}

// TestCloseWhileCallsAreInFlight: each of them has its effect in the file, or
// was told that it has none.
func TestCloseWhileCallsAreInFlight(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path)
	app := found(t, s, 1)
	type result struct {
		n   uint64
		err error
	}
	const callers = 64
	results := make(chan result)
	started := make(chan struct{}, callers)
	for caller := range uint64(callers) {
		go func() {
			for n := caller << 32; ; n++ {
				txn := adding(app, "sent")
				txn.Request = request(n)
				err := s.Apply(context.Background(), []quota.Txn{txn})[0].Err
				results <- result{n, err}
				if err != nil {
					return
				}
				select {
				case started <- struct{}{}:
				default:
				}
			}
		}()
	}
	closed := make(chan error, 1)
	go func() {
		for range callers {
			<-started
		}
		closed <- s.Close()
	}()
	effects := map[uint64]bool{}
	var want int64
	for ended := 0; ended < callers; {
		r := <-results
		effects[r.n] = r.err == nil
		if r.err == nil {
			want++
			continue
		}
		ended++
		same(t, "reason", account.StoreUnavailable, fault(r.err))
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	same(t, "counter", want, used(t, s, app, "sent"))
	for n, effect := range effects {
		txn := judging(app, "sent")
		txn.Request = request(n)
		if applyOne(t, s, txn).Replayed != effect {
			t.Errorf("request %#x: answered %v, and the file says the opposite", n, effect)
		}
	}
}

// TestStoresDiffer: two files are two stores.
func TestStoresDiffer(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for range 3 {
		s := open(t, newPath(t))
		ids[s.StoreID()] = true
	}
	if len(ids) != 3 || ids[""] {
		t.Error(fmt.Sprint("got ", ids))
	}
}
