package redisstore

import (
	"errors"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// TestRevisionMadeTwice: a fail-over loses a change, and the next one gets its
// number. Who still has the lost record must learn that it is not in force.
func TestRevisionMadeTwice(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 7)
	client, key := server.Client(), s.headerKey(app.ID)
	replica, err := client.HGetAll(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	lost, kept := app.Clone(), app.Clone()
	if err := s.UpdateApp(t.Context(), lost, account.Event{}); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, txnOf(lost, add("users", 1)))
	client.Del(t.Context(), key)
	client.HSet(t.Context(), key, replica)
	if err := s.UpdateApp(t.Context(), kept, account.Event{}); err != nil {
		t.Fatal(err)
	}
	if lost.Version.Revision != kept.Version.Revision {
		t.Fatalf("revisions %d and %d, want the same twice", lost.Version.Revision, kept.Version.Revision)
	}
	if err := applyOne(t.Context(), s, txnOf(lost, add("users", 1))).Err; !errors.Is(err, quota.ErrStale) {
		t.Errorf("the lost record judges: %v", err)
	}
	if err := s.UpdateApp(t.Context(), lost, account.Event{}); !errors.Is(err, account.ErrConflict) {
		t.Errorf("the lost record can be changed: %v", err)
	}
	mustApply(t, s, txnOf(kept, add("users", 1)))
}
