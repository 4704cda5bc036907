package boltstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

var fuzzMonth = catalog.WindowAt(catalog.KindMonth, noon, time.UTC)

// touching are steps that read, between them, one stored value of each kind: of
// these the first three make it.
func touching(app *account.App) []quota.Txn {
	friend := quota.Charge{Counter: quota.Counter{Quota: "friends", Scope: catalog.ScopeUser}, Subjects: []string{"alice"}, Delta: 1, Limit: catalog.Max(9)}
	touch := adding(app, "sent")
	touch.Charges = append(touch.Charges, friend,
		quota.Charge{Counter: quota.Counter{Quota: "mau", Window: fuzzMonth}, Delta: 1, Limit: catalog.Max(9)},
		quota.Charge{Members: true, Delta: 1, Limit: catalog.Max(9)})
	touch.Request = request(1)
	touch.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"alice"}, Month: 100}
	touch.Group = quota.GroupStep{Op: quota.GroupTouch, ID: "chess", Type: 'p', Day: 20_254}
	touch.Online = quota.OnlineStep{Op: quota.OnlineRead, Months: []catalog.Window{fuzzMonth}}
	var others [5]quota.Txn
	for i := range others {
		others[i] = txnOf(app)
		others[i].Mode = quota.ModeForce
	}
	hold, report, read, commit, cancel := &others[0], &others[1], &others[2], &others[3], &others[4]
	hold.Mode, hold.Hold = quota.ModeReserve, quota.HoldStep{Op: quota.HoldPlace, ID: quota.HoldID{1}, For: time.Minute, Plan: []byte("plan")}
	hold.Charges, commit.Charges = []quota.Charge{friend}, []quota.Charge{friend}
	report.Online = quota.OnlineStep{Op: quota.OnlineReport, Gateway: "gateway", Users: 3, Lease: time.Minute, Months: []catalog.Window{fuzzMonth}}
	read.Mode, read.Hold = quota.ModeJudge, quota.HoldStep{Op: quota.HoldRead, ID: hold.Hold.ID}
	commit.Hold = quota.HoldStep{Op: quota.HoldCommit, ID: hold.Hold.ID}
	cancel.Hold = quota.HoldStep{Op: quota.HoldCancel, ID: hold.Hold.ID}
	again := touch
	again.Request = quota.RequestKey{}
	return append([]quota.Txn{touch}, *hold, *report, again, *read, *commit, *cancel)
}

// plantings put bytes where a step reads a value.
var plantings = []func(tx *bolt.Tx, app *account.App, value []byte) error{
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(countersBucket).Put(counterKey(app.ID, "sent", ""), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(countersBucket).Put(counterKey(app.ID, "friends", "alice"), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(windowsBucket).Bucket(windowKey(app.ID, fuzzMonth)).Put(counterKey(app.ID, "mau", ""), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(usersBucket).Put(idKeyOf(app.ID, "alice"), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(groupsBucket).Put(idKeyOf(app.ID, "chess"), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(requestsBucket).Bucket(generationKey(app.ID, generationOf(noon))).Put(make([]byte, requestKeySize), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(onlineBucket).Put(appKey(app.ID), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		key := append(holdGenerationKey(holdGenerationOf(noon)), (&quota.HoldID{1})[:]...)
		return tx.Bucket(holdsBucket).Bucket(appKey(app.ID)).Put(key, value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(holdsBucket).Bucket(appKey(app.ID)).Put(endKey(noon.Add(time.Minute).UnixMilli(), quota.HoldID{1}), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error { // one that has ended
		return tx.Bucket(holdsBucket).Bucket(appKey(app.ID)).Put(endKey(noon.UnixMilli(), quota.HoldID{2}), value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		of := append([]byte{sumKind, 'c', 0}, counterKey(app.ID, "friends", "alice")...)
		return tx.Bucket(holdsBucket).Bucket(appKey(app.ID)).Put(of, value)
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error { // the version stays, or nothing reads further
		stored := tx.Bucket(appsBucket).Get(appKey(app.ID))
		return tx.Bucket(appsBucket).Put(appKey(app.ID), append(stored[:versionSize:versionSize], value...))
	},
	func(tx *bolt.Tx, app *account.App, value []byte) error {
		return tx.Bucket(eventsBucket).Put(eventKey(app.ID, 1), value)
	},
	func(tx *bolt.Tx, _ *account.App, value []byte) error {
		return tx.Bucket(ownersBucket).Put([]byte("acme"), value)
	},
}

// FuzzStored plants a value where a step reads another: it is understood, or a
// fault of reason UsageUnknown, and whoever asks for something else in the same
// call is answered.
func FuzzStored(f *testing.F) {
	for _, value := range []string{
		"", "\x00", "\x02", "\x01", "\x80", "\xff\xff\xff\xff\xff\xff\xff\x1f", "\x80\x80\x80\x80\x80\x80\x80\x20", "p\x00\x02", "p\xfc\xbc\x02\x16", "p\x00\x01",
		`{}`, `null`, `{"gateways":{"a":{"users":9223372036854775807,"end":9223372036854775807},"b":{"users":1,"end":9223372036854775807}}}`,
		`{"gateways":{"a":{"users":-1,"end":9223372036854775807}},"monthEnd":1,"peaks":{"x":1,"1748736000000":-7}}`,
		`[]`, `[{"of":"bQ==","n":-1}]`, `[{"of":"bQ==","n":9223372036854775807},{"of":"bQ==","n":9223372036854775807}]`,
		"\x0112345678\x00\x00\x01\x97\x77\xde\x00\x00plan", "\x0212345678\x00\x00\x00\x00\x00\x00\x00\x00", "\x04123456781234567890", strings.Repeat("\xff", 40),
		strings.Repeat("\x00", 16), `0123456789abcdef{"format":1,"id":"acme"}`,
	} {
		for at := range plantings {
			f.Add(uint8(at), []byte(value))
		}
	}
	s := open(f, newPath(f))
	s.db.NoSync = true
	next := uint32(0)
	f.Fuzz(func(t *testing.T, at uint8, value []byte) {
		next++
		app := &account.App{ID: next, Account: "acme", Created: noon.UTC()}
		if err := s.CreateApp(t.Context(), app, account.Event{}, 1<<30, false); err != nil {
			t.Fatal(err)
		}
		txns := touching(app)
		for _, o := range s.Apply(t.Context(), txns[:3]) {
			if !o.Applied {
				t.Fatalf("%+v", o)
			}
		}
		plant := plantings[int(at)%len(plantings)]
		if err := s.submit(t.Context(), func(tx *bolt.Tx) error { return plant(tx, app, value) }); err != nil {
			t.Fatal(err)
		}
		for i := range txns {
			for _, o := range s.Apply(t.Context(), []quota.Txn{txns[i], adding(app, "sound")}) {
				wantUnderstood(t, &o)
			}
		}
		wantUnderstood(t, &quota.Outcome{Err: s.Accounts(t.Context(), []string{"acme"})[0].Err})
		for _, l := range s.Load(t.Context(), []uint32{app.ID}) {
			wantUnderstood(t, &quota.Outcome{Err: l.Err})
		}
		_, err := s.Events(t.Context(), app.ID, 0, 10)
		wantUnderstood(t, &quota.Outcome{Err: err})
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.submit(t.Context(), func(tx *bolt.Tx) error { // the account is everybody's
			return tx.Bucket(ownersBucket).Delete([]byte("acme"))
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// wantUnderstood expects an outcome that can be, or a fault that says that a
// value is damaged.
func wantUnderstood(t *testing.T, o *quota.Outcome) {
	t.Helper()
	if f, ok := errors.AsType[*account.Fault](o.Err); ok && f.Reason != account.UsageUnknown && f.Reason != account.RecordNewer {
		t.Error(o.Err)
	}
	for _, c := range o.Charges {
		for _, n := range c.Used {
			if n > catalog.MaxLimit || n < -catalog.MaxLimit {
				t.Errorf("%+v", o)
			}
		}
		for _, n := range c.Held {
			if n > catalog.MaxLimit || n < 0 {
				t.Errorf("%+v", o)
			}
		}
	}
	if o.Online.Users < 0 || o.Online.Users > catalog.MaxLimit {
		t.Errorf("%+v", o)
	}
	for _, n := range o.Online.Peaks {
		if n < 0 || n > catalog.MaxLimit {
			t.Errorf("%+v", o)
		}
	}
}
