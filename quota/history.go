package quota

import (
	"context"
	"errors"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// ReportOnline notes how many users are online through one gateway, for as long
// as its lease is; zero ends it. Errors: account.ErrAppNotFound, ErrGateways, an
// *account.Fault.
func (e *Enforcer) ReportOnline(ctx context.Context, app uint32, gateway string, users int64, lease time.Duration) (*OnlineOutcome, error) {
	_, o, err := e.apply(ctx, e.catalog.Load(), app, func(p *planner) error {
		p.txn.Mode = ModeForce
		p.txn.Online = OnlineStep{
			Op: OnlineReport, Gateway: gateway, Users: users, Lease: lease.Truncate(time.Millisecond), Months: []catalog.Window{p.running(catalog.KindMonth)},
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &o.Online, nil
}

// MonthTotals is what an app used in a month.
type MonthTotals struct {
	Window     catalog.Window
	Used       map[string]int64 // by the key of a quota that is counted by the month, for the app
	PeakOnline int64            // the most users that were online at once
	Final      bool             // the month is over by the app's clock
}

// totalsAtOnce is how many apps' totals are read in one step of the store.
const totalsAtOnce = 100

// Totals reads what apps used in months, one list for each app, in order. They
// outlive the app: it may be deleted. Errors: account.ErrUnknownCatalog, ErrStale
// when an app's record is changed all the time, an *account.Fault.
func (e *Enforcer) Totals(ctx context.Context, apps []*account.App, months []catalog.Window) ([][]MonthTotals, error) {
	totals := make([][]MonthTotals, len(apps))
	for from := 0; from < len(apps); from += totalsAtOnce {
		until := min(len(apps), from+totalsAtOnce)
		if err := e.readTotals(ctx, apps[from:until], months, totals[from:until]); err != nil {
			return nil, err
		}
	}
	return totals, nil
}

// readTotals reads the totals of some apps, again for those that were changed
// meanwhile.
func (e *Enforcer) readTotals(ctx context.Context, apps []*account.App, months []catalog.Window, totals [][]MonthTotals) error {
	pending := make([]int, len(apps))
	for i := range pending {
		pending[i] = i
	}
	current := append([]*account.App(nil), apps...)
	for range maxRounds {
		txns := make([]Txn, len(pending))
		for k, i := range pending {
			var err error
			if txns[k], err = e.totalsTxn(current[i], months); err != nil {
				return err
			}
		}
		var again []int
		for k, o := range e.store.Apply(ctx, txns) {
			i := pending[k]
			switch {
			case errors.Is(o.Err, ErrStale):
				again = append(again, i)
			case o.Err != nil:
				return account.ForApp(apps[i].ID, o.Err)
			default:
				totals[i] = totalsOf(&txns[k], &o, months)
			}
		}
		if len(again) == 0 {
			return nil
		}
		for _, i := range again {
			app, err := e.registry.App(ctx, apps[i].ID)
			if err != nil {
				return account.ForApp(apps[i].ID, err)
			}
			current[i] = app
		}
		pending = again
	}
	return ErrUnsettled
}

// totalsTxn reads the totals of an app, gone or not.
func (e *Enforcer) totalsTxn(app *account.App, months []catalog.Window) (Txn, error) {
	cat, err := catalogOf(app, e.catalog.Load())
	if err != nil {
		return Txn{}, err
	}
	t := newTxn(app, e.now())
	t.Online = OnlineStep{Op: OnlineRead, Months: months}
	for _, month := range months {
		for _, q := range cat.Quotas() {
			if q.IsMonthly() {
				t.Charges = append(t.Charges, Charge{Counter: Counter{Quota: q.Key, Scope: q.Scope, Window: month}})
			}
		}
	}
	return t, nil
}

func totalsOf(t *Txn, o *Outcome, months []catalog.Window) []MonthTotals {
	totals := make([]MonthTotals, len(months))
	quotas := len(t.Charges) / max(1, len(months))
	for i, month := range months {
		m := MonthTotals{Window: month, Used: make(map[string]int64, quotas), PeakOnline: o.Online.Peaks[i], Final: !o.Clock.Before(month.End)}
		for k := range quotas {
			at := i*quotas + k
			if used := o.Charges[at].Used; len(used) > 0 {
				m.Used[t.Charges[at].Quota] = used[0]
			}
		}
		totals[i] = m
	}
	return totals
}

// PastMonth is a month of an app's history.
type PastMonth struct {
	MonthTotals
	Editions []*catalog.Edition // held while in service, cheapest first
}

// History reads the totals of an app's last months, newest first. The app may be
// gone. Errors: account.ErrAppNotFound when there never was one, and as of Totals.
func (e *Enforcer) History(ctx context.Context, id uint32, months int) ([]PastMonth, error) {
	app, err := e.registry.App(ctx, id)
	if err != nil {
		return nil, account.ForApp(id, err)
	}
	owner, err := account.OwnerOf(ctx, e.registry, app)
	if err != nil {
		return nil, account.ForApp(id, err)
	}
	cat := e.catalog.Load()
	zone := app.RulesIn(cat).Zone()
	windows := make([]catalog.Window, 0, months)
	for at := e.now(); len(windows) < months; at = windows[len(windows)-1].Start.Add(-1) {
		windows = append(windows, catalog.WindowAt(catalog.KindMonth, at, zone))
	}
	totals, err := e.Totals(ctx, []*account.App{app}, windows)
	if err != nil {
		return nil, err
	}
	history, life := make([]PastMonth, months), app.Lifecycle(owner, cat)
	for i, m := range totals[0] {
		until := m.Window.End
		if now := e.now(); now.Before(until) {
			until = now.Add(1) // the instant itself included
		}
		history[i] = PastMonth{m, app.Held(life, cat, m.Window.Start, until)}
	}
	return history, nil
}
