package boltstore

import (
	"context"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
)

// forEver is how long what is kept may be used unless something is announced.
// All changes are made by this process, so none is ever missed.
const forEver = 100 // years

// watchers are those who are told what changes. They are told under the lock,
// which is why their methods return at once.
type watchers struct {
	mu  sync.Mutex
	all map[*account.Watcher]struct{}
}

// Watch implements account.Registry.
func (s *Store) Watch(ctx context.Context, w account.Watcher) {
	s.watchers.mu.Lock()
	if s.watchers.all == nil {
		s.watchers.all = make(map[*account.Watcher]struct{})
	}
	s.watchers.all[&w] = struct{}{}
	w.Missed()
	// A store that gives up or closes afterwards waits for the lock to say so.
	if s.Ready(ctx) == nil {
		w.Confirmed(time.Now().AddDate(forEver, 0, 0))
	}
	s.watchers.mu.Unlock()

	<-ctx.Done()
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	delete(s.watchers.all, &w)
	w.Missed() // from here on
}

// announce tells which records a batch changed, or may have.
func (w *watchers) announce(batch []*work) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, done := range batch {
		if done.subject == (account.Subject{}) || done.answer != nil {
			continue
		}
		for watcher := range w.all {
			(*watcher).Announced(done.subject, time.Time{})
		}
	}
}

// missed tells that changes are announced no more.
func (w *watchers) missed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for watcher := range w.all {
		(*watcher).Missed()
	}
}
