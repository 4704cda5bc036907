package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Apply implements quota.Store. Transactions that only judge do not wait for
// the disk, save those with a request id.
func (s *Store) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := make([]quota.Outcome, len(txns))
	run := func(t *transaction) error {
		wrote := false
		for i := range txns {
			outcomes[i] = quota.Outcome{}
			changed, err := s.apply(t, &txns[i], &outcomes[i])
			if err != nil {
				return err
			}
			wrote = wrote || changed
		}
		if !wrote {
			return answer{}
		}
		return nil
	}
	var err error
	if writes(txns) {
		err = s.enqueue(ctx, &work{do: run, weight: weightOf(txns)})
	} else {
		err = s.read(ctx, run)
	}
	if err == (answer{}) { //nolint:errorlint // it is never wrapped
		err = nil
	}
	if err != nil {
		for i := range outcomes {
			outcomes[i] = quota.Outcome{Err: err}
		}
	}
	return outcomes
}

// writes reports whether the writer is to run transactions: those that write, and
// those with a request id even if they only judge. A reader may see a commit before
// it is synced, and to answer "replayed" from it would promise what a power
// failure may take back. The writer begins after all that it committed before is on the disk.
func writes(txns []quota.Txn) bool {
	for i := range txns {
		if txns[i].Mode != quota.ModeJudge || !txns[i].Request.IsZero() {
			return true
		}
	}
	return false
}

// weightOf is about how many counters transactions touch.
func weightOf(txns []quota.Txn) (n int) {
	for i := range txns {
		n += len(txns[i].Users.IDs) * (1 + len(txns[i].Users.Drop))
		for k := range txns[i].Charges {
			n += max(1, len(txns[i].Charges[k].Subjects))
		}
	}
	return n
}

// apply judges one transaction and writes it. It reports whether that changed
// anything: the login of a user who was active this month does not, say. What is
// wrong with the transaction is its outcome; the error is a failure of the file.
func (s *Store) apply(in *transaction, t *quota.Txn, o *quota.Outcome) (changed bool, err error) {
	st := &step{in: in, txn: t, requests: s.requests}
	if wrong := st.judge(o); wrong != nil {
		*o = quota.Outcome{Err: wrong}
	}
	if !o.Applied {
		return false, nil
	}
	o.Durability = quota.DurabilitySynced // nobody is answered before the commit is
	err = st.write(o)
	return st.changed, err
}

// step is one transaction while it is carried out.
type step struct {
	in       *transaction
	txn      *quota.Txn
	requests *requestIndex
	header   header
	clock    time.Time

	users  []user // what is stored of each user of the step, before
	known  []bool
	counts struct{ added, active, gone int64 }
	dates  bool // the group gets its day
	exists bool // there is a group record for charges to look at
	group  quota.GroupRecord
	online *online // as it is to be written
	holds  holds
	// changed: something was written, and so the header is too.
	changed bool
}

// judge reads everything and fills in the outcome.
func (s *step) judge(o *quota.Outcome) error {
	t := s.txn
	var err error
	if s.header, err = headerOf(s.in.headers().get(appKey(t.App)), t.App, t.Version); err != nil {
		return err
	}
	s.clock = s.header.later(t.Now)
	if !t.WindowEnd.IsZero() && !s.clock.Before(t.WindowEnd) {
		return &quota.WindowPassedError{Clock: s.clock}
	}
	o.Clock = s.clock
	if o.Replayed, err = s.remembered(); err != nil {
		return err
	}
	if err := s.readHolds(o); err != nil {
		return err
	}
	if err := s.readUsers(o.Replayed); err != nil {
		return err
	}
	if err := s.readGroup(o); err != nil {
		return err
	}
	if err := s.readOnline(o); err != nil {
		return err
	}
	fit, isExact := true, true
	o.Charges = make([]quota.ChargeOutcome, len(t.Charges))
	for i := range t.Charges {
		c, found := &t.Charges[i], &o.Charges[i]
		if err := s.read(c, found, o.Replayed); err != nil {
			return err
		}
		f, e := fits(c, found)
		fit, isExact = fit && f, isExact && e
	}
	o.Applied = !o.Replayed && (t.Mode == quota.ModeForce || t.Mode != quota.ModeJudge && fit)
	if o.Applied && !isExact {
		return quota.ErrOverflow
	}
	return nil
}

// fits reports whether a charge fits its limit, and whether it stays exact.
func fits(c *quota.Charge, found *quota.ChargeOutcome) (fits, isExact bool) {
	fits, isExact = true, true
	for k, used := range found.Used {
		if found.Held != nil {
			used += found.Held[k]
		}
		fits = fits && c.Limit.Allows(used, found.Delta)
		after := used + found.Delta
		isExact = isExact && (found.Delta <= 0 || after <= catalog.MaxLimit) && (found.Delta >= 0 || after >= -catalog.MaxLimit)
	}
	return fits, isExact
}

// headerOf reads an app's header as it is stored, which must have this version.
func headerOf(stored []byte, app uint32, version account.Version) (header, error) {
	if stored == nil {
		return header{}, quota.ErrStale
	}
	h, err := decodeHeader(stored)
	switch {
	case err != nil:
		return header{}, account.DamagedRecord(app)
	case h.version != version:
		return header{}, quota.ErrStale
	}
	return h, nil
}

// remembered looks the request up.
func (s *step) remembered() (bool, error) {
	if s.txn.Request.IsZero() {
		return false, nil
	}
	return s.requests.has(s.in, s.requestsName(), &s.txn.Request)
}

// requestsName names the ids that this step's would be among.
func (s *step) requestsName() requestsName {
	return requestsName{s.txn.App, generationOf(s.clock)}
}

// readUsers finds what becomes of each user.
func (s *step) readUsers(replayed bool) error {
	step := &s.txn.Users
	if step.Op == quota.UsersNone || replayed {
		return nil
	}
	b := s.in.users()
	s.users, s.known = make([]user, len(step.IDs)), make([]bool, len(step.IDs))
	for i, id := range step.IDs {
		s.users[i] = user{month: neverActive}
		if stored := b.get(idKeyOf(s.txn.App, id)); stored != nil {
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
			if !s.known[i] && step.Op != quota.UsersActive {
				s.counts.added++
			}
			if step.Op != quota.UsersRegister && s.users[i].month < step.Month {
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
	g, err := decodeGroup(s.in.groups().get(idKeyOf(s.txn.App, step.ID)))
	if err != nil {
		return corrupt("group", step.ID)
	}
	o.Group, s.group, s.exists = g, g, g.Found
	switch {
	case o.Replayed:
	case g.Found && step.Op == quota.GroupCreate && s.txn.Hold.Op == quota.HoldCommit && g.Day == quota.NoDay && g.Type == step.Type:
		s.group.Day, s.dates = step.Day, true // it was joined before it was committed
	case g.Found && step.Op == quota.GroupCreate:
		return quota.ErrGroupExists
	case g.Found && step.Type != 0 && step.Type != g.Type:
		return quota.ErrGroupType
	case !g.Found && step.Op == quota.GroupCreate:
		held, err := s.holds.byOthers(s.ofGroupID())
		if err != nil {
			return err
		}
		if held > 0 {
			return quota.ErrGroupExists
		}
		s.exists, s.group = true, quota.GroupRecord{Type: step.Type, Day: step.Day}
	case !g.Found && step.Op == quota.GroupTouch && s.wentLately(): // too late
	case !g.Found && step.Op == quota.GroupTouch:
		s.exists, s.group = true, quota.GroupRecord{Type: step.Type, Day: quota.NoDay}
	}
	return nil
}

// wentLately reports whether the group was dissolved on the day before or since:
// the clock that says which day it is may be behind the one that dissolved it.
func (s *step) wentLately() bool {
	c, ofApp := s.in.tx.Bucket(windowsBucket).Cursor(), appKey(s.txn.App)
	for name, _ := c.Seek(goneKey(s.txn.App, s.txn.Group.Day-1)); bytes.HasPrefix(name, ofApp); name, _ = c.Next() {
		if isGone(name) && s.in.window(name).get([]byte(s.txn.Group.ID)) != nil {
			return true
		}
	}
	return false
}

// applies reports whether a charge is for this group.
func (s *step) applies(c *quota.Charge) bool {
	switch {
	case !s.exists:
		return !c.Members && c.Types == "" && !c.SameDay
	case c.Types != "" && strings.IndexByte(c.Types, s.group.Type) < 0:
		return false
	}
	return !c.SameDay || s.group.Day == s.txn.Group.Day
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
			if !b.exists() {
				break
			}
			n, err := decodeCount(b.get(counterKey(s.txn.App, c.Quota, subject)))
			if err != nil {
				return corrupt(c.Quota, subject)
			}
			found.Used[i] = n
		}
	}
	if err := s.readHeld(c, found); err != nil {
		return err
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

// counters is the table of a window's counters, which need not exist yet.
func (s *step) counters(w catalog.Window) table {
	if w.IsStock() {
		return s.in.counters()
	}
	return s.in.window(windowKey(s.txn.App, w))
}

func corrupt(what, id string) error {
	return &account.Fault{Reason: account.UsageUnknown, Detail: fmt.Sprintf("the stored value of %s %q is damaged", what, id)}
}
