package server

import (
	"context"
	"sync"
	"time"
)

// bounded is a context that ends by a time at the latest. Its timer begins once
// somebody waits for the end: what is decided without waiting needs none.
type bounded struct {
	context.Context // ends when the call does
	until           time.Time

	mu    sync.Mutex
	timed context.Context // nil: nobody waits
	free  context.CancelFunc
}

// within returns a context that ends within a time, counted from now.
func within(ctx context.Context, now time.Time, limit time.Duration) *bounded {
	return &bounded{Context: ctx, until: now.Add(limit)}
}

// begin returns the context that has the timer, and begins it.
func (b *bounded) begin() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timed == nil {
		b.timed, b.free = context.WithDeadline(b.Context, b.until)
	}
	return b.timed
}

// begun returns the context that has the timer; nil without one.
func (b *bounded) begun() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timed
}

// release gives back the timer. The call's own context ends those that wait still.
func (b *bounded) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free != nil {
		b.free()
	}
}

// Deadline implements context.Context.
func (b *bounded) Deadline() (time.Time, bool) { return b.until, true }

// Done implements context.Context.
func (b *bounded) Done() <-chan struct{} { return b.begin().Done() }

// Err implements context.Context.
func (b *bounded) Err() error {
	if timed := b.begun(); timed != nil {
		return timed.Err()
	}
	if err := b.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(b.until) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. Contexts made from this one find by it the
// one that ends them, and need no goroutine to wait for it.
func (b *bounded) Value(key any) any {
	if timed := b.begun(); timed != nil {
		return timed.Value(key)
	}
	return b.Context.Value(key)
}
