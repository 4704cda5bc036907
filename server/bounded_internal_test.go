package server

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// TestBounded: a context without a timer behaves as one that has it.
func TestBounded(t *testing.T) {
	t.Parallel()
	type key struct{}
	call, end := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	defer end()
	now := time.Now()

	b := within(call, now, time.Hour)
	if until, ok := b.Deadline(); !ok || !until.Equal(now.Add(time.Hour)) {
		t.Errorf("it ends at %v", until)
	}
	if b.Err() != nil || b.Value(key{}) != "value" || b.begun() != nil {
		t.Errorf("before anybody waits: %v, %v, timer %v", b.Err(), b.Value(key{}), b.begun())
	}
	within(call, now, time.Hour).release() // of one that nobody waited for
	child, free := context.WithCancel(b)
	defer free()
	if b.begun() == nil || b.Err() != nil || b.Value(key{}) != "value" {
		t.Errorf("while somebody waits: %v, %v, timer %v", b.Err(), b.Value(key{}), b.begun())
	}
	b.release()
	<-child.Done()
	if !errors.Is(child.Err(), context.Canceled) || !errors.Is(b.Err(), context.Canceled) {
		t.Errorf("once it is over: %v, %v", child.Err(), b.Err())
	}

	late := within(call, now.Add(-2*time.Hour), time.Hour)
	if !errors.Is(late.Err(), context.DeadlineExceeded) || late.begun() != nil {
		t.Errorf("late, and nobody waits: %v", late.Err())
	}
	<-late.Done()
	if !errors.Is(late.Err(), context.DeadlineExceeded) {
		t.Errorf("late: %v", late.Err())
	}

	waiting, idle := within(call, now, time.Hour), within(call, now, time.Hour)
	done := waiting.Done()
	end()
	<-done
	if !errors.Is(waiting.Err(), context.Canceled) || !errors.Is(idle.Err(), context.Canceled) {
		t.Errorf("its call is over: %v, %v", waiting.Err(), idle.Err())
	}
	<-idle.Done() // that begins after the call is over
}

// TestBoundedHasNoGoroutines: contexts that are made from it are ended by it, as
// by those of the standard library, and need no goroutines that wait for it.
func TestBoundedHasNoGoroutines(t *testing.T) { //nolint:paralleltest // goroutines are the process's
	b := within(t.Context(), time.Now(), time.Hour)
	defer b.release()
	const n = 1000
	before := runtime.NumGoroutine()
	for range n {
		_, free := context.WithCancel(b)
		defer free()
	}
	if grown := runtime.NumGoroutine() - before; grown > n/2 {
		t.Errorf("%d contexts have %d goroutines", n, grown)
	}
}
