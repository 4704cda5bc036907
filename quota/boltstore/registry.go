package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

func accountPrefix(name string) []byte { return append([]byte{byte(len(name))}, name...) }

func placeKey(name string, app uint32) []byte {
	return binary.BigEndian.AppendUint32(accountPrefix(name), app)
}

// CreateApp implements account.Registry.
func (s *Store) CreateApp(ctx context.Context, app *account.App, maxApps int, acceptLoss bool) error {
	record, err := account.EncodeApp(app)
	if err != nil {
		return err
	}
	version := account.FirstVersion()
	err = s.submit(ctx, func(tx *bolt.Tx) error {
		if tx.Bucket(appsBucket).Get(appKey(app.ID)) != nil {
			return answer{account.ErrAppExists}
		}
		owner := tx.Bucket(directoryBucket).Get(appKey(app.ID))
		switch {
		case owner != nil && !acceptLoss:
			return answer{account.ErrUsageUnknown}
		case owner != nil && string(owner) != app.Account: // it is lost, and not theirs
			return answer{account.ErrAppExists}
		case owner == nil && acceptLoss:
			return answer{account.ErrAppNotFound}
		case owner == nil && places(tx, app.Account) >= maxApps:
			return answer{account.ErrAccountFull}
		}
		if err := tx.Bucket(accountsBucket).Put(placeKey(app.Account, app.ID), nil); err != nil {
			return err
		}
		if err := tx.Bucket(directoryBucket).Put(appKey(app.ID), []byte(app.Account)); err != nil {
			return err
		}
		return tx.Bucket(appsBucket).Put(appKey(app.ID), encodeHeader(header{version: version, record: record}))
	})
	if err == nil {
		app.Version = version
	}
	return err
}

// places counts the apps of an account.
func places(tx *bolt.Tx, name string) (taken int) {
	prefix := accountPrefix(name)
	c := tx.Bucket(accountsBucket).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		taken++
	}
	return taken
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
func (s *Store) UpdateApp(ctx context.Context, app *account.App) error {
	record, err := account.EncodeApp(app)
	if err != nil {
		return err
	}
	updated := app.Version.Next()
	err = s.submit(ctx, func(tx *bolt.Tx) error {
		apps := tx.Bucket(appsBucket)
		stored := apps.Get(appKey(app.ID))
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
		h.version, h.record = updated, record
		h.sequence++
		return apps.Put(appKey(app.ID), encodeHeader(h))
	})
	if err == nil {
		app.Version = updated
	}
	return err
}

// Apps implements account.Registry.
func (s *Store) Apps(ctx context.Context, name string, after uint32, limit int) ([]*account.App, error) {
	var apps []*account.App
	err := s.view(ctx, func(tx *bolt.Tx) error {
		prefix := accountPrefix(name)
		c := tx.Bucket(accountsBucket).Cursor()
		k, _ := c.Seek(placeKey(name, after))
		for ; bytes.HasPrefix(k, prefix) && len(apps) < limit; k, _ = c.Next() {
			id := binary.BigEndian.Uint32(k[len(prefix):])
			if id <= after {
				continue
			}
			app, err := readApp(tx, id)
			if err != nil {
				return account.ForApp(id, err)
			}
			apps = append(apps, app)
		}
		return nil
	})
	return apps, err
}
