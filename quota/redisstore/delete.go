package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/imquota/imquota/account"
)

// A deletion, like a creation (create.go), writes in two slots of a cluster:
//
//  1. the account: the place is leaving, with a token drawn for the deletion
//  2. the app: the record says Deleted
//  3. the account: the place is free, and the app among the deleted ones
//
// and is decided at step 2. Where it breaks off after that, or the account's node
// loses its tail, an account which is full finds the place to be free by the app's
// record, whatever it says of it itself, so that it comes to hold as many apps as
// it may. Where it breaks off before, a leaving place is as good as a live one.
//
// Whoever is refused at step 2 makes the place live again, but only if nobody
// else has called it leaving, before or since: of several deletions one may have
// gone on to step 2.

// DeleteApp implements account.Registry.
func (s *Store) DeleteApp(ctx context.Context, app *account.App, event account.Event) error {
	token := drawToken()
	place := []string{s.accountKey(app.Account)}
	turned, err := s.repeatable(ctx, leaveScript, place, appField(app.ID), token)
	if err != nil {
		return err
	}
	if err := s.UpdateApp(ctx, app, event); err != nil {
		if turned == int64(1) {
			s.stay(ctx, app, token, err)
		}
		return err
	}
	if err := s.free(ctx, app); err != nil {
		return s.deleted(app.ID, err)
	}
	return nil
}

// FreePlace implements account.Registry. A wrong call would free the place of an
// app that lives: the stored record decides, and who has another is told that
// there is a conflict.
func (s *Store) FreePlace(ctx context.Context, app *account.App) error {
	stored, err := s.App(ctx, app.ID)
	switch {
	case err != nil:
		return err
	case stored.Deleted.IsZero():
		return fmt.Errorf("it is not deleted: %w", account.ErrConflict)
	}
	return s.free(ctx, stored)
}

// free gives the place of a deleted app back.
func (s *Store) free(ctx context.Context, app *account.App) error {
	_, err := s.repeatable(ctx, freeScript, s.placeKeys(app.Account), appField(app.ID))
	return err
}

// stay makes the place of an app live again that err kept from being deleted.
// Where err leaves that open the place stays as it is.
func (s *Store) stay(ctx context.Context, app *account.App, token string, err error) {
	if f, ok := errors.AsType[*account.Fault](err); ok && f.Reason == account.OutcomeUnknown {
		return
	}
	_ = s.mend(ctx, &command{script: stayScript, keys: []string{s.accountKey(app.Account)}, args: []any{appField(app.ID), token}})
}

// deleted makes a fault of what kept the place of a deleted app from being given
// back.
func (s *Store) deleted(id uint32, err error) error {
	f := s.fault(account.OutcomeUnknown, "did not answer whether the place of app %d was given back, which is deleted: "+
		"it will be when it is needed; repeat the call", id)
	f.Err, f.RetryAfter = err, retryHint
	return f
}
