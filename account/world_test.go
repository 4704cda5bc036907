package account_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota/storetest"
	"github.com/shopspring/decimal"
)

type ctx = context.Context

// world is a registry in memory, the shipped catalog, and a clock that is set.
type world struct {
	place
	*storetest.Model
	now      time.Time
	apps     *account.Apps
	accounts *account.Accounts
}

func newWorld(t *testing.T) *world {
	w := &world{place: inZone(t, "+08:00"), Model: storetest.NewModel()}
	w.now = w.at("2024-06-15 12:00:00")
	cat, clock := func() *catalog.Snapshot { return w.cat }, func() time.Time { return w.now }
	w.apps = &account.Apps{Registry: w.Model, Catalog: cat, Now: clock}
	w.accounts = &account.Accounts{Registry: w.Model, Catalog: cat, Now: clock}
	return w
}

// by is a request of ann's.
func by(request string) account.Origin {
	return account.Origin{Change: account.Change{RequestID: request, Fingerprint: 1}, Actor: "ann", Certified: true}
}

// other is another request of the same id.
func other(request string) account.Origin {
	o := by(request)
	o.Fingerprint = 2
	return o
}

func (w *world) create(n account.NewApp) *account.App {
	w.Helper()
	app, err := w.apps.Create(w.Context(), n, account.Origin{})
	if err != nil {
		w.Fatal(err)
	}
	return app
}

func (w *world) delete(id uint32) {
	w.Helper()
	if _, err := w.apps.Disable(w.Context(), id, account.Origin{}); err != nil {
		w.Fatal(err)
	}
	if _, err := w.apps.Delete(w.Context(), id, account.Origin{}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) bill(owner, id, amount string) *account.Account {
	w.Helper()
	a, err := w.accounts.RecordBill(w.Context(), owner, account.NewBill{ID: id, Month: "2024-05", Amount: decimal.RequireFromString(amount)}, account.Origin{})
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// app is the stored record.
func (w *world) app(id uint32) *account.App {
	w.Helper()
	app, err := w.apps.App(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return app
}

// stands is how an app stands now.
func (w *world) stands(id uint32) string {
	w.Helper()
	state, err := w.apps.State(w.Context(), w.app(id))
	if err != nil {
		w.Fatal(err)
	}
	return w.show(state)
}

func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("error is %v, want %v", err, want)
	}
}

// wantInvalid checks which field an error is about.
func (w *world) wantInvalid(err error, field string) {
	w.Helper()
	var invalid *account.InvalidError
	if !errors.As(err, &invalid) || invalid.Field != field {
		w.Errorf("error is %v, want one about %s", err, field)
	}
}
