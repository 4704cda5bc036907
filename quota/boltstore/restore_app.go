package boltstore

import (
	"context"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// RestoreApp implements account.Registry.
func (s *Store) RestoreApp(ctx context.Context, app *account.App, log []account.Event, event account.Event) error {
	version := app.Version.Next()
	r, err := revise(app, version, event)
	if err != nil {
		return err
	}
	log = account.KeptBefore(version.Revision, log)
	logged := make([][]byte, len(log))
	for i, e := range log {
		if logged[i], err = encodeEvent(app.ID, e); err != nil {
			return err
		}
	}
	// It may be kept somewhere as it was before it was lost.
	err = s.change(ctx, account.Subject{App: app.ID}, func(tx *bolt.Tx) error {
		if err := mayRestore(tx, app); err != nil {
			return answer{err}
		}
		if err := create(tx, app, r); err != nil {
			return err
		}
		for i, e := range log {
			if err := tx.Bucket(eventsBucket).Put(eventKey(app.ID, e.Revision), logged[i]); err != nil {
				return err
			}
		}
		if app.Deleted.IsZero() {
			return nil
		}
		return freePlace(tx, app)
	})
	if err == nil {
		app.Version = version
	}
	return err
}

// mayRestore reports why an app must not be restored.
func mayRestore(tx *bolt.Tx, app *account.App) error {
	owner := tx.Bucket(directoryBucket).Get(appKey(app.ID))
	if tx.Bucket(appsBucket).Get(appKey(app.ID)) != nil || owner != nil && string(owner) != app.Account {
		return account.ErrAppExists
	}
	return nil
}
