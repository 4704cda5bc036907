package boltstore

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// after is a counter once a charge was added to it.
func after(c *quota.Charge, used, delta int64) int64 {
	if n := used + delta; n >= 0 || c.Signed {
		return n
	}
	return 0
}

// write carries the transaction out.
func (s *step) write(o *quota.Outcome) error {
	t := s.txn
	errs := []error{s.writeHold(o)}
	if t.Mode == quota.ModeReserve {
		return errors.Join(append(errs, s.remember(), s.writeHeader())...)
	}
	errs = append(errs, s.writeUsers())
	members := s.group.Members
	for i := range t.Charges {
		c, found := &t.Charges[i], &o.Charges[i]
		if found.Used == nil {
			continue
		}
		if c.Members {
			members = after(c, members, found.Delta)
			continue
		}
		errs = append(errs, s.writeCounters(c, found))
	}
	errs = append(errs, s.writeGroup(members), s.writeOnline(), s.remember(), s.writeHeader())
	return errors.Join(errs...)
}

func (s *step) writeCounters(c *quota.Charge, found *quota.ChargeOutcome) error {
	if found.Delta == 0 {
		return nil
	}
	var b table
	for i, used := range found.Used {
		n := after(c, used, found.Delta)
		if n == used {
			continue
		}
		s.changed = true
		var err error
		if !b.exists() {
			if b, err = s.makeCounters(c.Window); err != nil {
				return err
			}
		}
		subject := ""
		if c.Subjects != nil {
			subject = c.Subjects[i]
		}
		key := counterKey(s.txn.App, c.Quota, subject)
		if n == 0 {
			err = b.remove(key)
		} else {
			err = b.put(key, encodeCount(n))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeCounters is counters, made if need be.
func (s *step) makeCounters(w catalog.Window) (table, error) {
	if b := s.counters(w); b.exists() {
		return b, nil
	}
	return s.makeWindow(windowKey(s.txn.App, w))
}

// makeWindow makes a bucket among the windows, if it is not there; with a new
// one, those that may be forgotten are dropped.
func (s *step) makeWindow(key []byte) (table, error) {
	if b := s.in.window(key); b.exists() {
		return b, nil
	}
	windows := s.in.tx.Bucket(windowsBucket)
	isAny, err := s.dropPast(windows, windowsPast(s.txn.App, s.clock), s.in.window)
	if err != nil {
		return table{}, err
	}
	s.in.isMixed = s.in.isMixed || isAny // who reads by a clock of before does not miss them
	if _, err := windows.CreateBucket(key); err != nil {
		return table{}, err
	}
	return s.in.window(key), nil
}

func (s *step) writeUsers() error {
	step, b := &s.txn.Users, s.in.users()
	for i := range s.users {
		key, u := idKeyOf(s.txn.App, step.IDs[i]), s.users[i]
		var err error
		switch step.Op {
		case quota.UsersNone:
		case quota.UsersRegister:
			if !s.known[i] {
				s.changed = true
				err = b.put(key, encodeUser(user{month: u.month}))
			}
		case quota.UsersLogin:
			if !s.known[i] || u.month < step.Month {
				s.changed = true
				err = b.put(key, encodeUser(user{month: max(u.month, step.Month)}))
			}
		case quota.UsersActive:
			if u.month < step.Month {
				s.changed = true
				err = b.put(key, encodeUser(user{month: step.Month, deleted: !s.known[i]}))
			}
		case quota.UsersDelete:
			s.changed = s.changed || s.known[i]
			err = s.deleteUser(b, key, step.IDs[i], u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteUser forgets a user; one who was active this month is remembered as
// gone, so as not to be counted twice in it.
func (s *step) deleteUser(b table, key []byte, id string, u user) error {
	for _, c := range s.txn.Users.Drop {
		counters, key := s.counters(c.Window), counterKey(s.txn.App, c.Quota, id)
		if !counters.exists() || counters.get(key) == nil {
			continue
		}
		s.changed = true
		if err := counters.remove(key); err != nil {
			return err
		}
	}
	if u.month >= s.txn.Users.Month {
		return b.put(key, encodeUser(user{month: u.month, deleted: true}))
	}
	s.changed = s.changed || u.deleted // what was remembered of one who was gone before
	return b.remove(key)
}

func (s *step) writeGroup(members int64) error {
	step, b := &s.txn.Group, s.in.groups()
	key := idKeyOf(s.txn.App, step.ID)
	switch {
	case step.Op == quota.GroupNone || step.Op == quota.GroupRead || !s.exists:
		return nil
	case step.Op == quota.GroupDissolve:
		s.changed = true
		if err := b.remove(key); err != nil {
			return err
		}
		return s.noteGone()
	case s.group.Found && s.group.Members == members && !s.dates:
		return nil
	}
	s.changed = true
	s.group.Members = members
	return b.put(key, encodeGroup(s.group))
}

// noteGone notes that the group was dissolved today, beside the windows of the
// app, with which it is dropped; no more that it was before.
func (s *step) noteGone() error {
	c, ofApp := s.in.tx.Bucket(windowsBucket).Cursor(), appKey(s.txn.App)
	for name, _ := c.Seek(ofApp); bytes.HasPrefix(name, ofApp); name, _ = c.Next() {
		if !isGone(name) {
			continue
		}
		if err := s.in.window(name).remove([]byte(s.txn.Group.ID)); err != nil {
			return err
		}
	}
	gone, err := s.makeWindow(goneKey(s.txn.App, s.txn.Group.Day))
	if err != nil {
		return err
	}
	return gone.put([]byte(s.txn.Group.ID), []byte{})
}

// remember keeps the request's fingerprint; with a new generation, those that
// nobody looks at any more are dropped.
func (s *step) remember() error {
	if s.txn.Request.IsZero() {
		return nil
	}
	s.changed = true
	name := s.requestsName()
	key := generationKey(name.app, name.generation)
	b := s.in.requests(key)
	if !b.exists() {
		requests := s.in.tx.Bucket(requestsBucket)
		if _, err := s.dropPast(requests, generationsPast(s.txn.App, s.clock), s.in.requests); err != nil {
			return err
		}
		s.requests.forget(name.generation)
		if _, err := requests.CreateBucket(key); err != nil {
			return err
		}
		b = s.in.requests(key)
	}
	return s.requests.put(b, name, &s.txn.Request)
}

func (s *step) writeHeader() error {
	if !s.changed {
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	h := s.header
	h.clock = s.clock.UnixMilli()
	h.sequence++
	return s.in.putHeader(s.txn.App, h)
}

// dropPast drops the app's buckets in a bucket that lie before a key, which are these
// tables, and reports whether there were any. What the journal says of one would make
// it anew, and is carried out before.
func (s *step) dropPast(in *bolt.Bucket, until []byte, tableOf func(name []byte) table) (isAny bool, err error) {
	past := keysOf(in, appKey(s.txn.App), math.MaxInt, func(name []byte) bool { return bytes.Compare(name, until) < 0 })
	if slices.ContainsFunc(past, func(name []byte) bool { return tableOf(name).isPending() }) {
		if err := s.in.carryOut(); err != nil {
			return false, err
		}
	}
	return len(past) > 0, dropBuckets(in, past)
}

func dropBuckets(b *bolt.Bucket, names [][]byte) error {
	for _, name := range names {
		if err := b.DeleteBucket(name); err != nil {
			return err
		}
	}
	return nil
}
