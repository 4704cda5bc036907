package quota

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// records keeps the records of apps and accounts at hand. Which of them are
// current the registry says, by the methods of account.Watcher. One that is not
// current will do where a step of the store confirms its version.
//
// Apps that do not exist are never kept, so that a flood of unknown ids cannot
// fill it.
type records struct {
	registry account.Registry
	clock    func() time.Time // of this process, whatever time requests are judged at
	staleMax time.Duration    // how old a record may be that decides while the store is away

	mu        sync.RWMutex
	apps      map[uint32]kept[*account.App]
	owners    map[string]kept[*account.Account]
	derived   map[uint32]derived
	confirmed time.Time // nothing is current from then on
	missed    uint64    // what was read before the last miss is not current
	covered   cover     // the last confirmation, whatever was missed since
	announced map[account.Subject]announcement
	number    uint64 // of the last announcement
	clearAt   int    // how many announcements there are when they are cleared up
}

// derived is a lifecycle and what it was derived from.
type derived struct {
	app   *account.App
	owner *account.Account
	cat   *catalog.Snapshot
	life  account.Lifecycle
}

// kept is a record and what is known of its reading.
type kept[R any] struct {
	record R
	read   time.Time
	missed uint64
	// isOutdated: it was announced that it may change, before it was read or
	// after.
	isOutdated bool
}

// cover is a confirmation and which records it is of: those that were read after
// the same miss.
type cover struct {
	until  time.Time
	missed uint64
}

// announcement says that a record may change.
type announcement struct {
	number uint64
	until  time.Time
	heard  time.Time
}

const (
	// maxKept bounds what is kept of each kind: at about 1 KiB a record, 100 MiB.
	maxKept = 100_000
	// keptFor is when a record is read again though nothing was announced.
	keptFor = time.Minute
	// confirmedLag is how old a record may be that is confirmed, by the contract of
	// account.Watcher.
	confirmedLag = time.Second
	// slowestRead bounds for how long an announcement is remembered: what was
	// read for longer is not kept.
	slowestRead = 10 * time.Second
	// fewAnnouncements need no clearing up.
	fewAnnouncements = 256
)

func newRecords(r account.Registry, clock func() time.Time, staleMax time.Duration) *records {
	return &records{
		registry: r, clock: clock, staleMax: staleMax,
		apps: make(map[uint32]kept[*account.App]), owners: make(map[string]kept[*account.Account]), derived: make(map[uint32]derived),
		announced: make(map[account.Subject]announcement), clearAt: fewAnnouncements,
	}
}

// Announced implements account.Watcher.
func (c *records) Announced(s account.Subject, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	c.number++
	if len(c.announced) >= c.clearAt {
		// Nothing that was asked for before they were over is on its way any more.
		for old, a := range c.announced {
			if now.Sub(a.heard) > slowestRead && now.Sub(a.until) > slowestRead {
				delete(c.announced, old)
			}
		}
		c.clearAt = max(fewAnnouncements, 2*len(c.announced))
	}
	c.announced[s] = announcement{c.number, until, now}
	if s.App != 0 {
		outdate(c.apps, s.App)
	} else {
		outdate(c.owners, s.Account)
	}
}

func outdate[K comparable, R any](all map[K]kept[R], key K) {
	if k, ok := all[key]; ok {
		k.isOutdated = true
		all[key] = k
	}
}

// Confirmed implements account.Watcher.
func (c *records) Confirmed(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.confirmed, c.covered = until, cover{until, c.missed}
}

// IsCurrent reports whether records that are at hand are used unread.
func (c *records) IsCurrent() bool {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return now.Before(c.confirmed)
}

// Missed implements account.Watcher.
func (c *records) Missed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.clock(); now.Before(c.covered.until) {
		c.covered.until = now
	}
	c.missed++
	c.confirmed = time.Time{}
}

// app returns the record that is kept, or nil, and whether it is current.
func (c *records) app(id uint32) (app *account.App, isCurrent bool) {
	return peek(c, c.apps, id)
}

// owner is app for an account.
func (c *records) owner(name string) (owner *account.Account, isCurrent bool) {
	return peek(c, c.owners, name)
}

func peek[K comparable, R any](c *records, all map[K]kept[R], key K) (record R, isCurrent bool) {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := all[key]
	return k.record, ok && !k.isOutdated && k.missed == c.missed && now.Before(c.confirmed) && now.Sub(k.read) < keptFor
}

// recentApp returns the record that is kept and was current not longer than
// staleMax ago, or nil.
func (c *records) recentApp(id uint32) *account.App { return recent(c, c.apps, id) }

// recentOwner is recentApp for an account.
func (c *records) recentOwner(name string) *account.Account { return recent(c, c.owners, name) }

// recent returns a record that will do while the store is away. It was current
// when it was read and, if changes of it would have been heard of since, shortly
// before the last confirmation. One that was announced to change, and not read
// since the change must have been made, will not do however young it is: that it
// is out of date is not just possible, it is likely.
func recent[K comparable, R any](c *records, all map[K]kept[R], key K) (record R) {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := all[key]
	if !ok || k.isOutdated {
		return record
	}
	current := k.read
	if k.missed == c.covered.missed {
		if heard := earlier(c.covered.until, now).Add(-confirmedLag); heard.After(current) {
			current = heard
		}
	}
	if now.Sub(current) >= c.staleMax {
		return record
	}
	return k.record
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// reading is the state of affairs when records were asked for.
type reading struct {
	began          time.Time
	missed, number uint64
}

func (c *records) begin() reading {
	began := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	return reading{began, c.missed, c.number}
}

// keep keeps a record that was read. The lock is held.
func keep[K comparable, R any](c *records, r reading, all map[K]kept[R], key K, s account.Subject, record R) {
	now := c.clock()
	k := kept[R]{record: record, read: r.began, missed: r.missed, isOutdated: now.Sub(r.began) > slowestRead}
	// What was asked for before the announced change must have been made may be of
	// before it, however late the answer came.
	if a, ok := c.announced[s]; ok && (a.number > r.number || r.began.Before(a.until)) {
		k.isOutdated = true
	}
	all[key] = k
}

// makeRoom drops records, whichever, until there is room for one more. The lock
// is held.
func makeRoom[K comparable, R any](all map[K]kept[R], drop func(K)) {
	for key := range all {
		if len(all) < maxKept {
			return
		}
		drop(key)
	}
}

// readApps reads the records of apps, in one step, and keeps them.
func (c *records) readApps(ctx context.Context, ids []uint32) []account.Loaded {
	r := c.begin()
	loaded := c.registry.Load(ctx, ids)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range loaded {
		switch l := &loaded[i]; {
		case l.Err != nil:
			if !saysNothing(l.Err) {
				c.drop(ids[i])
			}
			l.Err = account.ForApp(ids[i], l.Err)
		default:
			makeRoom(c.apps, c.drop)
			keep(c, r, c.apps, ids[i], account.Subject{App: ids[i]}, l.App)
		}
	}
	return loaded
}

// saysNothing reports whether an error leaves what was known of a record as it
// was: the store is away, or was not asked.
func saysNothing(err error) bool {
	f, ok := errors.AsType[*account.Fault](err)
	return account.IsAway(err) || ok && f.Reason == account.CallerGone
}

// readOwners is readApps for accounts.
func (c *records) readOwners(ctx context.Context, names []string) []account.LoadedAccount {
	r := c.begin()
	loaded := c.registry.Accounts(ctx, names)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range loaded {
		switch l := &loaded[i]; {
		case l.Err == nil:
			makeRoom(c.owners, func(name string) { delete(c.owners, name) })
			keep(c, r, c.owners, names[i], account.Subject{Account: names[i]}, l.Account)
		case !saysNothing(l.Err):
			delete(c.owners, names[i])
		}
	}
	return loaded
}

// refused drops a record that the store refused to judge with. Of many callers
// who learn that at once only the first finds it here: the current one, which
// that one has read by then, stays.
func (c *records) refused(app *account.App) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.apps[app.ID].record; k != nil && k.Version == app.Version {
		c.drop(app.ID)
	}
}

// drop forgets an app. The lock is held.
func (c *records) drop(id uint32) {
	delete(c.apps, id)
	delete(c.derived, id)
}

// standing is an app as the requests of a batch see it: its record, and the
// states that it passes through by that, its account's and the catalog.
type standing struct {
	id    uint32
	app   *account.App
	owner *account.Account
	err   error
	// away is why records could not be read that are not current. Those at hand
	// are recent, and may decide what no counter does.
	away error
	// isCurrent: the app's record may decide by itself. A step of the store
	// confirms it in any case; the account's is current unless the store is away.
	isCurrent bool
	// cat is the catalog that the app goes by. Where that is not there it is the one
	// in force, for what is known without, and catErr says so unless the app is gone.
	cat    *catalog.Snapshot
	catErr error
	life   account.Lifecycle
	// now is the batch's instant, or the app's clock when that is ahead: one
	// app's clock must not move another's.
	now time.Time
}

// state is the app's state at an instant, or when it was changed last.
func (s *standing) state(now time.Time) *account.State {
	return s.life.At(account.Latest(now, s.app, s.owner))
}

// catalogOf returns the catalog that an app goes by. Where that is not there it is
// the one in force, and an error too, unless the app is gone: it needs none.
func catalogOf(app *account.App, inForce *catalog.Snapshot) (*catalog.Snapshot, error) {
	own, err := app.CatalogIn(inForce)
	switch {
	case err == nil:
		return own, nil
	case app.IsNotedGone():
		return inForce, nil
	}
	return inForce, account.ForApp(app.ID, err)
}

// living returns the state and edition at an instant of an app that is not gone.
func (s *standing) living(now time.Time) (*account.State, *catalog.Edition, error) {
	if s.err != nil {
		return nil, nil, s.err
	}
	if s.catErr != nil {
		return nil, nil, s.catErr
	}
	state := s.state(now)
	if state.IsGone() {
		return nil, nil, account.ForApp(s.id, account.Gone(state))
	}
	edition, err := s.editionIn(state)
	return state, edition, err
}

// editionIn returns the edition of a state, or whichever for an app that is gone,
// to which everything is denied.
func (s *standing) editionIn(state *account.State) (*catalog.Edition, error) {
	edition, ok := s.cat.Edition(state.Edition)
	switch {
	case ok:
		return edition, nil
	case state.IsGone():
		return s.cat.DefaultEdition(), nil
	}
	return nil, unknownEdition(s.id, state.Edition, s.cat)
}

// derive derives the states of an app, once for the records that it is made
// from.
func (c *records) derive(s *standing, cat *catalog.Snapshot) {
	if s.err != nil {
		return
	}
	id := s.app.ID
	s.cat, s.catErr = catalogOf(s.app, cat)
	c.mu.RLock()
	d := c.derived[id]
	c.mu.RUnlock()
	if d.app != s.app || d.owner != s.owner || d.cat != cat {
		d = derived{s.app, s.owner, cat, s.app.Lifecycle(s.owner, cat)}
		c.mu.Lock()
		if _, ok := c.apps[id]; ok { // and with it goes what was derived
			c.derived[id] = d
		}
		c.mu.Unlock()
	}
	s.life = d.life
}

// load finds out how apps stand: by records that are at hand, whether they are
// current or not, else read now. All that are read are read together.
func (c *records) load(ctx context.Context, all []*standing, cat *catalog.Snapshot) {
	var missing []*standing
	for _, s := range all {
		if s.app, s.isCurrent = c.app(s.id); s.app == nil {
			missing = append(missing, s)
		}
	}
	c.fill(ctx, missing)
	c.findOwners(ctx, all)
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
	if len(all) == 0 {
		return
	}
	ids := make([]uint32, len(all))
	for i, s := range all {
		ids[i] = s.id
	}
	for i, l := range c.readApps(ctx, ids) {
		s := all[i]
		if app := c.recentApp(s.id); app != nil && isAway(ctx, l.Err) {
			s.app, s.away = app, l.Err
			continue
		}
		s.app, s.err, s.isCurrent = l.App, l.Err, true
	}
}

// isAway reports whether the store is away: it did not answer, and not because
// the caller would not wait for it.
func isAway(ctx context.Context, err error) bool { return account.IsAway(err) && ctx.Err() == nil }

// findOwners gives each app its account, current unless the store is away.
func (c *records) findOwners(ctx context.Context, all []*standing) {
	var names []string
	var waiting map[string][]*standing
	for _, s := range all {
		if s.err != nil {
			continue
		}
		name := s.app.Account
		if owner, isCurrent := c.owner(name); isCurrent {
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
	for i, l := range c.readOwners(ctx, names) {
		for _, s := range waiting[names[i]] {
			s.owner, s.err = l.Account, account.ForApp(s.id, l.Err)
			if owner := c.recentOwner(names[i]); owner != nil && isAway(ctx, l.Err) && (s.isCurrent || c.recentApp(s.id) == s.app) {
				s.owner, s.away, s.err = owner, s.err, nil
			}
			if s.err == nil {
				if s.err = account.CheckOwner(s.app, s.owner); s.err != nil {
					c.refused(s.app) // it may be lost as well: the next request finds out
				}
			}
		}
	}
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
	c.load(ctx, all, cat)
	if s.err == nil && s.away == nil && !s.isCurrent {
		c.refresh(ctx, all, cat)
	}
	return s
}
