package storetest

import (
	"errors"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// loginClauses are of logins, most of which count nothing: a store may go another way
// with them than with all else, and must come to the same.
var loginClauses = map[string]func(*fixture){
	"a login that counts nothing is told the totals as they are": func(f *fixture) {
		login := func(id string) quota.Txn { return f.userTxn(quota.UsersLogin, month, id) }
		f.wantDeltas(login("a"), 1, 1)
		out := f.apply(login("a"), login("b"), login("a"), f.userTxn(quota.UsersRegister, month, "c"), login("b"), login("c"), login("a"))
		var got [][2]int64
		for i := range out {
			c := out[i].Charges
			if !out[i].Applied || out[i].Err != nil {
				f.Errorf("login %d: %+v", i, out[i])
			} else {
				got = append(got, [2]int64{c[0].Used[0], c[len(c)-1].Used[0]})
			}
		}
		// Before each: users known, and active; of a registration users alone.
		f.wantSame("totals", [][2]int64{{1, 1}, {1, 1}, {2, 2}, {2, 2}, {3, 2}, {3, 2}, {3, 3}}, got)
		f.wantUsed(users, 3)
		f.wantUsed(mau, 3)
	},
	"a login that counts nothing does not move the clock": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.now = noon.Add(time.Hour)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 0)
		f.now = noon
		if got := f.one(f.userTxn(quota.UsersLogin, month, "a")).Clock; !got.Equal(noon) {
			f.Errorf("clock %v, want %v", got, noon)
		}
	},
	"a login in a month that is over is answered with the clock": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.now = mau.Window.End.Add(time.Second)
		f.count(groups, 1)
		f.now = noon
		t := f.userTxn(quota.UsersLogin, month, "a")
		t.WindowEnd = mau.Window.End
		var passed *quota.WindowPassedError
		if err := f.apply(t)[0].Err; !errors.As(err, &passed) || !passed.Clock.Equal(mau.Window.End.Add(time.Second)) {
			f.Errorf("error %v", err)
		}
	},
	"a login that counts moves the clock": func(f *fixture) {
		later := noon.Add(time.Hour)
		f.now = later
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.now = noon
		if got := f.one(f.userTxn(quota.UsersLogin, month, "a")).Clock; !got.Equal(later) {
			f.Errorf("clock %v, want %v", got, later)
		}
	},
	"a login of a month before the last counts nothing": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 1, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 0)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 0, 0)
		f.wantUsed(users, 1)
	},
	"a login of a user who was registered counts who is active": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersRegister, month, "a"), 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 0, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, nextMonth, "a"), 0, 1)
		f.wantUsed(users, 1)
		f.wantUsed(mau, 1)
	},
	"a login beyond the limit changes nothing": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		t := f.userTxn(quota.UsersLogin, month, "b")
		t.Charges[1].Limit = catalog.Max(1)
		if o := f.one(t); o.Applied {
			f.Errorf("%+v", o)
		}
		f.wantUsed(users, 1)
		f.wantUsed(mau, 1)
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "b"), 1, 1)
	},
	"a login beyond the limit that counts nothing is let in": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		t := f.userTxn(quota.UsersLogin, month, "a")
		t.Charges[0].Limit, t.Charges[1].Limit = catalog.Max(0), catalog.Max(0)
		if o := f.one(t); !o.Applied {
			f.Errorf("%+v", o)
		}
	},
	"a login that counts nothing says that a total is damaged": func(f *fixture) {
		f.wantDeltas(f.userTxn(quota.UsersLogin, month, "a"), 1, 1)
		f.harness.Damage(f, f.store, f.app, Value{Counter: users})
		err := f.apply(f.userTxn(quota.UsersLogin, month, "a"))[0].Err
		if fault, ok := errors.AsType[*account.Fault](err); !ok || fault.Reason != account.UsageUnknown {
			f.Errorf("error %v", err)
		}
	},
}
