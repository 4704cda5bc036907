package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota/storetest"
	"github.com/shopspring/decimal"
)

func TestApps_Create(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := account.NewApp{Account: "acme", Name: "Chat"}
	app, err := w.apps.Create(t.Context(), n, by("r"))
	if err != nil {
		t.Fatal(err)
	}
	want := &account.App{
		ID: app.ID, Account: "acme", Name: "Chat", Region: w.cat.Regions()[0], Edition: "developer", Created: w.now,
		FanoutBits: account.DefaultFanoutBits, Creation: by("r").Change, Version: app.Version,
	}
	if diff := cmp.Diff(want, app); diff != "" {
		t.Errorf("app (-want +got):\n%s", diff)
	}
	if app.ID < 1_400_000_000 || app.Version.Revision != 1 || w.stands(app.ID) != "active developer" {
		t.Errorf("app %d of revision %d is %s", app.ID, app.Version.Revision, w.stands(app.ID))
	}

	again, err := w.apps.Create(t.Context(), n, by("r"))
	if err != nil || again.ID != app.ID || again.Version != app.Version {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	_, err = w.apps.Create(t.Context(), n, other("r"))
	w.wantErr(err, account.ErrRequestReused)
	second, err := w.apps.Create(t.Context(), n, by("r2"))
	if err != nil || second.ID == app.ID {
		t.Errorf("by another request: %+v, %v", second, err)
	}
	elsewhere, err := w.apps.Create(t.Context(), account.NewApp{Account: "other"}, by("r"))
	if err != nil || elsewhere.ID == app.ID {
		t.Errorf("by the same id in another account: %+v, %v", elsewhere, err)
	}

	// The request finds its app when it was changed, or deleted.
	w.delete(app.ID)
	again, err = w.apps.Create(t.Context(), n, by("r"))
	if err != nil || again.ID != app.ID || again.Deleted.IsZero() {
		t.Errorf("repeated after the deletion: %+v, %v", again, err)
	}
	for _, by := range []account.Origin{{}, by("r3")} {
		_, err = w.apps.Create(t.Context(), account.NewApp{ID: app.ID, Account: "acme"}, by)
		w.wantErr(err, account.ErrAppExists)
	}
}

// TestApps_CreateFarAhead: an instant that cannot be written down is refused.
func TestApps_CreateFarAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, o := range []account.Order{
		{Start: w.at("9999-12-31 23:59:59"), Months: 1},
		{Start: w.at("9999-12-01"), Months: 24},
		{Start: w.at("2024-01-01"), End: w.at("9999-12-31"), Months: 1},
	} {
		o.ID, o.Edition = "o", "standard"
		_, err := w.apps.Create(t.Context(), account.NewApp{Account: "acme", Orders: []account.Order{o}}, account.Origin{})
		w.wantInvalid(err, "import.orders[0].end_time")
	}
}

// TestApps_CreateRepeatedLater: a request that made sense when it created an app
// finds it when it would not make sense any more.
func TestApps_CreateRepeatedLater(t *testing.T) {
	t.Parallel()
	for _, id := range []uint32{0, 42} {
		w := newWorld(t)
		n := account.NewApp{ID: id, Account: "acme", Edition: "premium", Orders: []account.Order{
			{ID: "a", Edition: "premium", Months: 1, Start: w.at("2024-06-01 00:00:00")},
			{ID: "b", Edition: "standard", Months: 1, Start: w.at("2024-07-01 00:00:00")},
		}}
		app, err := w.apps.Create(t.Context(), n, by("r"))
		if err != nil {
			t.Fatal(err)
		}
		w.now = w.at("2024-07-15 12:00:00")
		again, err := w.apps.Create(t.Context(), n, by("r"))
		if err != nil || again.ID != app.ID {
			t.Errorf("repeated: %+v, %v", again, err)
		}
		var invalid *account.InvalidError
		if _, err := w.apps.Create(t.Context(), n, by("r2")); !errors.As(err, &invalid) || invalid.Field != "import.edition" {
			t.Errorf("another request: %v", err)
		}
	}
}

func TestApps_CreateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	order := func(change func(*account.Order)) account.NewApp {
		o := w.order("standard", "2024-06-01", "2024-07-01")
		change(&o)
		return account.NewApp{Orders: []account.Order{w.order("standard", "2024-05-01", "2024-06-01"), o}}
	}
	for _, tt := range []struct {
		name  string
		app   account.NewApp
		field string
	}{
		{"a region that is none", account.NewApp{Region: "mars"}, "region"},
		{"an edition that is none", account.NewApp{Edition: "gold"}, "import.edition"},
		{"a creation to come", account.NewApp{Created: w.now.Add(time.Second)}, "import.create_time"},
		{"an order of no edition", order(func(o *account.Order) { o.Edition = "gold" }), "import.orders[1].edition"},
		{"an order of a free edition", order(func(o *account.Order) { o.Edition = "developer" }), "import.orders[1].edition"},
		{"two orders of one id", order(func(o *account.Order) { o.ID = "standard 2024-05-01" }), "import.orders[1].order_id"},
		{"an order of no months", order(func(o *account.Order) { o.Months = 0 }), "import.orders[1].months"},
		{"an order of too many months", order(func(o *account.Order) { o.Months = 25 }), "import.orders[1].months"},
		{"an order for less than nothing", order(func(o *account.Order) { o.Cash = decimal.NewFromInt(-1) }), "import.orders[1].cash"},
		{"an order for less than no credit", order(func(o *account.Order) { o.Credit = decimal.NewFromInt(-1) }), "import.orders[1].credit"},
		{"an order that ends as it starts", order(func(o *account.Order) { o.End = o.Start }), "import.orders[1].end_time"},
		{"a return to come", order(func(o *account.Order) { o.Refunded = w.now.Add(time.Second) }), "import.orders[1].refund_time"},
		{"a return at the end", order(func(o *account.Order) { o.End = w.at("2024-06-15"); o.Refunded = o.End }), "import.orders[1].refund_time"},
		{"orders that overlap", order(func(o *account.Order) { o.Start = o.Start.Add(-time.Second) }), "import.orders"},
		{"an upgrade to no edition", order(func(o *account.Order) { o.Upgrades = []account.Upgrade{{At: o.Start, Edition: "gold"}} }), "import.orders[1].upgrades[0].edition"},
		{"an upgrade to the same edition", order(func(o *account.Order) { o.Upgrades = []account.Upgrade{{At: o.Start, Edition: "standard"}} }), "import.orders[1].upgrades[0].edition"},
		{"an upgrade to come", order(func(o *account.Order) {
			o.Upgrades = []account.Upgrade{{At: w.now.Add(time.Second), Edition: "premium"}}
		}), "import.orders[1].upgrades[0].upgrade_time"},
		{"an upgrade after the return", order(func(o *account.Order) {
			o.Refunded, o.Upgrades = w.at("2024-06-10"), []account.Upgrade{{At: w.at("2024-06-11"), Edition: "premium"}}
		}), "import.orders[1].upgrades[0].upgrade_time"},
		{"an upgrade at the end", order(func(o *account.Order) {
			o.End, o.Upgrades = w.at("2024-06-11"), []account.Upgrade{{At: w.at("2024-06-11"), Edition: "premium"}}
		}), "import.orders[1].upgrades[0].upgrade_time"},
		{"an upgrade for less than nothing", order(func(o *account.Order) {
			o.Upgrades = []account.Upgrade{{At: o.Start, Edition: "premium", Cash: decimal.NewFromInt(-1)}}
		}), "import.orders[1].upgrades[0].cash"},
		{"an edition that the orders do not say", account.NewApp{Edition: "premium", Orders: []account.Order{w.order("standard", "2024-06-01", "2024-07-01")}}, "import.edition"},
		{"an approval that no feature needs", account.NewApp{Approvals: []account.Grant{{Key: "push_all"}, {Key: "community"}}}, "import.approvals[1].feature"},
		{"an approval to come", account.NewApp{Approvals: []account.Grant{{Key: "push_all", At: w.now.Add(time.Second)}}}, "import.approvals[0].approve_time"},
		{"an add-on that is none", account.NewApp{AddOns: []account.Grant{{Key: "chess"}}}, "import.add_ons[0].add_on"},
		{"an activation to come", account.NewApp{AddOns: []account.Grant{{Key: "av_call", At: w.now.Add(time.Second)}}}, "import.add_ons[0].activate_time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.app.Account = "acme"
			_, err := w.apps.Create(t.Context(), tt.app, account.Origin{})
			w.wantInvalid(err, tt.field)
		})
	}
	if owner := w.Accounts(t.Context(), []string{"acme"})[0].Account; owner.Apps != 0 {
		t.Errorf("%d places are taken", owner.Apps)
	}
}

func TestApps_CreateIsBoundedByTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 300 {
		w.create(account.NewApp{ID: uint32(1 + i), Account: "acme"})
	}
	_, err := w.apps.Create(t.Context(), account.NewApp{ID: 301, Account: "acme"}, account.Origin{})
	w.wantErr(err, account.ErrAccountFull)
	w.delete(7)
	w.create(account.NewApp{ID: 301, Account: "acme"})
}

// What an existing customer brings along: ends that are left out follow from
// the months, counted from where the chain began.
func TestApps_Import(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		edition string
		orders  []string // starts, months and ends, in any sequence
		want    []string // ends, by start
		stands  string
	}{
		{"an end that is left out", "", []string{"2024-06-01", "1", ""}, []string{"2024-07-01"}, "active standard to 2024-07-01"},
		{"ends of month ends", "", []string{"2024-01-31", "1", "", "2024-02-29", "1", "", "2024-03-31", "3", ""}, []string{"2024-02-29", "2024-03-31", "2024-06-30"}, "active standard to 2024-06-30"},
		{"given the other way round", "standard", []string{"2024-03-31", "3", "", "2024-02-29", "1", "", "2024-01-31", "1", ""}, []string{"2024-02-29", "2024-03-31", "2024-06-30"}, "active standard to 2024-06-30"},
		{"an odd end stays", "", []string{"2024-05-31", "1", "2024-06-20 01:02:03"}, []string{"2024-06-20 01:02:03"}, "active standard to 2024-06-20 01:02:03"},
		{"after an odd end", "", []string{"2024-05-31", "1", "2024-06-10", "2024-06-10", "1", ""}, []string{"2024-06-10", "2024-07-10"}, "active standard to 2024-07-10"},
		{"after a gap a chain of its own", "", []string{"2024-01-31", "1", "", "2024-04-30", "2", ""}, []string{"2024-02-29", "2024-06-30"}, "active standard to 2024-06-30"},
		{"expired a while ago", "standard", []string{"2024-01-01", "5", ""}, []string{"2024-06-01"}, "suspended standard to 2024-06-01, expired 2024-06-02, since 2024-06-02, gone 2024-08-31"},
		{"that begins in a while", "developer", []string{"2024-07-01", "24", ""}, []string{"2026-07-01"}, "active developer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			n := account.NewApp{ID: 7, Account: "acme", Edition: tt.edition, Created: w.at("2023-01-01")}
			for i := 0; i < len(tt.orders); i += 3 {
				o := w.order("standard", tt.orders[i], tt.orders[i+2])
				if _, err := fmt.Sscan(tt.orders[i+1], &o.Months); err != nil {
					t.Fatal(err)
				}
				n.Orders = append(n.Orders, o)
			}
			given := n.Orders[0].End
			app := w.create(n)
			var ends []string
			for _, o := range app.Orders {
				ends = append(ends, w.text(o.End))
			}
			if diff := cmp.Diff(tt.want, ends); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
			if got := w.stands(7); got != tt.stands || app.Edition != "developer" {
				t.Errorf("it stands %s (before its orders %s), want %s", got, app.Edition, tt.stands)
			}
			if !n.Orders[0].End.Equal(given) {
				t.Error("the request was changed")
			}
		})
	}
	w := newWorld(t)
	app := w.create(account.NewApp{
		Account: "acme", Edition: "premium", Created: w.at("2022-12-25"),
		Approvals: []account.Grant{{Key: "push_all", At: w.at("2023-01-01")}}, AddOns: []account.Grant{{Key: "av_call"}},
	})
	if !app.Approvals["push_all"].Equal(w.at("2023-01-01")) || !app.AddOns["av_call"].Equal(w.now) || !app.IsLegacy(w.cat.Account()) || w.stands(app.ID) != "active premium" {
		t.Errorf("%+v", app)
	}
}

// operation is one that changes an app, and how its log says so.
type operation struct {
	name string
	do   func(w *world, by account.Origin) (*account.App, error)
	// ready brings app 7 to where the operation changes something.
	ready func(w *world)
	undo  func(w *world)
	log   []account.FieldChange
}

func do(w *world, f func(ctx, uint32, account.Origin) (*account.App, error)) {
	w.Helper()
	if _, err := f(w.Context(), 7, account.Origin{}); err != nil {
		w.Fatal(err)
	}
}

const noon = "2024-06-15T12:00:00+08:00"

var operations = []operation{
	{
		"ApproveFeature",
		func(w *world, by account.Origin) (*account.App, error) {
			return w.apps.Approve(w.Context(), 7, "push_all", time.Time{}, by)
		},
		func(*world) {},
		func(w *world) {
			do(w, func(c ctx, id uint32, by account.Origin) (*account.App, error) {
				return w.apps.Revoke(c, id, "push_all", by)
			})
		},
		[]account.FieldChange{{Field: "approvals.push_all", After: noon}},
	},
	{
		"RevokeFeature",
		func(w *world, by account.Origin) (*account.App, error) {
			return w.apps.Revoke(w.Context(), 7, "push_all", by)
		},
		func(w *world) {
			do(w, func(c ctx, id uint32, by account.Origin) (*account.App, error) {
				return w.apps.Approve(c, id, "push_all", w.at("2024-06-01"), by)
			})
		},
		func(w *world) {
			do(w, func(c ctx, id uint32, by account.Origin) (*account.App, error) {
				return w.apps.Approve(c, id, "push_all", w.at("2024-06-01"), by)
			})
		},
		[]account.FieldChange{{Field: "approvals.push_all", Before: "2024-06-01T00:00:00+08:00"}},
	},
	{
		"ActivateAddOn",
		func(w *world, by account.Origin) (*account.App, error) {
			return w.apps.Activate(w.Context(), 7, "av_call", by)
		},
		func(*world) {},
		nil, // there is one trial an app
		[]account.FieldChange{{Field: "addOns.av_call", After: noon}},
	},
	{
		"SetLimitOverride",
		func(w *world, by account.Origin) (*account.App, error) {
			o := &account.Override{Limit: catalog.Max(5), Until: w.at("2024-07-01")}
			return w.apps.Override(w.Context(), 7, "friends", o, by)
		},
		func(w *world) {
			do(w, func(c ctx, id uint32, by account.Origin) (*account.App, error) {
				return w.apps.Override(c, id, "friends", &account.Override{Limit: catalog.Unlimited()}, by)
			})
		},
		func(w *world) {
			do(w, func(c ctx, id uint32, by account.Origin) (*account.App, error) {
				return w.apps.Override(c, id, "friends", nil, by)
			})
		},
		[]account.FieldChange{
			{Field: "overrides.friends.limit", Before: "unlimited", After: "5"},
			{Field: "overrides.friends.until", After: "2024-07-01T00:00:00+08:00"},
		},
	},
	{
		"SetRenewal",
		func(w *world, by account.Origin) (*account.App, error) {
			return w.apps.SetRenewal(w.Context(), 7, account.Renewal{Mode: account.RenewAutomatically}, by)
		},
		func(*world) {},
		func(w *world) {
			do(w, func(c ctx, id uint32, by account.Origin) (*account.App, error) {
				return w.apps.SetRenewal(c, id, account.Renewal{Mode: account.RenewNever}, by)
			})
		},
		[]account.FieldChange{{Field: "renewal.mode", After: "automatic"}, {Field: "renewal.months", After: "1"}},
	},
	{
		"MigrateBilling",
		func(w *world, by account.Origin) (*account.App, error) {
			return w.apps.MigrateBilling(w.Context(), 7, by)
		},
		func(*world) {},
		nil, // there is no way back
		[]account.FieldChange{{Field: "catalog", Before: "2023-09-19"}, {Field: "migrated", After: noon}},
	},
	{
		"DisableApp",
		func(w *world, by account.Origin) (*account.App, error) { return w.apps.Disable(w.Context(), 7, by) },
		func(*world) {},
		func(w *world) { do(w, w.apps.Enable) },
		[]account.FieldChange{{Field: "disabled.0.from", After: noon}},
	},
	{
		"EnableApp",
		func(w *world, by account.Origin) (*account.App, error) { return w.apps.Enable(w.Context(), 7, by) },
		func(w *world) { do(w, w.apps.Disable) },
		func(w *world) { do(w, w.apps.Disable) },
		[]account.FieldChange{{Field: "disabled.0.from", Before: noon}},
	},
	{
		"DeleteApp",
		func(w *world, by account.Origin) (*account.App, error) { return w.apps.Delete(w.Context(), 7, by) },
		func(w *world) { do(w, w.apps.Disable) },
		nil, // nor is there from here
		[]account.FieldChange{{Field: "deleted", After: noon}},
	},
}

// legacy makes app 7, of before there were prepaid plans, with a plan.
func legacy(t *testing.T) *world {
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme", Created: w.at("2022-01-01"), Orders: []account.Order{w.order("standard", "2024-06-01", "2024-07-01")}})
	return w
}

func TestApps_Operations(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			w := legacy(t)
			op.ready(w)
			before := w.app(7).Version.Revision
			changed, err := op.do(w, by("r"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.app(7), changed, cmp.AllowUnexported(catalog.Limit{})); diff != "" {
				t.Errorf("stored and answered (-stored +answered):\n%s", diff)
			}
			events, err := w.Events(t.Context(), 7, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			want := []account.Event{{
				Revision: before + 1, At: w.now, Action: op.name, Actor: "ann", Certified: true, RequestID: "r", Changes: op.log,
			}}
			if diff := cmp.Diff(want, events); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}

			// Repeated, also when it was undone since, it changes nothing.
			if op.undo != nil {
				op.undo(w)
			}
			w.now = w.now.Add(time.Minute)
			undone := w.app(7)
			again, err := op.do(w, by("r"))
			if err != nil || again.Version != undone.Version || w.app(7).Version != undone.Version {
				t.Errorf("repeated: revision %d, %v; want %d", again.Version.Revision, err, undone.Version.Revision)
			}
			_, err = op.do(w, other("r"))
			w.wantErr(err, account.ErrRequestReused)
		})
	}
}

// What is so already is not made so again; a request's id is remembered all the
// same, and repeated later it does not undo what was done since.
func TestApps_ChangeNothing(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		if op.name == "ActivateAddOn" {
			continue // which says so
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			w := legacy(t)
			op.ready(w)
			if _, err := op.do(w, account.Origin{}); err != nil {
				t.Fatal(err)
			}
			if op.name == "DeleteApp" {
				w.now = w.now.Add(time.Minute)
			}
			done := w.app(7)
			again, err := op.do(w, account.Origin{})
			if err != nil || again.Version != done.Version {
				t.Errorf("without an id: revision %d after %d, %v", again.Version.Revision, done.Version.Revision, err)
			}
			again, err = op.do(w, by("late"))
			if err != nil || again.Version.Revision != done.Version.Revision+1 {
				t.Fatalf("with an id: revision %d after %d, %v", again.Version.Revision, done.Version.Revision, err)
			}
			events, err := w.Events(t.Context(), 7, 0, 1)
			if err != nil || len(events[0].Changes) > 0 || events[0].RequestID != "late" {
				t.Errorf("its event: %+v, %v", events, err)
			}
			if op.undo == nil {
				return
			}
			op.undo(w)
			undone := w.app(7)
			again, err = op.do(w, by("late"))
			if err != nil || again.Version != undone.Version {
				t.Errorf("repeated: revision %d after %d, %v", again.Version.Revision, undone.Version.Revision, err)
			}
		})
	}
}

func TestApps_GoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		for _, gone := range []account.Stage{account.Reclaimed, account.Deleted} {
			t.Run(op.name+" of an app that is "+stages[gone], func(t *testing.T) {
				t.Parallel()
				w := legacy(t)
				op.ready(w)
				if gone == account.Deleted {
					w.delete(7)
				}
				w.now = w.at("2024-09-30")
				if got := w.stands(7); !strings.HasPrefix(got, stages[gone]) {
					t.Fatalf("it is %s", got)
				}
				app, err := op.do(w, by("r"))
				switch {
				case op.name == "DisableApp" && gone == account.Reclaimed:
					// so that it can be deleted
					if err != nil || len(app.Disabled) != 1 {
						t.Errorf("%+v, %v", app, err)
					}
				case op.name == "DeleteApp":
					if err != nil || app.Deleted.IsZero() {
						t.Errorf("%+v, %v", app, err)
					}
				default:
					w.wantErr(err, account.ErrAppNotFound)
					if err == nil || !strings.HasPrefix(err.Error(), "app 7: no such app any more: it was ") {
						t.Errorf("it says %v", err)
					}
				}
			})
		}
	}
}

func TestApps_UnknownAppsAreRefused(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		w := newWorld(t)
		_, err := op.do(w, by("r"))
		w.wantErr(err, account.ErrAppNotFound)
	}
}

func TestApps_Delete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme"})
	_, err := w.apps.Delete(t.Context(), 7, by("early"))
	w.wantErr(err, account.ErrAppNotDisabled)
	do(w, w.apps.Disable)
	do(w, w.apps.Enable)
	_, err = w.apps.Delete(t.Context(), 7, by("early"))
	w.wantErr(err, account.ErrAppNotDisabled)
	do(w, w.apps.Disable)
	if _, err := w.apps.Delete(t.Context(), 7, by("now")); err != nil {
		t.Fatal(err)
	}
	deleted := w.now
	w.now = w.now.Add(time.Hour)
	app, err := w.apps.Delete(t.Context(), 7, account.Origin{})
	if err != nil || !app.Deleted.Equal(deleted) {
		t.Errorf("again: %+v, %v", app, err)
	}
	owner := w.Accounts(t.Context(), []string{"acme"})[0].Account
	if owner.Apps != 0 || owner.Deleted != 1 {
		t.Errorf("%d places are taken, %d apps deleted", owner.Apps, owner.Deleted)
	}
}

// broken is a registry in which giving a place back breaks off.
type broken struct {
	*storetest.Model
	times int
}

func (b *broken) FreePlace(c ctx, app *account.App) error {
	if b.times--; b.times >= 0 {
		return &account.Fault{Reason: account.StoreUnavailable}
	}
	return b.Model.FreePlace(c, app)
}

func (b *broken) DeleteApp(c ctx, app *account.App, event account.Event) error {
	return b.UpdateApp(c, app, event) // and no more
}

func TestApps_DeleteFinishesWhatBrokeOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme"})
	do(w, w.apps.Disable)
	w.apps.Registry = &broken{w.Model, 1}
	var fault *account.Fault
	if _, err := w.apps.Delete(t.Context(), 7, by("r")); !errors.As(err, &fault) {
		t.Fatalf("it did not break off: %v", err)
	}
	if _, err := w.apps.Delete(t.Context(), 7, by("r")); err != nil {
		t.Fatal(err)
	}
	if owner := w.Accounts(t.Context(), []string{"acme"})[0].Account; owner.Apps != 0 || owner.Deleted != 1 {
		t.Errorf("%d places are taken, %d apps deleted", owner.Apps, owner.Deleted)
	}
}

// Since when an app is out of service does not depend on whether it was enabled
// meanwhile, as long as it is for another reason.
func TestApps_EnableKeepsSince(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme", Created: w.at("2024-01-01"), Orders: []account.Order{w.order("standard", "2024-06-01", "2024-07-01")}})
	for _, step := range []struct {
		at   string
		do   func(ctx, uint32, account.Origin) (*account.App, error)
		want string
	}{
		{"2024-06-20", w.apps.Disable, "suspended standard to 2024-07-01, disabled 2024-06-20, since 2024-06-20"},
		{"2024-06-21", w.apps.Enable, "active standard to 2024-07-01"},
		{"2024-06-25", w.apps.Disable, "suspended standard to 2024-07-01, disabled 2024-06-25, since 2024-06-25"},
		{"2024-07-05", w.apps.Enable, "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-06-25, gone 2024-09-30"},
		{"2024-07-10", w.apps.Disable, "suspended standard to 2024-07-01, expired 2024-07-02, disabled 2024-07-10, since 2024-06-25, gone 2024-09-30"},
		{"2024-07-12", w.apps.Enable, "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-06-25, gone 2024-09-30"},
	} {
		w.now = w.at(step.at)
		do(w, step.do)
		if got := w.stands(7); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.at, got, step.want)
		}
	}
	for i := range 40 { // more spells than a record holds
		w.now = w.at("2024-07-13").Add(time.Duration(i) * time.Hour)
		do(w, w.apps.Disable)
		w.now = w.now.Add(time.Minute)
		do(w, w.apps.Enable)
	}
	if n := len(w.app(7).Disabled); n != 32 {
		t.Errorf("%d spells are kept", n)
	}
	// The oldest are forgotten, and with them what was before it expired; for how
	// long data is kept does not depend on that.
	if got, want := w.stands(7), "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30"; got != want {
		t.Errorf("after many spells:\n got %s\nwant %s", got, want)
	}
}

func TestApps_Override(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme"})
	set := func(quota string, o *account.Override) error {
		_, err := w.apps.Override(t.Context(), 7, quota, o, account.Origin{})
		return err
	}
	w.wantInvalid(set("stickers", &account.Override{}), "quota")
	w.wantInvalid(set("stickers", nil), "quota")
	w.wantInvalid(set("friends", &account.Override{Until: w.now}), "end_time")
	w.wantInvalid(set("friends", &account.Override{Until: w.now.Add(-time.Second)}), "end_time")
	before := w.app(7).Version
	if err := set("friends", nil); err != nil || w.app(7).Version != before {
		t.Errorf("taking back what is not there: %v", err)
	}
	for i, o := range []account.Override{
		{Limit: catalog.Max(5), Until: w.now.Add(time.Second)},
		{Limit: catalog.Max(5), Until: w.now.Add(time.Hour)},
		{Limit: catalog.Max(5)},
		{Limit: catalog.Max(0)},
		{Limit: catalog.Unlimited()},
	} {
		if err := set("friends", &o); err != nil {
			t.Fatal(err)
		}
		o.From = w.now
		if got := w.app(7); got.Overrides["friends"] != o || got.Version.Revision != before.Revision+uint64(i+1) {
			t.Errorf("%+v, revision %d; want %+v", got.Overrides, got.Version.Revision, o)
		}
	}
	// One of a quota that the catalog does not name any more can be taken back.
	app := w.app(7).Clone()
	app.Overrides = map[string]account.Override{"stickers": {}}
	if err := w.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	if err := set("stickers", nil); err != nil || len(w.app(7).Overrides) != 0 {
		t.Errorf("%+v, %v", w.app(7).Overrides, err)
	}
}

func TestApps_SetRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme"})
	_, err := w.apps.SetRenewal(t.Context(), 7, account.Renewal{Mode: account.RenewNever}, by("r"))
	w.wantErr(err, account.ErrNoOrder)
	w.create(account.NewApp{ID: 8, Account: "acme", Orders: []account.Order{w.order("standard", "2024-06-01", "2024-07-01")}})
	for _, r := range []account.Renewal{{Mode: account.RenewAutomatically, Months: 24}, {Mode: account.RenewNever}, {Mode: account.RenewByHand}} {
		app, err := w.apps.SetRenewal(t.Context(), 8, r, account.Origin{})
		if err != nil || app.Renewal != r {
			t.Errorf("%+v, %v; want %+v", app, err, r)
		}
	}
}

func TestApps_Grants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme"})
	approve := func(feature string, at time.Time) error {
		_, err := w.apps.Approve(t.Context(), 7, feature, at, account.Origin{})
		return err
	}
	w.wantInvalid(approve("chess", time.Time{}), "feature")
	w.wantInvalid(approve("community", time.Time{}), "feature")
	w.wantInvalid(approve("push_all", w.now.Add(time.Second)), "approve_time")
	first := w.at("2024-06-01")
	for _, at := range []time.Time{first, w.at("2024-05-01"), {}} {
		if err := approve("push_all", at); err != nil || !w.app(7).Approvals["push_all"].Equal(first) {
			t.Errorf("%v, %v; the first approval was at %v", w.app(7).Approvals, err, first)
		}
	}
	_, err := w.apps.Revoke(t.Context(), 7, "chess", account.Origin{})
	w.wantInvalid(err, "feature")
	_, err = w.apps.Activate(t.Context(), 7, "chess", account.Origin{})
	w.wantInvalid(err, "add_on")
	if _, err := w.apps.Activate(t.Context(), 7, "av_call", by("r")); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.AddDate(1, 0, 0)
	if _, err := w.apps.Activate(t.Context(), 7, "av_call", by("r")); err != nil {
		t.Errorf("repeated: %v", err)
	}
	_, err = w.apps.Activate(t.Context(), 7, "av_call", by("r2"))
	w.wantErr(err, account.ErrAddOnActive)
}

func TestApps_MigrateBilling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := w.cat.Account()
	for id, tt := range map[uint32]struct {
		created string
		legacy  bool
	}{7: {"2022-12-25 23:59:59", true}, 8: {"2022-12-26", false}} {
		app := w.create(account.NewApp{ID: id, Account: "acme", Created: w.at(tt.created)})
		if app.IsLegacy(rules) != tt.legacy {
			t.Errorf("made at %s: legacy %v", tt.created, !tt.legacy)
		}
		app, err := w.apps.MigrateBilling(t.Context(), id, account.Origin{})
		if err != nil || app.IsLegacy(rules) || app.Migrated.IsZero() == tt.legacy {
			t.Errorf("made at %s: %+v, %v", tt.created, app, err)
		}
		at := app.Migrated
		w.now = w.now.Add(time.Hour)
		if app, err := w.apps.MigrateBilling(t.Context(), id, account.Origin{}); err != nil || !app.Migrated.Equal(at) {
			t.Errorf("again: %+v, %v", app, err)
		}
	}
}

// Once it is noted that data was reclaimed, nothing that is paid or said to have
// been paid brings it back.
func TestApps_Reclaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme", Created: w.at("2024-01-01")})
	w.now = w.at("2024-06-01 10:00:00")
	w.bill("acme", "b1", "1")
	for _, at := range []string{"2024-06-10", "2024-08-30 23:59:59"} {
		w.now = w.at(at)
		if app, err := w.apps.Reclaim(t.Context(), 7, account.Origin{}); err != nil || !app.Reclaimed.IsZero() {
			t.Errorf("%s: %+v, %v", at, app, err)
		}
		if app, err := w.apps.Sweep(t.Context(), 7, account.Origin{}); err != nil || !app.Swept.IsZero() {
			t.Errorf("%s: %+v, %v", at, app, err)
		}
	}
	w.now = w.at("2024-09-05 12:00:00")
	for range 2 {
		if app, err := w.apps.Reclaim(t.Context(), 7, account.Origin{}); err != nil || w.text(app.Reclaimed) != "2024-08-31" || app.Version.Revision != 2 {
			t.Errorf("%+v, %v", app, err)
		}
	}
	for range 2 {
		if app, err := w.apps.Sweep(t.Context(), 7, account.Origin{}); err != nil || !app.Swept.Equal(w.now) || app.Version.Revision != 3 {
			t.Errorf("%+v, %v", app, err)
		}
	}
	if _, err := w.accounts.RecordPayment(t.Context(), "acme", "b1", w.at("2024-06-01 12:00:00"), account.Origin{}); err != nil {
		t.Fatal(err)
	}
	if got := w.stands(7); got != "reclaimed developer, since 2024-08-31" {
		t.Errorf("it is %s", got)
	}
	events, err := w.Events(t.Context(), 7, 0, 10)
	var log []string
	for _, e := range events {
		log = append(log, e.Action+" "+e.Actor)
	}
	if diff := cmp.Diff([]string{"RemoveCounters ", "ReclaimApp ", "CreateApp "}, log); diff != "" || err != nil {
		t.Errorf("log (-want +got):\n%s%v", diff, err)
	}
	w.delete(7)
	if app, err := w.apps.Reclaim(t.Context(), 7, account.Origin{}); err != nil || app.Deleted.IsZero() {
		t.Errorf("reclaiming a deleted app: %+v, %v", app, err)
	}
}

// racing is a registry in which others come first.
type racing struct {
	*storetest.Model
	times int
	first func()
}

func (r *racing) UpdateApp(c ctx, app *account.App, event account.Event) error {
	if r.times--; r.times >= 0 {
		r.first()
	}
	return r.Model.UpdateApp(c, app, event)
}

func (r *racing) UpdateAccount(c ctx, owner *account.Account) error {
	if r.times--; r.times >= 0 {
		r.first()
	}
	return r.Model.UpdateAccount(c, owner)
}

func TestApps_LoseNoChangeOfOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		times int
		want  error
	}{{0, nil}, {3, nil}, {63, nil}, {64, account.ErrConflict}} {
		w := newWorld(t)
		w.create(account.NewApp{ID: 7, Account: "acme"})
		n := 0
		others := *w.apps
		w.apps.Registry = &racing{w.Model, tt.times, func() {
			n++
			if _, err := others.Override(t.Context(), 7, "friends", &account.Override{Limit: catalog.Max(int64(n))}, account.Origin{}); err != nil {
				t.Error(err)
			}
		}}
		_, err := w.apps.Disable(t.Context(), 7, by("r"))
		w.wantErr(err, tt.want)
		app := w.app(7)
		if got := app.Overrides["friends"].Limit.Max(); got != int64(tt.times) || (len(app.Disabled) == 1) != (tt.want == nil) {
			t.Errorf("after %d others: %+v", tt.times, app)
		}
	}
}
