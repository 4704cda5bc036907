package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// headerClauses are steps 1 and 2 of quota.Store: the record's version and the
// app's clock.
var headerClauses = map[string]func(*fixture){
	"an app that is not there is stale": func(f *fixture) {
		t := f.txn(on(groups, 1, catalog.Unlimited()))
		t.App++
		f.wantErr(t, quota.ErrStale)
	},
	"another version is stale and writes nothing": func(f *fixture) {
		old := f.txn(on(groups, 1, catalog.Unlimited()))
		f.count(groups, 3)
		if err := f.store.UpdateApp(f.Context(), f.app, account.Event{}); err != nil {
			f.Fatal(err)
		}
		f.wantErr(old, quota.ErrStale)
		old.Mode = quota.ModeJudge
		f.wantErr(old, quota.ErrStale)
		old.Version.Epoch++
		old.Version.Revision = f.app.Version.Revision
		f.wantErr(old, quota.ErrStale)
		f.wantUsed(groups, 3)
	},
	"a version is never made twice": func(f *fixture) {
		// Or a change that a store lost with its tail would be taken for the
		// next one, wherever its record is cached.
		first := f.app.Version
		if err := f.store.UpdateApp(f.Context(), f.app, account.Event{}); err != nil {
			f.Fatal(err)
		}
		guessed := f.txn(on(groups, 1, catalog.Unlimited()))
		guessed.Version.Epoch = first.Epoch
		f.wantErr(guessed, quota.ErrStale)
		f.count(groups, 1)
	},
	"the clock never runs backwards": func(f *fixture) {
		f.count(groups, 1)
		f.now = noon.Add(-time.Hour)
		if got := f.one(f.txn(on(groups, 1, catalog.Unlimited()))).Clock; !got.Equal(noon) {
			f.Errorf("clock %v, want %v", got, noon)
		}
		f.now = noon.Add(time.Hour)
		if got := f.one(f.txn(on(groups, 1, catalog.Unlimited()))).Clock; !got.Equal(f.now) {
			f.Errorf("clock %v, want %v", got, f.now)
		}
	},
	"only what writes moves the clock": func(f *fixture) {
		f.count(groups, 5)
		judge := f.txn(on(groups, 1, catalog.Unlimited()))
		judge.Mode, judge.Now = quota.ModeJudge, noon.Add(time.Hour)
		denied := f.txn(on(groups, 1, catalog.Max(5)))
		denied.Now = noon.Add(time.Hour)
		nothing := f.txn(on(friends, -1, catalog.Unlimited(), "alice"))
		nothing.Now = noon.Add(time.Hour)
		f.apply(judge, denied, nothing)
		if got := f.one(f.txn(on(groups, 0, catalog.Unlimited()))).Clock; !got.Equal(noon) {
			f.Errorf("clock %v, want %v", got, noon)
		}
	},
	"apps that travel together keep a clock each": func(f *fixture) {
		other := newApp(unique("clock"))
		if err := f.store.CreateApp(f.Context(), other, account.Event{}, roomy, false); err != nil {
			f.Fatal(err)
		}
		mine := f.txn(on(groups, 1, catalog.Unlimited()))
		theirs := mine
		theirs.App, theirs.FanoutBits, theirs.Version, theirs.Now = other.ID, other.FanoutBits, other.Version, noon.Add(time.Minute)
		f.apply(mine, theirs)
		mine.Now, theirs.Now = noon.Add(-time.Hour), noon.Add(-time.Hour)
		for i, o := range f.apply(mine, theirs) {
			if want := noon.Add(time.Duration(i) * time.Minute); !o.Clock.Equal(want) {
				f.Errorf("app %d of 2: clock %v, want %v", i+1, o.Clock, want)
			}
		}
	},
	"a window that is over is answered with the clock": func(f *fixture) {
		f.now = dailyNet.Window.End.Add(time.Second)
		f.count(groups, 1)
		f.now = noon
		t := f.txn(on(dailyNet, 1, catalog.Unlimited()))
		t.WindowEnd = dailyNet.Window.End
		for _, mode := range []quota.TxnMode{quota.ModeJudge, quota.ModeConsume, quota.ModeForce} {
			t.Mode = mode
			var passed *quota.WindowPassedError
			if err := f.apply(t)[0].Err; !errors.As(err, &passed) || !passed.Clock.Equal(dailyNet.Window.End.Add(time.Second)) {
				f.Errorf("mode %v: error %v", mode, err)
			}
		}
		f.wantUsed(dailyNet, 0)
	},
	"a window ends with its last millisecond": func(f *fixture) {
		t := f.txn(on(dailyNet, 1, catalog.Unlimited()))
		t.WindowEnd, t.Now = dailyNet.Window.End, dailyNet.Window.End.Add(-time.Millisecond)
		if !f.one(t).Applied {
			f.Error("the last millisecond was refused")
		}
		t.Now = dailyNet.Window.End
		if err := f.apply(t)[0].Err; err == nil {
			f.Error("the first instant after the window was taken for part of it")
		}
	},
	"windows count apart": func(f *fixture) {
		next := dailyNet
		next.Window = catalog.WindowAt(catalog.KindDay, dailyNet.Window.End, zone)
		f.count(dailyNet, 3)
		f.count(stickers, 4, "alice")
		f.now = dailyNet.Window.End
		f.count(next, -1)
		f.wantUsed(dailyNet, 3)
		f.wantUsed(next, -1)
		f.wantUsed(stickers, 4, "alice")
		f.wantUsed(stickers, 0, "bob")
	},
	"a caller who has left leaves nothing behind": func(f *fixture) {
		gone, cancel := context.WithCancel(f.Context())
		cancel()
		o := f.store.Apply(gone, []quota.Txn{f.txn(on(groups, 1, catalog.Unlimited()))})[0]
		if fault, ok := errors.AsType[*account.Fault](o.Err); !ok || fault.Reason != account.CallerGone {
			f.Errorf("error %v", o.Err)
		}
		f.wantUsed(groups, 0)
	},
}
