package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// An app lies in three slots of a cluster, which no step can write at once: its
// account, the directory and its own. They are written in an order that a
// reader can tell where it broke off:
//
//  1. the account: pending, if there is a place
//  2. the directory: pending
//  3. the app
//  4. the directory: live
//  5. the account: live
//
// An app that is live in the directory and has no header is one whose counters
// are lost; one that is pending and has none was never there.
const (
	pending = "pending"
	live    = "live"
)

func versionText(v account.Version) string {
	return strconv.FormatUint(v.Epoch, 36) + "." + strconv.FormatUint(v.Revision, 10)
}

func parseVersion(text string) (v account.Version, err error) {
	epoch, revision, _ := strings.Cut(text, ".")
	if v.Epoch, err = strconv.ParseUint(epoch, 36, 64); err != nil {
		return v, err
	}
	v.Revision, err = strconv.ParseUint(revision, 10, 64)
	return v, err
}

// CreateApp implements account.Registry.
func (s *Store) CreateApp(ctx context.Context, app *account.App, maxApps int, acceptLoss bool) error {
	record, err := json.Marshal(app)
	if err != nil {
		return fmt.Errorf("encode app %d: %w", app.ID, err)
	}
	var epoch [8]byte
	_, _ = rand.Read(epoch[:]) // never fails
	version := account.Version{Epoch: binary.BigEndian.Uint64(epoch[:]), Revision: 1}

	// An id that is taken is refused before it takes a place.
	existing, err := s.App(ctx, app.ID)
	switch {
	case err == nil:
		return s.finish(ctx, existing)
	case errors.Is(err, account.ErrUsageUnknown) && acceptLoss, errors.Is(err, account.ErrAppNotFound):
	default:
		return err
	}
	if err := s.takePlace(ctx, app, maxApps); err != nil {
		return err
	}
	if err := s.setDirectory(ctx, app, pending); err != nil {
		return err
	}
	made, err := s.run(ctx, createScript, []string{s.headerKey(app.ID)}, versionText(version), string(record))
	if err != nil {
		return err
	}
	if made != int64(1) {
		return s.lostRace(ctx, app)
	}
	if err := s.settle(ctx, app); err != nil {
		return err
	}
	app.Version = version
	return nil
}

// finish completes the creation of an app that broke off after its record was
// written, and answers that the app exists.
func (s *Store) finish(ctx context.Context, existing *account.App) error {
	if err := s.settle(ctx, existing); err != nil {
		return err
	}
	return account.ErrAppExists
}

// lostRace gives back the place of an app that someone else created meanwhile,
// unless it is in the same account.
func (s *Store) lostRace(ctx context.Context, app *account.App) error {
	existing, err := s.App(ctx, app.ID)
	if err != nil {
		return err
	}
	if existing.Account != app.Account {
		err := s.send(ctx, true, func(ctx context.Context) error {
			return s.client.HDel(ctx, s.accountKey(app.Account), appField(app.ID)).Err()
		}, nil)
		if err != nil {
			return err
		}
	}
	return s.finish(ctx, existing)
}

func (s *Store) takePlace(ctx context.Context, app *account.App, maxApps int) error {
	taken, err := s.run(ctx, placeScript, []string{s.accountKey(app.Account)}, appField(app.ID), maxApps)
	if err != nil {
		return err
	}
	if taken != int64(1) {
		return account.ErrAccountFull
	}
	return nil
}

// settle makes an app live everywhere.
func (s *Store) settle(ctx context.Context, app *account.App) error {
	if err := s.setDirectory(ctx, app, live); err != nil {
		return err
	}
	return s.send(ctx, true, func(ctx context.Context) error {
		return s.client.HSet(ctx, s.accountKey(app.Account), appField(app.ID), live).Err()
	}, nil)
}

func (s *Store) setDirectory(ctx context.Context, app *account.App, state string) error {
	return s.send(ctx, true, func(ctx context.Context) error {
		return s.client.HSet(ctx, s.directoryKey(app.ID), appField(app.ID), state+" "+app.Account).Err()
	}, nil)
}

func appField(app uint32) string { return strconv.FormatUint(uint64(app), 10) }

// App implements account.Registry.
func (s *Store) App(ctx context.Context, id uint32) (app *account.App, err error) {
	var found []any
	err = s.send(ctx, false, func(ctx context.Context) error {
		found, err = s.client.HMGet(ctx, s.headerKey(id), "v", "r").Result()
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	version, ok := found[0].(string)
	if !ok {
		return nil, s.missing(ctx, id)
	}
	record, _ := found[1].(string)
	app = new(account.App)
	if err := json.Unmarshal([]byte(record), app); err != nil || app.ID != id {
		return nil, damaged(id)
	}
	if app.Version, err = parseVersion(version); err != nil {
		return nil, damaged(id)
	}
	return app, nil
}

func damaged(id uint32) error {
	return &account.Fault{Reason: account.UsageUnknown, Detail: fmt.Sprintf("the record of app %d is damaged", id)}
}

// missing tells why an app has no header: the store lost everything, it lost
// this app, or there never was one.
func (s *Store) missing(ctx context.Context, id uint32) error {
	var state string
	var marked int64
	err := s.send(ctx, false, func(ctx context.Context) error {
		var err error
		if marked, err = s.client.Exists(ctx, s.storeKey()).Result(); err != nil {
			return err
		}
		state, err = s.client.HGet(ctx, s.directoryKey(id), appField(id)).Result()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	}, nil)
	switch {
	case err != nil:
		return err
	case marked == 0:
		f := s.notInitialized()
		s.health.Store(&health{f})
		return f
	case strings.HasPrefix(state, live):
		return account.ErrUsageUnknown
	}
	return account.ErrAppNotFound
}

// UpdateApp implements account.Registry.
func (s *Store) UpdateApp(ctx context.Context, app *account.App) error {
	record, err := json.Marshal(app)
	if err != nil {
		return fmt.Errorf("encode app %d: %w", app.ID, err)
	}
	next := app.Version
	next.Revision++
	reply, err := s.run(ctx, updateScript, []string{s.headerKey(app.ID)}, versionText(app.Version), versionText(next), string(record))
	switch {
	case err != nil:
		return err
	case reply == int64(1):
		app.Version = next
		return nil
	case reply == int64(0):
		return account.ErrConflict
	}
	return s.missing(ctx, app.ID)
}

// Apps implements account.Registry.
func (s *Store) Apps(ctx context.Context, name string, after uint32, limit int) ([]*account.App, error) {
	var places map[string]string
	err := s.send(ctx, false, func(ctx context.Context) (err error) {
		places, err = s.client.HGetAll(ctx, s.accountKey(name)).Result()
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	var ids []uint32
	for field := range places {
		if id, err := strconv.ParseUint(field, 10, 32); err == nil && uint32(id) > after {
			ids = append(ids, uint32(id))
		}
	}
	slices.SortFunc(ids, func(a, b uint32) int { return cmp.Compare(a, b) })
	var apps []*account.App
	for _, id := range ids {
		if len(apps) == limit {
			break
		}
		app, err := s.App(ctx, id)
		switch {
		case errors.Is(err, account.ErrAppNotFound): // its creation has not finished
		case err != nil:
			return nil, err
		case app.Account == name:
			apps = append(apps, app)
		}
	}
	return apps, nil
}
