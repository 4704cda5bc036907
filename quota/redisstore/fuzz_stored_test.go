package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// storedPlaces are the keys and fields that a step reads which touch makes, in
// their order.
func (s *Store) storedPlaces(touch *quota.Txn, bits uint8) (places [][2]string) {
	for i := range touch.Charges {
		c := &touch.Charges[i]
		switch {
		case c.Members:
		case c.Subjects == nil:
			places = append(places, [2]string{counterKey(&c.Counter, "", bits), c.Quota})
		default:
			places = append(places, [2]string{counterKey(&c.Counter, c.Subjects[0], bits), c.Subjects[0]})
		}
	}
	now, held := generationOf(touch.Now), holdGenerationOf(touch.Now)
	hold := string(touch.Hold.ID[:])
	return append(places,
		[2]string{"u:" + bucket("alice", bits), "alice"},
		[2]string{"g:" + bucket(touch.Group.ID, bits), touch.Group.ID},
		[2]string{requestsKey(now, &touch.Request, bits), string(touch.Request.Hash[:])},
		[2]string{holdsKey(held, touch.Hold.ID, bits), hold},
		[2]string{heldName, "p" + hold},
		[2]string{heldName, "sc" + s.appPrefix(touch.App) + counterKey(&touch.Charges[2].Counter, "alice", bits) + "\x00alice"},
		[2]string{gatewaysName, "ggateway"}, [2]string{gatewaysName, "e"},
		[2]string{peaksName, "1772323200000"},
		[2]string{"app", "c"}, [2]string{"app", "s"}, [2]string{"app", "h"},
	)
}

// touching are steps of one app that read, between them, one stored value of
// each kind.
func touching(app *account.App) []quota.Txn {
	month := catalog.WindowAt(catalog.KindMonth, monday, time.UTC)
	touch := txnOf(app,
		add("stickers", 1), quota.Charge{Counter: quota.Counter{Quota: "mau", Scope: catalog.ScopeApp, Window: month}, Delta: 1, Limit: catalog.Max(9)},
		addEach("friends", 1, "alice"), quota.Charge{Members: true, Delta: 1, Limit: catalog.Max(9)})
	touch.Request = requestOf("request")
	touch.Users = quota.UserStep{Op: quota.UsersLogin, IDs: []string{"alice"}, Month: 100}
	touch.Group = quota.GroupStep{Op: quota.GroupTouch, ID: "chess", Type: 'p', Day: 20_514}
	touch.Online = quota.OnlineStep{Op: quota.OnlineRead, Months: []catalog.Window{month}}
	hold := txnOf(app, addEach("friends", 1, "alice"))
	hold.Mode, hold.Hold = quota.ModeReserve, quota.HoldStep{Op: quota.HoldPlace, ID: quota.HoldID{1}, For: time.Minute, Plan: []byte("plan")}
	read, commit, cancel, report := txnOf(app), txnOf(app, addEach("friends", 1, "alice")), txnOf(app), txnOf(app)
	read.Mode, read.Hold = quota.ModeJudge, quota.HoldStep{Op: quota.HoldRead, ID: hold.Hold.ID}
	commit.Mode, commit.Hold = quota.ModeForce, quota.HoldStep{Op: quota.HoldCommit, ID: hold.Hold.ID}
	cancel.Mode, cancel.Hold = quota.ModeForce, quota.HoldStep{Op: quota.HoldCancel, ID: hold.Hold.ID}
	report.Mode, report.Online = quota.ModeForce, quota.OnlineStep{Op: quota.OnlineReport, Gateway: "gateway", Users: 3, Lease: time.Minute, Months: []catalog.Window{month}}
	return []quota.Txn{touch, hold, report, read, commit, cancel}
}

// FuzzStored plants a value where a step reads another: it is understood, or a
// fault of reason UsageUnknown, and whoever asks for something else in the same
// call is answered.
func FuzzStored(f *testing.F) {
	for _, value := range []string{
		"", "0", "1", "-1", "9007199254740992", "1e3", "p20514.3", "-20514", "p1.99999999999999999999", "3 1772445660000", "same\x00\x00\x00\x00",
		"psame\x00\x00\x00\x001772445660000 plan", "c\x00\x00\x00\x00\x00\x00\x00\x001 ", "x", "\x92\xa1c\x01", "\x92\x01\xa1c", "\x91\xa1c", "nan", "0x10", "\xff",
	} {
		for place := range 16 {
			f.Add(uint8(place), value)
		}
	}
	server := redistest.Standalone(f)
	s := initialized(f, "redis://"+server.Addr)
	client := server.Client()
	next := uint32(0)
	f.Fuzz(func(t *testing.T, at uint8, value string) {
		next++
		app := &account.App{ID: next, Account: "acme", Edition: "standard", Created: monday, FanoutBits: 4}
		if err := s.CreateApp(t.Context(), app, account.Event{}, 1<<30, false); err != nil {
			t.Fatal(err)
		}
		txns := touching(app)
		for _, o := range s.Apply(t.Context(), txns[:3]) { // so that there is something of each kind
			if o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		touch := txns[0]
		touch.Hold.ID = txns[1].Hold.ID
		places := s.storedPlaces(&touch, app.FanoutBits)
		place := places[int(at)%len(places)]
		if err := client.HSet(t.Context(), s.appPrefix(app.ID)+place[0], place[1], value).Err(); err != nil {
			t.Fatal(err)
		}
		again := txns[0]
		again.Request = quota.RequestKey{}
		for i := range txns {
			if i == 1 {
				txns[i] = again // than to reserve what is reserved
			}
			sound := txnOf(app, add("sound", 1))
			got := s.Apply(t.Context(), []quota.Txn{txns[i], sound})
			for k, o := range got {
				wantUnderstood(t, place, value, &o)
				if k == 1 && place[0] != "app" && place[0] != heldName && !o.Applied {
					t.Errorf("%q in %q: another step: %+v", value, place, o)
				}
			}
		}
		for _, key := range client.Keys(t.Context(), s.appPrefix(app.ID)+"*").Val() {
			client.Unlink(t.Context(), key)
		}
	})
}

// wantUnderstood expects an outcome that can be, or a fault that says that a
// value is damaged.
func wantUnderstood(t *testing.T, place [2]string, value string, o *quota.Outcome) {
	t.Helper()
	if f, ok := errors.AsType[*account.Fault](o.Err); ok && f.Reason != account.UsageUnknown {
		t.Errorf("%q in %q: %v", value, place, o.Err)
	}
	for _, c := range o.Charges {
		for _, n := range append(c.Used, c.Held...) {
			if n > catalog.MaxLimit || n < -catalog.MaxLimit {
				t.Errorf("%q in %q: %+v", value, place, o)
			}
		}
	}
}
