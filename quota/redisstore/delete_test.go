package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// beginDeletion deletes an app as far as its place, and no further.
func beginDeletion(t testing.TB, s *Store, app *account.App) (token string, turned bool) {
	t.Helper()
	token = drawToken()
	reply, err := s.repeatable(t.Context(), leaveScript, []string{s.accountKey(app.Account)}, appField(app.ID), token)
	if err != nil {
		t.Fatal(err)
	}
	return token, reply == int64(1)
}

// tombstone goes on as far as the record, and no further.
func tombstone(t testing.TB, s *Store, app *account.App) {
	t.Helper()
	app.Deleted = monday
	if err := s.UpdateApp(t.Context(), app, account.Event{Action: "DeleteApp"}); err != nil {
		t.Fatal(err)
	}
}

// placeOf is what an account says of an app.
func placeOf(t testing.TB, server *redistest.Server, s *Store, app *account.App) string {
	t.Helper()
	return server.Client().HGet(t.Context(), s.accountKey(app.Account), appField(app.ID)).Val()
}

// TestDeletionThatBreaksOff anywhere: the account holds exactly the apps it may,
// and repeating the deletion ends it.
func TestDeletionThatBreaksOff(t *testing.T) {
	t.Parallel()
	const maxApps = 4
	server, s := standalone(t)
	for i, tt := range []struct {
		name    string
		deleted bool // the record says so
		fit     int  // apps, beside it
		leave   func(t *testing.T, app *account.App)
	}{
		{"before its record", false, maxApps - 1, func(t *testing.T, app *account.App) { beginDeletion(t, s, app) }},
		{"before its place is given back", true, maxApps, func(t *testing.T, app *account.App) {
			beginDeletion(t, s, app)
			tombstone(t, s, app)
		}},
		{"and its place stays live, since the account lost its tail", true, maxApps, func(t *testing.T, app *account.App) {
			tombstone(t, s, app)
		}},
		{"and its place was taken for one of a creation", true, maxApps, func(t *testing.T, app *account.App) {
			tombstone(t, s, app)
			redisDo(t, server, "HSET", s.accountKey(app.Account), app.ID, "pending z 99999999999")
		}},
		{"when its place is given back", true, maxApps, func(t *testing.T, app *account.App) {
			tombstone(t, s, app)
			redisDo(t, server, "HDEL", s.accountKey(app.Account), app.ID)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, id := fmt.Sprint("acct", i), uint32(1000*(i+1))
			app := ownedBy(name, id)
			if err := s.CreateApp(t.Context(), app, account.Event{}, maxApps, false); err != nil {
				t.Fatal(err)
			}
			tt.leave(t, app)
			apps, err := s.Apps(t.Context(), name, 0, 10, false)
			if err != nil || (len(apps) == 1) == tt.deleted {
				t.Errorf("%d apps are listed, %v", len(apps), err)
			}
			if got := fill(t, s, name, id+1, maxApps); got != tt.fit {
				t.Errorf("%d apps fit beside it, want %d", got, tt.fit)
			}
			if tt.deleted {
				if err := s.FreePlace(t.Context(), app); err != nil {
					t.Error(err)
				}
			} else {
				app.Deleted = monday
				if err := s.DeleteApp(t.Context(), app, account.Event{}); err != nil {
					t.Error(err)
				}
			}
			apps, err = s.Apps(t.Context(), name, 0, 10, true)
			if err != nil || len(apps) != 1 || apps[0].ID != id {
				t.Errorf("%d deleted apps are listed, %v", len(apps), err)
			}
			fill(t, s, name, id+100, maxApps)
			wantPlaces(t, server.Client(), s, name, maxApps)
			owner := s.Accounts(t.Context(), []string{name})[0]
			if owner.Err != nil || owner.Account.Apps != maxApps || owner.Account.Deleted != 1 {
				t.Errorf("%+v", owner)
			}
		})
	}
}

// TestPlaceThatIsFreed whatever the account says of it, as often as one likes,
// but only when the app is deleted.
func TestPlaceThatIsFreed(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newApp(t, s, 1)
	pretends := app.Clone()
	pretends.Deleted = monday
	if err := s.FreePlace(t.Context(), pretends); !errors.Is(err, account.ErrConflict) {
		t.Errorf("of an app that lives it answered %v, want %v", err, account.ErrConflict)
	}
	if err := s.FreePlace(t.Context(), ownedBy("acme", 2)); !errors.Is(err, account.ErrAppNotFound) {
		t.Errorf("of an app that never was it answered %v, want %v", err, account.ErrAppNotFound)
	}
	wantPlaces(t, client, s, "acme", 1)
	tombstone(t, s, app)
	for _, text := range []string{live, "leaving z", "pending z 1", ""} {
		if text != "" {
			redisDo(t, server, "HSET", s.accountKey("acme"), 1, text)
		}
		misled := app.Clone()
		misled.Account = "another" // the stored record knows better
		if err := s.FreePlace(t.Context(), misled); err != nil {
			t.Errorf("when it is %q: %v", text, err)
		}
		if got := placeOf(t, server, s, app); got != "" {
			t.Errorf("when it was %q it is %q", text, got)
		}
	}
	if got := client.HLen(t.Context(), s.goneKey("acme")).Val(); got != 1 {
		t.Errorf("%d deleted apps, want 1", got)
	}
}

// TestRefusedDeletion: the place is live again, unless somebody else may have
// gone on to delete the app.
func TestRefusedDeletion(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	conflict := func(t *testing.T, app *account.App) {
		t.Helper()
		stale := app.Clone()
		stale.Version = account.FirstVersion()
		stale.Deleted = monday
		if err := s.DeleteApp(t.Context(), stale, account.Event{}); !errors.Is(err, account.ErrConflict) {
			t.Fatalf("answered %v, want %v", err, account.ErrConflict)
		}
	}
	t.Run("by a conflict", func(t *testing.T) {
		app := newApp(t, s, 1)
		conflict(t, app)
		if got := placeOf(t, server, s, app); got != live {
			t.Errorf("its place is %q", got)
		}
	})
	t.Run("by a server", func(t *testing.T) {
		app := newApp(t, s, 2)
		wantReason(t, refusing(t, server, "imq:{acct:*", "imq:log").DeleteApp(t.Context(), app, account.Event{}), account.StoreUnavailable)
		if got := placeOf(t, server, s, app); got != live {
			t.Errorf("its place is %q", got)
		}
	})
	t.Run("after another", func(t *testing.T) {
		app := newApp(t, s, 3)
		beginDeletion(t, s, app)
		conflict(t, app)
		if got := placeOf(t, server, s, app); !strings.HasPrefix(got, "leaving ") {
			t.Errorf("its place is %q though another deletion may go on", got)
		}
	})
	t.Run("before another", func(t *testing.T) {
		app := newApp(t, s, 4)
		token, turned := beginDeletion(t, s, app)
		_, second := beginDeletion(t, s, app)
		if !turned || second {
			t.Errorf("turned by the first %v, by the second %v", turned, second)
		}
		s.stay(t.Context(), app, token, account.ErrConflict)
		if got := placeOf(t, server, s, app); !strings.HasPrefix(got, "leaving ") {
			t.Errorf("its place is %q though another deletion may go on", got)
		}
	})
	t.Run("of an app that the account does not know", func(t *testing.T) {
		app := newApp(t, s, 5)
		redisDo(t, server, "HDEL", s.accountKey("acme"), 5)
		conflict(t, app)
		if got := placeOf(t, server, s, app); got != "" {
			t.Errorf("its place is %q", got)
		}
	})
	t.Run("and the reply is lost", func(t *testing.T) {
		proxy := redistest.NewProxy(t, server.Addr)
		through := initialized(t, "redis://"+proxy.Addr)
		app, other := newApp(t, s, 6), newApp(t, s, 7)
		other.Deleted = monday
		if err := through.DeleteApp(t.Context(), other, account.Event{}); err != nil { // the scripts are loaded
			t.Fatal(err)
		}
		app.Deleted = monday
		proxy.DropReplyTo(updateScript.sha)
		wantReason(t, through.DeleteApp(t.Context(), app, account.Event{}), account.OutcomeUnknown)
		if got := placeOf(t, server, s, app); !strings.HasPrefix(got, "leaving ") {
			t.Errorf("its place is %q though it may be deleted", got)
		}
		if err := s.FreePlace(t.Context(), app); err != nil {
			t.Error(err)
		}
	})
}

// TestDeletionThatKeepsItsPlace says so, and that it is to be repeated.
func TestDeletionThatKeepsItsPlace(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	app.Deleted = monday
	err := refusing(t, server, "imq:{acct:acme}", "imq:log", "imq:{1}:*").DeleteApp(t.Context(), app, account.Event{})
	wantReason(t, err, account.OutcomeUnknown)
	got, err := s.App(t.Context(), 1)
	if err != nil || got.Deleted.IsZero() || got.Version != app.Version {
		t.Errorf("%+v, %v; the caller has version %v", got, err, app.Version)
	}
	if got := fill(t, s, "acme", 10, 3); got != 3 {
		t.Errorf("%d apps fit, want 3", got)
	}
}

// TestFullServerCanDelete what fills it, and whatever comes before and after: an
// app is disabled, deleted, swept and said to be, and a payment is recorded.
func TestFullServerCanDelete(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	mustApply(t, s, txnOf(app, addEach("friends", 1, names(100, "user%d")...)))
	paid := &account.Account{ID: "acme"}
	if err := s.UpdateAccount(t.Context(), paid); err != nil {
		t.Fatal(err)
	}
	redisDo(t, server, "CONFIG", "SET", "maxmemory", "1")
	app.Disabled = []account.Spell{{From: monday}}
	if err := s.UpdateApp(t.Context(), app, account.Event{Action: "DisableApp"}); err != nil {
		t.Fatal("disable: ", err)
	}
	for _, owner := range []*account.Account{paid, {ID: "first seen"}} {
		if err := s.UpdateAccount(t.Context(), owner); err != nil {
			t.Errorf("account %s: %v", owner.ID, err)
		}
	}
	app.Deleted = monday
	if err := s.DeleteApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Lease(t.Context(), "sweep", placeHeldFor); !ok || err != nil {
		t.Errorf("the lease: %v, %v", ok, err)
	}
	if removed := sweepAll(t, s, app, 1000, addEach("friends", 0).Counter); removed == 0 {
		t.Error("nothing was removed")
	}
	app.Swept = monday
	if err := s.UpdateApp(t.Context(), app, account.Event{Action: "SweepApp"}); err != nil {
		t.Error("swept: ", err)
	}
}

// TestAppsThatComeAndGo race, break off anywhere and go on late. Never are there
// more apps than places, and in the end there are as many.
func TestAppsThatComeAndGo(t *testing.T) {
	t.Parallel()
	const maxApps, workers, rounds = 6, 6, 60
	server, s := standalone(t)
	ctx := context.WithoutCancel(t.Context())
	var mu sync.Mutex
	var created []*account.App
	living := func() (n int) { // by the records, which decide
		mu.Lock()
		defer mu.Unlock()
		var ids []uint32
		for _, app := range created {
			ids = append(ids, app.ID)
		}
		for i, l := range s.Load(ctx, ids) {
			if l.Err != nil {
				t.Errorf("app %d: %v", ids[i], l.Err)
			} else if l.App.Deleted.IsZero() {
				n++
			}
		}
		return n
	}
	pick := func(random *rand.Rand) *account.App {
		mu.Lock()
		defer mu.Unlock()
		if len(created) == 0 {
			return nil
		}
		return created[random.IntN(len(created))].Clone()
	}
	var all sync.WaitGroup
	for worker := range workers {
		random := rand.New(rand.NewPCG(2, uint64(worker)))
		all.Go(func() {
			for round := range rounds {
				step := random.IntN(6)
				if step < 2 {
					app := ownedBy("acme", uint32(1+worker*rounds+round))
					err := s.CreateApp(ctx, app, account.Event{}, maxApps, false)
					if err == nil {
						mu.Lock()
						created = append(created, app)
						mu.Unlock()
					} else if !errors.Is(err, account.ErrAccountFull) {
						t.Error(err)
					}
					continue
				}
				app := pick(random)
				if app == nil {
					continue
				}
				wasDeleted := false
				if l := s.Load(ctx, []uint32{app.ID})[0]; l.Err == nil && random.IntN(2) == 0 {
					app, wasDeleted = l.App.Clone(), !l.App.Deleted.IsZero() // else it is stale, now and then
				}
				if wasDeleted {
					continue
				}
				if step > 2 {
					app.Deleted = monday
				}
				var err error
				switch step {
				case 2:
					err = s.UpdateApp(ctx, app, account.Event{})
				case 3, 4:
					err = s.DeleteApp(ctx, app, account.Event{})
				case 5: // breaks off before its place is given back, or before its record
					_, err = s.repeatable(ctx, leaveScript, []string{s.accountKey("acme")}, appField(app.ID), drawToken())
					if err == nil && random.IntN(2) == 0 {
						err = s.UpdateApp(ctx, app, account.Event{})
					}
				}
				if err != nil && !errors.Is(err, account.ErrConflict) {
					t.Error(err)
				}
				if n := living(); n > maxApps {
					t.Errorf("%d apps live in %d places", n, maxApps)
				}
			}
		})
	}
	all.Wait()
	before := living()
	if got := fill(t, s, "acme", 10_000, maxApps); got != maxApps-before {
		t.Errorf("%d apps fit beside %d, want %d in all", got, before, maxApps)
	}
	apps, err := s.Apps(t.Context(), "acme", 0, 100, false)
	if err != nil || len(apps) != maxApps {
		t.Errorf("%d apps are listed, %v; want %d", len(apps), err, maxApps)
	}
	if got := server.Client().HLen(t.Context(), s.accountKey("acme")).Val(); got != maxApps {
		t.Errorf("%d places are taken, want %d", got, maxApps)
	}
}
