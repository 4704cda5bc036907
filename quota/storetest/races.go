package storetest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// raceClauses have many callers at once.
var raceClauses = map[string]func(*fixture){
	"exactly what the limit admits": func(f *fixture) {
		const callers, each, limit = 64, 8, 300
		var applied atomic.Int64
		f.race(callers, func(int) {
			for range each {
				if f.one(f.txn(on(groups, 1, catalog.Max(limit)), on(friends, 1, catalog.Unlimited(), "alice", "bob"))).Applied {
					applied.Add(1)
				}
			}
		})
		f.wantSame("applied", int64(limit), applied.Load())
		f.wantUsed(groups, limit)
		f.wantUsed(friends, limit, "bob")
	},
	"one request by many callers": func(f *fixture) {
		var applied, replayed atomic.Int64
		f.race(32, func(int) {
			switch o := f.one(f.once('a', 1, on(groups, 1, catalog.Unlimited()))); {
			case o.Applied:
				applied.Add(1)
			case o.Replayed:
				replayed.Add(1)
			}
		})
		f.wantSame("applied", int64(1), applied.Load())
		f.wantSame("replayed", int64(31), replayed.Load())
		f.wantUsed(groups, 1)
	},
	"one user logs in everywhere at once": func(f *fixture) {
		f.race(32, func(int) { f.one(f.userTxn(quota.UsersLogin, month, "alice", "bob")) })
		f.wantUsed(users, 2)
		f.wantUsed(mau, 2)
	},
	"a record changes under load": func(f *fixture) {
		var applied atomic.Int64
		version, changed := f.app.Version, f.app.Clone()
		f.race(16, func(caller int) {
			if caller == 0 {
				if err := f.store.UpdateApp(f.Context(), changed, account.Event{}); err != nil {
					f.Error(err)
				}
				return
			}
			for range 20 {
				t := f.txn(on(groups, 1, catalog.Unlimited()))
				t.Version = version
				o := f.apply(t)[0]
				if o.Err != nil && !errors.Is(o.Err, quota.ErrStale) {
					f.Error(o.Err)
				}
				if o.Applied {
					applied.Add(1)
				}
			}
		})
		f.app = changed
		f.wantUsed(groups, applied.Load())
	},
	"friends are made both ways at once": func(f *fixture) {
		f.race(32, func(caller int) {
			pair := []string{"alice", "bob"}
			f.one(f.txn(on(friends, 1, catalog.Max(20), pair[caller%2], pair[1-caller%2])))
		})
		f.wantUsed(friends, 20, "alice")
		f.wantUsed(friends, 20, "bob")
	},
}

// race runs n callers at once and waits for them all.
func (f *fixture) race(n int, caller func(i int)) {
	f.Helper()
	var running sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		running.Go(func() {
			<-start
			caller(i)
		})
	}
	close(start)
	running.Wait()
}
