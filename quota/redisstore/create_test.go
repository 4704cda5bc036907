package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

// ownedBy describes an app that does not exist.
func ownedBy(name string, id uint32) *account.App {
	return &account.App{ID: id, Account: name, Region: "eu", Edition: "standard", Created: monday, FanoutBits: 8}
}

// beginPlace creates an app as far as its place, and no further.
func beginPlace(t testing.TB, s *Store, app *account.App, maxApps int) place {
	t.Helper()
	p, err := s.takePlace(t.Context(), app.Account, app.ID, maxApps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// goOn makes the header of a creation that has its place.
func goOn(t testing.TB, s *Store, app *account.App, p place) {
	t.Helper()
	if _, err := tryHeader(t.Context(), s, app, p); err != nil {
		t.Fatal(err)
	}
}

func tryHeader(ctx context.Context, s *Store, app *account.App, p place) (bool, error) {
	fresh := *app
	fresh.Version = account.FirstVersion()
	return s.makeHeader(ctx, &fresh, &creation{}, p.token)
}

// age makes every pending place of an account as old as can be.
func age(ctx context.Context, c *redis.Client, s *Store, name string) error {
	const script = `
		local fields = redis.call('HGETALL', KEYS[1])
		for i = 1, #fields, 2 do
			local begun = string.match(fields[i + 1], '^(pending %w+ )%d+$')
			local _ = begun and redis.call('HSET', KEYS[1], fields[i], begun .. '1')
		end`
	err := c.Eval(ctx, script, []string{s.accountKey(name)}).Err()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

func mustAge(t testing.TB, c *redis.Client, s *Store, name string) {
	t.Helper()
	if err := age(t.Context(), c, s, name); err != nil {
		t.Fatal(err)
	}
}

// fill creates apps until the account is full, and returns how many.
func fill(t testing.TB, s *Store, name string, first uint32, maxApps int) (created int) {
	t.Helper()
	for ; ; created++ {
		err := s.CreateApp(t.Context(), ownedBy(name, first+uint32(created)), account.Event{}, maxApps, false)
		if errors.Is(err, account.ErrAccountFull) {
			return created
		}
		if err != nil || created > maxApps {
			t.Fatalf("after %d apps: %v", created, err)
		}
	}
}

// wantPlaces checks that an account is full of live apps.
func wantPlaces(t testing.TB, c *redis.Client, s *Store, name string, want int) {
	t.Helper()
	apps, err := s.Apps(t.Context(), name, 0, 1000, false)
	if err != nil || len(apps) != want {
		t.Errorf("%d apps are listed, %v; want %d", len(apps), err, want)
	}
	places := c.HGetAll(t.Context(), s.accountKey(name)).Val()
	for id, text := range places {
		if text != live {
			t.Errorf("the place of app %s is %s", id, text)
		}
	}
	if len(places) != want {
		t.Errorf("%d places are taken, want %d", len(places), want)
	}
}

// TestPlacesThatBelongToNoApp: whatever a creation leaves behind, an account
// comes to hold exactly the apps it may.
func TestPlacesThatBelongToNoApp(t *testing.T) {
	t.Parallel()
	const maxApps = 8
	server, s := standalone(t)
	c := server.Client()
	tests := []struct {
		name  string
		leave func(t *testing.T, name string, id uint32)
		fit   int // apps, at once
		later int // when what is left has become old
	}{
		{"nothing", func(*testing.T, string, uint32) {}, maxApps, maxApps},
		{"a place", func(t *testing.T, name string, id uint32) {
			beginPlace(t, s, ownedBy(name, id), maxApps)
		}, maxApps - 1, maxApps},
		{"a place of the first kind, without a time", func(t *testing.T, name string, id uint32) {
			redisDo(t, server, "HSET", s.accountKey(name), id, "pending")
		}, maxApps, maxApps},
		{"a header", func(t *testing.T, name string, id uint32) {
			app := ownedBy(name, id)
			goOn(t, s, app, beginPlace(t, s, app, maxApps))
		}, maxApps - 1, maxApps - 1},
		{"a live place, the header unsettled", func(t *testing.T, name string, id uint32) {
			app := ownedBy(name, id)
			p := beginPlace(t, s, app, maxApps)
			goOn(t, s, app, p)
			if _, err := s.run(t.Context(), confirmScript, s.placeKeys(name), appField(id), p.token); err != nil {
				t.Fatal(err)
			}
		}, maxApps - 1, maxApps - 1},
		{"a place of an id that another account took", func(t *testing.T, name string, id uint32) {
			beginPlace(t, s, ownedBy(name, id), maxApps)
			if err := s.CreateApp(t.Context(), ownedBy(name+".other", id), account.Event{}, maxApps, false); err != nil {
				t.Fatal(err)
			}
		}, maxApps, maxApps},
		{"a place of an app that another account lost", func(t *testing.T, name string, id uint32) {
			beginPlace(t, s, ownedBy(name, id), maxApps)
			if err := s.CreateApp(t.Context(), ownedBy(name+".other", id), account.Event{}, maxApps, false); err != nil {
				t.Fatal(err)
			}
			redisDo(t, server, "DEL", s.headerKey(id))
		}, maxApps - 1, maxApps},
		{"a settled app whose place the account forgot", func(t *testing.T, name string, id uint32) {
			if err := s.CreateApp(t.Context(), ownedBy(name, id), account.Event{}, maxApps, false); err != nil {
				t.Fatal(err)
			}
			redisDo(t, server, "HSET", s.accountKey(name), id, "pending z 1")
		}, maxApps - 1, maxApps - 1},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name, id := fmt.Sprint("acct", i), uint32(1000*(i+1))
			tt.leave(t, name, id)
			created := fill(t, s, name, id+1, maxApps)
			if created != tt.fit {
				t.Errorf("%d apps fit beside it, want %d", created, tt.fit)
			}
			mustAge(t, c, s, name)
			if created += fill(t, s, name, id+100, maxApps); created != tt.later {
				t.Errorf("%d apps fit when it is old, want %d", created, tt.later)
			}
			wantPlaces(t, c, s, name, maxApps)
		})
	}
}

// TestPlaceIsGivenBackAsItWasRead: a place that something has become of since
// is left alone.
func TestPlaceIsGivenBackAsItWasRead(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	for i, tt := range []struct {
		name   string
		become string
		given  int64
	}{
		{"nothing", "", 1},
		{"taken by another creation of the id", "pending %s 99999999999", 0},
		{"live", live, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := beginPlace(t, s, ownedBy("acme", uint32(i+1)), 10)
			if tt.become != "" {
				redisDo(t, server, "HSET", s.accountKey("acme"), p.app, strings.Replace(tt.become, "%s", p.token, 1))
			}
			given, err := s.repeatable(t.Context(), vacateScript, []string{s.accountKey("acme")}, appField(p.app), p.text)
			if err != nil || given != tt.given {
				t.Errorf("gave %v back, %v; want %d", given, err, tt.given)
			}
		})
	}
}

// TestDamageBlocksOnePlace: a place that cannot be told keeps the others from
// nothing.
func TestDamageBlocksOnePlace(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	beginPlace(t, s, ownedBy("acme", 1), 3)
	beginPlace(t, s, ownedBy("acme", 2), 3)
	redisDo(t, server, "SET", s.headerKey(1), "text")
	mustAge(t, server.Client(), s, "acme")
	if got := fill(t, s, "acme", 10, 3); got != 2 {
		t.Errorf("%d apps fit beside a damaged one, want 2", got)
	}
}

// forget has the next look be due.
func (l *liveLooks) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = nil
}

func TestLiveLooks(t *testing.T) {
	t.Parallel()
	l, now := &liveLooks{}, time.Now()
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  bool
	}{
		{"a", 0, true}, {"a", 0, false}, {"b", 0, true}, {"a", lookEvery - 1, false}, {"a", lookEvery, true}, {"a", lookEvery + 1, false},
	} {
		if got := l.due(tt.name, now.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %v: %v", tt.name, tt.after, got)
		}
	}
	for i := range 3 * mostLooks {
		l.due(strconv.Itoa(i), now)
	}
	if len(l.at) > mostLooks {
		t.Errorf("%d accounts are remembered", len(l.at))
	}
}

// TestFullAccountIsReadInOneStep: that all its apps live costs no more than to
// read them, and a place that is live stays so whatever cannot be told of it.
func TestFullAccountIsReadInOneStep(t *testing.T) {
	t.Parallel()
	const maxApps = 50
	server, s := standalone(t)
	fill(t, s, "acme", 1, maxApps) // the scripts are loaded
	count := &trips{}
	s.client.AddHook(count)
	create := func() {
		t.Helper()
		err := s.CreateApp(countedContext(t), ownedBy("acme", 1000), account.Event{}, maxApps, false)
		if !errors.Is(err, account.ErrAccountFull) {
			t.Errorf("answered %v, want %v", err, account.ErrAccountFull)
		}
	}
	// Whether there is such an app, two; a place; the places; their apps, at the
	// first time; a place.
	s.liveLooks.forget()
	for _, want := range []int64{6, 5} {
		count.n.Store(0)
		create()
		if got := count.n.Load(); got != want {
			t.Errorf("%d round trips, want %d", got, want)
		}
	}
	s.liveLooks.forget()
	redisDo(t, server, "DEL", s.headerKey(1))                   // lost
	redisDo(t, server, "DEL", s.headerKey(2))                   // lost
	redisDo(t, server, "HDEL", s.directoryKey(2), 2)            // and the directory does not know it
	redisDo(t, server, "SET", s.headerKey(3), "text")           // damaged
	setRecord(t, server, s, 4, encoded(t, ownedBy("other", 4))) // another's
	create()
	for id, text := range server.Client().HGetAll(t.Context(), s.accountKey("acme")).Val() {
		if text != live {
			t.Errorf("the place of app %s is %s", id, text)
		}
	}
}

func encoded(t testing.TB, app *account.App) string {
	t.Helper()
	text, err := account.EncodeApp(app)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// setRecord replaces an app's record by hand, under the version that it has.
func setRecord(t *testing.T, server *redistest.Server, s *Store, id uint32, record string) {
	t.Helper()
	version := server.Client().HGet(t.Context(), s.headerKey(id), "v").Val()
	redisDo(t, server, "SET", s.recordKey(id), version+" "+record)
}

// TestLostTombstone: a deleted app whose record is lost, and that is created anew,
// is among the deleted ones until it is live, wherever its creation breaks off.
func TestLostTombstone(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	for i, tt := range []struct {
		name    string
		create  func(t *testing.T, app *account.App)
		created bool
	}{
		{"created", func(t *testing.T, app *account.App) {
			if err := s.CreateApp(t.Context(), app, account.Event{}, 10, true); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"as far as its place", func(t *testing.T, app *account.App) { beginPlace(t, s, app, 10) }, false},
		{"as far as its header", func(t *testing.T, app *account.App) {
			goOn(t, s, app, beginPlace(t, s, app, 10))
		}, true},
		{"as far as its live place, by an imquota that left it there", func(t *testing.T, app *account.App) {
			goOn(t, s, app, beginPlace(t, s, app, 10))
			redisDo(t, server, "HSET", s.accountKey(app.Account), app.ID, live)
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := ownedBy(fmt.Sprint("acct", i), uint32(i+1))
			if err := s.CreateApp(t.Context(), app.Clone(), account.Event{}, 10, false); err != nil {
				t.Fatal(err)
			}
			deleted, err := s.App(t.Context(), app.ID)
			if err != nil {
				t.Fatal(err)
			}
			deleted = deleted.Clone()
			deleted.Deleted = monday
			if err := s.DeleteApp(t.Context(), deleted, account.Event{}); err != nil {
				t.Fatal(err)
			}
			redisDo(t, server, "DEL", s.headerKey(app.ID))
			tt.create(t, app)
			want := account.ErrUsageUnknown
			if tt.created {
				want = nil
			}
			if _, err := s.App(t.Context(), app.ID); !errors.Is(err, want) { // whoever reads it finishes it
				t.Errorf("it is answered as %v, want %v", err, want)
			}
			owner := s.Accounts(t.Context(), []string{app.Account})[0]
			if owner.Err != nil || owner.Account.Apps != 1 || (owner.Account.Deleted == 0) != tt.created {
				t.Errorf("the account: %+v, %v", owner.Account, owner.Err)
			}
			if tt.created {
				if apps, err := s.Apps(t.Context(), app.Account, 0, 10, true); err != nil || len(apps) != 0 {
					t.Errorf("%d deleted apps are listed, %v", len(apps), err)
				}
			}
		})
	}
}

// TestLateCreation: a creator whose place was dropped while it slept goes on
// when the account is full again.
func TestLateCreation(t *testing.T) {
	t.Parallel()
	const maxApps = 3
	server, s := standalone(t)
	c := server.Client()
	late := ownedBy("acme", 1)
	sleep := func(t *testing.T) place {
		t.Helper()
		p := beginPlace(t, s, late, maxApps)
		mustAge(t, c, s, "acme")
		return p
	}
	p := sleep(t)
	if got := fill(t, s, "acme", 10, maxApps); got != maxApps {
		t.Fatalf("%d apps fit, want %d", got, maxApps)
	}
	t.Run("is undone by itself", func(t *testing.T) {
		goOn(t, s, late, p)
		if isOurs, err := s.settle(t.Context(), late.Account, late.ID, p.token); isOurs || err != nil {
			t.Errorf("settled %v, %v", isOurs, err)
		}
		if n := c.Exists(t.Context(), s.headerKey(late.ID)).Val(); n != 0 {
			t.Error("its header is there still")
		}
	})
	t.Run("is undone by whoever reads it", func(t *testing.T) {
		goOn(t, s, late, p)
		if _, err := s.App(t.Context(), late.ID); !errors.Is(err, account.ErrAppNotFound) {
			t.Errorf("answered %v, want %v", err, account.ErrAppNotFound)
		}
	})
	t.Run("is undone by a list", func(t *testing.T) {
		goOn(t, s, late, p)
		redisDo(t, server, "HSET", s.accountKey("other"), late.ID, "live")
		if apps, err := s.Apps(t.Context(), "other", 0, 10, false); err != nil || len(apps) != 0 {
			t.Errorf("listed %v, %v", apps, err)
		}
	})
	t.Run("stays undone though the id has a place again", func(t *testing.T) {
		// Or one who saw it undone would drop the header of a live app.
		app := ownedBy("twice", 3)
		p := beginPlace(t, s, app, maxApps)
		redisDo(t, server, "HDEL", s.accountKey("twice"), app.ID)
		goOn(t, s, app, p)
		again := beginPlace(t, s, app, maxApps)
		if isOurs, err := s.settle(t.Context(), app.Account, app.ID, p.token); isOurs || err != nil {
			t.Errorf("settled %v, %v", isOurs, err)
		}
		goOn(t, s, app, again)
		if isOurs, err := s.settle(t.Context(), app.Account, app.ID, again.token); !isOurs || err != nil {
			t.Errorf("the other is settled %v, %v", isOurs, err)
		}
	})
	t.Run("gives way to another of the same id", func(t *testing.T) {
		goOn(t, s, late, p)
		theirs := ownedBy("theirs", late.ID)
		if err := s.CreateApp(t.Context(), theirs, account.Event{}, maxApps, false); err != nil {
			t.Fatal(err)
		}
		if isOurs, err := s.settle(t.Context(), late.Account, late.ID, p.token); isOurs || err != nil {
			t.Errorf("settled %v, %v", isOurs, err)
		}
		got, err := s.App(t.Context(), late.ID)
		if err != nil || got.Account != "theirs" || got.Version != theirs.Version {
			t.Errorf("app %+v, %v", got, err)
		}
	})
	t.Run("does not take a later creation of its account for its own", func(t *testing.T) {
		mine := ownedBy("again", 2)
		p := beginPlace(t, s, mine, maxApps)
		redisDo(t, server, "HDEL", s.accountKey("again"), mine.ID)
		if err := s.CreateApp(t.Context(), mine, account.Event{}, maxApps, false); err != nil {
			t.Fatal(err)
		}
		if isOurs, err := s.settle(t.Context(), mine.Account, mine.ID, p.token); isOurs || err != nil {
			t.Errorf("settled %v, %v", isOurs, err)
		}
		if got, err := s.App(t.Context(), mine.ID); err != nil || got.Version != mine.Version {
			t.Errorf("app %+v, %v", got, err)
		}
	})
	wantPlaces(t, c, s, "acme", maxApps)
}

// TestCreationsThatBreakOff has creations of few ids race, break off anywhere
// and go on late, while their places grow old at once. Never is there an app
// too many, what was shown stays, and in the end every place is an app's.
func TestCreationsThatBreakOff(t *testing.T) {
	t.Parallel()
	const maxApps, ids, workers, rounds = 6, 24, 6, 60
	server, s := standalone(t)
	c := server.Client()
	var mu sync.Mutex
	shown := make(map[uint32]bool)
	seen := func(id uint32, err error) {
		switch {
		case err == nil:
			mu.Lock()
			shown[id] = true
			mu.Unlock()
		case errors.Is(err, account.ErrAppNotFound), errors.Is(err, account.ErrAppExists), errors.Is(err, account.ErrAccountFull):
		default:
			t.Errorf("app %d: %v", id, err)
		}
	}
	ctx := context.WithoutCancel(t.Context())
	var all sync.WaitGroup
	for worker := range workers {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		all.Go(func() {
			var late []func()
			for range rounds {
				app := ownedBy("acme", 1+random.Uint32N(ids))
				switch random.IntN(5) {
				case 0:
					seen(app.ID, s.CreateApp(ctx, app, account.Event{}, maxApps, false))
				case 1:
					_, err := s.App(ctx, app.ID)
					seen(app.ID, err)
				case 2:
					if err := age(ctx, c, s, "acme"); err != nil {
						t.Error(err)
					}
				case 3: // breaks off after its place, and may go on
					if p, err := s.takePlace(ctx, "acme", app.ID, maxApps); err == nil {
						late = append(late, func() {
							if made, err := tryHeader(ctx, s, app, p); err != nil || !made {
								return
							}
							if random.IntN(2) == 0 { // or breaks off again
								if isOurs, err := s.settle(ctx, "acme", app.ID, p.token); isOurs || err != nil {
									seen(app.ID, err)
								}
							}
						})
					}
				case 4:
					if n := len(late); n > 0 {
						late[0]()
						late = late[1:]
					}
				}
			}
		})
	}
	all.Wait()
	mustAge(t, c, s, "acme")
	fill(t, s, "acme", 1000, maxApps)
	wantPlaces(t, c, s, "acme", maxApps)
	if len(shown) == 0 || len(shown) > maxApps {
		t.Errorf("%d apps were shown; %d may be", len(shown), maxApps)
	}
	for id := range shown {
		if _, err := s.App(t.Context(), id); err != nil {
			t.Errorf("app %d was shown and is gone: %v", id, err)
		}
	}
}

// TestRefusedCreation: where a server refuses what follows the place, nothing
// is changed; after the header the caller is not told so.
func TestRefusedCreation(t *testing.T) {
	t.Parallel()
	t.Run("of the header", func(t *testing.T) {
		t.Parallel()
		server, s := standalone(t)
		newApp(t, s, 1)
		before := dumpAll(t, server.Client())
		app := ownedBy("acme", 2)
		wantReason(t, refusing(t, server, "imq:{acct:*").CreateApp(t.Context(), app, account.Event{}, 2, false), account.StoreUnavailable)
		if diff := cmp.Diff(before, dumpAll(t, server.Client())); diff != "" {
			t.Errorf("a fault left something behind (-before +after):\n%s", diff)
		}
	})
	t.Run("of the directory", func(t *testing.T) {
		t.Parallel()
		server, s := standalone(t)
		app := ownedBy("acme", 2)
		wantReason(t, refusing(t, server, "imq:{acct:*", "imq:{2}:*").CreateApp(t.Context(), app, account.Event{}, 1, false), account.OutcomeUnknown)
		if apps, err := s.Apps(t.Context(), "acme", 0, 10, false); err != nil || len(apps) != 1 {
			t.Errorf("%d apps, %v: whoever lists them finishes it", len(apps), err)
		}
		if err := s.CreateApp(t.Context(), app, account.Event{}, 1, false); !errors.Is(err, account.ErrAppExists) {
			t.Errorf("repeated, it answered %v, want %v", err, account.ErrAppExists)
		}
	})
	t.Run("and the place cannot be given back", func(t *testing.T) {
		t.Parallel()
		server, s := standalone(t)
		p := beginPlace(t, s, ownedBy("acme", 2), 1)
		server.Kill()
		err := s.breakOff(t.Context(), "acme", p, s.fault(account.StoreReadOnly, "refuses writes"))
		wantReason(t, err, account.StoreReadOnly)
		if err == nil || !strings.Contains(err.Error(), "5 minutes") {
			t.Errorf("%v does not say how long the place is held", err)
		}
	})
	t.Run("by a caller whose time is up", func(t *testing.T) {
		t.Parallel()
		server, s := standalone(t)
		p := beginPlace(t, s, ownedBy("acme", 2), 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := tryHeader(ctx, s, ownedBy("acme", 2), p)
		wantReason(t, s.breakOff(ctx, "acme", p, err), account.CallerGone)
		wantPlaces(t, server.Client(), s, "acme", 0)
	})
}

// TestUnsettledApp: an app that its creator left half-made is finished by who
// reads it first, so that it is never taken for one that was not there.
func TestUnsettledApp(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	c := server.Client()
	reads := map[string]func(id uint32) error{
		"read": func(id uint32) error {
			_, err := s.App(t.Context(), id)
			return err
		},
		"listed": func(uint32) error {
			apps, err := s.Apps(t.Context(), "listed", 0, 10, false)
			if len(apps) != 1 {
				return fmt.Errorf("%d apps, %w", len(apps), err)
			}
			return err
		},
		"created again": func(id uint32) error {
			err := s.CreateApp(t.Context(), ownedBy("created again", id), account.Event{}, 10, false)
			if !errors.Is(err, account.ErrAppExists) {
				return fmt.Errorf("answered %w", err)
			}
			return nil
		},
	}
	id := uint32(0)
	for name, read := range reads {
		id++
		t.Run(name, func(t *testing.T) {
			app := ownedBy(name, id)
			goOn(t, s, app, beginPlace(t, s, app, 10))
			if err := read(id); err != nil {
				t.Fatal(err)
			}
			if err := c.ConfigResetStat(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.App(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if headers, records, scripts := calls(t, c, "hmget"), calls(t, c, "mget"), calls(t, c, "fcall")+calls(t, c, "evalsha"); headers != 1 || records != 1 || scripts != 0 {
				t.Errorf("a settled app is read with %d HMGET, %d MGET and %d scripts, want one, one and none", headers, records, scripts)
			}
			redisDo(t, server, "DEL", s.headerKey(id))
			if _, err := s.App(t.Context(), id); !errors.Is(err, account.ErrUsageUnknown) {
				t.Errorf("lost, it is answered as %v, want %v", err, account.ErrUsageUnknown)
			}
			if err := s.CreateApp(t.Context(), ownedBy(name, id), account.Event{}, 10, false); !errors.Is(err, account.ErrUsageUnknown) {
				t.Errorf("creating it answered %v, want %v", err, account.ErrUsageUnknown)
			}
		})
	}
	t.Run("that cannot be settled", func(t *testing.T) {
		app := ownedBy("damaged", 78)
		goOn(t, s, app, beginPlace(t, s, app, 10))
		redisDo(t, server, "HDEL", s.headerKey(78), "b")
		_, err := s.App(t.Context(), 78)
		wantReason(t, err, account.StoreUnavailable)
	})
	t.Run("whose directory and account do not say so yet", func(t *testing.T) {
		app := ownedBy("early", 77)
		goOn(t, s, app, beginPlace(t, s, app, 10))
		redisDo(t, server, "DEL", s.headerKey(77))
		if _, err := s.App(t.Context(), 77); !errors.Is(err, account.ErrAppNotFound) {
			t.Errorf("what was never shown is answered as %v, want %v", err, account.ErrAppNotFound)
		}
	})
}
