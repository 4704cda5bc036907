package storetest

import (
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// limitClauses are steps 5 and 6: all charges fit, or nothing is written.
var limitClauses = map[string]func(*fixture){
	"the limit is inclusive": func(f *fixture) {
		for _, tt := range []struct {
			used, delta int64
			limit       catalog.Limit
			want        bool
		}{
			{0, 1, catalog.Max(1), true},
			{1, 1, catalog.Max(1), false},
			{19, 1, catalog.Max(20), true},
			{18, 3, catalog.Max(20), false},
			{0, 1, catalog.Max(0), false},
			{0, 0, catalog.Max(0), true},
			{30, 0, catalog.Max(20), true},
			{30, -1, catalog.Max(20), true},
			{30, 1, catalog.Max(20), false},
			{1 << 40, 1, catalog.Unlimited(), true},
			{catalog.MaxLimit - 1, 1, catalog.Max(catalog.MaxLimit), true},
		} {
			f.app = f.create("limits")
			f.count(groups, tt.used)
			o := f.one(f.txn(on(groups, tt.delta, tt.limit)))
			f.wantSame("outcome", []quota.ChargeOutcome{{Used: []int64{tt.used}, Delta: tt.delta}}, o.Charges)
			if o.Applied != tt.want {
				f.Errorf("%d + %d of %s: applied %v", tt.used, tt.delta, tt.limit, o.Applied)
			}
			want := tt.used
			if tt.want {
				want += tt.delta
			}
			f.wantUsed(groups, want)
		}
	},
	"all charges or none": func(f *fixture) {
		f.count(friends, 3, "carol")
		t := f.once('a', 1,
			on(groups, 1, catalog.Unlimited()),
			on(friends, 1, catalog.Max(3), "alice", "bob", "carol"),
			on(dailyNet, 1, catalog.Max(5)))
		t.WindowEnd = dailyNet.Window.End
		o := f.one(t)
		if o.Applied {
			f.Error("applied beyond carol's limit")
		}
		f.wantSame("what was found", []quota.ChargeOutcome{
			{Used: []int64{0}, Delta: 1}, {Used: []int64{0, 0, 3}, Delta: 1}, {Used: []int64{0}, Delta: 1},
		}, o.Charges)
		f.wantUsed(groups, 0)
		f.wantUsed(friends, 0, "alice")
		f.wantUsed(dailyNet, 0)
	},
	"judging writes nothing": func(f *fixture) {
		t := f.txn(on(groups, 1, catalog.Max(5)))
		t.Mode = quota.ModeJudge
		if o := f.one(t); o.Applied || o.Charges[0].Delta != 1 {
			f.Errorf("%+v", o)
		}
		f.wantUsed(groups, 0)
	},
	"forcing writes beyond the limit": func(f *fixture) {
		t := f.txn(on(groups, 3, catalog.Max(1)), on(friends, 1, catalog.Max(0), "alice"))
		t.Mode = quota.ModeForce
		if o := f.one(t); !o.Applied {
			f.Errorf("%+v", o)
		}
		f.wantUsed(groups, 3)
		f.wantUsed(friends, 1, "alice")
	},
	"a counter stops at zero, a signed one does not": func(f *fixture) {
		f.count(friends, 2, "alice")
		t := f.txn(on(friends, -5, catalog.Max(0), "alice", "bob"), on(dailyNet, -2, catalog.Max(0)))
		o := f.one(t)
		f.wantSame("what was found", []quota.ChargeOutcome{{Used: []int64{2, 0}, Delta: -5}, {Used: []int64{0}, Delta: -2}}, o.Charges)
		f.wantUsed(friends, 0, "alice")
		f.wantUsed(friends, 0, "bob")
		f.wantUsed(dailyNet, -2)
		f.count(dailyNet, 1)
		f.wantUsed(dailyNet, -1)
	},
	"an absolute charge is the new value": func(f *fixture) {
		f.count(friends, 7, "alice")
		for _, value := range []int64{3, 3, 0, 12, catalog.MaxLimit} {
			before := f.used(friends, "alice")
			c := on(friends, value, catalog.Unlimited(), "alice")
			c.Basis = quota.Absolute
			o := f.one(f.txn(c))
			f.wantSame("outcome", []quota.ChargeOutcome{{Used: []int64{before}, Delta: value - before}}, o.Charges)
			f.wantUsed(friends, value, "alice")
		}
	},
	"no counter leaves the exact numbers": func(f *fixture) {
		f.count(groups, catalog.MaxLimit)
		f.wantErr(f.txn(on(friends, 1, catalog.Unlimited(), "alice"), on(groups, 1, catalog.Unlimited())), quota.ErrOverflow)
		f.wantUsed(friends, 0, "alice")
		f.count(dailyNet, -catalog.MaxLimit)
		f.wantErr(f.txn(on(dailyNet, -1, catalog.Unlimited())), quota.ErrOverflow)
		f.wantUsed(dailyNet, -catalog.MaxLimit)
		f.wantUsed(groups, catalog.MaxLimit)
	},
	"any bytes may stand in ids": func(f *fixture) {
		ids := []string{":", "::", "{1}", "}", "a:b", "a", "b", "a b", " ", "0", "-1", "*", "\\", "\"", "%s", "s:friends", "a\x00b", "\xff\xfe", "123456789012345678901234567890123456789012345678"}
		for i, id := range ids {
			f.count(friends, int64(i)+1, id)
			f.count(quota.Counter{Quota: "joined_groups", Scope: catalog.ScopeUser}, 100, id)
			f.count(quota.Counter{Quota: "friends.a", Scope: catalog.ScopeUser}, 200, id)
		}
		for i, id := range ids {
			f.wantUsed(friends, int64(i)+1, id)
		}
	},
	"apps count apart": func(f *fixture) {
		f.count(groups, 1)
		first := f.app
		f.app = f.create("suite")
		f.count(groups, 5)
		f.count(friends, 5, "alice")
		f.app = first
		f.wantUsed(groups, 1)
		f.wantUsed(friends, 0, "alice")
	},
}
