package redisstore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// announcements is how many entries the log has.
func announcements(t testing.TB, c *redis.Client, s *Store) int64 {
	t.Helper()
	n, err := c.XLen(t.Context(), s.logKey()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLateChange: a change that was on its way for so long that what is read is
// kept again is not made. It is announced anew.
func TestLateChange(t *testing.T) {
	t.Parallel()
	server, proxy, s := throughProxy(t, "?timeout=10s")
	client := server.Client()
	app := newApp(t, s, 1)
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil { // the scripts are loaded
		t.Fatal(err)
	}
	held, release := proxy.Hold(updateScript.sha)
	done := make(chan error)
	go func() { done <- s.UpdateApp(t.Context(), app, account.Event{Action: "Late"}) }()
	<-held
	before := announcements(t, client, s) // of both changes, and again where they were late already
	if before < 2 {
		t.Errorf("%d announcements before the change, want 2", before)
	}
	since := time.Now()
	eventually(t, 10*time.Second, "the change to be late", func() error {
		if late := time.Since(since); late <= changeWithin {
			return fmt.Errorf("%v", late)
		}
		return nil
	})
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := announcements(t, client, s); n <= before {
		t.Errorf("%d announcements, want more than %d", n, before)
	}
	events, err := s.Events(t.Context(), 1, 0, 10)
	if err != nil || len(events) != 3 || events[0].Action != "Late" || app.Version.Revision != 3 {
		t.Errorf("revision %d, events %+v, %v", app.Version.Revision, events, err)
	}
}

// TestSlowStore: where a change is always late nothing is changed, and the
// caller is told so.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	server, proxy, s := throughProxy(t, "?timeout=10s")
	client := server.Client()
	app := newApp(t, s, 1)
	if _, err := s.announce(t.Context(), subjectOf(app), s.headerKey(1)); err != nil {
		t.Fatal(err)
	}
	before := dumpAll(t, client)
	proxy.Lag(announceWithin + 50*time.Millisecond)
	err := s.UpdateApp(t.Context(), app, account.Event{})
	wantReason(t, err, account.StoreUnavailable)
	if f, ok := errors.AsType[*account.Fault](err); !ok || f.RetryAfter <= 0 {
		t.Errorf("%v does not say when to retry", err)
	}
	if n := announcements(t, client, s); n != 1+changeAttempts {
		t.Errorf("%d announcements, want %d", n, 1+changeAttempts)
	}
	after := dumpAll(t, client)
	delete(before, s.logKey())
	delete(after, s.logKey())
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("it was changed (-before +after):\n%s", diff)
	}
	proxy.Lag(0)
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Error(err)
	}
}

// TestChangeInTime: only the server that was asked for its time may make the
// change, and only from then on.
func TestChangeInTime(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app, owner := newApp(t, s, 1), &account.Account{ID: "acme"}
	for _, tt := range []struct {
		name string
		bend func(*beginning)
		want int64
	}{
		{"by another server", func(b *beginning) { b.server = "another" }, changeTooLate},
		{"late", func(b *beginning) { b.millis -= changeWithin.Milliseconds() + 1 }, changeTooLate},
		{"by a clock that was set back", func(b *beginning) { b.millis += 60_000 }, changeTooLate},
		{"in time", func(*beginning) {}, changeMade},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range []command{
				{script: updateScript, keys: s.recordKeys(1), args: []any{versionText(app.Version), "z.2", "{}", "2", "{}", "0"}},
				{script: ownerScript, keys: []string{s.ownerKey(owner.ID)}, args: []any{"", "z.1", "{}"}},
			} {
				at, err := s.announce(t.Context(), subjectOf(app), c.keys[0])
				if err != nil {
					t.Fatal(err)
				}
				tt.bend(&at)
				args := append([]any{at.server, at.millis, changeWithin.Milliseconds()}, c.args...)
				if reply, err := s.run(t.Context(), c.script, c.keys, args...); err != nil || reply != tt.want {
					t.Errorf("answered %v, %v; want %d", reply, err, tt.want)
				}
			}
		})
	}
}

// TestAnnouncementThatFails: what cannot be announced is not changed, whether
// the announcement was made or not.
func TestAnnouncementThatFails(t *testing.T) {
	t.Parallel()
	server, proxy, s := throughProxy(t, "")
	app := newApp(t, s, 1)
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil { // the scripts are loaded
		t.Fatal(err)
	}
	for name, fails := range map[string]func() error{
		"refused": func() error {
			return refusing(t, server, "imq:{1}:*").UpdateApp(t.Context(), app.Clone(), account.Event{})
		},
		"its reply lost": func() error {
			proxy.DropReplyTo(announceScript.sha)
			return s.UpdateApp(t.Context(), app.Clone(), account.Event{})
		},
		"an account's reply lost": func() error {
			proxy.DropReplyTo(announceScript.sha)
			return s.UpdateAccount(t.Context(), &account.Account{ID: "acme"})
		},
	} {
		wantReason(t, fails(), account.StoreUnavailable)
		if got, err := s.App(t.Context(), 1); err != nil || got.Version != app.Version {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if l := s.Accounts(t.Context(), []string{"acme"})[0]; l.Err != nil || l.Account.Version.Revision != 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

// TestLostReplyOfAChange: it may have been made.
func TestLostReplyOfAChange(t *testing.T) {
	t.Parallel()
	_, proxy, s := throughProxy(t, "")
	app := newApp(t, s, 1)
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	l, _ := watch(t, s)
	proxy.DropReplyTo(updateScript.sha)
	wantReason(t, s.UpdateApp(t.Context(), app, account.Event{}), account.OutcomeUnknown)
	l.awaitHeard(t, subjectOf(app))
	if got, err := s.App(t.Context(), 1); err != nil || got.Version.Revision != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}
