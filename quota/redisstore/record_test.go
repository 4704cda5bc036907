package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// readOneByOne reads an app's header and record, and has something happen in
// between.
func readOneByOne(t *testing.T, s *Store, id uint32, recordFirst bool, between func()) (*account.App, error) {
	t.Helper()
	r := s.readingOf(id)
	first, second := r.header, r.record
	if recordFirst {
		first, second = second, first
	}
	for i, c := range []*command{first, second} {
		if i == 1 {
			between()
		}
		if err := s.doAll(t.Context(), []*command{c}); err != nil {
			t.Fatal(err)
		}
	}
	app, _, err := s.result(t.Context(), &r)
	return app, err
}

// TestChangeBetweenReads: a record never gets the version of another one.
func TestChangeBetweenReads(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	for _, recordFirst := range []bool{false, true} {
		got, err := readOneByOne(t, s, 1, recordFirst, func() {
			app.Edition += "+"
			if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(app, got); diff != "" {
			t.Errorf("record first: %v (-stored +read):\n%s", recordFirst, diff)
		}
	}
	// A creation that is undone in between was never there.
	undone := ownedBy("acme", 2)
	p := beginPlace(t, s, undone, 10)
	goOn(t, s, undone, p)
	got, err := readOneByOne(t, s, 2, false, func() {
		if _, err := s.repeatable(t.Context(), settleScript, s.recordKeys(2), p.token, 0); err != nil {
			t.Fatal(err)
		}
	})
	if got != nil || err != nil {
		t.Errorf("undone, it is read as %+v, %v", got, err)
	}
	if got, err := readOneByOne(t, s, 3, false, func() { newApp(t, s, 3) }); got != nil || err != nil {
		t.Errorf("read before it was created: %+v, %v", got, err)
	}
}

// TestHalfAnApp: one of an app's two keys without the other, or with another one,
// is told as what it is. Nothing is made up, and nothing is written.
func TestHalfAnApp(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	damaged := func(t *testing.T, err error) {
		t.Helper()
		wantReason(t, err, account.UsageUnknown)
		if !strings.Contains(fmt.Sprint(err), "; delete "+s.prefix+":{") {
			t.Errorf("%v: nothing is said of what helps", err)
		}
	}
	tests := []struct {
		name  string
		plant func(app *account.App)
		want  func(t *testing.T, err error)
	}{
		{"no record", func(app *account.App) { redisDo(t, server, "DEL", s.recordKey(app.ID)) }, damaged},
		{"an empty record", func(app *account.App) { redisDo(t, server, "SET", s.recordKey(app.ID), "") }, damaged},
		{"a record that is cut off", func(app *account.App) {
			redisDo(t, server, "SET", s.recordKey(app.ID), versionText(app.Version)+" "+encoded(t, app)[:9])
		}, damaged},
		{"a record without its version", func(app *account.App) {
			redisDo(t, server, "SET", s.recordKey(app.ID), encoded(t, app))
		}, damaged},
		{"the record of another version", func(app *account.App) {
			redisDo(t, server, "SET", s.recordKey(app.ID), versionText(app.Version.Next())+" "+encoded(t, app))
		}, damaged},
		{"a record that is a hash", func(app *account.App) {
			redisDo(t, server, "DEL", s.recordKey(app.ID))
			redisDo(t, server, "HSET", s.recordKey(app.ID), "v", "1")
		}, damaged},
		{"a header of another version", func(app *account.App) {
			redisDo(t, server, "HSET", s.headerKey(app.ID), "v", versionText(app.Version.Next()))
		}, damaged},
		{"a header without its version", func(app *account.App) { redisDo(t, server, "HDEL", s.headerKey(app.ID), "v") }, damaged},
		{"neither version", func(app *account.App) {
			redisDo(t, server, "HDEL", s.headerKey(app.ID), "v")
			redisDo(t, server, "SET", s.recordKey(app.ID), " "+encoded(t, app))
		}, damaged},
		{"no header", func(app *account.App) { redisDo(t, server, "DEL", s.headerKey(app.ID)) }, func(t *testing.T, err error) {
			t.Helper()
			if !errors.Is(err, account.ErrUsageUnknown) {
				t.Errorf("answered %v, want %v", err, account.ErrUsageUnknown)
			}
		}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			app := newApp(t, s, uint32(i+1))
			tt.plant(app)
			before := dumpAll(t, server.Client())
			_, err := s.App(t.Context(), app.ID)
			tt.want(t, err)
			loaded := s.Load(t.Context(), []uint32{app.ID, 999})
			tt.want(t, loaded[0].Err)
			if !errors.Is(loaded[1].Err, account.ErrAppNotFound) {
				t.Errorf("beside it, no app is answered as %v", loaded[1].Err)
			}
			if diff := cmp.Diff(before, dumpAll(t, server.Client())); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			// Without its header it is a lost app, whatever is left of it.
			redisDo(t, server, "DEL", s.headerKey(app.ID))
			anew := ownedBy("acme", app.ID)
			anew.Edition = "premium"
			if err := s.CreateApp(t.Context(), anew, account.Event{}, 1000, true); err != nil {
				t.Fatal(err)
			}
			if got, err := s.App(t.Context(), app.ID); err != nil || got.Edition != "premium" {
				t.Errorf("created anew it is %+v, %v", got, err)
			}
		})
	}
}

// TestHeaderStaysPacked: an app's header is a list in one piece whatever was done
// with the app, or each check of many apps costs several times what it should.
func TestHeaderStaysPacked(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := ownedBy("an-account-with-a-name-of-some-length", 1_400_000_001)
	packed := func(when string) {
		t.Helper()
		if got := server.Client().ObjectEncoding(t.Context(), s.headerKey(app.ID)).Val(); got != "listpack" {
			t.Errorf("%s the header is kept as a %s", when, got)
		}
	}
	p := beginPlace(t, s, app, 10)
	goOn(t, s, app, p)
	packed("unsettled,")
	found, err := s.App(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	app = found
	packed("created,")
	txn := txnOf(app, add("users", 1))
	txn.Request = requestOf("once")
	mustApply(t, s, txn)
	packed("used,")
	app.Edition = "premium"
	app.Orders = append(app.Orders, account.Order{ID: "an-order-with-an-id-of-some-length"})
	if err := s.UpdateApp(t.Context(), app, account.Event{Action: "AcceptQuote"}); err != nil {
		t.Fatal(err)
	}
	packed("changed,")
	held := txnOf(app, add("groups", 1))
	held.Mode, held.Hold = quota.ModeReserve, quota.HoldStep{Op: quota.HoldPlace, ID: quota.HoldID{1}, For: time.Minute}
	mustApply(t, s, held)
	packed("reserved,")
	if n := server.Client().HExists(t.Context(), s.headerKey(app.ID), "h").Val(); !n {
		t.Error("nothing is reserved")
	}
}
