package storetest

import (
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// addingClauses are of transactions that do nothing but add to counters of users,
// as most do. A store may go another way with them than with all others, and must
// come to the same.
var addingClauses = map[string]func(*fixture){
	"what is denied leaves what it would have added to first": func(f *fixture) {
		f.count(friends, 3, "carol")
		o := f.one(f.txn(on(friends, 2, catalog.Max(4), "alice", "carol", "bob"), on(stickersEver, 1, catalog.Unlimited(), "alice")))
		f.wantSame("what was found", []quota.ChargeOutcome{{Used: []int64{0, 3, 0}, Delta: 2}, {Used: []int64{0}, Delta: 1}}, o.Charges)
		f.wantSame("applied", false, o.Applied)
		left, _ := f.exported(100)
		f.wantSame("entries", []string{entryText(&quota.Entry{Kind: quota.EntryCounter, ID: "carol", Counter: friends, Used: 3})}, left)
		f.wantUsed(stickersEver, 0, "alice")
	},
	"the second charge decides as well": func(f *fixture) {
		f.count(stickersEver, 7, "bob")
		o := f.one(f.txn(on(friends, 1, catalog.Max(4), "alice", "bob"), on(stickersEver, 1, catalog.Max(7), "alice", "bob")))
		f.wantSame("what was found", []quota.ChargeOutcome{{Used: []int64{0, 0}, Delta: 1}, {Used: []int64{0, 7}, Delta: 1}}, o.Charges)
		left, _ := f.exported(100)
		f.wantSame("entries", []string{}, left)
		f.wantUsed(stickersEver, 7, "bob")
	},
	"each charge is taken back as it was added": func(f *fixture) {
		f.count(friends, 3, "alice")
		f.count(stickersEver, 4, "alice")
		f.count(stickersEver, 5, "bob")
		o := f.one(f.txn(on(friends, 2, catalog.Max(9), "alice"), on(stickersEver, 3, catalog.Max(7), "alice", "bob")))
		f.wantSame("what was found", []quota.ChargeOutcome{{Used: []int64{3}, Delta: 2}, {Used: []int64{4, 5}, Delta: 3}}, o.Charges)
		f.wantSame("applied", false, o.Applied)
		f.wantUsed(friends, 3, "alice")
		f.wantUsed(stickersEver, 4, "alice")
		f.wantUsed(stickersEver, 5, "bob")
	},
	"the limit of adding is inclusive": func(f *fixture) {
		for i, tt := range []struct {
			used, delta int64
			limit       catalog.Limit
			want        bool
		}{
			{0, 1, catalog.Max(1), true},
			{19, 1, catalog.Max(20), true},
			{18, 3, catalog.Max(20), false},
			{0, 1, catalog.Max(0), false},
			{catalog.MaxLimit - 1, 1, catalog.Max(catalog.MaxLimit), true},
			{1 << 40, 1, catalog.Unlimited(), true},
		} {
			user := string(rune('a' + i))
			f.count(friends, tt.used, user)
			o := f.one(f.txn(on(friends, tt.delta, tt.limit, user)))
			f.wantSame("outcome", []quota.ChargeOutcome{{Used: []int64{tt.used}, Delta: tt.delta}}, o.Charges)
			want := tt.used
			if tt.want {
				want += tt.delta
			}
			f.wantSame("applied", tt.want, o.Applied)
			f.wantUsed(friends, want, user)
		}
	},
	"nothing is added to what would leave the exact numbers": func(f *fixture) {
		f.count(friends, catalog.MaxLimit, "bob")
		for _, mode := range []quota.TxnMode{quota.ModeConsume, quota.ModeForce} {
			t := f.once('a', 1, on(friends, 1, catalog.Unlimited(), "alice", "bob"))
			t.Mode = mode
			f.wantErr(t, quota.ErrOverflow)
		}
		f.wantUsed(friends, 0, "alice")
		f.wantUsed(friends, catalog.MaxLimit, "bob")
	},
	"an addition takes effect once": func(f *fixture) {
		for i := range byte(20) {
			f.now = noon.Add(time.Duration(i) * 61 * time.Second)
			t := f.once(i, 1, on(friends, 1, catalog.Unlimited(), "alice", "bob"))
			f.wantSame("applied", true, f.one(t).Applied)
			f.now = f.now.Add(quota.RequestHorizon)
			t.Now = f.now
			if o := f.one(t); !o.Replayed || o.Applied {
				f.Errorf("counted at minute %d and again within the horizon: %+v", i, o)
			}
			f.wantErr(f.once(i, 2, on(friends, 1, catalog.Unlimited(), "alice", "bob")), quota.ErrRequestReused)
			f.wantUsed(friends, 1, "alice")
			f.app = f.create("aligned") // the next one's clock begins anew
		}
	},
	"an addition that is denied is not remembered": func(f *fixture) {
		f.count(friends, 5, "bob")
		t := f.once('a', 1, on(friends, 1, catalog.Max(5), "alice", "bob"))
		if o := f.one(t); o.Applied || o.Replayed {
			f.Errorf("beyond the limit: %+v", o)
		}
		t = f.once('a', 2, on(friends, 1, catalog.Max(6), "alice", "bob"))
		if o := f.one(t); !o.Applied || o.Replayed {
			f.Errorf("after a denial: %+v", o)
		}
	},
	"what is held is not added to": func(f *fixture) {
		f.one(f.reserve('a', on(friends, 2, catalog.Max(5), "alice")))
		if o := f.one(f.txn(on(friends, 4, catalog.Max(5), "alice"))); o.Applied || o.Charges[0].Held == nil || o.Charges[0].Held[0] != 2 {
			f.Errorf("4 of 5, of which 2 are held: %+v", o)
		}
		if o := f.one(f.txn(on(friends, 3, catalog.Max(5), "alice"))); !o.Applied {
			f.Errorf("3 of 5, of which 2 are held: %+v", o)
		}
		f.now = noon.Add(2 * time.Minute)
		if o := f.one(f.txn(on(friends, 2, catalog.Max(5), "alice"))); !o.Applied {
			f.Errorf("after the hold: %+v", o)
		}
	},
	"an addition moves the clock, and one that is denied does not": func(f *fixture) {
		f.now = noon.Add(time.Hour)
		f.one(f.txn(on(friends, 1, catalog.Max(5), "alice")))
		f.now = noon.Add(2 * time.Hour)
		f.one(f.txn(on(friends, 5, catalog.Max(5), "alice")))
		f.now = noon
		if got, want := f.one(f.txn(on(friends, 1, catalog.Max(5), "alice"))).Clock, noon.Add(time.Hour); !got.Equal(want) {
			f.Errorf("clock %v, want %v", got, want)
		}
	},
	"additions and others share a call": func(f *fixture) {
		out := f.apply(
			f.txn(on(friends, 1, catalog.Max(2), "alice")),
			f.txn(on(groups, 1, catalog.Max(2)), on(friends, 1, catalog.Max(2), "alice")),
			f.once('a', 1, on(friends, 1, catalog.Max(2), "alice", "bob")),
			f.txn(on(friends, -1, catalog.Unlimited(), "alice")),
			f.once('a', 1, on(friends, 1, catalog.Max(2), "alice", "bob")),
		)
		var applied []bool
		for i := range out {
			applied = append(applied, out[i].Applied)
		}
		f.wantSame("applied", []bool{true, true, false, true, true}, applied)
		f.wantUsed(friends, 2, "alice")
		f.wantUsed(friends, 1, "bob")
	},
	"an app that has changed is not added to": func(f *fixture) {
		old := f.txn(on(friends, 1, catalog.Unlimited(), "alice"))
		if err := f.store.UpdateApp(f.Context(), f.app, account.Event{}); err != nil {
			f.Fatal(err)
		}
		f.wantErr(old, quota.ErrStale)
		f.wantUsed(friends, 0, "alice")
	},
}

// stickersEver are counted of each user, for ever.
var stickersEver = quota.Counter{Quota: "stickers_ever", Scope: catalog.ScopeUser}
