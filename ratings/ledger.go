package ratings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
)

// Ledger quotes apps, keeps the quotes, and carries out those that are accepted:
// once, exactly as quoted, in one step with the entry of the app's log.
type Ledger struct {
	Apps   *account.Apps
	Totals Totals
}

// Of is whom a quote is for: a stored app, or one that need not exist.
type Of struct {
	App      uint32
	Imagined *account.NewApp // instead of App
	AsOf     time.Time       // a what-if; zero: now
}

// isWhatIf reports whether the quote cannot be accepted.
func (of Of) isWhatIf() bool { return of.Imagined != nil || !of.AsOf.IsZero() }

// What a Ledger answers beside what the functions that quote do. The errors of
// quotes that are not accepted say that nothing was changed.
var (
	ErrQuoteExpired  = errors.New("the quote has expired")
	ErrQuoteAccepted = errors.New("the quote was accepted before, by another request")
	ErrQuoteOutdated = errors.New("the app was changed since it was quoted")
	ErrTooManyOrders = fmt.Errorf("the app has %d orders, and no more are kept", ordersKept)
)

// ordersKept bounds App.Orders: eighty years of renewals by the month.
const ordersKept = 1000

// Purchase quotes a plan. Errors: as of QuotePurchase, and those of the Registry.
func (l *Ledger) Purchase(ctx context.Context, of Of, edition string, t Terms, renewal *account.Renewal) (*Quote, error) {
	return l.quote(ctx, of, func(s Subject) (*Quote, error) { return QuotePurchase(s, edition, t, renewal) })
}

// Upgrade quotes a dearer edition. Errors: as of QuoteUpgrade, and those of the
// Registry.
func (l *Ledger) Upgrade(ctx context.Context, of Of, edition string) (*Quote, error) {
	return l.quote(ctx, of, func(s Subject) (*Quote, error) { return QuoteUpgrade(s, edition) })
}

// Refund quotes the return of a plan. Errors: as of QuoteRefund, and those of the
// Registry.
func (l *Ledger) Refund(ctx context.Context, of Of) (*Quote, error) {
	return l.quote(ctx, of, QuoteRefund)
}

// Renewal quotes more months. Errors: as of QuoteRenewal, and those of the
// Registry.
func (l *Ledger) Renewal(ctx context.Context, of Of, t Terms) (*Quote, error) {
	return l.quote(ctx, of, func(s Subject) (*Quote, error) { return QuoteRenewal(s, t) })
}

// Renewals is Renewal for many stored apps; one result for each, in order.
func (l *Ledger) Renewals(ctx context.Context, ids []uint32, asOf time.Time, t Terms) []Result {
	results := make([]Result, len(ids))
	loaded := l.Apps.Registry.Load(ctx, ids)
	var apps []*account.App
	for _, found := range loaded {
		if found.Err == nil {
			apps = append(apps, found.App)
		}
	}
	owners, err := account.Owners(ctx, l.Apps.Registry, apps)
	for i, found := range loaded {
		r := &results[i]
		switch {
		case found.Err != nil:
			r.Err = account.ForApp(ids[i], found.Err)
		case err != nil:
			r.Err = err
		default:
			owner, of := owners[found.App.Account], Of{App: ids[i], AsOf: asOf}
			if owner == nil || !owner.Exists() { // it is damaged or lost: reading it says how
				r.Quote, r.Err = l.Renewal(ctx, of, t)
				continue
			}
			r.Quote, r.Err = l.quoteApp(ctx, of, found.App, owner, func(s Subject) (*Quote, error) { return QuoteRenewal(s, t) })
		}
	}
	return results
}

// Result is the quote of one app of several, or why there is none.
type Result struct {
	Quote *Quote
	Err   error
}

// quote finds the app and quotes it.
func (l *Ledger) quote(ctx context.Context, of Of, do func(Subject) (*Quote, error)) (*Quote, error) {
	if of.Imagined != nil {
		app, at, err := l.imagine(of.Imagined, of.AsOf)
		if err != nil {
			return nil, err
		}
		s, err := l.subject(app, app.Lifecycle(nil, l.Apps.Catalog()), at)
		if err != nil {
			return nil, err
		}
		return do(s)
	}
	app, err := l.Apps.App(ctx, of.App)
	if err != nil {
		return nil, err
	}
	owner, err := account.OwnerOf(ctx, l.Apps.Registry, app)
	if err != nil {
		return nil, account.ForApp(of.App, err)
	}
	return l.quoteApp(ctx, of, app, owner, do)
}

// imagine makes the record of an app that need not exist, as of an instant.
func (l *Ledger) imagine(n *account.NewApp, asOf time.Time) (*account.App, time.Time, error) {
	at := l.instant(asOf)
	if err := checkYear(at); err != nil {
		return nil, at, err
	}
	app, err := l.Apps.Imagine(*n, at)
	return app, at, err
}

// instant is the second that a bill or an imagined app is quoted for.
func (l *Ledger) instant(asOf time.Time) time.Time {
	if asOf.IsZero() {
		asOf = l.Apps.Now()
	}
	return second(asOf)
}

// second is the whole second that an instant is in: orders are exact to the
// second (FACTS §7).
func second(at time.Time) time.Time { return at.UTC().Truncate(time.Second) }

// quoteApp quotes a stored app and, unless it is a what-if, issues the quote.
func (l *Ledger) quoteApp(ctx context.Context, of Of, app *account.App, owner *account.Account, do func(Subject) (*Quote, error)) (*Quote, error) {
	at := of.AsOf
	if at.IsZero() {
		at = account.Latest(l.Apps.Now(), app, owner)
	} else {
		app = app.AsOf(at)
	}
	life := app.Lifecycle(owner, l.Apps.Catalog())
	now := life.At(at) // of the instant itself, as what may be quoted for how long is
	if now.IsGone() {
		return nil, account.ForApp(app.ID, account.Gone(now))
	}
	s, err := l.subject(app, life, second(at))
	if err != nil {
		return nil, account.ForApp(app.ID, err)
	}
	q, err := do(s)
	if err != nil {
		return nil, account.ForApp(app.ID, err)
	}
	if of.isWhatIf() {
		return q, nil
	}
	return q, l.issue(ctx, q, &s, now.Until)
}

// subject is an app as it stands at an instant.
func (l *Ledger) subject(app *account.App, life account.Lifecycle, at time.Time) (Subject, error) {
	cat, err := app.CatalogIn(l.Apps.Catalog())
	if err == nil {
		err = cmp.Or(existedAt(at, app), checkYear(at))
	}
	if err != nil {
		return Subject{}, err
	}
	return Subject{App: app, State: life.At(at), Catalog: cat, At: at}, nil
}

// existedAt says when an app was created that was not there at the instant.
func existedAt(at time.Time, app *account.App) error {
	if !at.Before(second(app.Created)) {
		return nil
	}
	return &account.InvalidError{Field: "as_of", Description: "is before the app was created, at " + app.Created.UTC().Format(time.RFC3339)}
}

// lastYear is the last one that is quoted for, so that what is bought ends in one
// that an instant can be written in (RFC 3339).
const lastYear = 8900

// firstYear is the first one that is quoted for: no IM app is older.
const firstYear = 1970

func checkYear(at time.Time) error {
	switch {
	case at.Year() > lastYear:
		return &account.InvalidError{Field: "as_of", Description: fmt.Sprintf("lies beyond the year %d", lastYear)}
	case at.Year() < firstYear:
		return &account.InvalidError{Field: "as_of", Description: fmt.Sprintf("lies before the year %d", firstYear)}
	}
	return nil
}

// issue gives a quote its id and its time, which ends when the app's state changes
// next, and keeps it.
func (l *Ledger) issue(ctx context.Context, q *Quote, s *Subject, next time.Time) error {
	q.ID = newID(q.App)
	for i := range q.Orders {
		if q.Orders[i].ID == "" {
			q.Orders[i].ID = q.ID
		}
	}
	q.Expires = s.At.Add(s.Catalog.Account().QuoteLifetime)
	if !next.IsZero() && next.Before(q.Expires) {
		q.Expires = next
	}
	return l.save(ctx, q, keptOpen)
}

// For how long quotes are kept.
const (
	keptOpen     = 24 * time.Hour
	keptAccepted = 400 * 24 * time.Hour // as monthly totals are
)

func (l *Ledger) save(ctx context.Context, q *Quote, keep time.Duration) error {
	document, err := encode(q)
	if err != nil {
		return err
	}
	return account.ForApp(q.App, l.Apps.Registry.SaveQuote(ctx, q.App, q.ID, document, keep))
}

// Quote reads a quote, and says whether it can be accepted. Errors:
// account.ErrQuoteNotFound, and those of the Registry.
func (l *Ledger) Quote(ctx context.Context, id string) (*Quote, *Fate, error) {
	q, err := l.read(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	app, err := l.Apps.App(ctx, q.App)
	if err != nil {
		return nil, nil, err
	}
	return q, l.Fate(q, app), nil
}

func (l *Ledger) read(ctx context.Context, id string) (*Quote, error) {
	app, ok := appOf(id)
	if !ok {
		return nil, fmt.Errorf("quote %.64q: %w", id, account.ErrQuoteNotFound)
	}
	document, err := l.Apps.Registry.Quote(ctx, app, id)
	if err != nil {
		return nil, fmt.Errorf("quote %q: %w", id, err)
	}
	return decode(id, document)
}

// Fate is what has become of a quote.
type Fate struct {
	State    FateState
	Accepted time.Time // Accepted
	Reason   string    // Rejected
}

// FateState says whether a quote can be accepted.
type FateState uint8

// The states.
const (
	Open FateState = iota
	Accepted
	Expired
	Outdated // the app was changed
	Rejected // the return was
)

// Fate says what has become of a stored quote of an app.
func (l *Ledger) Fate(q *Quote, app *account.App) *Fate {
	if deal, ok := app.Deal(q.ID); ok {
		return &Fate{State: Accepted, Accepted: deal.Accepted}
	}
	for i := range q.Orders {
		if o := app.Order(q.Orders[i].ID); q.Kind == Refund && o != nil && !o.Rejected.IsZero() {
			return &Fate{State: Rejected, Reason: o.Rejected.Reason}
		}
	}
	now := l.Apps.Now()
	if now.Before(app.Changed) {
		now = app.Changed // by a clock that is ahead
	}
	switch {
	case !now.Before(q.Expires):
		return &Fate{State: Expired}
	case app.Version != q.AppVersion:
		return &Fate{State: Outdated}
	}
	return &Fate{}
}
