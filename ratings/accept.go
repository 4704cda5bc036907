package ratings

import (
	"context"
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/shopspring/decimal"
)

// Accept carries a quote out: orders, payment, the suspension of a refund and the
// entry of the app's log, in one step. tender is how it is paid; nil for a refund.
// Repeated by the same request it changes nothing. Errors: *account.InvalidError
// of the tender, account.ErrQuoteNotFound, ErrQuoteExpired, ErrQuoteAccepted,
// ErrQuoteOutdated, ErrReturnRejected, and those of account.Apps.Update; nothing
// was changed then.
func (l *Ledger) Accept(ctx context.Context, id string, tender *Tender, by account.Origin) (*Quote, *account.App, error) {
	q, err := l.read(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	paid, err := q.settled(tender)
	if err != nil {
		return nil, nil, err
	}
	// What was done once is answered beyond the time that requests are remembered.
	app, err := l.Apps.App(ctx, q.App)
	if err != nil {
		return nil, nil, err
	}
	if deal, ok := app.Deal(id); ok {
		return q, app, acceptedBefore(id, deal, by.Change)
	}
	if err := l.acceptable(q, app); err != nil {
		return nil, nil, account.ForApp(q.App, err)
	}
	// Who asks about an order later is to find the quote. It is kept before, for
	// afterwards might be never.
	if err := l.save(ctx, q, keptAccepted); err != nil {
		return nil, nil, err
	}
	app, err = l.Apps.Update(ctx, q.App, "AcceptQuote", by, func(app *account.App, _ *account.State) (bool, error) {
		if deal, ok := app.Deal(id); ok {
			return false, acceptedBefore(id, deal, by.Change)
		}
		if err := l.acceptable(q, app); err != nil {
			return false, err
		}
		return true, q.apply(app, paid, account.Deal{Quote: id, Accepted: l.Apps.Now().UTC(), Request: by.Change})
	})
	if err != nil {
		return nil, nil, err
	}
	return q, app, nil
}

// acceptable says why a quote that was not accepted cannot be.
func (l *Ledger) acceptable(q *Quote, app *account.App) error {
	switch fate := l.Fate(q, app); fate.State {
	case Rejected:
		return fmt.Errorf("%w: %s", ErrReturnRejected, fate.Reason)
	case Expired:
		return fmt.Errorf("%w, at %s", ErrQuoteExpired, q.Expires.UTC().Format(time.RFC3339))
	case Outdated:
		return fmt.Errorf("%w: it has revision %d, the quote is of %d", ErrQuoteOutdated, app.Version.Revision, q.AppVersion.Revision)
	case Open, Accepted:
	}
	return nil
}

// acceptedBefore says that a quote was accepted, unless it was by this request.
func acceptedBefore(id string, deal account.Deal, by account.Change) error {
	switch {
	case by.RequestID == "" || deal.Request.RequestID != by.RequestID:
		return acceptedAt(id, deal)
	case deal.Request.Fingerprint != by.Fingerprint:
		return account.ErrRequestReused
	}
	return nil
}

func acceptedAt(id string, deal account.Deal) error {
	return fmt.Errorf("quote %s, at %s: %w", id, deal.Accepted.UTC().Format(time.RFC3339), ErrQuoteAccepted)
}

// settled checks how a quote is paid.
func (q *Quote) settled(tender *Tender) (Tender, error) {
	if q.Kind == Refund {
		if tender != nil {
			return Tender{}, &account.InvalidError{Field: "tender", Description: "is given, but a refund is paid back: its legs say how"}
		}
		return Tender{}, nil
	}
	if tender == nil {
		tender = &Tender{}
	}
	for _, part := range []struct {
		field, currency string
		amount          decimal.Decimal
	}{{"tender.cash", tender.CashCurrency, tender.Cash}, {"tender.credit", tender.CreditCurrency, tender.Credit}} {
		switch {
		case part.amount.IsNegative():
			return Tender{}, &account.InvalidError{Field: part.field + ".amount", Description: "is negative"}
		case !part.amount.Equal(part.amount.Truncate(cents)):
			return Tender{}, &account.InvalidError{Field: part.field + ".amount", Description: "has more than two decimals"}
		case part.currency != "" && part.currency != q.Currency:
			return Tender{}, &account.InvalidError{Field: part.field + ".currency_code", Description: fmt.Sprintf("is %q; the quote's currency is %s", part.currency, q.Currency)}
		}
	}
	if sum := tender.Cash.Add(tender.Credit); !sum.Equal(q.Total) {
		return Tender{}, &account.InvalidError{Field: "tender", Description: fmt.Sprintf(
			"%s in cash and %s in credit are %s, and the quote's total is %s",
			tender.Cash.StringFixed(cents), tender.Credit.StringFixed(cents), sum.StringFixed(cents), q.Total.StringFixed(cents))}
	}
	return *tender, nil
}

// apply does to an app what was quoted.
func (q *Quote) apply(app *account.App, paid Tender, deal account.Deal) error {
	switch q.Kind {
	case Purchase, Renewal:
		if len(app.Orders) >= ordersKept {
			return ErrTooManyOrders
		}
		o := q.Orders[0]
		o.Cash, o.Credit, o.Deal = paid.Cash, paid.Credit, deal
		app.Orders = append(app.Orders, o)
	case Upgrade:
		q.applyUpgrade(app, paid, deal)
	case Refund:
		for _, leg := range q.Legs {
			o := app.Order(leg.Order)
			o.Refunded, o.Refund = q.AsOf, account.Refund{Cash: leg.Cash, Credit: leg.Credit, Deal: deal}
		}
	case Bill:
		return &account.InvalidError{Field: "quote_id", Description: "is a bill, which nobody accepts"}
	}
	if q.Renewal != nil {
		app.Renewal = *q.Renewal
	}
	// The clock that quoted may be ahead: what takes effect is in effect by every
	// clock (account.Latest).
	if app.Changed.Before(q.AsOf) {
		app.Changed = q.AsOf
	}
	return account.SortOrders(app.Orders)
}

// applyUpgrade gives each order its part, which is paid in cash and credit in the
// same proportion as the whole, by largest remainder.
func (q *Quote) applyUpgrade(app *account.App, paid Tender, deal account.Deal) {
	amounts := make([]decimal.Decimal, len(q.Lines))
	for i := range q.Lines {
		amounts[i] = q.Lines[i].Amount
	}
	cash := share(paid.Cash, amounts...)
	for i := range q.Lines {
		o := app.Order(q.Lines[i].Order)
		o.Upgrades = append(o.Upgrades, account.Upgrade{
			At: q.AsOf, Edition: q.Edition, Cash: cash[i], Credit: amounts[i].Sub(cash[i]), Deal: deal,
		})
	}
}

// Reject keeps the orders of a quoted return from being returned, for a reason;
// withdraw takes that back. Errors: *account.InvalidError when the quote is of no
// return, account.ErrQuoteNotFound, ErrQuoteAccepted, and those of account.Apps.Update.
func (l *Ledger) Reject(ctx context.Context, id, reason string, withdraw bool, by account.Origin) (*Quote, *account.App, error) {
	q, err := l.read(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if q.Kind != Refund {
		return nil, nil, &account.InvalidError{Field: "quote_id", Description: "is a quote of a " + string(q.Kind) + ", not of a return"}
	}
	app, err := l.Apps.Update(ctx, q.App, "RejectReturn", by, func(app *account.App, _ *account.State) (bool, error) {
		if deal, ok := app.Deal(id); ok {
			return false, acceptedAt(id, deal)
		}
		isChanged, isLate := false, true
		for i := range q.Orders {
			o := app.Order(q.Orders[i].ID)
			isLate = isLate && (o == nil || !o.Refunded.IsZero())
			switch {
			case o == nil || !o.Refunded.IsZero() || withdraw == o.Rejected.IsZero():
			case withdraw:
				o.Rejected, isChanged = account.Rejection{}, true
			default:
				o.Rejected, isChanged = account.Rejection{Reason: reason, At: l.Apps.Now().UTC(), Actor: by.Actor, Quote: id}, true
			}
		}
		if isLate {
			return false, fmt.Errorf("its orders were returned by another quote: %w", ErrQuoteAccepted)
		}
		return isChanged, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return q, app, nil
}
