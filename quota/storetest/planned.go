package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Planned returns the transactions that requests of an app become, in order, as
// an Enforcer plans them at an instant: what is measured of a store is what it is
// asked, but for limits, which are not reached. Requests that are decided without a store become none.
func Planned(t testing.TB, app *account.App, now time.Time, requests ...*quota.Request) []quota.Txn {
	t.Helper()
	m, r := NewModel(), &recorder{}
	cat, twin := catalog.Default(), app.Clone()
	twin.Overrides = make(map[string]account.Override)
	for _, q := range cat.Quotas() {
		twin.Overrides[q.Key] = account.Override{Limit: catalog.Max(manyMore)}
	}
	if err := m.CreateApp(context.Background(), twin, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	e := quota.New(quota.Options{Catalog: cat, Store: r, Registry: m, Now: func() time.Time { return now }})
	for i, result := range e.CheckAll(context.Background(), requests) {
		if result.Err != nil || !result.Decision.Allowed {
			t.Fatalf("request %d: %+v", i, result)
		}
	}
	for i := range r.txns {
		r.txns[i].Version = app.Version // the twin's is another
	}
	return r.txns
}

// manyMore is a limit that is judged and never reached.
const manyMore = 1 << 40

// recorder allows everything and remembers what it was asked.
type recorder struct {
	quota.Store

	txns []quota.Txn
}

// Apply implements quota.Store.
func (r *recorder) Apply(_ context.Context, txns []quota.Txn) []quota.Outcome {
	r.txns = append(r.txns, txns...)
	outcomes := make([]quota.Outcome, len(txns))
	for i := range outcomes {
		outcomes[i].Applied = true
	}
	return outcomes
}
