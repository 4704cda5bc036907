package boltstore

import (
	"context"
	"errors"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// CreateApp implements account.Registry.
func (s *Store) CreateApp(ctx context.Context, app *account.App, event account.Event, maxApps int, acceptLoss bool) error {
	version := account.FirstVersion()
	r, err := revise(app, version, event)
	if err != nil {
		return err
	}
	var subject account.Subject
	if acceptLoss {
		subject.App = app.ID // its lost record may be kept somewhere
	}
	err = s.change(ctx, subject, func(tx *bolt.Tx) error {
		if err := mayCreate(tx, app, maxApps, acceptLoss); err != nil {
			return answer{err}
		}
		return create(tx, app, r)
	})
	if err == nil {
		app.Version = version
	}
	return err
}

// create makes an app. What one of this id that was lost has left of its log and of
// its reservations is not this one's.
func create(tx *bolt.Tx, app *account.App, r *revision) error {
	if err := takePlace(tx, app); err != nil {
		return err
	}
	if err := tx.Bucket(directoryBucket).Put(appKey(app.ID), []byte(app.Account)); err != nil {
		return err
	}
	if err := errors.Join(dropEvents(tx, app.ID), dropHolds(tx, app.ID)); err != nil {
		return err
	}
	return r.write(tx, header{})
}

// mayCreate reports why an app must not be created.
func mayCreate(tx *bolt.Tx, app *account.App, maxApps int, acceptLoss bool) error {
	if tx.Bucket(appsBucket).Get(appKey(app.ID)) != nil {
		return account.ErrAppExists
	}
	owner := tx.Bucket(directoryBucket).Get(appKey(app.ID))
	switch {
	case owner != nil && !acceptLoss:
		return account.ErrUsageUnknown
	case owner != nil && string(owner) != app.Account: // it is lost, and not theirs
		return account.ErrAppExists
	case owner == nil && acceptLoss:
		return account.ErrAppNotFound
	case !hasPlace(tx, app) && places(tx, accountsBucket, app.Account) >= maxApps:
		return account.ErrAccountFull
	}
	return nil
}

// App implements account.Registry.
func (s *Store) App(ctx context.Context, id uint32) (*account.App, error) {
	var app *account.App
	err := s.view(ctx, func(tx *bolt.Tx) error {
		var err error
		app, err = readApp(tx, id)
		return err
	})
	return app, err
}

// Load implements account.Registry.
func (s *Store) Load(ctx context.Context, ids []uint32) []account.Loaded {
	loaded := make([]account.Loaded, len(ids))
	err := s.view(ctx, func(tx *bolt.Tx) error {
		for i, id := range ids {
			loaded[i].App, loaded[i].Err = readApp(tx, id)
		}
		return nil
	})
	if err != nil {
		for i := range loaded {
			loaded[i] = account.Loaded{Err: err}
		}
	}
	return loaded
}

func readApp(tx *bolt.Tx, id uint32) (*account.App, error) {
	stored := tx.Bucket(appsBucket).Get(appKey(id))
	if stored == nil {
		return nil, missing(tx, id)
	}
	h, err := decodeHeader(stored)
	if err != nil {
		return nil, account.DamagedRecord(id)
	}
	return account.DecodeApp(id, h.record, h.version)
}

// missing tells an app that never was from one whose record is gone: only the
// latter is in the directory.
func missing(tx *bolt.Tx, id uint32) error {
	if tx.Bucket(directoryBucket).Get(appKey(id)) != nil {
		return account.ErrUsageUnknown
	}
	return account.ErrAppNotFound
}

// UpdateApp implements account.Registry.
func (s *Store) UpdateApp(ctx context.Context, app *account.App, event account.Event) error {
	return s.updateApp(ctx, app, event, func(*bolt.Tx) error { return nil })
}

// DeleteApp implements account.Registry.
func (s *Store) DeleteApp(ctx context.Context, app *account.App, event account.Event) error {
	return s.updateApp(ctx, app, event, func(tx *bolt.Tx) error { return freePlace(tx, app) })
}

// updateApp replaces a record and does, in the same step, what else there is to
// do.
func (s *Store) updateApp(ctx context.Context, app *account.App, event account.Event, also func(tx *bolt.Tx) error) error {
	updated := app.Version.Next()
	r, err := revise(app, updated, event)
	if err != nil {
		return err
	}
	err = s.change(ctx, account.Subject{App: app.ID}, func(tx *bolt.Tx) error {
		stored := tx.Bucket(appsBucket).Get(appKey(app.ID))
		if stored == nil {
			return answer{missing(tx, app.ID)}
		}
		h, err := decodeHeader(stored)
		if err != nil {
			return answer{account.DamagedRecord(app.ID)}
		}
		if h.version != app.Version {
			return answer{account.ErrConflict}
		}
		h.sequence++
		if err := r.write(tx, h); err != nil {
			return err
		}
		return also(tx)
	})
	if err == nil {
		app.Version = updated
	}
	return err
}

// revision is a state of an app's record and how it came to be, encoded.
type revision struct {
	app           uint32
	version       account.Version
	record, event []byte
}

func revise(app *account.App, version account.Version, event account.Event) (*revision, error) {
	record, err := account.EncodeApp(app)
	if err != nil {
		return nil, err
	}
	logged, err := encodeEvent(app.ID, event)
	if err != nil {
		return nil, err
	}
	return &revision{app.ID, version, record, logged}, nil
}

// write puts it in the place of the one before, whose clock goes on.
func (r *revision) write(tx *bolt.Tx, before header) error {
	after := before
	after.version, after.record = r.version, r.record
	if err := tx.Bucket(appsBucket).Put(appKey(r.app), encodeHeader(after)); err != nil {
		return err
	}
	return putEvent(tx, r.app, r.version.Revision, r.event)
}
