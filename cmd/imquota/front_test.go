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

// TestFewInFlight: who lowers --max-in-flight need not lower the share of one
// connection too, which is never more.
func TestFewInFlight(t *testing.T) {
	t.Parallel()
	p := serve(t, "--demo", "--max-in-flight", "10")
	if got := p.ask("check", "login", "--app", "1400000001", "--user", "alice"); got.code != exitFine {
		t.Errorf("%+v", got)
	}
	for _, tt := range []struct{ all, one, want int }{{10, 1024, 10}, {4096, 1024, 1024}} {
		c := serveCmd{MaxInFlight: tt.all, MaxInFlightPerConnection: tt.one}
		if got := c.inFlightPerConnection(); got != tt.want {
			t.Errorf("of %d calls one connection may have %d, want %d", tt.all, got, tt.want)
		}
	}
}
