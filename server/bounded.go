package server

import (
	"context"
	"time"
)

// bounded is a context that tells by when its call is over, and leaves it to others
// to end the call.
type bounded struct {
	context.Context
	until time.Time
}

// Deadline implements context.Context.
func (b *bounded) Deadline() (time.Time, bool) { return b.until, true }
