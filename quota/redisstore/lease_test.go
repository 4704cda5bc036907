package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
)

// TestLease: one store has it, renews it, and loses it when it does not.
func TestLease(t *testing.T) {
	t.Parallel()
	server, first := standalone(t)
	second := initialized(t, "redis://"+server.Addr)
	ask := func(s *Store, name string, lasts time.Duration) bool {
		t.Helper()
		ok, err := s.Lease(t.Context(), name, lasts)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !ask(first, "sweep", time.Minute) || ask(second, "sweep", time.Minute) || !ask(first, "sweep", time.Minute) {
		t.Error("who has it does not keep it")
	}
	if !ask(second, "notify", time.Minute) {
		t.Error("one name keeps another from being had")
	}
	const short = 100 * time.Millisecond
	begun := time.Now()
	if !ask(first, "sweep", short) {
		t.Error("it cannot be made shorter")
	}
	eventually(t, 5*time.Second, "the lease to be over", func() error {
		if ask(second, "sweep", time.Minute) {
			return nil
		}
		return errors.New("another has it")
	})
	if took := time.Since(begun); took < short/2 {
		t.Errorf("it was over after %v, want %v", took, short)
	}
	if ask(first, "sweep", time.Minute) {
		t.Error("two have it")
	}
	redisDo(t, server, "LPUSH", second.leaseKey("sick"), "x")
	_, err := first.Lease(t.Context(), "sick", time.Minute)
	wantReason(t, err, account.UsageUnknown)
}
