package account

import (
	"context"
	"errors"
	"fmt"
)

// Registry keeps the records of apps. Every store implements it.
//
// Its errors are the ones below or a *Fault; a Fault that is not OutcomeUnknown
// says that nothing was changed.
type Registry interface {
	// CreateApp stores a new app and gives it a place in its account, of which
	// there are maxApps. It sets the app's Version. Repeating a call that broke
	// off finishes it; one that nobody repeats holds its place for some minutes
	// at most, unless there is an app.
	//
	// Errors: ErrAppExists, ErrAccountFull; ErrUsageUnknown when the id belongs
	// to an app whose counters are lost, unless acceptLoss; with it, only a lost
	// app is created, else ErrAppNotFound, and only in its own account, else
	// ErrAppExists.
	CreateApp(ctx context.Context, app *App, maxApps int, acceptLoss bool) error

	// App reads an app. Errors: ErrAppNotFound; ErrUsageUnknown when the app
	// was created but its record and counters are gone.
	App(ctx context.Context, id uint32) (*App, error)

	// Load is App for many, in as few steps of the store as that takes; one
	// result for each id, in order.
	Load(ctx context.Context, ids []uint32) []Loaded

	// UpdateApp replaces the record, if the stored one still has app.Version,
	// and sets app.Version to the new version. Errors: ErrConflict when it has
	// another; ErrAppNotFound.
	UpdateApp(ctx context.Context, app *App) error

	// Apps lists the apps of an account by id, at most limit, beginning after
	// the given id. Apps whose creation has not finished are left out. Errors:
	// ErrUsageUnknown when one of them is lost, or the Fault of one; both name
	// it, as ForApp does.
	Apps(ctx context.Context, account string, after uint32, limit int) ([]*App, error)
}

// Loaded is what reading one app came to: the app, or why there is none.
type Loaded struct {
	App *App
	Err error
}

// ForApp says which app an error of a Registry is about.
func ForApp(id uint32, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("app %d: %w", id, err)
}

// What a Registry answers about apps.
var (
	ErrAppNotFound  = errors.New("no such app")
	ErrAppExists    = errors.New("the app id is taken")
	ErrAccountFull  = errors.New("the account has as many apps as it may have")
	ErrConflict     = errors.New("the app was changed by someone else meanwhile")
	ErrUsageUnknown = errors.New("the store lost this app's counters")
)
