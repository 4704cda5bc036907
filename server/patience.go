package server

import (
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// ender is what grpc-go's streams have beside what their interfaces say, and the
// one way to end a call from outside of it whose context was not replaced before
// it began. Its context ends with it.
type ender interface{ WriteStatus(st *status.Status) error }

// patience ends calls that take longer than a time.
type patience struct {
	limit  time.Duration
	answer *status.Status // of those it ends
	terms  sync.Pool
}

// term is the time of one call. They are used again, with their timers: that of a
// call that is over runs on, for it ends no later than the next one's is to. Setting
// two timers for each call and stopping them costs as much as a small decision.
type term struct {
	*patience

	mu    sync.Mutex
	call  ender // nil: it is over
	until time.Time
	timer *time.Timer
	isSet bool
}

// begin begins a call's time.
func (p *patience) begin(call ender, now time.Time) *term {
	t, ok := p.terms.Get().(*term)
	if !ok {
		t = &term{patience: p}
	}
	t.begin(call, now)
	return t
}

func (t *term) begin(call ender, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.call, t.until = call, now.Add(t.limit)
	switch {
	case t.isSet:
	case t.timer == nil:
		t.timer = time.AfterFunc(t.limit, t.end)
	default:
		t.timer.Reset(t.limit)
	}
	t.isSet = true
}

// over says that the call is, or may take its time from now on.
func (t *term) over() {
	t.mu.Lock()
	t.call = nil
	t.mu.Unlock()
	t.terms.Put(t)
}

// end ends the call if its time is up.
func (t *term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.isSet = false
	if t.call == nil {
		return
	}
	if left := time.Until(t.until); left > 0 {
		t.timer.Reset(left)
		t.isSet = true
		return
	}
	_ = t.call.WriteStatus(t.answer) // it was over already
	t.call = nil
}
