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

// get returns an app's record, which must not be changed.
func (c *appCache) get(ctx context.Context, id uint32, now time.Time) (*account.App, error) {
	c.mu.RLock()
	cached, ok := c.apps[id]
	forgotten := c.forgotten
	c.mu.RUnlock()
	if ok && (c.lasts == 0 || now.Sub(cached.read) < c.lasts && !now.Before(cached.read)) {
		return cached.app, nil
	}
	app, err := c.registry.App(ctx, id)
	if err != nil {
		return nil, account.ForApp(id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten == forgotten {
		c.makeRoom()
		c.apps[id] = cachedApp{app, now}
	}
	return app, nil
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

// forget drops a record.
func (c *appCache) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.apps, id)
	c.forgotten++
}
