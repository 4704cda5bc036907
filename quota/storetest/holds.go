package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// modelHold is a reservation.
type modelHold struct {
	quota.HoldRecord
	fingerprint [8]byte
	placed      time.Time
	parts       map[heldOf]int64
}

// heldOf names what a part of a reservation is held of: a counter, the members
// of a group, or a group's id.
type heldOf struct {
	kind    string
	counter modelCounter
	group   string
}

// held adds up what others hold at this instant.
func (s *modelStep) held(of heldOf) (sum int64) {
	for id, h := range s.app.holds {
		isOwn := id == s.txn.Hold.ID && (s.txn.Hold.Op == quota.HoldCommit || s.txn.Hold.Op == quota.HoldCancel)
		if h.State == quota.HoldPlaced && h.End.After(s.out.Clock) && !isOwn {
			sum += h.parts[of]
		}
	}
	return sum
}

// lookUp finds the reservation that the step is about.
func (s *modelStep) lookUp() error {
	step := &s.txn.Hold
	if step.Op == quota.HoldNone {
		return nil
	}
	h, ok := s.app.holds[step.ID]
	if ok && s.out.Clock.Sub(h.placed) > quota.HoldKept {
		ok = false // the random test asks for none that may be forgotten
	}
	switch {
	case !ok && step.Op == quota.HoldPlace:
		return nil
	case !ok:
		return quota.ErrHoldNotFound
	case step.Op == quota.HoldPlace && h.fingerprint != s.txn.Request.Fingerprint:
		return quota.ErrRequestReused
	case step.Op == quota.HoldPlace,
		step.Op == quota.HoldCommit && h.State == quota.HoldCommitted,
		step.Op == quota.HoldCancel && h.State == quota.HoldCancelled:
		s.out.Replayed = true
	case step.Op == quota.HoldCommit && h.State == quota.HoldCancelled:
		return quota.ErrHoldCancelled
	case step.Op == quota.HoldCancel && h.State == quota.HoldCommitted:
		return quota.ErrHoldCommitted
	case step.Op == quota.HoldCommit && step.Late == h.End.After(s.out.Clock):
		return quota.ErrHoldEnded
	}
	s.out.Hold = h.HoldRecord
	if step.Op != quota.HoldRead {
		s.out.Hold.Plan = nil
	}
	return nil
}

// partOf names what a charge on one subject is of.
func (s *modelStep) partOf(c *quota.Charge, subject string) heldOf {
	if c.Members {
		return heldOf{kind: "members", group: s.txn.Group.ID}
	}
	return heldOf{kind: "counter", counter: counterOf(c.Counter, subject)}
}

func (s *modelStep) heldGroup() heldOf { return heldOf{kind: "id", group: s.txn.Group.ID} }

// settleHold carries the step on the reservation out.
func (s *modelStep) settleHold() {
	step := &s.txn.Hold
	switch step.Op {
	case quota.HoldNone, quota.HoldRead:
		return
	case quota.HoldCommit:
		s.endHold(quota.HoldCommitted)
		return
	case quota.HoldCancel:
		s.endHold(quota.HoldCancelled)
		return
	case quota.HoldPlace:
	}
	h := &modelHold{
		HoldRecord:  quota.HoldRecord{State: quota.HoldPlaced, End: s.out.Clock.Add(step.For), Plan: step.Plan},
		fingerprint: s.txn.Request.Fingerprint, placed: s.out.Clock, parts: make(map[heldOf]int64),
	}
	for i := range s.txn.Charges {
		c, found := &s.txn.Charges[i], &s.out.Charges[i]
		for k := range found.Used {
			if found.Delta <= 0 {
				break
			}
			h.parts[s.partOf(c, subjectsOf(c)[k])] += found.Delta
			found.Held[k] += found.Delta
		}
	}
	if s.txn.Group.Op == quota.GroupCreate {
		h.parts[s.heldGroup()] = 1
	}
	s.app.holds[step.ID] = h
	s.out.Hold = h.HoldRecord
	s.out.Hold.Plan = nil
}

func (s *modelStep) endHold(state quota.HoldState) {
	h := s.app.holds[s.txn.Hold.ID]
	h.State, h.Plan = state, nil
	s.out.Hold = h.HoldRecord
}

// id makes a reservation's id of a letter.
func holdID(letter byte) quota.HoldID { return quota.HoldID{letter, 0, 0xff, ':'} }

// reserve is a transaction that holds for a minute.
func (f *fixture) reserve(id byte, charges ...quota.Charge) quota.Txn {
	t := f.txn(charges...)
	t.Mode = quota.ModeReserve
	t.Hold = quota.HoldStep{Op: quota.HoldPlace, ID: holdID(id), For: time.Minute, Plan: []byte("plan\x00\xff")}
	return t
}

// commit is a transaction that commits in time.
func (f *fixture) commit(id byte, charges ...quota.Charge) quota.Txn {
	t := f.txn(charges...)
	t.Mode = quota.ModeForce
	t.Hold = quota.HoldStep{Op: quota.HoldCommit, ID: holdID(id)}
	return t
}

// commitLate is a transaction that commits after the hold has ended.
func (f *fixture) commitLate(id byte, charges ...quota.Charge) quota.Txn {
	t := f.commit(id, charges...)
	t.Mode, t.Hold.Late = quota.ModeConsume, true
	return t
}

// cancel is a transaction that cancels.
func (f *fixture) cancel(id byte) quota.Txn {
	t := f.txn()
	t.Mode = quota.ModeForce
	t.Hold = quota.HoldStep{Op: quota.HoldCancel, ID: holdID(id)}
	return t
}

// held reads what is held of one counter.
func (f *fixture) held(c quota.Counter, subjects ...string) int64 {
	f.Helper()
	t := f.txn(on(c, 0, catalog.Unlimited(), subjects...))
	t.Mode = quota.ModeJudge
	if held := f.one(t).Charges[0].Held; held != nil {
		return held[0]
	}
	return 0
}

// wantCounts reads a counter and what is held of it.
func (f *fixture) wantCounts(c quota.Counter, used, held int64, subjects ...string) {
	f.Helper()
	f.wantUsed(c, used, subjects...)
	if got := f.held(c, subjects...); got != held {
		f.Errorf("%s of %q: %d held, want %d", c.Quota, subjects, got, held)
	}
}

// readHold reads a reservation.
func (f *fixture) readHold(id byte) quota.HoldRecord {
	f.Helper()
	t := f.txn()
	t.Mode = quota.ModeJudge
	t.Hold = quota.HoldStep{Op: quota.HoldRead, ID: holdID(id)}
	return f.one(t).Hold
}

// holdClauses are what HoldStep says.
var holdClauses = map[string]func(*fixture){
	"used, held and requested stay within the limit": func(f *fixture) {
		f.count(groups, 2)
		if o := f.one(f.reserve('a', on(groups, 2, catalog.Max(5)))); !o.Applied || o.Charges[0].Held[0] != 2 || o.Charges[0].Used[0] != 2 {
			f.Errorf("%+v", o)
		}
		f.wantCounts(groups, 2, 2)
		for name, t := range map[string]quota.Txn{"consume": f.txn(on(groups, 2, catalog.Max(5))), "reserve": f.reserve('b', on(groups, 2, catalog.Max(5)))} {
			if o := f.one(t); o.Applied || o.Charges[0].Used[0] != 2 || o.Charges[0].Held[0] != 2 {
				f.Errorf("%s: %+v", name, o)
			}
		}
		if o := f.one(f.txn(on(groups, 1, catalog.Max(5)))); !o.Applied {
			f.Errorf("the last one: %+v", o)
		}
	},
	"a commit counts what was held": func(f *fixture) {
		placed := f.one(f.reserve('a', on(friends, 1, catalog.Max(1), "alice", "bob")))
		o := f.one(f.commit('a', on(friends, 1, catalog.Max(1), "alice", "bob")))
		f.wantSame("the reservation", quota.HoldRecord{State: quota.HoldCommitted, End: placed.Hold.End}, o.Hold)
		f.wantCounts(friends, 1, 0, "alice")
		f.wantCounts(friends, 1, 0, "bob")
		again := f.one(f.commit('a', on(friends, 1, catalog.Max(1), "alice", "bob")))
		f.wantSame("again", []any{true, false, quota.HoldCommitted}, []any{again.Replayed, again.Applied, again.Hold.State})
		f.wantCounts(friends, 1, 0, "alice")
		f.wantErr(f.cancel('a'), quota.ErrHoldCommitted)
	},
	"a cancellation gives back what was held": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 5, catalog.Max(5))))
		if o := f.one(f.cancel('a')); !o.Applied || o.Hold.State != quota.HoldCancelled {
			f.Errorf("%+v", o)
		}
		f.wantCounts(groups, 0, 0)
		if o := f.one(f.cancel('a')); !o.Replayed || o.Applied {
			f.Errorf("again: %+v", o)
		}
		f.wantErr(f.commit('a', on(groups, 5, catalog.Max(5))), quota.ErrHoldCancelled)
		f.wantErr(f.commitLate('a', on(groups, 5, catalog.Max(5))), quota.ErrHoldCancelled)
		f.wantCounts(groups, 0, 0)
	},
	"a hold ends by itself, to the millisecond": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 5, catalog.Max(5))))
		f.now = noon.Add(time.Minute - time.Millisecond)
		if o := f.one(f.txn(on(groups, 1, catalog.Max(5)))); o.Applied {
			f.Errorf("before its end: %+v", o)
		}
		f.now = noon.Add(time.Minute)
		if o := f.one(f.txn(on(groups, 5, catalog.Max(5)))); !o.Applied || o.Charges[0].Held != nil && o.Charges[0].Held[0] != 0 {
			f.Errorf("at its end: %+v", o)
		}
	},
	"no clock that is behind revives a hold": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 5, catalog.Max(5))))
		f.now = noon.Add(time.Minute)
		f.one(f.txn(on(groups, 5, catalog.Max(5))))
		f.now = noon
		f.wantErr(f.commit('a', on(groups, 5, catalog.Max(5))), quota.ErrHoldEnded)
		if o := f.one(f.commitLate('a', on(groups, 5, catalog.Max(5)))); o.Applied {
			f.Errorf("beyond the limit: %+v", o)
		}
		f.wantCounts(groups, 5, 0)
	},
	"a clock that is ahead and not kept ends no hold": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 5, catalog.Max(5))))
		longer := f.reserve('b', on(friends, 1, catalog.Max(5), "alice"))
		longer.Hold.For = 2 * time.Hour
		f.one(longer)
		for name, t := range map[string]quota.Txn{
			"judges": f.txn(on(groups, 1, catalog.Max(5))), "changes nothing": f.txn(on(groups, 0, catalog.Max(5))), "is refused": f.cancel('z'),
		} {
			t.Now = noon.Add(time.Hour)
			if name == "judges" {
				t.Mode = quota.ModeJudge
			}
			f.apply(t)
			if o := f.one(f.txn(on(groups, 1, catalog.Max(5)))); o.Applied || o.Charges[0].Held[0] != 5 {
				f.Fatalf("after one that %s: %+v", name, o)
			}
		}
		if o := f.one(f.commit('a', on(groups, 5, catalog.Max(5)))); !o.Applied {
			f.Errorf("%+v", o)
		}
		f.wantCounts(groups, 5, 0)
	},
	"no clock that is behind ends a hold late": func(f *fixture) {
		f.count(groups, 1)
		f.now = noon.Add(-time.Hour)
		if o := f.one(f.reserve('a', on(groups, 1, catalog.Unlimited()))); !o.Hold.End.Equal(noon.Add(time.Minute)) {
			f.Errorf("ends at %v", o.Hold.End)
		}
	},
	"a late commit is judged anew": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 3, catalog.Max(5))))
		f.wantErr(f.commitLate('a', on(groups, 3, catalog.Max(5))), quota.ErrHoldEnded) // it is not
		f.now = noon.Add(2 * time.Minute)
		f.count(groups, 3)
		if o := f.one(f.commitLate('a', on(groups, 3, catalog.Max(5)))); o.Applied || o.Hold.State != quota.HoldPlaced {
			f.Errorf("beyond the limit: %+v", o)
		}
		f.count(groups, -1)
		if o := f.one(f.commitLate('a', on(groups, 3, catalog.Max(5)))); !o.Applied || o.Hold.State != quota.HoldCommitted {
			f.Errorf("within it: %+v", o)
		}
		if o := f.one(f.commitLate('a', on(groups, 3, catalog.Max(5)))); !o.Replayed {
			f.Errorf("again: %+v", o)
		}
		f.wantCounts(groups, 5, 0)
	},
	"a reservation is remembered for a day": func(f *fixture) {
		placed := f.one(f.reserve('a', on(groups, 1, catalog.Max(5)))).Hold
		placed.Plan = []byte("plan\x00\xff")
		f.one(f.reserve('b', on(groups, 1, catalog.Max(5))))
		committed := f.one(f.commit('b', on(groups, 1, catalog.Max(5)))).Hold
		f.now = noon.Add(quota.HoldKept)
		f.wantSame("placed", placed, f.readHold('a'))
		f.wantSame("committed", committed, f.readHold('b'))
		f.now = noon.Add(3 * quota.HoldKept)
		f.one(f.once('z', 1)) // what is past may go now
		f.wantErr(f.commitLate('a', on(groups, 1, catalog.Max(5))), quota.ErrHoldNotFound)
	},
	"an unknown reservation": func(f *fixture) {
		f.wantErr(f.commit('a'), quota.ErrHoldNotFound)
		f.wantErr(f.cancel('a'), quota.ErrHoldNotFound)
		t := f.cancel('a')
		t.Mode, t.Hold.Op = quota.ModeJudge, quota.HoldRead
		f.wantErr(t, quota.ErrHoldNotFound)
	},
	"a reservation belongs to its app": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 5, catalog.Max(5))))
		f.app = f.create("another")
		f.wantErr(f.cancel('a'), quota.ErrHoldNotFound)
		f.wantCounts(groups, 0, 0)
	},
	"a repeated reservation holds once": func(f *fixture) {
		t := f.reserve('a', on(groups, 2, catalog.Max(3)))
		t.Request = key('r', 1)
		first, second := f.one(t), f.one(t)
		f.wantSame("second", []any{true, false, first.Hold}, []any{second.Replayed, second.Applied, second.Hold})
		f.wantCounts(groups, 0, 2)
		f.now = noon.Add(time.Hour) // the request id may be forgotten, the reservation is not
		if o := f.one(t); !o.Replayed || !o.Hold.End.Equal(first.Hold.End) {
			f.Errorf("an hour later: %+v", o)
		}
		t.Request = key('r', 2)
		f.wantErr(t, quota.ErrRequestReused)
		t.Mode = quota.ModeJudge
		t.Request = key('r', 1)
		if o := f.one(t); !o.Replayed {
			f.Errorf("when it is only judged: %+v", o)
		}
	},
	"a denied reservation holds nothing": func(f *fixture) {
		if o := f.one(f.reserve('a', on(friends, 1, catalog.Max(1), "alice"), on(groups, 6, catalog.Max(5)))); o.Applied || o.Hold.State != 0 {
			f.Errorf("%+v", o)
		}
		f.wantCounts(friends, 0, 0, "alice")
		f.wantErr(f.cancel('a'), quota.ErrHoldNotFound)
	},
	"a hold keeps its window": func(f *fixture) {
		t := f.reserve('a', on(dailyNet, 1, catalog.Max(1)))
		t.WindowEnd = dailyNet.Window.End
		f.now = dailyNet.Window.End.Add(-time.Second)
		t.Now = f.now
		f.one(t)
		f.now = dailyNet.Window.End.Add(time.Second)
		if o := f.one(f.commit('a', on(dailyNet, 1, catalog.Max(1)))); !o.Applied {
			f.Errorf("%+v", o)
		}
		f.wantCounts(dailyNet, 1, 0)
		next := dailyNet
		next.Window = catalog.WindowAt(catalog.KindDay, f.now, zone)
		f.wantCounts(next, 0, 0)
	},
	"what gives back holds nothing": func(f *fixture) {
		f.count(groups, 2)
		f.one(f.reserve('a', on(groups, -2, catalog.Max(5)), on(friends, 1, catalog.Max(5), "alice")))
		f.wantCounts(groups, 2, 0)
		f.wantCounts(friends, 0, 1, "alice")
	},
	"a group's id is held": func(f *fixture) {
		create := func(t quota.Txn) quota.Txn {
			t.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "g", Type: 'w', Day: catalog.Day(noon, zone)}
			t.Charges = []quota.Charge{{Counter: members, Members: true, Delta: 2, Limit: catalog.Max(3)}}
			return t
		}
		f.one(create(f.reserve('a')))
		f.wantErr(create(f.txn()), quota.ErrGroupExists)
		f.wantErr(create(f.reserve('b')), quota.ErrGroupExists)

		join := f.txn(quota.Charge{Counter: members, Members: true, Delta: 2, Limit: catalog.Max(3)})
		join.Group = quota.GroupStep{Op: quota.GroupTouch, ID: "g", Type: 'w', Day: catalog.Day(noon, zone)}
		if o := f.one(join); o.Applied {
			f.Errorf("members are held: %+v", o)
		}
		join.Charges[0].Delta = 1
		f.one(join)
		f.one(create(f.commit('a')))
		read := f.txn()
		read.Mode, read.Group = quota.ModeJudge, quota.GroupStep{Op: quota.GroupRead, ID: "g"}
		f.wantSame("the group", quota.GroupRecord{Found: true, Type: 'w', Day: catalog.Day(noon, zone), Members: 3}, f.one(read).Group)
		f.wantErr(create(f.txn()), quota.ErrGroupExists)
	},
	"a group's id is free when its hold has ended": func(f *fixture) {
		create := func(t quota.Txn) quota.Txn {
			t.Group = quota.GroupStep{Op: quota.GroupCreate, ID: "g", Type: 'w', Day: catalog.Day(noon, zone)}
			return t
		}
		f.one(create(f.reserve('a')))
		f.now = noon.Add(time.Minute)
		f.one(create(f.txn()))
		f.wantErr(create(f.commitLate('a')), quota.ErrGroupExists)
	},
	"many holds end together": func(f *fixture) {
		for i := range 40 {
			t := f.reserve(byte(i), on(groups, 1, catalog.Max(40)), on(friends, 1, catalog.Max(40), "alice"))
			t.Hold.For = time.Minute + time.Duration(i)*time.Second
			if o := f.one(t); !o.Applied {
				f.Fatalf("%d: %+v", i, o)
			}
		}
		f.now = noon.Add(time.Minute + 19*time.Second)
		f.wantCounts(groups, 0, 20)
		f.one(f.cancel(39))
		f.one(f.cancel(0))
		f.wantCounts(groups, 0, 19)
		if o := f.one(f.txn(on(groups, 21, catalog.Max(40)))); !o.Applied {
			f.Errorf("%+v", o)
		}
		f.wantCounts(friends, 0, 19, "alice")
		f.now = noon.Add(time.Hour)
		f.wantCounts(friends, 0, 0, "alice")
		f.one(f.reserve('z', on(friends, 40, catalog.Max(40), "alice")))
		f.wantCounts(friends, 0, 40, "alice")
	},
	"an app that is made anew holds nothing": func(f *fixture) {
		f.one(f.reserve('a', on(groups, 1, catalog.Max(5))))
		f.harness.Lose(f.T, f.store, f.app)
		again := &account.App{ID: f.app.ID, Account: f.app.Account, Region: "sg", Edition: "developer", Created: noon.UTC(), FanoutBits: 8}
		if err := f.store.CreateApp(f.Context(), again, account.Event{}, 1<<30, true); err != nil {
			f.Fatal(err)
		}
		f.app = again
		f.wantCounts(groups, 0, 0)
	},
}

// drawHold draws a step on one of a few reservations, none of which a store may
// have forgotten but need not.
func (p *pair) drawHold(t *quota.Txn) {
	r := p.r
	step := quota.HoldStep{ID: holdID(drawn(r, "reservation", byte('a'), 'b', 'c'))}
	if h, ok := p.model.apps[p.mapped.ID].holds[step.ID]; ok {
		if age := p.clock().Sub(h.placed); age > quota.HoldKept && age < 4*quota.HoldKept {
			return
		}
	}
	step.Op = drawn(r, "hold", quota.HoldNone, quota.HoldPlace, quota.HoldPlace, quota.HoldRead, quota.HoldCommit, quota.HoldCommit, quota.HoldCancel)
	switch step.Op {
	case quota.HoldNone:
		return
	case quota.HoldPlace:
		t.Mode = drawn(r, "placing", quota.ModeReserve, quota.ModeReserve, quota.ModeReserve, quota.ModeJudge)
		t.Users, t.Online = quota.UserStep{}, quota.OnlineStep{}
		t.Charges = slices.DeleteFunc(t.Charges, func(c quota.Charge) bool { return c.Basis == quota.Absolute || c.Delta > many })
		if t.Group.Op != quota.GroupCreate && t.Group.Op != quota.GroupTouch && t.Group.Op != quota.GroupNone {
			t.Group.Op = quota.GroupRead
		}
		step.For = time.Duration(drawn(r, "for", 1, 60, 900)) * time.Second
		step.Plan = []byte(drawn(r, "plan", "", "plan", "\x00\xff"))
	case quota.HoldRead:
		t.Mode = quota.ModeJudge
	case quota.HoldCommit:
		step.Late = drawn(r, "late", true, false)
	case quota.HoldCancel:
	}
	if step.Op != quota.HoldPlace {
		t.Request = quota.RequestKey{}
	}
	t.Hold = step
}

// String shows what is held, for a model that differs.
func (h heldOf) String() string { return fmt.Sprintf("%s %v %s", h.kind, h.counter, h.group) }
