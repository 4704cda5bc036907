package storetest

import (
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// month is the suite's month, and the one after.
var (
	month     = catalog.Month(noon, zone)
	nextMonth = month + 1
)

// userTxn changes the set of users, and counts users and the month's active.
func (f *fixture) userTxn(op quota.UserOp, m int32, ids ...string) quota.Txn {
	registered := quota.Charge{Counter: users, Delta: 1, Basis: quota.PerNewUser, Limit: catalog.Max(100)}
	if op == quota.UsersDelete {
		registered.Delta, registered.Basis = -1, quota.PerGoneUser
	}
	t := f.txn(registered)
	t.Users = quota.UserStep{Op: op, IDs: ids, Month: m}
	if op == quota.UsersLogin || op == quota.UsersActive {
		active := mau
		active.Window = catalog.WindowAt(catalog.KindMonth, time.Date(int(m/12), time.Month(m%12)+1, 2, 0, 0, 0, 0, zone), zone)
		t.Charges = append(t.Charges, quota.Charge{Counter: active, Delta: 1, Basis: quota.PerNewActive, Limit: catalog.Max(100)})
	}
	return t
}

// wantDeltas carries a transaction out and expects its charges' deltas.
func (f *fixture) wantDeltas(t quota.Txn, want ...int64) {
	f.Helper()
	o := f.one(t)
	var got []int64
	for _, c := range o.Charges {
		got = append(got, c.Delta)
	}
	f.wantSame("deltas", want, got)
}

// userClauses are about the set of users and the months they were active in.
var userClauses = map[string]func(*fixture){
	"a user is registered once": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a", "b", "c"), 3)
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "b", "c", "d"), 1)
		f.wantUsed(users, 4)
	},
	"a user is active once a month": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 0)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 0, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 0, 0)
		f.wantUsed(users, 1)
		f.wantUsed(mau, 1)
	},
	"a month gone by counts nobody any more": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a", "b"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 0, 0)
		f.wantDeltas(f.userTxn(quota.UsersDelete, month, "a"), -1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 0)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 0, 0)
		f.wantUsed(mau, 1)
	},
	"registering is not being active": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a"), 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 1)
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a"), 0)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 0)
	},
	"a user who comes back in the month was active once": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersDelete, month, "a"), -1)
		f.wantDeltas(f.userTxn(quota.UsersDelete, month, "a"), 0)
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a"), 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 0)
		f.wantDeltas(f.userTxn(quota.UsersDelete, month, "a"), -1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 0)
		f.wantUsed(users, 1)
		f.wantUsed(mau, 1)
	},
	"a user who comes back later is active anew": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersDelete, month, "a"), -1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersDelete, nextMonth+1, "a"), -1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth+1, "a"), 1, 1)
	},
	"being active is not being registered": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersActive, month, "a", "b"), 0, 2)
		f.wantDeltas(f.userTxn(quota.UsersActive, month, "a"), 0, 0)
		f.wantDeltas(f.userTxn(quota.UsersDelete, month, "a"), 0)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 0)
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "b"), 1)
		f.wantDeltas(f.userTxn(quota.UsersActive, nextMonth, "a", "b", "c"), 0, 3)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a", "b", "c"), 1, 0)
		f.wantUsed(users, 3)
		f.wantUsed(mau, 2)
	},
	"deleting drops the user's counters alone": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a", "b"), 2)
		for _, id := range []string{"a", "b"} {
			f.count(friends, 5, id)
			f.count(stickers, 6, id)
		}
		t := f.userTxn(quota.UsersDelete, month, "a", "stranger")
		t.Users.Drop = []quota.Counter{friends, stickers}
		f.wantDeltas(t, -1)
		f.wantUsed(friends, 0, "a")
		f.wantUsed(stickers, 0, "a")
		f.wantUsed(friends, 5, "b")
		f.wantUsed(stickers, 6, "b")
		f.wantUsed(users, 1)
	},
	"what is denied registers nobody": func(f *fixture) {
		f.count(users, 99)
		o := f.one(f.userTxn(quota.UsersRegister, month, "a", "b"))
		if o.Applied || o.Charges[0].Delta != 2 {
			f.Errorf("%+v", o)
		}
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a"), 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 1)
		if o := f.one(f.userTxn(quota.UsersLogin, month, "b")); o.Applied {
			f.Errorf("the 101st user: %+v", o)
		}
		f.wantUsed(mau, 1)
	},
	"judging a login registers nobody": func(f *fixture) {
		t := f.userTxn(quota.UsersLogin, month, "a")
		t.Mode = quota.ModeJudge
		f.wantDeltas(t, 1, 1)
		f.wantDeltas(t, 1, 1)
		f.wantUsed(users, 0)
	},
	"a repeated login with its id": func(f *fixture) {
		t := f.userTxn(quota.UsersLogin, month, "a")
		t.Request = key('a', 1)
		f.wantDeltas(t, 1, 1)
		f.wantDeltas(t, 0, 0)
		f.wantUsed(users, 1)
	},
}
