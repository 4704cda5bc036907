package redisstore

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

// revisions reads a page of an app's log.
func revisions(t testing.TB, s *Store, id uint32, before uint64, limit int) (found []uint64) {
	t.Helper()
	events, err := s.Events(t.Context(), id, before, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		found = append(found, e.Revision)
	}
	return found
}

// TestLogIsBounded: it forgets one event for each that is written.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newApp(t, s, 1)
	pipe := client.Pipeline()
	for revision := range account.EventsKept {
		pipe.HSet(t.Context(), s.eventsKey(1), fmt.Sprint(revision+1), "{}")
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	app.Version.Revision = account.EventsKept
	redisDo(t, server, "HSET", s.headerKey(1), "v", versionText(app.Version))
	for range 3 {
		if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := client.HLen(t.Context(), s.eventsKey(1)).Val(); n != account.EventsKept {
		t.Errorf("%d events are kept, want %d", n, account.EventsKept)
	}
	if got := revisions(t, s, 1, 0, 2); !cmp.Equal(got, []uint64{10_003, 10_002}) {
		t.Errorf("the newest: %v", got)
	}
	if got := revisions(t, s, 1, 6, 10); !cmp.Equal(got, []uint64{5, 4}) {
		t.Errorf("the oldest: %v", got)
	}
}

// TestHolesInTheLog are of changes that an older imquota made: a page is full
// all the same while there are events.
func TestHolesInTheLog(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	app.Version.Revision = 5000
	redisDo(t, server, "HSET", s.headerKey(1), "v", versionText(app.Version))
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	redisDo(t, server, "HSET", s.eventsKey(1), 3000, "{}", 2, "{}")
	for _, tt := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{
		{0, 2, []uint64{5001, 3000}},
		{3000, 1, []uint64{2}},
		{0, 10, []uint64{5001, 3000, 2, 1}},
		{1, 10, nil},
		{9999, 1, []uint64{5001}},
		{0, 0, nil},
	} {
		if got := revisions(t, s, 1, tt.before, tt.limit); !cmp.Equal(got, tt.want) {
			t.Errorf("%d before %d: %v, want %v", tt.limit, tt.before, got, tt.want)
		}
	}
	redisDo(t, server, "HSET", s.eventsKey(1), 2, "{")
	_, err := s.Events(t.Context(), 1, 3, 1)
	wantReason(t, err, account.UsageUnknown)
}

// TestLogOfACreation goes with it, and that of a lost app is not its own.
func TestLogOfACreation(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := ownedBy("acme", 1)
	p := beginPlace(t, s, app, 10)
	goOn(t, s, app, p)
	redisDo(t, server, "HDEL", s.accountKey("acme"), 1)
	if isOurs, err := s.settle(t.Context(), "acme", 1, p.token); isOurs || err != nil {
		t.Fatalf("settled %v, %v", isOurs, err)
	}
	if n := client.Exists(t.Context(), s.recordKeys(1)...).Val(); n != 0 {
		t.Error("a creation that was undone leaves a log")
	}
	app = newApp(t, s, 1)
	for range 2 {
		if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	redisDo(t, server, "DEL", s.headerKey(1))
	anew := ownedBy("acme", 1)
	if err := s.CreateApp(t.Context(), anew, account.Event{Action: "CreateApp"}, 10, true); err != nil {
		t.Fatal(err)
	}
	if got := client.HKeys(t.Context(), s.eventsKey(1)).Val(); !cmp.Equal(got, []string{"1"}) {
		t.Errorf("the log has %v", got)
	}
	events, err := s.Events(t.Context(), 1, 0, 10)
	if err != nil || len(events) != 1 || events[0].Action != "CreateApp" {
		t.Errorf("%+v, %v", events, err)
	}
}
