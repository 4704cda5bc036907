package boltstore

import (
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// lose kills the first, and both lose an app's record. What else there was of it is
// left or swept, and restored or not, before it is created anew.
func (w *twins) lose() {
	w.t.Helper()
	w.did["lost"]++
	i := w.r.IntN(len(w.apps))
	id, kept := w.apps[i].ID, w.export(w.apps[i])
	w.restart(func(path string) {
		plant(w.t, path, func(tx *bolt.Tx) error { return tx.Bucket(appsBucket).Delete(appKey(id)) })
	})
	w.apply()
	if w.r.IntN(2) == 0 {
		w.sweep(id)
	}
	if w.r.IntN(2) == 0 {
		w.did["restored"]++
		w.both("restore", func(s *Store) (any, error) {
			return nil, s.Restore(w.t.Context(), quota.Restoration{App: id, Now: w.now, Entries: kept})
		})
	}
	w.apply()
	w.create(i, true)
}

// create creates an app, whose version, which is drawn, is then the same in both.
func (w *twins) create(i int, acceptLoss bool) {
	w.t.Helper()
	w.both("create", func(s *Store) (any, error) {
		w.apps[i] = &account.App{ID: uint32(i + 1), Account: "acme", Edition: "standard", Created: noon.UTC()}
		return nil, s.CreateApp(w.t.Context(), w.apps[i], account.Event{}, 1000, acceptLoss)
	})
	key := appKey(w.apps[i].ID)
	if err := w.first.submit(w.t.Context(), func(tx *bolt.Tx) error {
		h, err := decodeHeader(tx.Bucket(appsBucket).Get(key))
		if err != nil {
			return err
		}
		h.version = w.apps[i].Version
		return tx.Bucket(appsBucket).Put(key, encodeHeader(h))
	}); err != nil {
		w.t.Fatal(err)
	}
}

// sweep sweeps an app in pieces, or one piece of it.
func (w *twins) sweep(id uint32) {
	w.t.Helper()
	part := quota.Sweep{App: id, Limit: 1 + w.r.IntN(20)}
	for isWhole := w.r.IntN(2) == 0; ; {
		var swept quota.Swept
		w.both("sweep", func(s *Store) (_ any, err error) {
			swept, err = s.Sweep(w.t.Context(), part)
			return swept, err
		})
		part.From = swept.Next
		switch {
		case swept.Next == 0:
			w.did["swept"]++
			return
		case !isWhole:
			w.did["swept in part"]++
			return
		}
	}
}

// export exports an app in small pages.
func (w *twins) export(app *account.App) (all []quota.Entry) {
	w.t.Helper()
	w.both("export", func(s *Store) (any, error) {
		all = nil
		e := quota.Export{App: app.ID, Version: app.Version, Counters: w.counters(), Limit: 3}
		for {
			x, err := s.Export(w.t.Context(), e)
			all = append(all, x.Entries...)
			if e.From = x.Next; x.Next == "" || err != nil {
				slices.SortStableFunc(all, func(a, b quota.Entry) int { return a.Start.Compare(b.Start) }) // peaks have no order
				return []any{x.Sequence, all}, err
			}
		}
	})
	return all
}

func (w *twins) quote() {
	w.t.Helper()
	w.both("quote", func(s *Store) (any, error) {
		if err := s.SaveQuote(w.t.Context(), 1, "quote", []byte(w.now.String()), 40*time.Hour); err != nil {
			return nil, err
		}
		return s.Quote(w.t.Context(), 1, "quote")
	})
}

// apply applies some transactions at once.
func (w *twins) apply() {
	w.t.Helper()
	txns := make([]quota.Txn, 1+w.r.IntN(4))
	for i := range txns {
		txns[i] = w.txn()
	}
	var outcomes []quota.Outcome
	w.both("apply", func(s *Store) (any, error) {
		outcomes = s.Apply(w.t.Context(), txns)
		return outcomes, outcomes[0].Err
	})
	for _, o := range outcomes {
		if o.Applied {
			w.did["applied"]++
		}
	}
}

// txn is any transaction of any app. Its ids are few: what one changes is in the
// journal of those before.
func (w *twins) txn() quota.Txn {
	txn := txnOf(w.apps[w.r.IntN(len(w.apps))])
	txn.Now = w.now
	txn.Mode = []quota.TxnMode{quota.ModeJudge, quota.ModeForce, quota.ModeConsume, quota.ModeConsume, quota.ModeConsume}[w.r.IntN(5)]
	for _, part := range []struct {
		oneIn int
		add   func(*quota.Txn)
	}{
		{2, w.addRequest},
		{3, w.addUsers},
		{3, w.addGroup},
		{1, w.addCharges},
		{8, w.addOnline},
		{40, w.addHold},
	} {
		if w.r.IntN(part.oneIn) == 0 {
			part.add(&txn)
		}
	}
	return txn
}

func (w *twins) id() string { return string(rune('a' + w.r.IntN(6))) }

// ids are one or two.
func (w *twins) ids() []string { return slices.Compact([]string{w.id(), w.id()}) }

func (w *twins) month() catalog.Window { return catalog.WindowAt(catalog.KindMonth, w.now, time.UTC) }

// counters are those of the app, and then those of users.
func (w *twins) counters() []quota.Counter {
	return []quota.Counter{
		{Quota: "sent"},
		{Quota: "sent", Window: w.month()},
		{Quota: "friends", Scope: catalog.ScopeUser},
		{Quota: "friends", Scope: catalog.ScopeUser, Window: catalog.WindowAt(catalog.KindDay, w.now, time.UTC)},
	}
}

// addRequest adds a request id, often one that there was.
func (w *twins) addRequest(txn *quota.Txn) {
	w.request++
	txn.Request = request(w.request - uint64(w.r.IntN(5)))
}

func (w *twins) addUsers(txn *quota.Txn) {
	txn.Users = quota.UserStep{Op: quota.UserOp(1 + w.r.IntN(4)), IDs: w.ids(), Month: catalog.Month(w.now, time.UTC)}
	if txn.Users.Op == quota.UsersDelete {
		txn.Users.Drop = w.counters()[2:]
	}
	txn.Charges = append(txn.Charges, quota.Charge{
		Counter: quota.Counter{Quota: "users"}, Delta: 1, Limit: catalog.Unlimited(),
		Basis: []quota.Basis{quota.PerNewUser, quota.PerNewActive}[w.r.IntN(2)],
	})
}

func (w *twins) addGroup(txn *quota.Txn) {
	txn.Group = quota.GroupStep{Op: quota.GroupOp(1 + w.r.IntN(5)), ID: w.id(), Type: 'p', Day: catalog.Day(w.now, time.UTC)}
	txn.Charges = append(txn.Charges, quota.Charge{
		Counter: quota.Counter{Quota: "members"}, Members: true, Delta: int64(w.r.IntN(4) - 1), Limit: catalog.Unlimited(),
	})
}

func (w *twins) addCharges(txn *quota.Txn) {
	for _, c := range w.counters() {
		if w.r.IntN(5) >= 2 {
			continue
		}
		charge := quota.Charge{Counter: c, Delta: int64(w.r.IntN(5) - 1), Limit: catalog.Max(20)}
		if c.Scope == catalog.ScopeUser {
			charge.Subjects = w.ids()
		}
		txn.Charges = append(txn.Charges, charge)
	}
}

func (w *twins) addOnline(txn *quota.Txn) {
	txn.Online = quota.OnlineStep{
		Op: quota.OnlineReport, Gateway: w.id(), Users: int64(w.r.IntN(9)), Lease: time.Minute, Months: []catalog.Window{w.month()},
	}
}

func (w *twins) addHold(txn *quota.Txn) {
	txn.Hold = quota.HoldStep{
		Op: quota.HoldOp(1 + w.r.IntN(4)), ID: quota.HoldID{byte(w.r.IntN(4))}, For: time.Duration(1+w.r.IntN(100)) * time.Second,
	}
	switch txn.Hold.Op {
	case quota.HoldPlace:
		txn.Mode = quota.ModeReserve
	case quota.HoldRead:
		txn.Mode = quota.ModeJudge
	}
}
