package storetest

import (
	"fmt"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// groupTxn changes a group's record, and its members by a charge.
func (f *fixture) groupTxn(op quota.GroupOp, id string, kind byte, delta int64, charges ...quota.Charge) quota.Txn {
	t := f.txn(append(charges, quota.Charge{Counter: members, Members: true, Delta: delta, Limit: catalog.Max(20)})...)
	t.Group = quota.GroupStep{Op: op, ID: id, Type: kind, Day: catalog.Day(f.now, zone)}
	return t
}

// wantGroup expects a record.
func (f *fixture) wantGroup(id string, want quota.GroupRecord) {
	f.Helper()
	t := f.groupTxn(quota.GroupRead, id, 0, 0)
	t.Mode = quota.ModeJudge
	f.wantSame("group "+id, want, f.one(t).Group)
}

// groupClauses are about the records of groups.
var groupClauses = map[string]func(*fixture){
	"a group is made once": func(f *fixture) {
		today := catalog.Day(noon, zone)
		o := f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 3))
		f.wantSame("before", quota.GroupRecord{}, o.Group)
		f.wantGroup("g", quota.GroupRecord{Found: true, Type: 'w', Day: today, Members: 3})
		f.wantErr(f.groupTxn(quota.GroupCreate, "g", 'w', 3), quota.ErrGroupExists)
		f.wantErr(f.groupTxn(quota.GroupCreate, "g", 'p', 3), quota.ErrGroupExists)
		f.wantGroup("g", quota.GroupRecord{Found: true, Type: 'w', Day: today, Members: 3})
	},
	"a group that was denied is not there": func(f *fixture) {
		if o := f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 21)); o.Applied {
			f.Errorf("%+v", o)
		}
		f.wantGroup("g", quota.GroupRecord{})
	},
	"an empty group is there": func(f *fixture) {
		t := f.txn()
		t.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "live", Type: 'l', Day: 7}
		f.one(t)
		f.wantGroup("live", quota.GroupRecord{Found: true, Type: 'l', Day: 7})
	},
	"touching makes a group whose day is unknown": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupTouch, "old", 'w', 1))
		f.wantGroup("old", quota.GroupRecord{Found: true, Type: 'w', Day: quota.NoDay, Members: 1})
		f.one(f.groupTxn(quota.GroupTouch, "old", 'w', 2))
		f.wantGroup("old", quota.GroupRecord{Found: true, Type: 'w', Day: quota.NoDay, Members: 3})
	},
	"a group of another type is an error": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 1))
		for _, op := range []quota.GroupOp{quota.GroupRead, quota.GroupTouch, quota.GroupLeave, quota.GroupDissolve} {
			f.wantErr(f.groupTxn(op, "g", 'p', 1), quota.ErrGroupType)
		}
		f.wantGroup("g", quota.GroupRecord{Found: true, Type: 'w', Day: catalog.Day(noon, zone), Members: 1})
	},
	"leaving what is not there counts nothing of it": func(f *fixture) {
		o := f.one(f.groupTxn(quota.GroupLeave, "nowhere", 0, -1, on(friends, 1, catalog.Unlimited(), "alice")))
		f.wantSame("charges", []quota.ChargeOutcome{{Used: []int64{0}, Delta: 1}, {}}, o.Charges)
		f.wantGroup("nowhere", quota.GroupRecord{})
	},
	"members stop at zero": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 2))
		f.one(f.groupTxn(quota.GroupLeave, "g", 0, -5))
		f.wantGroup("g", quota.GroupRecord{Found: true, Type: 'w', Day: catalog.Day(noon, zone)})
	},
	"dissolving takes the type's charges": func(f *fixture) {
		f.count(groups, 2)
		live := quota.Counter{Quota: "live_groups", Scope: catalog.ScopeApp}
		f.count(live, 2)
		dissolve := func(id string) quota.Outcome {
			ofGroups, ofLive, ofToday := on(groups, -1, catalog.Unlimited()), on(live, -1, catalog.Unlimited()), on(dailyNet, -1, catalog.Unlimited())
			ofGroups.Types, ofLive.Types, ofToday.Types, ofToday.SameDay = "wp", "l", "wpl", true
			t := f.txn(ofGroups, ofLive, ofToday)
			t.Group = quota.GroupStep{Op: quota.GroupDissolve, ID: id, Day: catalog.Day(f.now, zone)}
			return f.one(t)
		}
		f.one(f.groupTxn(quota.GroupCreate, "today", 'w', 1))
		f.one(f.groupTxn(quota.GroupTouch, "old", 'l', 1))
		if o := dissolve("today"); !o.Group.Found || o.Charges[1].Used != nil {
			f.Errorf("%+v", o)
		}
		f.wantUsed(groups, 1)
		f.wantUsed(live, 2)
		f.wantUsed(dailyNet, -1)
		dissolve("old")
		f.wantUsed(groups, 1)
		f.wantUsed(live, 1)
		f.wantUsed(dailyNet, -1)
		if o := dissolve("today"); o.Group.Found {
			f.Errorf("dissolved twice: %+v", o)
		}
		f.wantUsed(groups, 1)
		f.wantGroup("today", quota.GroupRecord{})
	},
	"a join that comes late does not bring a group back": func(f *fixture) {
		join := func(made bool) {
			f.Helper()
			o := f.one(f.groupTxn(quota.GroupTouch, "g", 'w', 1, on(friends, 1, catalog.Unlimited(), "alice")))
			f.wantSame("what the user counts", int64(1), o.Charges[0].Delta)
			f.wantSame("the group counts", made, o.Charges[1].Used != nil)
			want := quota.GroupRecord{}
			if made {
				want = quota.GroupRecord{Found: true, Type: 'w', Day: quota.NoDay, Members: 1}
			}
			f.wantGroup("g", want)
		}
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 2))
		f.one(f.groupTxn(quota.GroupDissolve, "g", 0, 0))
		join(false)
		f.now = f.now.AddDate(0, 0, -1)
		join(false) // by a clock that is behind
		f.now = f.now.AddDate(0, 0, 1)
		f.wantSame("dissolved once more", false, f.one(f.groupTxn(quota.GroupDissolve, "g", 0, 0)).Group.Found)
		f.now = f.now.AddDate(0, 0, 1)
		join(false)
		f.now = f.now.AddDate(0, 0, 1)
		join(true)
	},
	"an operator's word brings a group back": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 2))
		f.one(f.groupTxn(quota.GroupDissolve, "g", 0, 0))
		set := f.groupTxn(quota.GroupTouch, "g", 'w', 5)
		set.Group.Day = quota.AnyDay
		f.one(set)
		f.wantGroup("g", quota.GroupRecord{Found: true, Type: 'w', Day: quota.NoDay, Members: 5})
	},
	"groups that are gone for long are forgotten": func(f *fixture) {
		ids := names("group", 40)
		for _, id := range ids {
			f.one(f.groupTxn(quota.GroupCreate, id, 'w', 1))
			f.one(f.groupTxn(quota.GroupDissolve, id, 0, 0))
		}
		f.now = f.now.AddDate(0, 0, 2)
		for _, id := range ids {
			f.one(f.groupTxn(quota.GroupCreate, id, 'p', 1))
			f.one(f.groupTxn(quota.GroupDissolve, id, 0, 0))
			f.wantGroup(id, quota.GroupRecord{})
		}
	},
	"a group that goes once more is gone since then": func(f *fixture) {
		for range 2 {
			f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 1))
			f.one(f.groupTxn(quota.GroupDissolve, "g", 0, 0))
			texts, _ := f.exported(1000)
			f.wantSame("entries", []string{fmt.Sprintf("gone %q %d", "g", catalog.Day(f.now, zone))}, texts)
			f.now = f.now.AddDate(0, 0, 1)
		}
	},
	"an id can be used again after its group is gone": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 5))
		f.one(f.groupTxn(quota.GroupDissolve, "g", 0, 0))
		f.one(f.groupTxn(quota.GroupCreate, "g", 'p', 1))
		f.wantGroup("g", quota.GroupRecord{Found: true, Type: 'p', Day: catalog.Day(noon, zone), Members: 1})
	},
	"users and groups of one name are apart": func(f *fixture) {
		f.count(friends, 3, "same")
		f.one(f.userTxn(quota.UsersRegister, month, "same"))
		f.one(f.groupTxn(quota.GroupCreate, "same", 'w', 4))
		f.wantUsed(friends, 3, "same")
		f.wantGroup("same", quota.GroupRecord{Found: true, Type: 'w', Day: catalog.Day(noon, zone), Members: 4})
	},
	"a repeated creation finds its effect, not the group in its way": func(f *fixture) {
		t := f.groupTxn(quota.GroupCreate, "g", 'w', 2)
		t.Request = key('a', 1)
		f.one(t)
		if o := f.one(t); !o.Replayed || o.Group.Members != 2 {
			f.Errorf("%+v", o)
		}
		f.one(f.groupTxn(quota.GroupDissolve, "g", 0, 0))
		if o := f.one(t); !o.Replayed || o.Group.Found {
			f.Errorf("after the group was dissolved: %+v", o)
		}
	},
}
