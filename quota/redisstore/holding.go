package redisstore

import (
	"sync"
	"time"
)

// holding remembers until when apps may hold something, so that scripts come with
// the keys of it. An app that is not here costs one more round trip at most.
type holding struct {
	mu   sync.Mutex
	apps map[uint32]time.Time
}

// maxHolding bounds how many apps are remembered.
const maxHolding = 100_000

func (h *holding) until(app uint32) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.apps[app]
}

// note remembers that an app holds something until then at least.
func (h *holding) note(app uint32, end time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.apps == nil || len(h.apps) >= maxHolding {
		h.apps = make(map[uint32]time.Time)
	}
	if end.After(h.apps[app]) {
		h.apps[app] = end
	}
}
