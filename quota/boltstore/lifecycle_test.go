package boltstore

import (
	"context"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/shopspring/decimal"
	bolt "go.etcd.io/bbolt"
)

// change updates an app and says so in its log.
func change(t testing.TB, s *Store, app *account.App, action string) {
	t.Helper()
	if err := s.UpdateApp(t.Context(), app, account.Event{At: noon.UTC(), Action: action}); err != nil {
		t.Fatal(err)
	}
}

// drop deletes an app.
func drop(t testing.TB, s *Store, app *account.App) {
	t.Helper()
	app.Deleted = noon.UTC()
	if err := s.DeleteApp(t.Context(), app, account.Event{At: noon.UTC(), Action: "DeleteApp"}); err != nil {
		t.Fatal(err)
	}
}

// lose takes an app's record away.
func lose(t testing.TB, s *Store, app *account.App) {
	t.Helper()
	if err := s.submit(context.Background(), func(tx *bolt.Tx) error { return tx.Bucket(appsBucket).Delete(appKey(app.ID)) }); err != nil {
		t.Fatal(err)
	}
}

// known is what a registry says of apps 1 and 2 and their account.
type known struct {
	Apps              []account.Loaded
	Living, Deleted   []account.Loaded
	Events, LastWords []account.Event
	Account           []account.LoadedAccount
}

func ask(t testing.TB, s *Store) (k known) {
	t.Helper()
	k.Apps, k.Account = s.Load(t.Context(), []uint32{1, 2}), s.Accounts(t.Context(), []string{"acme", "nobody"})
	for _, ask := range []func() (err error){
		func() (err error) { k.Living, err = s.Apps(t.Context(), "acme", 0, 10, false); return err },
		func() (err error) { k.Deleted, err = s.Apps(t.Context(), "acme", 0, 10, true); return err },
		func() (err error) { k.Events, err = s.Events(t.Context(), 1, 0, 10); return err },
		func() (err error) { k.LastWords, err = s.Events(t.Context(), 2, 0, 10); return err },
	} {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// TestLifecycleOutlivesTheProcess: what apps and accounts have been through is
// in the file, and in a compacted one.
func TestLifecycleOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(t *testing.T, path string){
		"reopened": func(*testing.T, string) {},
		"compacted": func(t *testing.T, path string) {
			if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path)
			living, dead := found(t, s, 1), found(t, s, 2)
			change(t, s, living, "DisableApp")
			change(t, s, living, "EnableApp")
			month := countedOnce(t, s, dead)
			drop(t, s, dead)
			bill := account.Bill{ID: "b", Month: "2025-06", Amount: decimal.RequireFromString("12.30"), Pushed: noon.UTC()}
			acme := &account.Account{ID: "acme", Bills: []account.Bill{bill}}
			if err := s.UpdateAccount(t.Context(), acme); err != nil {
				t.Fatal(err)
			}
			swept(t, s, dead, 5)
			want := ask(t, s)
			same(t, "numbers", []int{3, 2, 1, 1}, []int{
				len(want.Events), len(want.LastWords), want.Account[0].Account.Apps, want.Account[0].Account.Deleted,
			})
			shut(t, s)
			again(t, path)

			s = open(t, path)
			same(t, "what is known", want, ask(t, s))
			for _, acceptLoss := range []bool{false, true} {
				err := s.CreateApp(t.Context(), &account.App{ID: 2, Account: "acme"}, account.Event{}, 10, acceptLoss)
				if err != account.ErrAppExists { //nolint:errorlint // it is never wrapped
					t.Errorf("the id of a deleted app: %v", err)
				}
			}
			err := s.CreateApp(t.Context(), &account.App{ID: 3, Account: "acme"}, account.Event{}, 1, false)
			if err != account.ErrAccountFull { //nolint:errorlint // it is never wrapped
				t.Errorf("more apps than places: %v", err)
			}
			same(t, "left to sweep", 0, swept(t, s, dead, 5))
			same(t, "the month", int64(1), monthly(t, s, dead, month))
			// All versions are as they were.
			change(t, s, living, "DisableApp")
			change(t, s, dead, "SweepApp")
			if err := s.UpdateAccount(t.Context(), acme); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFreePlace frees the place of an app that was deleted without, and of no
// other.
func TestFreePlace(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	claimed := app.Clone()
	claimed.Deleted = noon.UTC()
	if err := s.FreePlace(t.Context(), claimed); err != account.ErrConflict { //nolint:errorlint // it is never wrapped
		t.Errorf("of an app that lives: %v", err)
	}
	if err := s.FreePlace(t.Context(), &account.App{ID: 7, Account: "acme"}); err != account.ErrAppNotFound { //nolint:errorlint // it is never wrapped
		t.Errorf("of an app that never was: %v", err)
	}
	app.Deleted = noon.UTC()
	change(t, s, app, "DeleteApp")
	for range 2 {
		same(t, "apps", 1, len(listed(t, s, false))+len(listed(t, s, true)))
		if err := s.FreePlace(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		same(t, "deleted", []uint32{1}, listed(t, s, true))
	}
}

// listed are the ids of the account's apps, or of its deleted ones.
func listed(t testing.TB, s *Store, deleted bool) (ids []uint32) {
	t.Helper()
	apps, err := s.Apps(t.Context(), "acme", 0, 1000, deleted)
	if err != nil {
		t.Fatal(err)
	}
	for _, app := range apps {
		ids = append(ids, app.ID)
	}
	return ids
}

// TestLostTombstone: who accepts the loss of a deleted app's record has an app
// that needs a place like any other.
func TestLostTombstone(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	drop(t, s, app)
	lose(t, s, app)
	if err := s.CreateApp(t.Context(), app, account.Event{}, 0, true); err != account.ErrAccountFull { //nolint:errorlint // it is never wrapped
		t.Errorf("without a place: %v", err)
	}
	if err := s.CreateApp(t.Context(), app, account.Event{}, 1, true); err != nil {
		t.Fatal(err)
	}
	same(t, "apps", []uint32{1}, listed(t, s, false))
	same(t, "deleted", []uint32(nil), listed(t, s, true))
}

// TestLogIsBounded: with a change the oldest event is forgotten.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app, other := found(t, s, 1), found(t, s, 2)
	change(t, s, app, "Second")
	app.Version.Revision = account.EventsKept
	if err := s.db.Update(func(tx *bolt.Tx) error {
		record, err := account.EncodeApp(app)
		if err != nil {
			return err
		}
		return tx.Bucket(appsBucket).Put(appKey(app.ID), encodeHeader(header{version: app.Version, record: record}))
	}); err != nil {
		t.Fatal(err)
	}
	logged := func(app *account.App) (revisions []uint64) {
		events, err := s.Events(t.Context(), app.ID, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			revisions = append(revisions, e.Revision)
		}
		return revisions
	}
	change(t, s, app, "Third")
	same(t, "log", []uint64{account.EventsKept + 1, 2}, logged(app))
	change(t, s, app, "Fourth")
	same(t, "log", []uint64{account.EventsKept + 2, account.EventsKept + 1}, logged(app))
	same(t, "another's log", []uint64{1}, logged(other))
}

// TestLogOfALostApp: its revisions begin anew, so the log does too.
func TestLogOfALostApp(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app, other := found(t, s, 1), found(t, s, 2)
	change(t, s, app, "DisableApp")
	change(t, s, other, "DisableApp")
	lose(t, s, app)
	_, err := s.Events(t.Context(), 1, 0, 10)
	if err != account.ErrUsageUnknown { //nolint:errorlint // it is never wrapped
		t.Errorf("got %v", err)
	}
	if err := s.CreateApp(t.Context(), app, account.Event{Action: "Anew"}, 2, true); err != nil {
		t.Fatal(err)
	}
	got := ask(t, s)
	same(t, "log", []account.Event{{Revision: 1, Action: "Anew"}}, got.Events)
	same(t, "another's log", 2, len(got.LastWords))
}

// TestDamagedLifecycle: what cannot be read is a fault of its own, and is never
// taken for nothing.
func TestDamagedLifecycle(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	for _, name := range []string{"sound", "damaged"} {
		if err := s.UpdateAccount(t.Context(), &account.Account{ID: name}); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{
		"short": "0123456789", "no version": string(make([]byte, 16)) + `{"format":1,"id":"damaged"}`, "no JSON": "0123456789abcdef",
		"another's": `0123456789abcdef{"format":1,"id":"another"}`,
	} {
		if err := s.db.Update(func(tx *bolt.Tx) error {
			return tx.Bucket(ownersBucket).Put([]byte("damaged"), []byte(value))
		}); err != nil {
			t.Fatal(err)
		}
		got := s.Accounts(t.Context(), []string{"damaged", "sound"})
		same(t, name, []account.FaultReason{account.UsageUnknown, ""}, []account.FaultReason{fault(got[0].Err), fault(got[1].Err)})
		if err := s.UpdateAccount(t.Context(), &account.Account{ID: "damaged"}); err == nil {
			t.Errorf("%s: it was overwritten", name)
		}
	}
	if err := s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(eventsBucket).Put(eventKey(1, 1), []byte("{"))
	}); err != nil {
		t.Fatal(err)
	}
	change(t, s, app, "DisableApp")
	_, err := s.Events(t.Context(), 1, 0, 10)
	same(t, "the log", account.UsageUnknown, fault(err))
	events, err := s.Events(t.Context(), 1, 0, 1)
	if err != nil || len(events) != 1 {
		t.Errorf("what comes before it: %+v, %v", events, err)
	}
}

// countedOnce counts something of each kind and returns the month.
func countedOnce(t testing.TB, s *Store, app *account.App) catalog.Window {
	t.Helper()
	day, month := catalog.WindowAt(catalog.KindDay, noon, time.UTC), catalog.WindowAt(catalog.KindMonth, noon, time.UTC)
	txn := txnOf(app)
	txn.Request = request(1)
	txn.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"alice", "bob"}, Month: 7}
	txn.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "chess", Type: 'p', Day: 20_000}
	unlimited := catalog.Unlimited()
	txn.Charges = []quota.Charge{
		{Counter: quota.Counter{Quota: "friends"}, Subjects: []string{"alice", "bob"}, Delta: 3, Limit: unlimited},
		{Counter: quota.Counter{Quota: "sent"}, Delta: 1, Limit: unlimited},
		{Counter: quota.Counter{Quota: "sent", Window: day}, Delta: 1, Limit: unlimited},
		{Counter: quota.Counter{Quota: "sent", Window: month}, Delta: 1, Limit: unlimited},
		{Counter: quota.Counter{Quota: "stickers", Window: month}, Subjects: []string{"alice", "bob"}, Delta: 1, Limit: unlimited},
	}
	applyOne(t, s, txn)
	gone := txnOf(app)
	for _, op := range []quota.GroupOp{quota.GroupCreate, quota.GroupDissolve} {
		gone.Group = quota.GroupStep{Op: op, ID: "gone", Type: 'p', Day: 20_000}
		applyOne(t, s, gone)
	}
	return month
}

func monthly(t testing.TB, s *Store, app *account.App, month catalog.Window) int64 {
	t.Helper()
	txn := judging(app, "sent")
	txn.Charges[0].Window = month
	return applyOne(t, s, txn).Charges[0].Used[0]
}
