package storetest

import (
	"fmt"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// names makes n ids.
func names(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return ids
}

// batchClauses are about many transactions in one call.
var batchClauses = map[string]func(*fixture){
	"transactions of an app take effect in their order": func(f *fixture) {
		const n = 200 // more than one script or commit carries
		var txns []quota.Txn
		for range n {
			txns = append(txns, f.txn(on(groups, 1, catalog.Max(150))))
		}
		for i, o := range f.apply(txns...) {
			want := quota.ChargeOutcome{Used: []int64{min(int64(i), 150)}, Delta: 1}
			f.wantSame("charge", []quota.ChargeOutcome{want}, o.Charges)
			if o.Applied != (i < 150) {
				f.Errorf("transaction %d: applied %v", i, o.Applied)
			}
		}
	},
	"what is wrong with one leaves the others alone": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupCreate, "taken", 'w', 1))
		stale := f.txn(on(groups, 1, catalog.Unlimited()))
		stale.Version.Revision++
		passed := f.txn(on(groups, 1, catalog.Unlimited()))
		passed.WindowEnd = noon
		overflow := f.txn(on(groups, catalog.MaxLimit, catalog.Unlimited()))
		good := f.txn(on(groups, 1, catalog.Unlimited()))
		out := f.apply(good, stale, f.groupTxn(quota.GroupCreate, "taken", 'w', 1), good, passed, overflow, good)
		for i, wantErr := range []bool{false, true, true, false, true, true, false} {
			if (out[i].Err != nil) != wantErr {
				f.Errorf("transaction %d: error %v", i, out[i].Err)
			}
		}
		f.wantUsed(groups, 3)
	},
	"apps of a batch do not disturb each other": func(f *fixture) {
		apps := []*account.App{f.app, f.create("suite"), f.create("suite")}
		var txns []quota.Txn
		for i := range 30 {
			f.app = apps[i%len(apps)]
			txns = append(txns, f.txn(on(groups, int64(i%len(apps))+1, catalog.Unlimited())))
		}
		gone := txns[0]
		gone.Version.Epoch++
		out := f.apply(append(txns, gone)...)
		if out[30].Err == nil {
			f.Error("a stale transaction was carried out")
		}
		for i := range apps {
			f.app = apps[i]
			f.wantUsed(groups, 10*(int64(i)+1))
		}
	},
	"a thousand subjects in one step": func(f *fixture) {
		ids := names("user-of-a-large-group-", 1000)
		f.count(friends, 5, ids[999])
		if o := f.one(f.txn(on(friends, 1, catalog.Max(5), ids...))); o.Applied || len(o.Charges[0].Used) != 1000 {
			f.Errorf("applied %v", o.Applied)
		}
		f.wantUsed(friends, 0, ids[0])
		f.count(friends, -1, ids[999])
		if o := f.one(f.txn(on(friends, 1, catalog.Max(5), ids...))); !o.Applied {
			f.Error("not applied")
		}
		f.wantUsed(friends, 1, ids[0])
		f.wantUsed(friends, 5, ids[999])
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, ids[:90]...), 90)
	},
	"a thousand users come and go": func(f *fixture) {
		ids := names("u", 1000)
		register := f.userTxn(quota.UsersRegister, month, ids...)
		register.Mode = quota.ModeForce
		f.wantDeltas(register, 1000)
		drop := f.userTxn(quota.UsersDelete, month, ids...)
		drop.Users.Drop = []quota.Counter{friends, stickers}
		f.wantDeltas(drop, -1000)
		f.wantUsed(users, 0)
	},
	"no transactions": func(f *fixture) {
		f.apply()
	},
	"the members of a group across a batch": func(f *fixture) {
		out := f.apply(
			f.groupTxn(quota.GroupCreate, "g", 'w', 19),
			f.groupTxn(quota.GroupTouch, "g", 'w', 1),
			f.groupTxn(quota.GroupTouch, "g", 'w', 1),
			f.groupTxn(quota.GroupLeave, "g", 0, -1),
			f.groupTxn(quota.GroupTouch, "g", 'w', 1),
		)
		for i, want := range []bool{true, true, false, true, true} {
			if out[i].Applied != want {
				f.Errorf("transaction %d: %+v", i, out[i])
			}
		}
	},
}

// damageClauses plant what is no value. It is reported, never taken for zero,
// and nothing that touches it is half written.
var damageClauses = map[string]func(*fixture){
	"a damaged counter": func(f *fixture) {
		f.count(friends, 3, "bob")
		f.harness.Damage(f.T, f.store, f.app, Value{Counter: friends, Subject: "bob"})
		f.wantDamaged(f.txn(on(groups, 1, catalog.Unlimited()), on(friends, 1, catalog.Unlimited(), "alice", "bob", "carol")))
		f.wantUsed(friends, 0, "alice")
	},
	"a damaged counter of the app": func(f *fixture) {
		f.count(dailyNet, 3)
		f.harness.Damage(f.T, f.store, f.app, Value{Counter: dailyNet})
		f.wantDamaged(f.txn(on(groups, 1, catalog.Unlimited()), on(dailyNet, 1, catalog.Unlimited())))
	},
	"a damaged user": func(f *fixture) {
		f.one(f.userTxn(quota.UsersRegister, month, "bob"))
		f.harness.Damage(f.T, f.store, f.app, Value{User: "bob"})
		t := f.userTxn(quota.UsersLogin, month, "alice", "bob")
		t.Charges = append(t.Charges, on(groups, 1, catalog.Unlimited()))
		f.wantDamaged(t)
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "alice"), 1)
	},
	"a damaged group": func(f *fixture) {
		f.one(f.groupTxn(quota.GroupCreate, "g", 'w', 2))
		f.harness.Damage(f.T, f.store, f.app, Value{GroupID: "g"})
		for _, op := range []quota.GroupOp{quota.GroupCreate, quota.GroupTouch, quota.GroupLeave, quota.GroupDissolve} {
			f.wantDamaged(f.groupTxn(op, "g", 0, 1, on(groups, 1, catalog.Unlimited())))
		}
	},
}

// wantDamaged carries a transaction that touches damage out, between others
// that do not: it is a fault that leaves nothing behind, they are carried out.
func (f *fixture) wantDamaged(t quota.Txn) {
	f.Helper()
	before := f.used(groups)
	good := f.txn(on(groups, 1, catalog.Unlimited()))
	for _, mode := range []quota.TxnMode{quota.ModeJudge, quota.ModeConsume, quota.ModeForce} {
		t.Mode = mode
		out := f.apply(good, t, good)
		if !out[0].Applied || !out[2].Applied {
			f.Errorf("beside the damage: %+v", out)
		}
		wantFault(f.T, out[1].Err, account.UsageUnknown)
		before += 2
		f.wantUsed(groups, before)
	}
}

func wantFault(t testing.TB, err error, reason account.FaultReason) {
	t.Helper()
	fault, ok := err.(*account.Fault) //nolint:errorlint // stores do not wrap faults
	if !ok || fault.Reason != reason {
		t.Errorf("error %v, want a fault of %s", err, reason)
	}
}
