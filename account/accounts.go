package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// Accounts is how records of accounts are changed: each request once.
type Accounts struct {
	Registry Registry
	Catalog  func() *catalog.Snapshot
	Now      func() time.Time
}

// What Accounts answers beside the errors of a Registry.
var (
	ErrAccountNotFound = errors.New("no such account: it has no apps, never had any, and no bills")
	ErrBillNotFound    = errors.New("the account has no such bill")
	ErrBillExists      = errors.New("the account has another bill of this id")
	ErrTooManyBills    = fmt.Errorf("the account has %d bills, and none of them was paid more than 13 months ago", billsKept)
)

// billsKept bounds Account.Bills. The oldest that was paid more than billKeptFor
// ago makes room: as long as monthly totals are kept, a bill that is recorded
// again is known.
const (
	billsKept   = 600
	billKeptFor = 400 * 24 * time.Hour
)

// NewBill describes a bill that was pushed.
type NewBill struct {
	ID, Month string
	Amount    decimal.Decimal
	Pushed    time.Time // zero: now
}

// Account reads an account. Errors: ErrAccountNotFound.
func (s *Accounts) Account(ctx context.Context, id string) (*Account, error) {
	loaded := s.Registry.Accounts(ctx, []string{id})[0]
	switch {
	case loaded.Err != nil:
		return nil, forAccount(id, loaded.Err)
	case !loaded.Account.Exists():
		return nil, forAccount(id, ErrAccountNotFound)
	}
	return loaded.Account, nil
}

// RecordBill records a bill. One that is recorded already is not changed.
// Errors: ErrAccountNotFound, ErrBillExists, ErrTooManyBills.
func (s *Accounts) RecordBill(ctx context.Context, id string, n NewBill, by Origin) (*Account, error) {
	return s.update(ctx, id, by.Change, func(owner *Account) (bool, error) {
		now := s.Now()
		if n.Pushed.After(now) {
			return false, &InvalidError{"push_time", "lies in the future"}
		}
		if known := owner.Bill(n.ID); known != nil {
			if known.Month != n.Month || !known.Amount.Equal(n.Amount) || !n.Pushed.IsZero() && !known.Pushed.Equal(n.Pushed) {
				return false, fmt.Errorf("bill %q of %s, pushed at %s: %w", n.ID, known.Amount.StringFixed(2), known.Pushed.UTC().Format(time.RFC3339), ErrBillExists)
			}
			return false, nil
		}
		b := Bill{ID: n.ID, Month: n.Month, Amount: n.Amount, Pushed: n.Pushed, RecordedBy: by.Actor}
		if b.Pushed.IsZero() {
			b.Pushed = now
		}
		if b.Amount.IsZero() {
			b.Paid = b.Pushed
		} else if err := s.checkReclaims(ctx, owner, b, now); err != nil {
			return false, err
		}
		if len(owner.Bills) >= billsKept {
			oldest := slices.IndexFunc(owner.Bills, func(b Bill) bool { return !b.IsOpen() && now.Sub(b.Paid) > billKeptFor })
			if oldest < 0 {
				return false, ErrTooManyBills
			}
			owner.Bills = slices.Delete(owner.Bills, oldest, oldest+1)
		}
		owner.Bills = append(owner.Bills, b)
		sortBills(owner.Bills)
		return true, nil
	})
}

// checkReclaims refuses a bill that lies so far back that an app would have been
// suspended for so long already that its data is not kept any more. A slip of the
// pen is not to cost anybody his data.
func (s *Accounts) checkReclaims(ctx context.Context, owner *Account, b Bill, now time.Time) error {
	if now.Sub(b.OverdueFrom(s.Catalog().Account())) < 0 {
		return nil // it suspends nothing yet
	}
	with := owner.Clone()
	with.Bills = append(with.Bills, b)
	apps, err := s.listed(ctx, owner.ID)
	if err != nil {
		return err
	}
	for _, app := range apps {
		if !app.StateAt(now, owner, s.Catalog()).IsGone() && app.StateAt(now, with, s.Catalog()).IsGone() {
			return &InvalidError{"push_time", fmt.Sprintf("lies so far back that the data of app %d would be reclaimed at once; "+
				"it is kept for %d days of suspension", app.ID, s.Catalog().Account().KeptDays)}
		}
	}
	return nil
}

// RecordPayment records that a bill was paid, now if at is zero. The first
// payment holds. Errors: ErrAccountNotFound, ErrBillNotFound.
func (s *Accounts) RecordPayment(ctx context.Context, id, bill string, at time.Time, by Origin) (*Account, error) {
	return s.update(ctx, id, by.Change, func(owner *Account) (bool, error) {
		b := owner.Bill(bill)
		now := s.Now()
		switch {
		case b == nil:
			return false, fmt.Errorf("bill %q: %w", bill, ErrBillNotFound)
		case at.After(now):
			return false, &InvalidError{"pay_time", "lies in the future"}
		case !at.IsZero() && at.Before(b.Pushed):
			return false, &InvalidError{"pay_time", "is before the bill was pushed, at " + b.Pushed.UTC().Format(time.RFC3339)}
		case !b.IsOpen():
			return false, nil
		}
		b.Paid, b.PaidBy = at, by.Actor
		if at.IsZero() {
			b.Paid = later(now, b.Pushed)
		}
		return true, nil
	})
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// update changes an account's record. do reports whether it changed anything.
func (s *Accounts) update(ctx context.Context, id string, change Change, do func(*Account) (bool, error)) (*Account, error) {
	for range updateAttempts {
		current, err := s.Account(ctx, id)
		if err != nil {
			return nil, err
		}
		if known, err := remembered(current.Changes, change); known || err != nil {
			return current, err
		}
		owner := current.Clone()
		changed, err := do(owner)
		if err != nil {
			return nil, forAccount(id, err)
		}
		if !changed && change.RequestID == "" {
			return current, nil
		}
		owner.Changes = remember(owner.Changes, change, s.Now())
		owner.Changed = later(owner.Changed, s.Now())
		err = s.Registry.UpdateAccount(ctx, owner)
		switch {
		case err == nil:
			return owner, nil
		case !errors.Is(err, ErrConflict):
			return nil, forAccount(id, err)
		}
	}
	return nil, forAccount(id, ErrConflict)
}
