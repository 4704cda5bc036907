package quota

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
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
	room     int              // for so many of each kind

	// Read without the lock, and written with it.
	apps     *table[uint32, kept[*account.App]]
	owners   *table[string, kept[*account.Account]]
	currency atomic.Pointer[currency]
	common   atomic.Pointer[common] // of the catalog that was in force last

	mu        sync.Mutex
	announced map[account.Subject]announcement
	number    uint64 // of the last announcement
	clearAt   int    // how many announcements there are when they are cleared up
}

// kept is a record and what is known of its reading.
type kept[R any] struct {
	record R
	read   time.Time
	missed uint64
	// isOutdated: it was announced that it may change, before it was read or
	// after.
	isOutdated atomic.Bool
	outlook    atomic.Pointer[outlook] // of an app: what was derived from it last
}

// currency is which records are current. It is never changed.
type currency struct {
	confirmed time.Time // nothing is current from then on
	missed    uint64    // what was read before the last miss is not current
	covered   cover     // the last confirmation, whatever was missed since
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
	// maxKept bounds what is kept of each kind. A record and what follows from it take
	// 2 KiB, with a year of orders 7: a few hundred MiB.
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
	c := &records{
		registry: r, clock: clock, staleMax: staleMax, room: maxKept,
		apps: newTable[uint32, kept[*account.App]](), owners: newTable[string, kept[*account.Account]](),
		announced: make(map[account.Subject]announcement), clearAt: fewAnnouncements,
	}
	c.currency.Store(&currency{})
	return c
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

func outdate[K comparable, R any](all *table[K, kept[R]], key K) {
	if k := all.get(key); k != nil {
		k.isOutdated.Store(true)
	}
}

// Confirmed implements account.Watcher.
func (c *records) Confirmed(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	missed := c.currency.Load().missed
	c.currency.Store(&currency{until, missed, cover{until, missed}})
}

// IsCurrent reports whether records that are at hand are used unread.
func (c *records) IsCurrent() bool {
	g := c.glance()
	return g.at.Before(g.confirmed)
}

// Missed implements account.Watcher.
func (c *records) Missed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.currency.Load()
	if now := c.clock(); now.Before(next.covered.until) {
		next.covered.until = now
	}
	next.missed++
	next.confirmed = time.Time{}
	c.currency.Store(&next)
}

// glance is a look at what is current, and when it was taken. Records are looked
// up after it, not before: what was announced before the confirmation that it
// shows is then seen to be outdated.
type glance struct {
	at time.Time
	*currency
}

func (c *records) glance() glance { return c.glanceAt(c.clock()) }

// glanceAt is glance for whoever has just asked the clock.
func (c *records) glanceAt(at time.Time) glance { return glance{at, c.currency.Load()} }

// isCurrent reports whether a record is.
func isCurrent[R any](g glance, k *kept[R]) bool {
	return !k.isOutdated.Load() && k.missed == g.missed && g.at.Before(g.confirmed) && g.at.Sub(k.read) < keptFor
}

// recent looks up a record that will do while the store is away: one that was
// current not longer than staleMax ago. It was current when it was read and, if
// changes of it would have been heard of since, shortly before the last
// confirmation. One that was announced to change, and not read since the change
// must have been made, will not do however young it is: that it is out of date is
// not just possible, it is likely.
func recent[K comparable, R any](c *records, all *table[K, kept[R]], key K) (*kept[R], bool) {
	g := c.glance()
	k := all.get(key)
	if k == nil || k.isOutdated.Load() {
		return nil, false
	}
	current := k.read
	if k.missed == g.covered.missed {
		if heard := earlier(g.covered.until, g.at).Add(-confirmedLag); heard.After(current) {
			current = heard
		}
	}
	return k, g.at.Sub(current) < c.staleMax
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
	c.mu.Lock()
	defer c.mu.Unlock()
	return reading{began, c.currency.Load().missed, c.number}
}

// keep keeps a record that was read, in the place of whichever where there is no
// room. The lock is held.
func keep[K comparable, R any](c *records, r reading, all *table[K, kept[R]], key K, s account.Subject, record R) *kept[R] {
	e := &entry[K, kept[R]]{key: key, value: kept[R]{record: record, read: r.began, missed: r.missed}}
	k := &e.value
	// What was asked for before the announced change must have been made may be of
	// before it, however late the answer came.
	a, ok := c.announced[s]
	k.isOutdated.Store(c.clock().Sub(r.began) > slowestRead || ok && (a.number > r.number || r.began.Before(a.until)))
	for all.size >= c.room {
		if other, ok := all.any(); ok {
			outdate(all, other)
			all.delete(other)
		}
	}
	all.put(e)
	return k
}

// readApps reads the records of apps, in one step, and keeps them. Where there is
// none it says why.
func (c *records) readApps(ctx context.Context, ids []uint32) ([]*kept[*account.App], []error) {
	r := c.begin()
	loaded := c.registry.Load(ctx, ids)
	c.mu.Lock()
	defer c.mu.Unlock()
	all, errs := make([]*kept[*account.App], len(ids)), make([]error, len(ids))
	for i := range loaded {
		l := &loaded[i]
		if l.Err == nil {
			all[i] = keep(c, r, c.apps, ids[i], account.Subject{App: ids[i]}, l.App)
			continue
		}
		errs[i] = account.ForApp(ids[i], l.Err)
		if !saysNothing(l.Err) {
			c.apps.delete(ids[i])
		}
	}
	return all, errs
}

// saysNothing reports whether an error leaves what was known of a record as it
// was: the store is away, or was not asked.
func saysNothing(err error) bool {
	f, ok := errors.AsType[*account.Fault](err)
	return account.IsAway(err) || ok && f.Reason == account.CallerGone
}

// readOwners is readApps for accounts.
func (c *records) readOwners(ctx context.Context, names []string) ([]*kept[*account.Account], []error) {
	r := c.begin()
	loaded := c.registry.Accounts(ctx, names)
	c.mu.Lock()
	defer c.mu.Unlock()
	all, errs := make([]*kept[*account.Account], len(names)), make([]error, len(names))
	for i := range loaded {
		l := &loaded[i]
		if l.Err == nil || !saysNothing(l.Err) {
			c.dropOwner(names[i])
		}
		if errs[i] = l.Err; l.Err == nil {
			all[i] = keep(c, r, c.owners, names[i], account.Subject{Account: names[i]}, l.Account)
		}
	}
	return all, errs
}

// dropOwner forgets an account. Outlooks that still have it see that it is outdated:
// nobody would tell them what becomes of it. The lock is held.
func (c *records) dropOwner(name string) {
	outdate(c.owners, name)
	c.owners.delete(name)
}

// refused drops a record that the store refused to judge with. Of many callers
// who learn that at once only the first finds it here: the current one, which
// that one has read by then, stays.
func (c *records) refused(app *account.App) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.apps.get(app.ID); k != nil && k.record.Version == app.Version {
		c.apps.delete(app.ID)
	}
}
