package boltstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// Apply implements quota.Store. Transactions that only judge do not wait for
// the disk.
func (s *Store) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := make([]quota.Outcome, len(txns))
	run := func(tx *bolt.Tx) error {
		for i := range txns {
			outcomes[i] = quota.Outcome{}
			if err := apply(tx, &txns[i], &outcomes[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if writes(txns) {
		err = s.submit(ctx, run)
	} else {
		err = s.view(ctx, run)
	}
	if err != nil {
		for i := range outcomes {
			outcomes[i] = quota.Outcome{Err: err}
		}
	}
	return outcomes
}

func writes(txns []quota.Txn) bool {
	for i := range txns {
		if txns[i].Mode != quota.ModeJudge {
			return true
		}
	}
	return false
}

// apply judges one transaction and writes it. What is wrong with the
// transaction is its outcome; the error is a failure of the file.
func apply(tx *bolt.Tx, t *quota.Txn, o *quota.Outcome) error {
	st := &step{tx: tx, txn: t}
	err := st.judge(o)
	if err != nil {
		*o = quota.Outcome{Err: err}
	}
	if !o.Applied {
		return nil
	}
	return st.write(o)
}

// step is one transaction while it is carried out.
type step struct {
	tx     *bolt.Tx
	txn    *quota.Txn
	header header
	clock  time.Time

	users  []user // what is stored of each user of the step, before
	known  []bool
	counts struct{ added, active, gone int64 }
	exists bool // there is a group record for charges to look at
	group  quota.GroupRecord
}

// judge reads everything and fills in the outcome.
func (s *step) judge(o *quota.Outcome) error {
	t := s.txn
	stored := s.tx.Bucket(appsBucket).Get(appKey(t.App))
	if stored == nil {
		return quota.ErrStale
	}
	var err error
	if s.header, err = decodeHeader(stored); err != nil {
		return unreadable(t.App)
	}
	if s.header.version != t.Version {
		return quota.ErrStale
	}
	s.clock = s.header.later(t.Now)
	if !t.WindowEnd.IsZero() && !s.clock.Before(t.WindowEnd) {
		return &quota.WindowPassedError{Clock: s.clock}
	}
	o.Clock = s.clock
	if o.Replayed, err = s.remembered(); err != nil {
		return err
	}
	if err := s.readUsers(o.Replayed); err != nil {
		return err
	}
	if err := s.readGroup(o); err != nil {
		return err
	}
	fits, overflows := true, false
	o.Charges = make([]quota.ChargeOutcome, len(t.Charges))
	for i := range t.Charges {
		c, found := &t.Charges[i], &o.Charges[i]
		if err := s.read(c, found, o.Replayed); err != nil {
			return err
		}
		for _, used := range found.Used {
			fits = fits && c.Limit.Allows(used, found.Delta)
			overflows = overflows || found.Delta > 0 && used > catalog.MaxLimit-found.Delta || found.Delta < 0 && used < -catalog.MaxLimit-found.Delta
		}
	}
	o.Applied = !o.Replayed && (t.Mode == quota.ModeForce || t.Mode == quota.ModeConsume && fits)
	if o.Applied && overflows {
		return quota.ErrOverflow
	}
	return nil
}

// remembered looks the request up in this generation and the one before.
func (s *step) remembered() (bool, error) {
	if s.txn.Request.IsZero() {
		return false, nil
	}
	now := generationOf(s.clock)
	for _, g := range []int64{now, now - 1} {
		b := s.tx.Bucket(requestsBucket).Bucket(generationKey(s.txn.App, g))
		if b == nil {
			continue
		}
		if fingerprint := b.Get(s.txn.Request.Hash[:]); fingerprint != nil {
			switch {
			case len(fingerprint) != len(s.txn.Request.Fingerprint):
				return false, corrupt("request", hex.EncodeToString(s.txn.Request.Hash[:]))
			case !bytes.Equal(fingerprint, s.txn.Request.Fingerprint[:]):
				return false, quota.ErrRequestReused
			}
			return true, nil
		}
	}
	return false, nil
}

// readUsers finds what becomes of each user.
func (s *step) readUsers(replayed bool) error {
	step := &s.txn.Users
	if step.Op == quota.UsersNone || replayed {
		return nil
	}
	b := s.tx.Bucket(usersBucket)
	s.users, s.known = make([]user, len(step.IDs)), make([]bool, len(step.IDs))
	for i, id := range step.IDs {
		s.users[i] = user{month: neverActive}
		if stored := b.Get(idKeyOf(s.txn.App, id)); stored != nil {
			u, err := decodeUser(stored)
			if err != nil {
				return corrupt("user", id)
			}
			s.users[i], s.known[i] = u, !u.deleted
		}
		switch {
		case step.Op == quota.UsersDelete && s.known[i]:
			s.counts.gone++
		case step.Op == quota.UsersDelete:
		default:
			if !s.known[i] {
				s.counts.added++
			}
			if step.Op == quota.UsersLogin && s.users[i].month != step.Month {
				s.counts.active++
			}
		}
	}
	return nil
}

// readGroup reads the group's record and finds the one that charges are for.
func (s *step) readGroup(o *quota.Outcome) error {
	step := &s.txn.Group
	if step.Op == quota.GroupNone {
		return nil
	}
	g, err := decodeGroup(s.tx.Bucket(groupsBucket).Get(idKeyOf(s.txn.App, step.ID)))
	if err != nil {
		return corrupt("group", step.ID)
	}
	o.Group, s.group, s.exists = g, g, g.Found
	switch {
	case o.Replayed:
	case g.Found && step.Op == quota.GroupCreate:
		return quota.ErrGroupExists
	case g.Found && step.Type != 0 && step.Type != g.Type:
		return quota.ErrGroupType
	case !g.Found && step.Op == quota.GroupCreate:
		s.exists, s.group = true, quota.GroupRecord{Type: step.Type, Day: step.Day}
	case !g.Found && step.Op == quota.GroupTouch:
		s.exists, s.group = true, quota.GroupRecord{Type: step.Type, Day: quota.NoDay}
	}
	return nil
}

// applies reports whether a charge is for this group.
func (s *step) applies(c *quota.Charge) bool {
	switch {
	case c.Members && !s.exists,
		c.Types != "" && (!s.exists || strings.IndexByte(c.Types, s.group.Type) < 0),
		c.SameDay && (!s.exists || s.group.Day != s.txn.Group.Day):
		return false
	}
	return true
}

// read reads a charge's counters and resolves its delta.
func (s *step) read(c *quota.Charge, found *quota.ChargeOutcome, replayed bool) error {
	if !s.applies(c) {
		return nil
	}
	subjects := c.Subjects
	if subjects == nil {
		subjects = []string{""}
	}
	if c.Members {
		found.Used = []int64{s.group.Members}
	} else {
		found.Used = make([]int64, len(subjects))
		b := s.counters(c.Window)
		for i, subject := range subjects {
			if b == nil {
				break
			}
			n, err := decodeCount(b.Get(counterKey(s.txn.App, c.Quota, subject)))
			if err != nil {
				return corrupt(c.Quota, subject)
			}
			found.Used[i] = n
		}
	}
	if replayed {
		return nil
	}
	found.Delta = c.Delta
	switch c.Basis {
	case quota.PerTxn:
	case quota.PerNewUser:
		found.Delta *= s.counts.added
	case quota.PerNewActive:
		found.Delta *= s.counts.active
	case quota.PerGoneUser:
		found.Delta *= s.counts.gone
	case quota.Absolute:
		found.Delta -= found.Used[0]
	}
	return nil
}

// counters is the bucket of a window's counters, nil when there is none yet.
func (s *step) counters(w catalog.Window) *bolt.Bucket {
	if w.IsStock() {
		return s.tx.Bucket(countersBucket)
	}
	return s.tx.Bucket(windowsBucket).Bucket(windowKey(w))
}

func corrupt(what, id string) error {
	return &account.Fault{Reason: account.UsageUnknown, Detail: fmt.Sprintf("the stored value of %s %q is damaged", what, id)}
}

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
	errs := []error{s.writeUsers()}
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
	errs = append(errs, s.writeGroup(members), s.remember(), s.writeHeader())
	return errors.Join(errs...)
}

func (s *step) writeCounters(c *quota.Charge, found *quota.ChargeOutcome) error {
	if found.Delta == 0 {
		return nil
	}
	b, err := s.makeCounters(c.Window)
	if err != nil {
		return err
	}
	for i, used := range found.Used {
		subject := ""
		if c.Subjects != nil {
			subject = c.Subjects[i]
		}
		key := counterKey(s.txn.App, c.Quota, subject)
		n := after(c, used, found.Delta)
		if n == 0 {
			err = b.Delete(key)
		} else {
			err = b.Put(key, encodeCount(n))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeCounters is counters, made if need be; with a new window, those that may
// be forgotten are dropped.
func (s *step) makeCounters(w catalog.Window) (*bolt.Bucket, error) {
	if b := s.counters(w); b != nil {
		return b, nil
	}
	windows := s.tx.Bucket(windowsBucket)
	if err := dropBuckets(windows, nil, keptUntil(s.clock)); err != nil {
		return nil, err
	}
	return windows.CreateBucket(windowKey(w))
}

func (s *step) writeUsers() error {
	step, b := &s.txn.Users, s.tx.Bucket(usersBucket)
	for i := range s.users {
		key, u := idKeyOf(s.txn.App, step.IDs[i]), s.users[i]
		var err error
		switch step.Op {
		case quota.UsersNone:
		case quota.UsersRegister:
			if !s.known[i] {
				err = b.Put(key, encodeUser(user{month: u.month}))
			}
		case quota.UsersLogin:
			if !s.known[i] || u.month != step.Month {
				err = b.Put(key, encodeUser(user{month: step.Month}))
			}
		case quota.UsersDelete:
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
func (s *step) deleteUser(b *bolt.Bucket, key []byte, id string, u user) error {
	for _, c := range s.txn.Users.Drop {
		if counters := s.counters(c.Window); counters != nil {
			if err := counters.Delete(counterKey(s.txn.App, c.Quota, id)); err != nil {
				return err
			}
		}
	}
	if u.month == s.txn.Users.Month {
		return b.Put(key, encodeUser(user{month: u.month, deleted: true}))
	}
	return b.Delete(key)
}

func (s *step) writeGroup(members int64) error {
	step, b := &s.txn.Group, s.tx.Bucket(groupsBucket)
	key := idKeyOf(s.txn.App, step.ID)
	switch {
	case step.Op == quota.GroupDissolve:
		return b.Delete(key)
	case step.Op == quota.GroupNone || step.Op == quota.GroupRead || !s.exists:
		return nil
	}
	s.group.Members = members
	return b.Put(key, encodeGroup(s.group))
}

// remember keeps the request's fingerprint; with a new generation, those that
// nobody looks at any more are dropped.
func (s *step) remember() error {
	if s.txn.Request.IsZero() {
		return nil
	}
	requests, now := s.tx.Bucket(requestsBucket), generationOf(s.clock)
	b := requests.Bucket(generationKey(s.txn.App, now))
	if b == nil {
		if err := dropBuckets(requests, appKey(s.txn.App), generationKey(s.txn.App, now-1)); err != nil {
			return err
		}
		var err error
		if b, err = requests.CreateBucket(generationKey(s.txn.App, now)); err != nil {
			return err
		}
	}
	return b.Put(s.txn.Request.Hash[:], s.txn.Request.Fingerprint[:])
}

func (s *step) writeHeader() error {
	h := s.header
	h.clock = s.clock.UnixMilli()
	h.sequence++
	return s.tx.Bucket(appsBucket).Put(appKey(s.txn.App), encodeHeader(h))
}

// dropBuckets drops the buckets whose names lie in the half-open range.
func dropBuckets(b *bolt.Bucket, from, to []byte) error {
	var names [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(from); k != nil && bytes.Compare(k, to) < 0; k, _ = c.Next() {
		names = append(names, bytes.Clone(k))
	}
	for _, name := range names {
		if err := b.DeleteBucket(name); err != nil {
			return err
		}
	}
	return nil
}
