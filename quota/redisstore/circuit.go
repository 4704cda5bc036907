package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
)

// A circuit is open while no server answers. Then no call is sent: it fails at
// once, and one that was under way waits within its time for the circuit to
// close. What goes out is the probe, one at a time, whatever the number of
// callers. A probe that finds a server closes the circuit, and only after it
// has looked whether that one can be trusted: what comes back may have lost its
// data.
const (
	// awayEvery is the pause between two probes while the circuit is open, and
	// awayTimeout how long one may take: together they leave room for one that
	// began just too early and one that succeeds, within a second.
	awayEvery   = 100 * time.Millisecond
	awayTimeout = 500 * time.Millisecond
)

// circuit says whether calls are sent.
type circuit struct {
	notify func(CircuitChange) // nil: nobody

	mu     sync.Mutex
	since  time.Time
	closed chan struct{} // closed when the circuit closes; nil: it is
}

// CircuitChange is an opening or a closing of a store's circuit.
type CircuitChange struct {
	IsOpen bool
	Why    *account.Fault // IsOpen: what the probe found
	After  time.Duration  // else: how long it was open
}

// set opens or closes the circuit. Calls of it do not overlap.
func (c *circuit) set(h *health) {
	c.mu.Lock()
	change, isChange := CircuitChange{IsOpen: h.isGone, Why: h.fault}, h.isGone != (c.closed != nil)
	switch {
	case isChange && h.isGone:
		c.since, c.closed = time.Now(), make(chan struct{})
	case isChange:
		change.Why, change.After = nil, time.Since(c.since)
		close(c.closed)
		c.closed = nil
	}
	c.mu.Unlock()
	if isChange && c.notify != nil {
		c.notify(change)
	}
}

// opened returns what is closed when the circuit closes, or nil: it is closed.
func (c *circuit) opened() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *circuit) isOpen() bool { return c.opened() != nil }

// await waits until the circuit is closed and reports whether it is.
func (c *circuit) await(ctx context.Context) bool {
	closed := c.opened()
	if closed == nil {
		return true
	}
	select {
	case <-closed:
		return true
	case <-ctx.Done():
		return false
	}
}
