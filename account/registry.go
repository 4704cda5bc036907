package account

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Registry keeps the records of apps and accounts. Every store implements it.
//
// Its errors are the ones below or a *Fault; a Fault that is not OutcomeUnknown
// says that nothing was changed.
type Registry interface {
	AppRegistry
	OwnerRegistry
	QuoteRegistry

	// Watch tells w what is changed, by whichever process, until ctx is done.
	Watch(ctx context.Context, w Watcher)
}

// AppRegistry keeps the records of apps.
type AppRegistry interface {
	// CreateApp stores a new app with the first event of its log and gives it a
	// place in its account, of which there are maxApps. It sets the app's
	// Version. Repeating a call that broke off finishes it; one that nobody
	// repeats holds its place for some minutes at most, unless there is an app.
	//
	// Errors: ErrAppExists, also for an app that was deleted; ErrAccountFull;
	// ErrUsageUnknown when the id belongs to an app whose counters are lost,
	// unless acceptLoss; with it, only a lost app is created, else
	// ErrAppNotFound, and only in its own account, else ErrAppExists.
	CreateApp(ctx context.Context, app *App, event Event, maxApps int, acceptLoss bool) error

	// RestoreApp stores an app of a backup: the record, the log with the revisions
	// that its events had, and event as the next one after app.Version, which it sets
	// to a new version of that revision. Events that the log has no room for are left
	// out. The app gets a place in its account, however many that has; one whose
	// record says Deleted is among the deleted ones. An app whose record is lost is
	// replaced. What the app counted must be there before: from then on it is
	// asked about.
	//
	// Errors: ErrAppExists, also for an app that was deleted, or one that is lost
	// and was another account's. Repeating a call that broke off finishes it;
	// where ErrAppExists says that it was finished, FreePlace does what may be left
	// to do for an app that is deleted.
	RestoreApp(ctx context.Context, app *App, log []Event, event Event) error

	// App reads an app, deleted or not. Errors: ErrAppNotFound; ErrUsageUnknown
	// when the app was created but its record and counters are gone.
	App(ctx context.Context, id uint32) (*App, error)

	// Load is App for many, in as few steps of the store as that takes; one
	// result for each id, in order.
	Load(ctx context.Context, ids []uint32) []Loaded

	// UpdateApp replaces the record, if the stored one still has app.Version,
	// writes the event to the app's log in the same step, and sets app.Version
	// to the new version. Errors: ErrConflict when it has another;
	// ErrAppNotFound.
	UpdateApp(ctx context.Context, app *App, event Event) error

	// DeleteApp is UpdateApp for a record that says Deleted, and gives the app's
	// place in its account back. Where it breaks off in between, FreePlace ends
	// it, and so does the next CreateApp that finds the account full.
	DeleteApp(ctx context.Context, app *App, event Event) error

	// FreePlace gives back the place of an app whose record says Deleted. It may
	// be repeated.
	FreePlace(ctx context.Context, app *App) error

	// Apps lists the apps of an account by id, at most limit, beginning after
	// the given id: those that hold a place, or those that were deleted. Apps
	// whose creation has not finished are left out. One that is lost or cannot be
	// read is listed with its error, for which IsOfRecord holds, among those that
	// hold a place.
	Apps(ctx context.Context, account string, after uint32, limit int, deleted bool) ([]Loaded, error)

	// Events reads an app's log, newest first, at most limit events of revisions
	// below before; zero: the newest. Errors: as App.
	Events(ctx context.Context, id uint32, before uint64, limit int) ([]Event, error)

	// Walk lists about limit ids of all apps there are or were, from a cursor on
	// that Walk answered; empty to begin. An id may be listed more than once;
	// one that is there from the beginning of the walk to its end is listed. A
	// cursor that Walk did not answer is an *InvalidError of page_token.
	Walk(ctx context.Context, cursor string, limit int) (Page, error)
}

// OwnerRegistry keeps the records of accounts.
type OwnerRegistry interface {
	// Accounts reads accounts; one result for each name, in order. An account
	// that nobody ever heard of has no version, no apps and no error.
	Accounts(ctx context.Context, names []string) []LoadedAccount

	// UpdateAccount replaces the record, if the stored one still has
	// owner.Version (zero: there is none), and sets owner.Version to the new
	// one. Errors: ErrConflict.
	UpdateAccount(ctx context.Context, owner *Account) error

	// WalkAccounts is Walk for the accounts that have a record: most have none,
	// because they were never billed.
	WalkAccounts(ctx context.Context, cursor string, limit int) (OwnerPage, error)
}

// Watcher is told what changes, so that it can keep records at hand and still
// judge by none that is older than a second. Its methods return at once.
type Watcher interface {
	// Announced says that a record may change from now on and until the instant:
	// what is read of it before is not to be kept. Every change is announced
	// before it is acknowledged.
	Announced(s Subject, until time.Time)
	// Confirmed says that what is kept may be used until the instant, whatever
	// else is announced: a change that is acknowledged by then, and not announced
	// here by then, is younger than a second.
	Confirmed(until time.Time)
	// Missed says that changes may have been missed: nothing kept may be used.
	Missed()
}

// Subject is the record of an app or, when App is zero, of an account.
type Subject struct {
	App     uint32
	Account string
}

// Loaded is what reading one app came to: the app, or why there is none.
type Loaded struct {
	ID  uint32 // Registry.Apps sets it; who calls Load knows it
	App *App
	Err error
}

// LoadedAccount is what reading one account came to.
type LoadedAccount struct {
	Account *Account
	Err     error
}

// Page is a part of a walk over all apps.
type Page struct {
	Apps []uint32
	Next string // cursor; empty after the last page
	// Done of Total parts of the walk are behind it.
	Done, Total int64
}

// OwnerPage is a part of a walk over all accounts that have a record.
type OwnerPage struct {
	Accounts []string
	Next     string // cursor; empty after the last page
}

// ForApp says which app an error of a Registry is about.
func ForApp(id uint32, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("app %d: %w", id, err)
}

// forAccount says which account an error of a Registry is about.
func forAccount(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("account %s: %w", id, err)
}

// IsOfRecord reports whether an error is about one record alone, so that others
// can be read: it is not there, lost or damaged, or a newer imquota wrote it.
func IsOfRecord(err error) bool {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Reason == UsageUnknown || f.Reason == RecordNewer
	}
	return errors.Is(err, ErrAppNotFound) || errors.Is(err, ErrUsageUnknown)
}

// What a Registry answers.
var (
	ErrAppNotFound  = errors.New("no such app")
	ErrAppExists    = errors.New("the app id is taken")
	ErrAccountFull  = errors.New("the account has as many apps as it may have")
	ErrConflict     = errors.New("the record was changed by someone else meanwhile")
	ErrUsageUnknown = errors.New("the store lost this app's record: restore a backup, or create the app anew with accept_loss, which goes on with the counters that are still there")
)
