package boltstore

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

const (
	doomedRounds = 6
	doomedPlaces = 3
	doomedUsers  = 40
)

// populating counts each user, by app and in the month.
func populating(app *account.App) quota.Txn {
	txn := txnOf(app)
	txn.Request = request(1)
	txn.Users = quota.UserStep{Op: quota.UsersLogin, Month: 7}
	for n := range doomedUsers {
		txn.Users.IDs = append(txn.Users.IDs, bulkyUser(n))
	}
	month := catalog.WindowAt(catalog.KindMonth, noon, time.UTC)
	txn.Charges = []quota.Charge{
		{Counter: quota.Counter{Quota: "users"}, Delta: 1, Basis: quota.PerNewUser, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "mau", Window: month}, Delta: 1, Basis: quota.PerNewActive, Limit: catalog.Unlimited()},
		{Counter: quota.Counter{Quota: "friends"}, Subjects: txn.Users.IDs, Delta: 1, Limit: catalog.Unlimited()},
	}
	return txn
}

// deleteUntilKilled prints "try N" before it creates app N, and "done N" when it
// has counted, again when the app is deleted, and again when it is swept.
func deleteUntilKilled(path string, out io.Writer) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	for n := 1 + rand.Uint32N(1<<31); ; n++ {
		app := &account.App{ID: n, Account: "acme", Edition: "standard", Created: noon.UTC()}
		_, _ = fmt.Fprintln(out, "try", n)
		if err := s.CreateApp(ctx, app, account.Event{Action: "CreateApp"}, doomedPlaces, false); err != nil {
			return err
		}
		if o := s.Apply(ctx, []quota.Txn{populating(app)})[0]; !o.Applied {
			return o.Err
		}
		_, _ = fmt.Fprintln(out, "done", n)
		app.Deleted = noon.UTC()
		if err := s.DeleteApp(ctx, app, account.Event{Action: "DeleteApp"}); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out, "done", n)
		for w := (quota.Sweep{App: n, Version: app.Version, Limit: 20}); ; {
			swept, err := s.Sweep(ctx, w)
			if err != nil {
				return err
			}
			if w.From = swept.Next; w.From == 0 {
				break
			}
		}
		_, _ = fmt.Fprintln(out, "done", n)
	}
}

// TestKilledProcessLeavesNoHalfDeletion kills a process that deletes and sweeps
// apps, wherever it is: each app has its place or is deleted, and its log ends
// with what its record says; what the sweep had answered is gone, what it had
// not can be swept, and what bills are made from is there.
func TestKilledProcessLeavesNoHalfDeletion(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	shut(t, open(t, path))
	said := map[uint32]int{}
	for range doomedRounds {
		c := startChild(t, "delete", path)
		_, done := killAfter(t, c, 1+rand.IntN(40))
		for _, n := range done {
			said[uint32(n)]++
		}
		s := open(t, path)
		page, err := s.Walk(t.Context(), "", keysOfView)
		if err != nil || page.Next != "" {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, id := range page.Apps {
			settled(t, s, id, said[id])
			said[id] = 3
		}
		same(t, "apps", len(said), len(page.Apps)) // all that were answered
		acme := s.Accounts(t.Context(), []string{"acme"})[0].Account
		same(t, "places, deleted", []int{0, len(page.Apps)}, []int{acme.Apps, acme.Deleted})
		sound(t, s)
		shut(t, s)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d apps", len(said))
}

// settled checks an app of which the other process said so much, and deletes
// and sweeps it if it did not come to that.
func settled(t *testing.T, s *Store, id uint32, said int) {
	t.Helper()
	app, err := s.App(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	isDeleted := !app.Deleted.IsZero()
	if said >= 2 && !isDeleted {
		t.Errorf("app %d was deleted and is there", id)
	}
	listedAs := map[bool]int{}
	for _, deleted := range []bool{false, true} {
		for _, other := range listed(t, s, deleted) {
			if other == id {
				listedAs[deleted]++
			}
		}
	}
	same(t, "listed", map[bool]int{isDeleted: 1}, listedAs)
	events, err := s.Events(t.Context(), id, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []account.Event{{Revision: 1, Action: "CreateApp"}}
	if isDeleted {
		want = append([]account.Event{{Revision: 2, Action: "DeleteApp"}}, want...)
	}
	same(t, "log", want, events)
	if !isDeleted {
		app = app.Clone()
		if said == 0 {
			applyOne(t, s, populating(app))
		}
		app.Deleted = noon.UTC()
		if err := s.DeleteApp(t.Context(), app, account.Event{Action: "DeleteApp"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := swept(t, s, app, 20); said >= 3 && n > 0 {
		t.Errorf("app %d was swept and had %d keys", id, n)
	}
	txn := populating(app)
	txn.Mode, txn.Request = quota.ModeJudge, quota.RequestKey{}
	var used []int64
	for _, c := range applyOne(t, s, txn).Charges[:2] {
		used = append(used, c.Used[0])
	}
	same(t, "users and those of the month", []int64{0, doomedUsers}, used)
}
