package boltstore

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// listener remembers what it was told since it was last asked.
type listener struct {
	mu        sync.Mutex
	announced map[account.Subject]int
	confirmed time.Time
	told      chan struct{} // when it was first told something
	once      sync.Once
}

// Announced implements account.Watcher.
func (l *listener) Announced(s account.Subject, _ time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.announced[s]++
}

// Confirmed implements account.Watcher.
func (l *listener) Confirmed(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed = until
}

// Missed implements account.Watcher.
func (l *listener) Missed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed = time.Time{}
	l.once.Do(func() { close(l.told) })
}

func (l *listener) heard(s account.Subject) (times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	times = l.announced[s]
	delete(l.announced, s)
	return times
}

func (l *listener) isConfirmed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.confirmed.After(time.Now().AddDate(50, 0, 0))
}

// listen watches a store until the returned function is called.
func listen(t testing.TB, s *Store) (l *listener, stop func()) {
	t.Helper()
	l = &listener{announced: make(map[account.Subject]int), told: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, l)
	}()
	<-l.told
	s.watchers.mu.Lock()   // all is said then
	s.watchers.mu.Unlock() //nolint:staticcheck // it was waited for
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return l, stop
}

// TestChangeIsAnnouncedBeforeItIsAnswered: to all who watch, however many
// changes there are at once, while others come and go.
func TestChangeIsAnnouncedBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	const callers, changes = 32, 20
	s := open(t, newPath(t))
	first, _ := listen(t, s)
	second, _ := listen(t, s)
	var wg sync.WaitGroup
	heard := func(subject account.Subject) {
		for _, l := range []*listener{first, second} {
			if times := l.heard(subject); times != 1 {
				t.Errorf("%+v was announced %d times", subject, times)
			}
		}
	}
	for n := range uint32(callers) {
		wg.Go(func() {
			app := found(t, s, 1+n)
			owner := &account.Account{ID: fmt.Sprint("owner", n)}
			for range changes {
				change(t, s, app, "DisableApp")
				heard(account.Subject{App: app.ID})
				if err := s.UpdateAccount(t.Context(), owner); err != nil {
					t.Error(err)
				}
				heard(account.Subject{Account: owner.ID})
			}
			drop(t, s, app)
			heard(account.Subject{App: app.ID})
		})
		wg.Go(func() {
			third, stop := listen(t, s)
			if !third.isConfirmed() {
				t.Error("what it keeps is not confirmed")
			}
			stop()
		})
	}
	wg.Wait()
	same(t, "confirmed", []bool{true, true}, []bool{first.isConfirmed(), second.isConfirmed()})
}

// TestWhatChangesNothingIsNotAnnounced, and a creation is only where a record
// was before.
func TestWhatChangesNothingIsNotAnnounced(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	l, _ := listen(t, s)
	app := found(t, s, 1)
	stale := app.Clone()
	subject := account.Subject{App: 1}
	same(t, "a creation", 0, l.heard(subject))
	change(t, s, app, "DisableApp")
	same(t, "a change", 1, l.heard(subject))
	if err := s.UpdateApp(t.Context(), stale, account.Event{}); err != account.ErrConflict { //nolint:errorlint // it is never wrapped
		t.Fatal(err)
	}
	same(t, "a conflict", 0, l.heard(subject))
	applyOne(t, s, adding(app, "sent"))
	same(t, "a count", 0, l.heard(subject))
	lose(t, s, app)
	if err := s.CreateApp(t.Context(), app, account.Event{}, 1, true); err != nil {
		t.Fatal(err)
	}
	same(t, "a creation anew", 1, l.heard(subject))
}

// TestChangeOfUnknownOutcomeIsAnnounced: it may have come to pass.
func TestChangeOfUnknownOutcomeIsAnnounced(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	l, _ := listen(t, s)
	release := block(t, s)
	s.update = func(func(*bolt.Tx) error) error {
		s.update = s.transact
		return syscall.EIO
	}
	release()
	same(t, "reason", account.OutcomeUnknown, fault(s.UpdateApp(t.Context(), app, account.Event{})))
	same(t, "announced", 1, l.heard(account.Subject{App: 1}))
	if l.isConfirmed() {
		t.Error("a store that could not sync confirms what is kept")
	}
}

// TestNothingIsConfirmedByAStoreThatDoesNotAnswer: neither to who watches, nor
// to who comes then.
func TestNothingIsConfirmedByAStoreThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, s *Store){
		"closed": func(t *testing.T, s *Store) { shut(t, s) },
		"damaged": func(t *testing.T, s *Store) {
			heads["cut off"](t, s)
			if _, err := s.App(t.Context(), 1); err == nil {
				t.Error("it answers")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			before, _ := listen(t, s)
			if !before.isConfirmed() {
				t.Error("what is kept is not confirmed")
			}
			end(t, s)
			after, _ := listen(t, s)
			same(t, "confirmed", []bool{false, false}, []bool{before.isConfirmed(), after.isConfirmed()})
		})
	}
}

// TestWhoLeftIsToldNothing, and may use nothing that was kept.
func TestWhoLeftIsToldNothing(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	app := found(t, s, 1)
	gone, stop := listen(t, s)
	stays, _ := listen(t, s)
	stop()
	change(t, s, app, "DisableApp")
	same(t, "announced", []int{0, 1}, []int{gone.heard(account.Subject{App: 1}), stays.heard(account.Subject{App: 1})})
	same(t, "confirmed", []bool{false, true}, []bool{gone.isConfirmed(), stays.isConfirmed()})
}

// TestLease: the one process has it, as long as it can answer.
func TestLease(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	ctx, cancel := context.WithCancel(t.Context())
	ok, err := s.Lease(ctx, "sweep", time.Minute)
	if !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	cancel()
	ok, err = s.Lease(ctx, "sweep", time.Minute)
	if same(t, "of one who left", account.CallerGone, fault(err)); ok {
		t.Error("who left has it")
	}
	shut(t, s)
	ok, err = s.Lease(t.Context(), "sweep", time.Minute)
	if same(t, "of a closed store", account.StoreUnavailable, fault(err)); ok {
		t.Error("a closed store gives it")
	}
}
