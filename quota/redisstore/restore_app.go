package redisstore

import (
	"context"
	"math"

	"github.com/imquota/imquota/account"
)

// RestoreApp implements account.Registry. It is a creation (create.go) that brings
// its log along; an app that is deleted has a place for a moment, as it had before.
func (s *Store) RestoreApp(ctx context.Context, app *account.App, log []account.Event, event account.Event) error {
	c := creation{before: app.Version, event: event, maxApps: math.MaxInt32, mayBeNew: true, mayBeLost: true}
	for _, e := range account.KeptBefore(app.Version.Revision+1, log) {
		entry, err := encodeEvent(app.ID, e)
		if err != nil {
			return err
		}
		c.log = append(c.log, revisionField(e.Revision), entry)
	}
	if err := s.createNew(ctx, app, c); err != nil {
		return err
	}
	if app.Deleted.IsZero() {
		return nil
	}
	if err := s.free(ctx, app); err != nil {
		return s.deleted(app.ID, err)
	}
	return nil
}
