package storetest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Model is a store in memory that does what quota.Store and account.Registry
// say, word for word, and nothing to be fast or to last.
type Model struct {
	mu       sync.Mutex
	accounts map[string]*modelAccount
	apps     map[uint32]*modelApp
	restored map[uint32]*modelApp // those without a record yet
	quotes   map[modelQuote][]byte
	watchers []account.Watcher
}

// NewModel returns an empty store.
func NewModel() *Model {
	return &Model{accounts: make(map[string]*modelAccount), apps: make(map[uint32]*modelApp), restored: make(map[uint32]*modelApp), quotes: make(map[modelQuote][]byte)}
}

type modelApp struct {
	record   *account.App
	events   []account.Event
	clock    time.Time
	known    map[string]bool
	active   map[string]int32 // last month
	groups   map[string]quota.GroupRecord
	gone     map[string]int32 // day of dissolution
	counters map[modelCounter]int64
	requests map[[16]byte]remembered
	online   modelOnline
	holds    map[quota.HoldID]*modelHold
}

type modelCounter struct {
	quota, subject string
	start          int64 // of the window
	isTotal        bool  // of the app, by the month
}

type remembered struct {
	fingerprint [8]byte
	at          time.Time
}

// Apply implements quota.Store.
func (m *Model) Apply(_ context.Context, txns []quota.Txn) []quota.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	outcomes := make([]quota.Outcome, len(txns))
	for i := range txns {
		o, err := m.apply(&txns[i])
		if err != nil {
			o = quota.Outcome{Err: err}
		}
		outcomes[i] = o
	}
	return outcomes
}

func (m *Model) apply(t *quota.Txn) (o quota.Outcome, err error) {
	a := m.apps[t.App]
	if a == nil || a.record.Version != t.Version {
		return o, quota.ErrStale
	}
	o.Clock = time.UnixMilli(t.Now.UnixMilli())
	if a.clock.After(o.Clock) {
		o.Clock = a.clock
	}
	if !t.WindowEnd.IsZero() && !o.Clock.Before(t.WindowEnd) {
		return o, &quota.WindowPassedError{Clock: o.Clock}
	}
	if known, ok := a.requests[t.Request.Hash]; ok && !t.Request.IsZero() && o.Clock.Sub(known.at) <= quota.RequestHorizon {
		if known.fingerprint != t.Request.Fingerprint {
			return o, quota.ErrRequestReused
		}
		o.Replayed = true
	}
	s := &modelStep{app: a, txn: t, out: &o, group: a.groups[t.Group.ID]}
	if err := s.lookUp(); err != nil {
		return o, err
	}
	if t.Group.Op == quota.GroupNone {
		s.group = quota.GroupRecord{}
	}
	o.Group = s.group
	if !o.Replayed {
		if err := s.enterGroup(); err != nil {
			return o, err
		}
	}
	if err := s.online(); err != nil {
		return o, err
	}
	return o, s.judge()
}

// modelStep is one transaction on the maps.
type modelStep struct {
	app   *modelApp
	txn   *quota.Txn
	out   *quota.Outcome
	group quota.GroupRecord // that charges are for

	onlineAfter *modelOnline // a report, if it applies
}

// enterGroup checks the group and makes the record that charges are for.
func (s *modelStep) enterGroup() error {
	g := &s.txn.Group
	switch {
	case s.group.Found && g.Op == quota.GroupCreate && s.txn.Hold.Op == quota.HoldCommit && s.group.Day == quota.NoDay && g.Type == s.group.Type:
		s.group.Day = g.Day
	case s.group.Found && g.Op == quota.GroupCreate:
		return quota.ErrGroupExists
	case !s.group.Found && g.Op == quota.GroupCreate && s.held(s.heldGroup()) > 0:
		return quota.ErrGroupExists
	case s.group.Found && g.Type != 0 && g.Type != s.group.Type:
		return quota.ErrGroupType
	case !s.group.Found && g.Op == quota.GroupCreate:
		s.group = quota.GroupRecord{Found: true, Type: g.Type, Day: g.Day}
	case !s.group.Found && g.Op == quota.GroupTouch && !s.wentLately():
		s.group = quota.GroupRecord{Found: true, Type: g.Type, Day: quota.NoDay}
	}
	return nil
}

// wentLately reports whether the group was dissolved on this day or the one
// before.
func (s *modelStep) wentLately() bool {
	day, ok := s.app.gone[s.txn.Group.ID]
	return ok && s.txn.Group.Day <= day+1
}

// judge fills in the outcome of every charge and, if it may, writes.
func (s *modelStep) judge() error {
	fits, exact := true, true
	s.out.Charges = make([]quota.ChargeOutcome, len(s.txn.Charges))
	for i := range s.txn.Charges {
		c, found := &s.txn.Charges[i], &s.out.Charges[i]
		if !s.applies(c) {
			continue
		}
		found.Used = s.read(c)
		found.Held = make([]int64, len(found.Used))
		for k := range found.Used {
			found.Held[k] = s.held(s.partOf(c, subjectsOf(c)[k]))
		}
		if s.out.Replayed {
			continue
		}
		found.Delta = s.delta(c, found.Used)
		for k, used := range found.Used {
			used += found.Held[k]
			fits = fits && (found.Delta <= 0 || c.Limit.IsUnlimited() || used+found.Delta <= c.Limit.Max())
			exact = exact && used+found.Delta <= catalog.MaxLimit && used+found.Delta >= -catalog.MaxLimit
		}
	}
	switch {
	case s.out.Replayed, s.txn.Mode == quota.ModeJudge, s.txn.Mode != quota.ModeForce && !fits:
		return nil
	case !exact:
		return quota.ErrOverflow
	}
	s.out.Applied = true
	if s.write() {
		s.app.clock = s.out.Clock
	}
	return nil
}

func (s *modelStep) applies(c *quota.Charge) bool {
	if !s.group.Found {
		return !c.Members && c.Types == "" && !c.SameDay
	}
	return (c.Types == "" || strings.Contains(c.Types, string(s.group.Type))) && (!c.SameDay || s.group.Day == s.txn.Group.Day)
}

func counterOf(c quota.Counter, subject string) modelCounter {
	return modelCounter{c.Quota, subject, c.Window.Start.Unix(), c.Scope == catalog.ScopeApp && c.Window.Kind == catalog.KindMonth}
}

func subjectsOf(c *quota.Charge) []string {
	if c.Subjects == nil {
		return []string{""}
	}
	return c.Subjects
}

func (s *modelStep) read(c *quota.Charge) []int64 {
	if c.Members {
		return []int64{s.group.Members}
	}
	var used []int64
	for _, subject := range subjectsOf(c) {
		used = append(used, s.app.counters[counterOf(c.Counter, subject)])
	}
	return used
}

func (s *modelStep) delta(c *quota.Charge, used []int64) int64 {
	var times int64
	for _, id := range s.txn.Users.IDs {
		known, active := s.app.known[id], s.app.active[id] >= s.txn.Users.Month
		switch {
		case c.Basis == quota.PerNewUser && (s.txn.Users.Op == quota.UsersRegister || s.txn.Users.Op == quota.UsersLogin) && !known,
			c.Basis == quota.PerNewActive && (s.txn.Users.Op == quota.UsersLogin || s.txn.Users.Op == quota.UsersActive) && !active,
			c.Basis == quota.PerGoneUser && s.txn.Users.Op == quota.UsersDelete && known:
			times++
		}
	}
	switch c.Basis {
	case quota.PerTxn:
		return c.Delta
	case quota.Absolute:
		return c.Delta - used[0]
	case quota.PerNewUser, quota.PerNewActive, quota.PerGoneUser:
	}
	return times * c.Delta
}

// write carries the step out and reports whether anything changed.
func (s *modelStep) write() bool {
	s.settleHold()
	if s.txn.Mode == quota.ModeReserve {
		s.remember()
		return true
	}
	changed := s.writeUsers() || s.txn.Hold.Op == quota.HoldCommit || s.txn.Hold.Op == quota.HoldCancel
	members := s.group.Members
	for i := range s.txn.Charges {
		c, found := &s.txn.Charges[i], &s.out.Charges[i]
		for k, used := range found.Used {
			after := used + found.Delta
			if after < 0 && !c.Signed {
				after = 0
			}
			if c.Members {
				members = after
				continue
			}
			counter := counterOf(c.Counter, subjectsOf(c)[k])
			changed = changed || after != used
			s.app.counters[counter] = after
		}
	}
	changed = s.writeGroup(members) || changed
	if s.onlineAfter != nil {
		s.app.online, changed = *s.onlineAfter, true
	}
	return s.remember() || changed
}

func (s *modelStep) remember() bool {
	if s.txn.Request.IsZero() {
		return false
	}
	s.app.requests[s.txn.Request.Hash] = remembered{s.txn.Request.Fingerprint, s.out.Clock}
	return true
}

func (s *modelStep) writeUsers() (changed bool) {
	step := &s.txn.Users
	for _, id := range step.IDs {
		switch step.Op {
		case quota.UsersNone:
		case quota.UsersLogin:
			changed = changed || s.app.active[id] < step.Month
			s.app.active[id] = max(s.app.active[id], step.Month)
			fallthrough
		case quota.UsersRegister:
			changed = changed || !s.app.known[id]
			s.app.known[id] = true
		case quota.UsersActive:
			changed = changed || s.app.active[id] < step.Month
			s.app.active[id] = max(s.app.active[id], step.Month)
		case quota.UsersDelete:
			changed = changed || s.app.known[id]
			delete(s.app.known, id)
			for _, c := range step.Drop {
				counter := counterOf(c, id)
				changed = changed || s.app.counters[counter] != 0
				delete(s.app.counters, counter)
			}
		}
	}
	return changed
}

func (s *modelStep) writeGroup(members int64) (changed bool) {
	g := &s.txn.Group
	before, existed := s.app.groups[g.ID]
	switch {
	case g.Op == quota.GroupNone, g.Op == quota.GroupRead:
		return false
	case g.Op == quota.GroupDissolve:
		delete(s.app.groups, g.ID)
		if existed {
			s.app.gone[g.ID] = g.Day
		}
		return existed
	case !s.group.Found:
		return false
	}
	s.group.Members = members
	s.app.groups[g.ID] = s.group
	delete(s.app.gone, g.ID)
	return s.group != before
}
