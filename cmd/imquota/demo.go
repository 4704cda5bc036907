package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// demoAccount owns the demo apps.
const demoAccount = "demo"

// demoApp is what --demo makes.
type demoApp struct {
	id            uint32
	edition, name string
	// begun is how long ago its plan of a year has begun, and expired how long
	// ago one of a month has ended; zero: it has none.
	begun, expired time.Duration
}

var demoApps = []demoApp{
	{id: 1400000001, edition: "developer", name: "demo, developer"},
	{id: 1400000002, edition: "standard", name: "demo, standard", begun: 10 * 24 * time.Hour},
	{id: 1400000003, edition: "premium", name: "demo, premium", begun: 10 * 24 * time.Hour},
	{id: 1400000004, edition: "standard", name: "demo, in grace", expired: time.Hour},
	{id: 1400000005, edition: "standard", name: "demo, suspended", expired: 3 * 24 * time.Hour},
}

// demoOrder is the id of the order of a demo app.
const demoOrder = "demo"

func (d *demoApp) hasPlan() bool { return d.begun > 0 || d.expired > 0 }

// order is a plan that began, or has ended, when it is to have by now.
func (d *demoApp) order(now time.Time, cat *catalog.Snapshot) account.Order {
	o := account.Order{ID: demoOrder, Edition: d.edition, Months: 1, Currency: cat.Currency()}
	if d.begun > 0 {
		o.Months = min(12, cat.Account().MaxOrderMonths)
		o.Start = now.Add(-d.begun).Truncate(time.Second)
		o.End = account.AddMonths(o.Start, o.Months, cat.Zone())
	} else {
		o.End = now.Add(-d.expired).Truncate(time.Second)
		o.Start = account.AddMonths(o.End, -1, cat.Zone())
	}
	if e, ok := cat.Edition(d.edition); ok {
		o.List = e.MonthlyPrice.Mul(decimal.NewFromInt(int64(o.Months)))
		o.Cash = o.List
	}
	return o
}

// makeDemo makes the demo apps that are not there yet. Those that have a plan
// show what they are to show however old the demo's store is.
func makeDemo(ctx context.Context, s store, apps *account.Apps, log *slog.Logger) error {
	_, created, err := initialize(ctx, s, false)
	if err != nil {
		return err
	}
	if created {
		log.Warn("--demo initialised the store, as `imquota store init` does", "store", s.String())
	}
	for _, d := range demoApps {
		n := account.NewApp{ID: d.id, Account: demoAccount, Name: d.name, Edition: d.edition}
		if d.hasPlan() {
			o := d.order(apps.Now(), apps.Catalog())
			n.Orders, n.Created = []account.Order{o}, o.Start
		}
		_, err := apps.Create(ctx, n, account.Origin{Actor: demoAccount})
		if errors.Is(err, account.ErrAppExists) {
			err = d.refresh(ctx, apps)
		}
		if err != nil {
			return fmt.Errorf("app %d: %w", d.id, err)
		}
	}
	return nil
}

// isLeftAlone reports whether nobody but time has changed the plan of a demo app.
func isLeftAlone(app *account.App) bool {
	return app.Deleted.IsZero() && app.Reclaimed.IsZero() &&
		len(app.Orders) == 1 && app.Orders[0].ID == demoOrder && app.Orders[0].Refunded.IsZero()
}

// refresh has the plan of a demo app have ended when it is to, if time took it
// further. An app that is gone stays so, and so does one with another plan.
func (d *demoApp) refresh(ctx context.Context, apps *account.Apps) error {
	current, err := apps.App(ctx, d.id)
	if err != nil {
		return err
	}
	if !d.hasPlan() || !isLeftAlone(current) {
		return nil
	}
	now, cat := apps.Now(), apps.Catalog()
	app := current.Clone()
	app.Disabled = nil // whoever disables it has it disabled
	shows := app.StateAt(now, nil, cat).Stage
	app.Orders[0] = d.order(now, cat)
	if shows == app.StateAt(now, nil, cat).Stage {
		return nil
	}
	app.Disabled = current.Disabled
	event, err := account.Origin{Actor: demoAccount}.Event("RefreshDemo", now, current, app)
	if err != nil {
		return err
	}
	err = apps.Registry.UpdateApp(ctx, app, event)
	if errors.Is(err, account.ErrConflict) {
		return nil // another server is at it
	}
	return err
}

// printHints says what to try next, at the first address that is served on.
func printHints(w io.Writer, l *listener, hasTLS bool) {
	address, plain, server := l.near(), "-plaintext", ""
	if address != defaultListen {
		server = " --server " + address
	}
	if hasTLS && l.Addr().Network() != "unix" {
		plain, server = "-cacert FILE", server+" --tls --tls-ca FILE"
	}
	program := "imquota"
	if len(os.Args) > 0 && os.Args[0] != "" {
		program = os.Args[0]
	}
	_, _ = fmt.Fprintf(w, `
Serving on %[1]s. In another terminal, try:

  %[3]s check add-friend --app 1400000001 --user alice --friend bob%[2]s
  %[3]s check use-feature --app 1400000002 --feature community%[2]s
  %[3]s usage show --app 1400000001 --user alice%[2]s
  %[3]s check login --app 1400000004 --user alice%[2]s   # its plan has expired: served for a while
  %[3]s check login --app 1400000005 --user alice%[2]s   # suspended: denied
  %[3]s app get --app 1400000004%[2]s
  %[3]s quote upgrade --app 1400000002 --edition premium%[2]s
  %[3]s catalog show
  grpcurl %[4]s -d '{"appId": 1400000001, "login": {"userId": "alice"}}' %[1]s imquota.v1.QuotaService/CheckQuota

Stop with Ctrl-C. What was counted is kept.

`, address, server, program, plain)
}
