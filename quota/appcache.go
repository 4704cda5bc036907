package quota

import (
	"context"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
)

// appCache keeps the records of apps that exist. Apps that do not are never
// kept, so that a flood of unknown ids cannot fill it.
type appCache struct {
	registry account.Registry
	lasts    time.Duration // zero: for ever

	mu   sync.RWMutex
	apps map[uint32]cachedApp
	// forgotten counts forgets, so that a record read before one is not kept
	// after it.
	forgotten uint64
}

type cachedApp struct {
	app  *account.App
	read time.Time
}

// maxCachedApps bounds the cache: at about 1 KiB a record, 100 MiB.
const maxCachedApps = 100_000

func newAppCache(r account.Registry, lasts time.Duration) *appCache {
	return &appCache{registry: r, lasts: lasts, apps: make(map[uint32]cachedApp)}
}

// get returns an app's current record, which must not be changed.
func (c *appCache) get(ctx context.Context, id uint32, now time.Time) (*account.App, error) {
	if app, isCurrent := c.peek(id, now); isCurrent {
		return app, nil
	}
	loaded := c.read(ctx, []uint32{id}, now)[0]
	return loaded.App, loaded.Err
}

// peek returns the record that is cached, or nil, and whether it is current.
// One that is not will do where the store's step confirms its version.
func (c *appCache) peek(id uint32, now time.Time) (app *account.App, isCurrent bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	cached, ok := c.apps[id]
	if !ok {
		return nil, false
	}
	return cached.app, c.lasts == 0 || now.Sub(cached.read) < c.lasts && !now.Before(cached.read)
}

// confirm notes that a record was current at an instant, because a step of the
// store was carried out with its version.
func (c *appCache) confirm(app *account.App, at time.Time) {
	if c.lasts == 0 {
		return
	}
	c.mu.RLock()
	cached, ok := c.apps[app.ID]
	c.mu.RUnlock()
	// Half of its time is over: not each of many checks a second needs the lock.
	if !ok || cached.app != app || at.Sub(cached.read) < c.lasts/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cached, ok := c.apps[app.ID]; ok && cached.app == app && at.After(cached.read) {
		c.apps[app.ID] = cachedApp{app, at}
	}
}

// read reads records and caches them.
func (c *appCache) read(ctx context.Context, ids []uint32, now time.Time) []account.Loaded {
	c.mu.RLock()
	forgotten := c.forgotten
	c.mu.RUnlock()
	loaded := c.registry.Load(ctx, ids)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range loaded {
		switch l := &loaded[i]; {
		case l.Err != nil:
			l.Err = account.ForApp(ids[i], l.Err)
		case c.forgotten == forgotten:
			c.makeRoom()
			c.apps[ids[i]] = cachedApp{l.App, now}
		}
	}
	return loaded
}

// makeRoom drops any one record when the cache is full.
func (c *appCache) makeRoom() {
	if len(c.apps) < maxCachedApps {
		return
	}
	for id := range c.apps {
		delete(c.apps, id)
		return
	}
}

// refused drops a record that the store refused to judge with. Of many callers
// who learn that at once only the first finds it here: the current one, which
// that one has read by then, stays.
func (c *appCache) refused(app *account.App) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cached := c.apps[app.ID].app; cached != nil && cached.Version == app.Version {
		delete(c.apps, app.ID)
		c.forgotten++
	}
}

// forget drops a record, whichever is cached.
func (c *appCache) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.apps, id)
	c.forgotten++
}
