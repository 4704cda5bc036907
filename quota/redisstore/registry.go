package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

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
	loaded := s.Load(ctx, []uint32{id})[0]
	return loaded.App, loaded.Err
}

// Load implements account.Registry: one step for the records, another one for
// all that have none. An app whose creation is not settled, or that may be lost,
// takes steps of its own.
func (s *Store) Load(ctx context.Context, ids []uint32) []account.Loaded {
	loaded := make([]account.Loaded, len(ids))
	readings := make([]reading, len(ids))
	commands := make([]*command, 0, 2*len(ids))
	for i, id := range ids {
		readings[i] = s.readingOf(id)
		commands = append(commands, readings[i].header, readings[i].record)
	}
	if err := s.doAll(ctx, commands); err != nil {
		for i := range loaded {
			loaded[i].Err = err
		}
		return loaded
	}
	var missing []int
	for i, id := range ids {
		l := &loaded[i]
		var unsettled string
		l.App, unsettled, l.Err = s.result(ctx, &readings[i])
		if unsettled != "" && l.Err == nil {
			l.App, l.Err = s.record(ctx, id)
		}
		if l.App == nil && l.Err == nil {
			missing = append(missing, i)
		}
	}
	s.explain(ctx, ids, missing, loaded)
	return loaded
}

// explain tells why apps have no header: the store lost everything, it lost the
// app, or there never was one.
func (s *Store) explain(ctx context.Context, ids []uint32, missing []int, loaded []account.Loaded) {
	if len(missing) == 0 {
		return
	}
	commands := make([]*command, 1, 1+len(missing))
	commands[0] = &command{args: []any{"hmget", s.storeKey(), "id"}}
	for _, i := range missing {
		commands = append(commands, &command{args: []any{"hmget", s.directoryKey(ids[i]), directoryMark, appField(ids[i])}})
	}
	err := s.doAll(ctx, commands)
	if err == nil {
		err = s.markOf(commands[0])
	}
	for k, i := range missing {
		l := &loaded[i]
		if l.Err = err; err != nil {
			continue
		}
		if l.Err = isKnown(commands[1+k]); !errors.Is(l.Err, account.ErrUsageUnknown) {
			continue
		}
		// It is lost, or was created between the two reads: the directory calls
		// an app live only once its header is there.
		if app, again := s.record(ctx, ids[i]); app != nil || again != nil {
			loaded[i] = account.Loaded{App: app, Err: again}
		}
	}
}

// markOf returns what is wrong with the store's mark, and notes it.
func (s *Store) markOf(c *command) error {
	if c.err != nil {
		return c.err
	}
	if mark, _ := c.cmd.Val().([]any); len(mark) == 1 && mark[0] != nil {
		return nil
	}
	f := s.notInitialized()
	s.note(newHealth(f))
	return f
}

// isKnown tells an app that was lost from one that never was, by its directory.
func isKnown(c *command) error {
	if c.err != nil {
		return c.err
	}
	places, _ := c.cmd.Val().([]any)
	if len(places) != 2 || places[0] == nil {
		return account.ErrUsageUnknown
	}
	if state, _ := places[1].(string); strings.HasPrefix(state, live) {
		return account.ErrUsageUnknown
	}
	return account.ErrAppNotFound
}

// UpdateApp implements account.Registry.
func (s *Store) UpdateApp(ctx context.Context, app *account.App, event account.Event) error {
	record, err := account.EncodeApp(app)
	if err != nil {
		return err
	}
	entry, err := encodeEvent(app.ID, event)
	if err != nil {
		return err
	}
	next := app.Version.Next()
	forgotten := next.Revision - min(next.Revision, account.EventsKept) // 0: none yet
	reply, err := s.change(ctx, account.Subject{App: app.ID}, command{
		script: updateScript, keys: s.recordKeys(app.ID), args: []any{
			versionText(app.Version), versionText(next), string(record), revisionField(next.Revision), entry, revisionField(forgotten),
		},
	})
	switch {
	case err != nil:
		return err
	case reply == changeMade:
		app.Version = next
		return nil
	case reply == changeConflict:
		return account.ErrConflict
	}
	loaded := s.Load(ctx, []uint32{app.ID})[0]
	if loaded.Err == nil {
		return account.ErrConflict // it was created meanwhile
	}
	return loaded.Err
}

// Apps implements account.Registry.
func (s *Store) Apps(ctx context.Context, name string, after uint32, limit int, deleted bool) ([]account.Loaded, error) {
	key := s.accountKey(name)
	if deleted {
		key = s.goneKey(name)
	}
	places, err := s.read(ctx, "hkeys", key)
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
	var apps []account.Loaded
	for page := range slices.Chunk(ids, max(1, limit)) {
		found, err := s.appsOf(ctx, name, page, deleted)
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

// appsOf reads those apps of an account whose creation has finished, and whose
// deletion has or has not, in one round trip unless something is wrong.
func (s *Store) appsOf(ctx context.Context, name string, ids []uint32, deleted bool) ([]account.Loaded, error) {
	var apps []account.Loaded
	for i, l := range s.Load(ctx, ids) {
		switch {
		case errors.Is(l.Err, account.ErrAppNotFound): // not finished
		case account.IsOfRecord(l.Err):
			apps = append(apps, account.Loaded{ID: ids[i], Err: account.ForApp(ids[i], l.Err)})
		case l.Err != nil:
			return nil, l.Err
		case l.App.Account == name && deleted != l.App.Deleted.IsZero():
			apps = append(apps, account.Loaded{ID: ids[i], App: l.App})
		}
	}
	return apps, nil
}
