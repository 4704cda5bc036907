package ratings

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Totals reads what apps used in a month; one result for each, in order.
type Totals interface {
	MonthUsage(ctx context.Context, apps []*account.App, month Month) ([]Usage, error)
}

// OfBill is who is billed: an app, an account with all its apps, or an app that
// need not exist.
type OfBill struct {
	Of
	Account string // instead of an app
	Usage   Usage  // of an imagined app
}

// Bill bills a month, the one of AsOf when it is empty. Errors: as of QuoteBill,
// *account.InvalidError, account.ErrAppNotFound, account.ErrAccountNotFound, and
// those of the Registry; an app of the account that cannot be read is one of them,
// for the bill would be too low without it.
func (l *Ledger) Bill(ctx context.Context, of OfBill, month string) (*Quote, error) {
	at := l.instant(of.AsOf)
	m, err := l.month(month, at)
	if err != nil {
		return nil, err
	}
	if of.Imagined != nil {
		imagined := *of.Imagined
		imagined.DefaultCreated(m.Window.Start) // it was there all month
		if err := existedIn(m, imagined.Created); err != nil {
			return nil, err
		}
		app, _, err := l.imagine(&imagined, at)
		if err != nil {
			return nil, err
		}
		return l.bill(ctx, m, at, []BilledApp{{App: app, Usage: of.Usage}})
	}
	if oldest := l.monthsBefore(l.Apps.Now(), catalog.MonthsKept-1); m.Window.Start.Before(oldest.Window.Start) {
		return nil, &account.InvalidError{Field: "month", Description: "is too long ago: totals are kept from " + oldest.Name + " on"}
	}
	apps, err := l.billed(ctx, of, m, at)
	if err != nil {
		return nil, err
	}
	q, err := l.bill(ctx, m, at, apps)
	if err != nil {
		return nil, err
	}
	if q.Account = of.Account; of.Account == "" {
		app := apps[0].App
		q.App, q.Account, q.AppVersion = app.ID, app.Account, app.Version
	} else {
		q.Edition = "" // of whichever app
	}
	return q, nil
}

// month finds the month that is billed.
func (l *Ledger) month(name string, at time.Time) (Month, error) {
	if err := checkYear(at); err != nil {
		return Month{}, err
	}
	zone := l.Apps.Catalog().Zone()
	if name == "" {
		return MonthOf(at, zone), nil
	}
	m, err := ParseMonth(name, zone)
	if err == nil && m.Window.Start.After(at) {
		err = &account.InvalidError{Field: "month", Description: name + " has not begun"}
	}
	return m, err
}

// monthsBefore returns the month so many before that of an instant.
func (l *Ledger) monthsBefore(now time.Time, months int) Month {
	zone := l.Apps.Catalog().Zone()
	first := MonthOf(now, zone).Window.Start.In(zone)
	const middle = 14
	return MonthOf(time.Date(first.Year(), first.Month()-time.Month(months), middle, 0, 0, 0, 0, zone), zone)
}

// existedIn says when an app was created that was not there in the month.
func existedIn(m Month, created time.Time) error {
	if m.Window.End.After(created) {
		return nil
	}
	return &account.InvalidError{Field: "month", Description: m.Name + " was over when the app was created, at " + created.UTC().Format(time.RFC3339)}
}

// billed reads the apps that are billed, with their accounts.
func (l *Ledger) billed(ctx context.Context, of OfBill, m Month, at time.Time) ([]BilledApp, error) {
	if of.Account == "" {
		app, err := l.Apps.App(ctx, of.App)
		if err != nil {
			return nil, err
		}
		owner, err := account.OwnerOf(ctx, l.Apps.Registry, app)
		if err == nil {
			err = cmp.Or(existedAt(at, app), existedIn(m, app.Created))
		}
		if err != nil {
			return nil, account.ForApp(of.App, err)
		}
		return []BilledApp{{App: app, Owner: owner}}, nil
	}
	loaded := l.Apps.Registry.Accounts(ctx, []string{of.Account})[0]
	switch {
	case loaded.Err != nil:
		return nil, fmt.Errorf("account %s: %w", of.Account, loaded.Err)
	case !loaded.Account.Exists():
		return nil, fmt.Errorf("account %s: %w", of.Account, account.ErrAccountNotFound)
	}
	var apps []BilledApp
	for _, deleted := range []bool{false, true} {
		listed, err := l.Apps.Registry.Apps(ctx, of.Account, 0, math.MaxInt32, deleted)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", of.Account, err)
		}
		for _, found := range listed {
			if found.Err != nil {
				return nil, account.ForApp(found.ID, found.Err)
			}
			app := found.App
			if !m.Window.End.After(app.Created) || !app.Deleted.IsZero() && app.Deleted.Before(m.Window.Start) {
				continue // it was not there in the month
			}
			apps = append(apps, BilledApp{App: app, Owner: loaded.Account})
		}
	}
	return apps, nil
}

// bill reads what the apps used, and bills them.
func (l *Ledger) bill(ctx context.Context, m Month, at time.Time, apps []BilledApp) (*Quote, error) {
	cat := l.Apps.Catalog()
	stored := make([]*account.App, 0, len(apps))
	for i := range apps {
		var err error
		if apps[i].Catalog, err = apps[i].App.CatalogIn(cat); err != nil {
			return nil, account.ForApp(apps[i].App.ID, err)
		}
		if apps[i].Owner != nil {
			stored = append(stored, apps[i].App)
		}
	}
	if len(stored) > 0 {
		usage, err := l.Totals.MonthUsage(ctx, stored, m)
		if err != nil {
			return nil, err
		}
		for i := range usage {
			apps[i].Usage = usage[i]
		}
	}
	return QuoteBill(m, at, cat, apps)
}
