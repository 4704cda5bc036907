package server

import (
	"maps"
	"sync"
	"sync/atomic"
)

// series finds what belongs to labels. Prometheus finds it too, for a fifth of what
// a whole decision costs; here it is asked once. There are as many as it has.
type series[L comparable, S any] struct {
	find func(L) S

	known atomic.Pointer[map[L]S] // replaced, and never changed
	mu    sync.Mutex              // whoever replaces it
}

func newSeries[L comparable, S any](find func(L) S) *series[L, S] {
	s := &series[L, S]{find: find}
	s.known.Store(&map[L]S{})
	return s
}

// of returns what belongs to labels.
func (s *series[L, S]) of(labels L) S {
	if found, ok := (*s.known.Load())[labels]; ok {
		return found
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(labels)
	more := maps.Clone(*s.known.Load())
	more[labels] = found
	s.known.Store(&more)
	return found
}
