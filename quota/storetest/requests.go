package storetest

import (
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// key makes a request key of two letters.
func key(id, what byte) quota.RequestKey {
	return quota.RequestKey{Hash: [16]byte{id, 0, 0xff, ':'}, Fingerprint: [8]byte{what, 0, 0xff}}
}

// once is a transaction with a request id.
func (f *fixture) once(id, what byte, charges ...quota.Charge) quota.Txn {
	t := f.txn(charges...)
	t.Request = key(id, what)
	return t
}

// requestClauses are step 3: a request takes effect once.
var requestClauses = map[string]func(*fixture){
	"a repeated request counts once": func(f *fixture) {
		t := f.once('a', 1, on(friends, 2, catalog.Max(20), "alice", "bob"))
		first, second := f.one(t), f.one(t)
		f.wantSame("first", true, first.Applied && !first.Replayed)
		f.wantSame("second", quota.Outcome{
			Replayed: true, Clock: first.Clock, Charges: []quota.ChargeOutcome{{Used: []int64{2, 2}}},
		}, second)
		f.wantUsed(friends, 2, "alice")
	},
	"a repeated request is found before anything is judged": func(f *fixture) {
		f.one(f.once('a', 1, on(groups, 1, catalog.Max(5))))
		f.count(groups, 10)
		again := f.once('a', 1, on(groups, 1, catalog.Max(5)))
		for _, mode := range []quota.TxnMode{quota.ModeJudge, quota.ModeConsume, quota.ModeForce} {
			again.Mode = mode
			if o := f.one(again); !o.Replayed || o.Applied || o.Charges[0].Used[0] != 11 {
				f.Errorf("mode %v: %+v", mode, o)
			}
		}
	},
	"what was applied has a durability, and nothing else": func(f *fixture) {
		t := f.once('a', 1, on(groups, 1, catalog.Max(1)))
		if o := f.one(t); !o.Applied || o.Durability == quota.DurabilityUnknown {
			f.Errorf("applied: %+v", o)
		}
		if o := f.one(t); !o.Replayed || o.Durability != quota.DurabilityUnknown {
			f.Errorf("replayed: %+v", o)
		}
		denied := f.txn(on(groups, 1, catalog.Max(1)))
		judged := denied
		judged.Mode = quota.ModeJudge
		if o := f.apply(judged, denied); o[0].Durability != quota.DurabilityUnknown || o[1].Durability != quota.DurabilityUnknown {
			f.Errorf("judged and denied: %+v", o)
		}
		held := f.reserve('b', on(friends, 1, catalog.Max(1), "alice"))
		if o := f.one(held); !o.Applied || o.Durability == quota.DurabilityUnknown {
			f.Errorf("reserved: %+v", o)
		}
	},
	"the same id for something else is refused": func(f *fixture) {
		f.one(f.once('a', 1, on(groups, 1, catalog.Max(5))))
		f.wantErr(f.once('a', 2, on(groups, 1, catalog.Max(5))), quota.ErrRequestReused)
		f.wantUsed(groups, 1)
	},
	"only effects are remembered": func(f *fixture) {
		f.count(groups, 5)
		denied := f.once('a', 1, on(groups, 1, catalog.Max(5)))
		if o := f.one(denied); o.Applied {
			f.Fatal("beyond the limit")
		}
		judged := f.once('a', 1, on(groups, 1, catalog.Max(50)))
		judged.Mode = quota.ModeJudge
		f.one(judged)
		if o := f.one(f.once('a', 2, on(groups, 1, catalog.Max(6)))); !o.Applied || o.Replayed {
			f.Errorf("after a denial and a judgement: %+v", o)
		}
	},
	"an id belongs to its app": func(f *fixture) {
		f.one(f.once('a', 1, on(groups, 1, catalog.Max(5))))
		f.app = f.create("another")
		if o := f.one(f.once('a', 2, on(groups, 1, catalog.Max(5)))); !o.Applied {
			f.Errorf("%+v", o)
		}
	},
	"an effect without charges is remembered": func(f *fixture) {
		t := f.once('a', 1)
		if o := f.one(t); !o.Applied || !f.one(t).Replayed {
			f.Errorf("%+v", o)
		}
	},
	"a request in one batch with its repetition": func(f *fixture) {
		t := f.once('a', 1, on(groups, 1, catalog.Unlimited()))
		out := f.apply(t, t, f.once('a', 2, on(groups, 1, catalog.Unlimited())))
		if !out[0].Applied || !out[1].Replayed || out[2].Err == nil {
			f.Errorf("%+v", out)
		}
		f.wantUsed(groups, 1)
	},
	"an id is remembered for the horizon at any alignment": func(f *fixture) {
		for i := range byte(20) {
			f.now = noon.Add(time.Duration(i) * 61 * time.Second)
			f.one(f.once(i, 1, on(groups, 1, catalog.Unlimited())))
			f.now = f.now.Add(quota.RequestHorizon)
			if o := f.one(f.once(i, 1, on(groups, 1, catalog.Unlimited()))); !o.Replayed {
				f.Errorf("counted at minute %d and forgotten within the horizon", i)
			}
			f.app = f.create("aligned") // the next one's clock begins anew
		}
	},
	"a caller whose clock is behind finds the id": func(f *fixture) {
		for i, behind := range []time.Duration{time.Millisecond, time.Minute, quota.RequestHorizon, time.Hour, 24 * time.Hour} {
			f.now = noon
			f.one(f.once(byte(i), 1, on(groups, 1, catalog.Unlimited())))
			f.now = noon.Add(-behind)
			if o := f.one(f.once(byte(i), 1, on(groups, 1, catalog.Unlimited()))); !o.Replayed {
				f.Errorf("counted twice by a clock that is %v behind", behind)
			}
		}
	},
	"an id is written where a caller whose clock is right looks": func(f *fixture) {
		f.count(groups, 1)
		f.now = noon.Add(-time.Hour)
		f.one(f.once('a', 1, on(groups, 1, catalog.Unlimited())))
		f.now = noon
		if o := f.one(f.once('a', 1, on(groups, 1, catalog.Unlimited()))); !o.Replayed {
			f.Errorf("%+v", o)
		}
	},
}
