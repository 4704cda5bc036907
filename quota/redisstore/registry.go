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

// header reads an app's record; there may be none. One that is unsettled it
// settles first: what has been shown is never taken for what never was.
func (s *Store) header(ctx context.Context, id uint32) (*account.App, error) {
	for range createAttempts {
		reply, err := s.do(ctx, s.readHeader(id))
		if err != nil {
			return nil, err
		}
		app, token, err := decodeHeader(id, reply)
		if token == "" || err != nil {
			return app, err
		}
		isSettled, err := s.settle(ctx, app.Account, id, token)
		if err != nil {
			return nil, err
		}
		if isSettled {
			return app, nil
		}
		// It was undone, but there may be another by now.
	}
	return nil, s.undone(id)
}

func (s *Store) readHeader(id uint32) *command {
	return &command{args: []any{"hmget", s.headerKey(id), "v", "r", "u"}}
}

// decodeHeader returns the app of a header, if there is one, and the token of
// its creation while it is unsettled.
func decodeHeader(id uint32, reply any) (app *account.App, unsettled string, err error) {
	found, _ := reply.([]any)
	if len(found) != 3 || found[0] == nil && found[1] == nil {
		return nil, "", nil
	}
	version, _ := found[0].(string)
	record, _ := found[1].(string)
	v, err := parseVersion(version)
	if err != nil {
		return nil, "", account.DamagedRecord(id)
	}
	unsettled, _ = found[2].(string)
	app, err = account.DecodeApp(id, []byte(record), v)
	return app, unsettled, err
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
			return nil, account.ForApp(id, commands[i].err)
		}
		app, unsettled, err := decodeHeader(id, commands[i].cmd.Val())
		if err == nil && (app == nil || unsettled != "") {
			app, err = s.App(ctx, id)
		}
		switch {
		case errors.Is(err, account.ErrAppNotFound): // not finished
		case err != nil:
			return nil, account.ForApp(id, err)
		case app.Account == name:
			apps = append(apps, app)
		}
	}
	return apps, nil
}
