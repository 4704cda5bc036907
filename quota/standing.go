package quota

import (
	"context"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// standing is an app as the requests of a batch see it: its record, and what
// follows from that, its account's and the catalog.
type standing struct {
	id    uint32
	app   *kept[*account.App]
	owner *kept[*account.Account]
	err   error
	// away is why records could not be read that are not current. Those at hand
	// are recent, and may decide what no counter does.
	away error
	// isCurrent: the app's record may decide by itself. A step of the store
	// confirms it in any case; the account's is current unless the store is away.
	isCurrent bool
	outlook   *outlook
	// now is the batch's instant, or the app's clock when that is ahead: one
	// app's clock must not move another's.
	now time.Time

	// Of a batch. isOver: the store has another record. end: of the first window that
	// ends among those of the app's transactions.
	isOver bool
	end    time.Time
}

// living returns the stretch that holds an instant, of an app that is not gone.
func (s *standing) living(now time.Time) (*stretch, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.outlook.err != nil {
		return nil, s.outlook.err
	}
	st := s.outlook.at(now)
	if st.state.IsGone() {
		return nil, account.ForApp(s.id, account.Gone(&st.state))
	}
	return st, st.err
}

// derive finds what follows from the records of an app, once for those that it is
// derived from.
func (c *records) derive(s *standing, cat *catalog.Snapshot) {
	if s.err != nil {
		return
	}
	o := s.app.outlook.Load()
	if o == nil || o.owner != s.owner || o.inForce != cat {
		o = newOutlook(s.app.record, s.owner, c.commonOf(cat))
		s.app.outlook.Store(o)
	}
	s.outlook = o
}

// load finds out how apps stand: by records that are at hand, whether they are
// current or not, else read now. All that are read are read together.
func (c *records) load(ctx context.Context, g glance, all []*standing, cat *catalog.Snapshot) {
	var missing []*standing
	// Step by step for all of them, so that the processor fetches from memory what is
	// known of one app while it waits for another's.
	for _, s := range all {
		if s.app = c.apps.get(s.id); s.app == nil {
			missing = append(missing, s)
		}
	}
	for _, s := range all {
		s.isCurrent = s.app != nil && isCurrent(g, s.app)
	}
	for _, s := range all {
		if s.app == nil {
			continue
		}
		if o := s.app.outlook.Load(); o != nil && isCurrent(g, o.owner) {
			s.owner = o.owner
		}
	}
	if len(missing) > 0 {
		c.fill(ctx, missing)
		g = c.glance()
	}
	c.findOwners(ctx, g, all)
	for _, s := range all {
		c.derive(s, cat)
	}
}

// refresh reads the records of apps again. Their accounts are current.
func (c *records) refresh(ctx context.Context, all []*standing, cat *catalog.Snapshot) {
	c.fill(ctx, all)
	for _, s := range all {
		c.derive(s, cat)
	}
}

// fill reads the records of apps.
func (c *records) fill(ctx context.Context, all []*standing) {
	ids := make([]uint32, len(all))
	for i, s := range all {
		ids[i] = s.id
	}
	apps, errs := c.readApps(ctx, ids)
	for i, s := range all {
		if app, ok := recent(c, c.apps, s.id); ok && isAway(ctx, errs[i]) {
			s.app, s.away = app, errs[i]
			continue
		}
		s.app, s.err, s.isCurrent = apps[i], errs[i], true
	}
}

// isAway reports whether the store is away: it did not answer, and not because
// the caller would not wait for it.
func isAway(ctx context.Context, err error) bool { return account.IsAway(err) && ctx.Err() == nil }

// findOwners gives each app its account, current unless the store is away.
func (c *records) findOwners(ctx context.Context, g glance, all []*standing) {
	var names []string
	var waiting map[string][]*standing
	for _, s := range all {
		if s.err != nil || s.owner != nil {
			continue
		}
		name := s.app.record.Account
		if owner := c.owners.get(name); owner != nil && isCurrent(g, owner) {
			s.owner = owner
			continue
		}
		if waiting == nil {
			waiting = make(map[string][]*standing)
		}
		if waiting[name] == nil {
			names = append(names, name)
		}
		waiting[name] = append(waiting[name], s)
	}
	if len(names) == 0 {
		return
	}
	owners, errs := c.readOwners(ctx, names)
	for i, name := range names {
		for _, s := range waiting[name] {
			s.owner, s.err = owners[i], account.ForApp(s.id, errs[i])
			if owner, ok := recent(c, c.owners, name); ok && isAway(ctx, errs[i]) && (s.isCurrent || c.isRecent(s)) {
				s.owner, s.away, s.err = owner, s.err, nil
			}
			if s.err == nil {
				if s.err = account.CheckOwner(s.app.record, s.owner.record); s.err != nil {
					c.refused(s.app.record) // it may be lost as well: the next request finds out
				}
			}
		}
	}
}

// isRecent reports whether the app's record will do while the store is away.
func (c *records) isRecent(s *standing) bool {
	app, ok := recent(c, c.apps, s.id)
	return ok && app == s.app
}

// current returns how an app stands, by current records.
func (c *records) current(ctx context.Context, id uint32, cat *catalog.Snapshot) *standing {
	s := c.standing(ctx, id, cat)
	if s.away != nil {
		s.err = s.away
	}
	return s
}

// standing is current, or by recent records while the store is away.
func (c *records) standing(ctx context.Context, id uint32, cat *catalog.Snapshot) *standing {
	s := &standing{id: id}
	all := []*standing{s}
	c.load(ctx, c.glance(), all, cat)
	if s.err == nil && s.away == nil && !s.isCurrent {
		c.refresh(ctx, all, cat)
	}
	return s
}
