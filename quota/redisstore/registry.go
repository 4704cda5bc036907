package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
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
	record, err := account.EncodeApp(app)
	if err != nil {
		return err
	}
	version := account.FirstVersion()

	// An id that is taken is refused before it takes a place.
	existing, err := s.App(ctx, app.ID)
	switch {
	case err == nil:
		return s.finish(ctx, existing)
	case errors.Is(err, account.ErrUsageUnknown) && acceptLoss:
		if err := s.checkOwner(ctx, app); err != nil {
			return err
		}
	case errors.Is(err, account.ErrAppNotFound) && !acceptLoss:
	default:
		return err
	}
	if err := s.takePlace(ctx, app, maxApps); err != nil {
		return err
	}
	if err := s.write(ctx, "hsetnx", s.directoryKey(app.ID), appField(app.ID), pending+" "+app.Account); err != nil {
		return err
	}
	made, err := s.run(ctx, createScript, s.headerKey(app.ID), versionText(version), string(record))
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

// checkOwner refuses to create a lost app anew in an account that is not its
// own.
func (s *Store) checkOwner(ctx context.Context, app *account.App) error {
	places, err := s.read(ctx, "hmget", s.directoryKey(app.ID), appField(app.ID))
	if err != nil {
		return err
	}
	place, _ := places[0].(string)
	if owner, ok := strings.CutPrefix(place, live+" "); ok && owner != app.Account {
		return account.ErrAppExists
	}
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
		if err := s.write(ctx, "hdel", s.accountKey(app.Account), appField(app.ID)); err != nil {
			return err
		}
	}
	return s.finish(ctx, existing)
}

func (s *Store) takePlace(ctx context.Context, app *account.App, maxApps int) error {
	taken, err := s.run(ctx, placeScript, s.accountKey(app.Account), appField(app.ID), maxApps)
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
	if err := s.write(ctx, "hset", s.directoryKey(app.ID), appField(app.ID), live+" "+app.Account); err != nil {
		return err
	}
	return s.write(ctx, "hset", s.accountKey(app.Account), appField(app.ID), live)
}

func appField(app uint32) string { return strconv.FormatUint(uint64(app), 10) }

// App implements account.Registry.
func (s *Store) App(ctx context.Context, id uint32) (*account.App, error) {
	app, err := s.header(ctx, id)
	if app != nil || err != nil {
		return app, err
	}
	err = s.missing(ctx, id)
	if !errors.Is(err, account.ErrUsageUnknown) {
		return nil, err
	}
	// It is lost, or was created between the two reads: the directory calls an
	// app live only once its header is there.
	if app, again := s.header(ctx, id); app != nil || again != nil {
		return app, again
	}
	return nil, err
}

// Load implements account.Registry.
func (s *Store) Load(ctx context.Context, ids []uint32) []account.Loaded {
	loaded := make([]account.Loaded, len(ids))
	for i, id := range ids {
		loaded[i].App, loaded[i].Err = s.App(ctx, id)
	}
	return loaded
}

// header reads an app's record; there may be none.
func (s *Store) header(ctx context.Context, id uint32) (*account.App, error) {
	reply, err := s.do(ctx, s.readHeader(id))
	if err != nil {
		return nil, err
	}
	return decodeHeader(id, reply)
}

func (s *Store) readHeader(id uint32) *command {
	return &command{args: []any{"hmget", s.headerKey(id), "v", "r"}}
}

func decodeHeader(id uint32, reply any) (*account.App, error) {
	found, _ := reply.([]any)
	if len(found) != 2 || found[0] == nil && found[1] == nil {
		return nil, nil
	}
	version, _ := found[0].(string)
	record, _ := found[1].(string)
	v, err := parseVersion(version)
	if err != nil {
		return nil, account.DamagedRecord(id)
	}
	return account.DecodeApp(id, []byte(record), v)
}

// missing tells why an app has no header: the store lost everything, it lost
// this app, or there never was one.
func (s *Store) missing(ctx context.Context, id uint32) error {
	mark, err := s.read(ctx, "hmget", s.storeKey(), "id")
	if err != nil {
		return err
	}
	if len(mark) != 1 || mark[0] == nil {
		f := s.notInitialized()
		s.note(newHealth(f))
		return f
	}
	places, err := s.read(ctx, "hmget", s.directoryKey(id), directoryMark, appField(id))
	if err != nil {
		return err
	}
	if len(places) != 2 || places[0] == nil {
		return account.ErrUsageUnknown
	}
	if state, _ := places[1].(string); strings.HasPrefix(state, live) {
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
	next := app.Version.Next()
	reply, err := s.run(ctx, updateScript, s.headerKey(app.ID), versionText(app.Version), versionText(next), string(record))
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
	places, err := s.read(ctx, "hkeys", s.accountKey(name))
	if err != nil {
		return nil, err
	}
	var ids []uint32
	for _, field := range places {
		text, _ := field.(string)
		if id, err := strconv.ParseUint(text, 10, 32); err == nil && uint32(id) > after {
			ids = append(ids, uint32(id))
		}
	}
	slices.Sort(ids)
	var apps []*account.App
	for page := range slices.Chunk(ids, max(1, limit)) {
		found, err := s.appsOf(ctx, name, page)
		if err != nil {
			return nil, err
		}
		apps = append(apps, found...)
		if len(apps) >= limit {
			return apps[:limit], nil
		}
	}
	return apps, nil
}

// appsOf reads those apps of an account whose creation has finished, in one
// round trip unless something is wrong.
func (s *Store) appsOf(ctx context.Context, name string, ids []uint32) ([]*account.App, error) {
	commands := make([]*command, len(ids))
	for i, id := range ids {
		commands[i] = s.readHeader(id)
	}
	s.deliver(ctx, time.Now().Add(retryFor), commands)
	var apps []*account.App
	for i, id := range ids {
		if commands[i].err != nil {
			return nil, commands[i].err
		}
		app, err := decodeHeader(id, commands[i].cmd.Val())
		if app == nil && err == nil {
			app, err = s.App(ctx, id)
		}
		switch {
		case errors.Is(err, account.ErrAppNotFound): // not finished
		case err != nil:
			return nil, err
		case app.Account == name:
			apps = append(apps, app)
		}
	}
	return apps, nil
}
