package redisstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

// TestRestorationThatBreaksOff can be repeated from wherever it did.
func TestRestorationThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		writable []string
		want     account.FaultReason
		again    error
	}{
		{"at the place", []string{"imq:log"}, account.StoreUnavailable, nil},
		{"at the header", []string{"imq:{acct:*"}, account.StoreUnavailable, nil},
		{"at the directory", []string{"imq:{acct:*", "imq:{1}:*"}, account.OutcomeUnknown, account.ErrAppExists},
		{"at the deleted apps", []string{"imq:{acct:acme}", "imq:{1}:*", "imq:{dir:*"}, account.OutcomeUnknown, account.ErrAppExists},
		{"at the place that is given back", nil, account.OutcomeUnknown, account.ErrAppExists},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, s := standalone(t)
			app := ownedBy("acme", 1)
			app.Deleted, app.Version = monday, account.Version{Epoch: 1, Revision: 3}
			narrow := refusing(t, server, tt.writable...)
			if tt.writable == nil { // all but what free.lua does alone
				redisDo(t, server, "ACL", "SETUSER", "narrow", "~*", "-hsetnx")
			}
			err := narrow.RestoreApp(t.Context(), app.Clone(), nil, account.Event{})
			wantReason(t, err, tt.want)
			if err := s.RestoreApp(t.Context(), app, nil, account.Event{}); !errors.Is(err, tt.again) {
				t.Errorf("repeated: %v, want %v", err, tt.again)
			}
			if err := s.FreePlace(t.Context(), app); err != nil {
				t.Fatal(err)
			}
			owner := s.Accounts(t.Context(), []string{"acme"})[0].Account
			got, err := s.App(t.Context(), 1)
			if err != nil || got.Version.Revision != 4 || owner.Apps != 0 || owner.Deleted != 1 {
				t.Errorf("%+v, %v, in %+v", got, err, owner)
			}
			if listed := server.Client().HGet(t.Context(), s.directoryKey(1), "1").Val(); listed != live+" acme" {
				t.Errorf("the directory says %q", listed)
			}
		})
	}
}

// walkOwners walks over all accounts and does something after each page.
func walkOwners(t testing.TB, s *Store, limit int, after func(page int)) (found map[string]int, pages int) {
	t.Helper()
	found = make(map[string]int)
	for cursor := ""; ; {
		page, err := s.WalkAccounts(t.Context(), cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, name := range page.Accounts {
			found[name]++
		}
		if cursor = page.Next; cursor == "" {
			return found, pages
		}
		after(pages)
	}
}

// TestWalkAccountsAcrossARestart: the walk begins anew, and leaves none out.
func TestWalkAccountsAcrossARestart(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	const many = 500
	pipe := server.Client().Pipeline()
	for i := range many {
		pipe.HSet(t.Context(), s.ownerKey(fmt.Sprint("a", i)), "v", "1.1", "r", "{}")
		pipe.HSet(t.Context(), s.accountKey(fmt.Sprint("b", i)), "1", live)
		pipe.HSet(t.Context(), s.goneKey(fmt.Sprint("c", i)), "1", "1")
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, pages := walkOwners(t, s, 50, func(page int) {
		if page != 5 {
			return
		}
		if err := server.Client().Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		server.Kill()
		server.Restart()
	})
	if len(found) != many || found["a0"] == 0 || pages < 10 {
		t.Errorf("%d accounts were found on %d pages, want %d", len(found), pages, many)
	}
}

// TestWalkAccountsOfAPrefix: its letters stand for themselves.
func TestWalkAccountsOfAPrefix(t *testing.T) {
	t.Parallel()
	server, _ := standalone(t)
	for _, prefix := range []string{"i?q", "imq", "i[m]q"} {
		s := initialized(t, "redis://"+server.Addr+"?prefix="+prefix)
		if err := s.UpdateAccount(t.Context(), &account.Account{ID: "of." + s.prefix}); err != nil {
			t.Fatal(err)
		}
		found, _ := walkOwners(t, s, 10, func(int) {})
		if diff := cmp.Diff(map[string]int{"of." + s.prefix: 1}, found); diff != "" {
			t.Errorf("of prefix %s (-want +got):\n%s", s.prefix, diff)
		}
	}
}

func TestWalkAccountsRefusesOtherCursors(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	for _, cursor := range []string{"x", "1", "1:2", "1:-1:0", "g:1:2", "1:x:2", "1:1:x", "1:1:1:1"} {
		_, err := s.WalkAccounts(t.Context(), cursor, 10)
		if _, ok := errors.AsType[*account.InvalidError](err); !ok {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}
