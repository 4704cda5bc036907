package redisstore

import (
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/redisstore/redistest"
)

// tailCall is one call and its reply.
type tailCall struct {
	app    uint32
	before sighting
}

// TestTails plays sends and replies in a given order.
func TestTails(t *testing.T) {
	t.Parallel()
	type event struct {
		call     string
		sequence int64 // of the reply; zero: it is sent
	}
	tests := []struct {
		name   string
		events []event
		losses int64
	}{
		{"a sequence that rises", []event{{"a", 0}, {"a", 5}, {"b", 0}, {"b", 6}}, 0},
		{"one that stays, for nothing was written", []event{{"a", 0}, {"a", 5}, {"b", 0}, {"b", 5}}, 0},
		{"one that falls", []event{{"a", 0}, {"a", 5}, {"b", 0}, {"b", 4}}, 1},
		{"replies out of order", []event{{"a", 0}, {"b", 0}, {"b", 2}, {"a", 1}}, 0},
		{"a reply that was sent before two others", []event{{"a", 0}, {"a", 1}, {"b", 0}, {"c", 0}, {"c", 3}, {"d", 0}, {"d", 4}, {"b", 2}}, 0},
		{"a loss seen by two at once is one", []event{{"a", 0}, {"a", 9}, {"b", 0}, {"c", 0}, {"b", 5}, {"c", 6}}, 1},
		{"a late reply of before a loss", []event{{"a", 0}, {"a", 9}, {"b", 0}, {"c", 0}, {"c", 5}, {"b", 10}, {"d", 0}, {"d", 6}}, 1},
		{"two losses", []event{{"a", 0}, {"a", 9}, {"b", 0}, {"b", 5}, {"c", 0}, {"c", 7}, {"d", 0}, {"d", 6}}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := 0
			known := newTails(10, func(TailLoss) { told++ })
			sent := make(map[string]sighting)
			for _, e := range tt.events {
				if e.sequence == 0 {
					sent[e.call] = known.before(7)
				} else {
					known.answered(7, sent[e.call], e.sequence, monday)
				}
			}
			if known.losses != tt.losses {
				t.Errorf("%d losses, want %d", known.losses, tt.losses)
			}
			if want := min(1, int(tt.losses)); told != want {
				t.Errorf("told %d times, want %d: once a minute", told, want)
			}
		})
	}
}

func TestTailsAreTimed(t *testing.T) {
	t.Parallel()
	var told []TailLoss
	known := newTails(10, func(l TailLoss) { told = append(told, l) })
	lose := func(app uint32, from, to int64, at time.Time) time.Time {
		known.answered(app, known.before(app), from, at)
		return known.answered(app, known.before(app), to, at)
	}
	if got := lose(1, 9, 5, monday); !got.Equal(monday) {
		t.Errorf("lost at %v, want %v", got, monday)
	}
	lose(1, 9, 5, monday.Add(59*time.Second))
	lose(2, 3, 2, monday.Add(59*time.Second))
	later := monday.Add(time.Minute)
	lose(1, 9, 5, later)
	if len(told) != 3 || told[0] != (TailLoss{1, 9, 5}) || told[1] != (TailLoss{2, 3, 2}) || told[2] != (TailLoss{1, 9, 5}) {
		t.Errorf("told %v", told)
	}
	if known.losses != 4 || !known.last.Equal(later) {
		t.Errorf("%d losses, the last at %v", known.losses, known.last)
	}
	if got := known.answered(1, known.before(1), 6, later.Add(time.Hour)); !got.Equal(later) {
		t.Errorf("an hour later it was lost at %v, want %v", got, later)
	}
}

func TestTailsAreBounded(t *testing.T) {
	t.Parallel()
	known := newTails(3, nil)
	known.answered(1, known.before(1), 9, monday)
	known.answered(1, known.before(1), 8, monday)
	late := tailCall{2, known.before(2)}
	for app := uint32(3); app < 50; app++ {
		known.answered(app, known.before(app), 5, monday)
	}
	if len(known.apps) != 3 {
		t.Errorf("%d apps are remembered, want 3", len(known.apps))
	}
	if known.apps[1].lost.IsZero() {
		t.Error("of an app that lost its tail nothing is remembered")
	}
	// A reply that comes when its app was forgotten and remembered anew.
	known.answered(late.app, known.before(late.app), 4, monday)
	known.answered(late.app, late.before, 99, monday)
	known.answered(late.app, known.before(late.app), 5, monday)
	if known.losses != 1 {
		t.Errorf("%d losses, want the first alone", known.losses)
	}
}

// TestNoTailLostUnderLoad: replies of many calls overtake each other.
func TestNoTailLostUnderLoad(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	app := newApp(t, s, 1)
	var load sync.WaitGroup
	for range 16 {
		load.Go(func() {
			for range 200 {
				if o := applyOne(t.Context(), s, txnOf(app, add("users", 1))); !o.Applied || !o.TailLost.IsZero() {
					t.Errorf("answered %+v", o)
					return
				}
			}
		})
	}
	load.Wait()
	if n, _ := s.TailLosses(); n != 0 {
		t.Errorf("%d tails lost, want none", n)
	}
}

// TestLostTail: a replica that has fallen behind takes the primary's place.
func TestLostTail(t *testing.T) {
	t.Parallel()
	primary := redistest.Standalone(t, "--repl-diskless-sync-delay", "0")
	proxy := redistest.NewProxy(t, primary.Addr)
	s := initialized(t, "redis://"+proxy.Addr)
	app, idle := newApp(t, s, 1), newApp(t, s, 2)
	replica := primary.Replica()
	write := func(app *account.App) quota.Outcome { return mustApply(t, s, txnOf(app, add("users", 1)))[0] }
	write(app)
	write(idle)
	primary.Client().Wait(t.Context(), 1, time.Minute)
	redisDo(t, replica, "REPLICAOF", "NO", "ONE")
	for range 3 {
		if o := write(app); o.Durability != quota.DurabilityPrimary || !o.TailLost.IsZero() {
			t.Fatalf("before the loss: %+v", o)
		}
	}
	primary.Kill()
	proxy.Retarget(replica.Addr)
	began := time.Now()
	var o quota.Outcome
	eventually(t, 5*time.Second, "the store to answer", func() error {
		o = applyOne(t.Context(), s, txnOf(app, add("users", 1)))
		return o.Err
	})
	if o.TailLost.Before(began) || o.Charges[0].Used[0] != 1 {
		t.Errorf("after the loss of 3: %+v", o)
	}
	if o := write(app); o.TailLost.Before(began) {
		t.Error("the loss is forgotten")
	}
	if o := write(idle); !o.TailLost.IsZero() {
		t.Errorf("an app that lost nothing: %+v", o)
	}
	if n, last := s.TailLosses(); n != 1 || last.Before(began) {
		t.Errorf("%d losses, the last at %v; want 1, after %v", n, last, began)
	}
}
