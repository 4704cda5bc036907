package main

import (
	"errors"
	"sync"
	"testing"

	"google.golang.org/grpc/health"
)

// TestUnsoundStoreIsNeverReady: while one probe after the other finds the store
// unsound, nobody who asks in between is told that it is ready.
func TestUnsoundStoreIsNeverReady(t *testing.T) {
	t.Parallel()
	f := &front{health: health.NewServer(), metrics: newMetrics()}
	f.setReady(errNotProbed)
	done := make(chan struct{})
	var probing sync.WaitGroup
	probing.Go(func() {
		defer close(done)
		for range 20_000 {
			f.setReady(errors.New("it evicts"))
		}
	})
	for asking := true; asking; {
		select {
		case <-done:
			asking = false
		default:
		}
		if f.ready.Load() == nil {
			t.Error("it was ready for a moment")
			break
		}
	}
	probing.Wait()
	f.setReady(nil)
	if f.ready.Load() != nil {
		t.Error("a sound store is not ready")
	}
}
