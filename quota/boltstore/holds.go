package boltstore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// holdsBucket is made by the first reservation: app -> a bucket of
//
//	"s", of                  how much is held of it
//	"e", end, reservation    what it holds, until it is committed, cancelled, or ended
//	"v", day, reservation    what became of it
var holdsBucket = []byte("holds")

const (
	sumKind    = 's'
	endKind    = 'e'
	recordKind = 'v'
)

// holding is what one reservation holds of something.
type holding struct {
	Of []byte `json:"of"`
	N  int64  `json:"n"`
}

// What a part of a reservation is of: the kind comes first, and what may hold
// any byte last.

func (s *step) ofCounter(c *quota.Charge, subject string) []byte {
	of := []byte{'c', 0}
	if !c.Window.IsStock() {
		window := windowKey(s.txn.App, c.Window)
		of[1] = byte(len(window))
		of = append(of, window...)
	}
	return append(of, counterKey(s.txn.App, c.Quota, subject)...)
}

func (s *step) ofMembers() []byte { return append([]byte{'m'}, s.txn.Group.ID...) }

func (s *step) ofGroupID() []byte { return append([]byte{'i'}, s.txn.Group.ID...) }

// ofCharge is what a charge on its subject number k is of.
func (s *step) ofCharge(c *quota.Charge, k int) []byte {
	switch {
	case c.Members:
		return s.ofMembers()
	case c.Subjects == nil:
		return s.ofCounter(c, "")
	}
	return s.ofCounter(c, c.Subjects[k])
}

// reservation is one as it is stored.
type reservation struct {
	state       quota.HoldState
	fingerprint [8]byte
	end         int64 // Unix milliseconds
	plan        []byte
}

const reservationSize = 1 + 8 + 8

func (r *reservation) encode() []byte {
	b := append([]byte{byte(r.state)}, r.fingerprint[:]...)
	return append(binary.BigEndian.AppendUint64(b, uint64(r.end)), r.plan...)
}

func decodeReservation(b []byte) (*reservation, error) {
	if len(b) < reservationSize || b[0] < byte(quota.HoldPlaced) || b[0] > byte(quota.HoldCancelled) {
		return nil, errCorrupt
	}
	r := &reservation{state: quota.HoldState(b[0]), end: int64(binary.BigEndian.Uint64(b[9:])), plan: bytes.Clone(b[reservationSize:])}
	copy(r.fingerprint[:], b[1:])
	return r, nil
}

func (r *reservation) record() quota.HoldRecord {
	return quota.HoldRecord{State: r.state, End: time.UnixMilli(r.end)}
}

// holdGenerationKey is how the keys of reservations of one day begin.
func holdGenerationKey(day int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{recordKind}, uint64(day))
}

func holdGenerationOf(at time.Time) int64 { return at.UnixMilli() / quota.HoldKept.Milliseconds() }

func endKey(end int64, id quota.HoldID) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{endKind}, uint64(end)), id[:]...)
}

// holds is what a step knows of its app's reservations.
type holds struct {
	bucket *bolt.Bucket     // nil: there never was any
	ended  map[string]int64 // what those still hold whose end nobody noticed
	over   [][]byte         // their keys

	key   []byte           // of the step's own
	found *reservation     // the step's own, before
	own   map[string]int64 // what it holds that the step ends
	parts []holding
}

// readHolds finds what is over by the clock, and the reservation that the step is
// about.
func (s *step) readHolds(o *quota.Outcome) error {
	if all := s.in.tx.Bucket(holdsBucket); all != nil {
		s.holds.bucket = all.Bucket(appKey(s.txn.App))
	}
	if b := s.holds.bucket; b != nil {
		c := b.Cursor()
		now := endKey(s.clock.UnixMilli()+1, quota.HoldID{})
		for k, v := c.Seek([]byte{endKind}); k != nil && bytes.Compare(k, now) < 0; k, v = c.Next() {
			parts, err := decodeParts(v)
			if err != nil {
				return err
			}
			s.holds.over = append(s.holds.over, bytes.Clone(k))
			if s.holds.ended == nil {
				s.holds.ended = make(map[string]int64)
			}
			for _, p := range parts {
				s.holds.ended[string(p.Of)] += p.N
			}
		}
	}
	if err := s.readHold(o); err != nil {
		return err
	}
	return s.holds.checkFreed()
}

func decodeParts(b []byte) (parts []holding, err error) {
	err = json.Unmarshal(b, &parts)
	for _, p := range parts {
		if p.N <= 0 || p.N > catalog.MaxLimit {
			err = errCorrupt
		}
	}
	if err != nil {
		return nil, corrupt("a reservation's parts", "")
	}
	return parts, nil
}

func (s *step) readHold(o *quota.Outcome) error {
	t, h := &s.txn.Hold, &s.holds
	if t.Op == quota.HoldNone {
		return nil
	}
	day := holdGenerationOf(s.clock)
	for _, d := range []int64{day, day - 1} {
		h.key = append(holdGenerationKey(d), t.ID[:]...)
		if h.bucket == nil {
			break
		}
		if stored := h.bucket.Get(h.key); stored != nil {
			var err error
			if h.found, err = decodeReservation(stored); err != nil {
				return corrupt("reservation", t.ID.String())
			}
			break
		}
	}
	r := h.found
	switch {
	case r == nil && t.Op == quota.HoldPlace:
		h.key = append(holdGenerationKey(day), t.ID[:]...)
		return nil
	case r == nil:
		return quota.ErrHoldNotFound
	case t.Op == quota.HoldPlace && r.fingerprint != s.txn.Request.Fingerprint:
		return quota.ErrRequestReused
	case t.Op == quota.HoldPlace,
		t.Op == quota.HoldCommit && r.state == quota.HoldCommitted,
		t.Op == quota.HoldCancel && r.state == quota.HoldCancelled:
		o.Replayed = true
	case t.Op == quota.HoldCommit && r.state == quota.HoldCancelled:
		return quota.ErrHoldCancelled
	case t.Op == quota.HoldCancel && r.state == quota.HoldCommitted:
		return quota.ErrHoldCommitted
	case t.Op == quota.HoldCommit && t.Late != (r.end <= s.clock.UnixMilli()):
		return quota.ErrHoldEnded
	case t.Op != quota.HoldRead && r.end > s.clock.UnixMilli():
		if err := s.readOwn(); err != nil {
			return err
		}
	}
	o.Hold = r.record()
	if t.Op == quota.HoldRead && len(r.plan) > 0 {
		o.Hold.Plan = r.plan
	}
	return nil
}

// readOwn reads what the reservation holds that the step ends.
func (s *step) readOwn() (err error) {
	h := &s.holds
	stored := h.bucket.Get(endKey(h.found.end, s.txn.Hold.ID))
	if stored == nil {
		return nil
	}
	if h.parts, err = decodeParts(stored); err != nil {
		return err
	}
	h.own = make(map[string]int64, len(h.parts))
	for _, p := range h.parts {
		h.own[string(p.Of)] += p.N
	}
	return nil
}

// sum is what is stored as held, ended or not.
func (h *holds) sum(of []byte) (int64, error) {
	if h.bucket == nil {
		return 0, nil
	}
	n, err := decodeCount(h.bucket.Get(append([]byte{sumKind}, of...)))
	if err != nil || n < 0 {
		return 0, corrupt("what is held", string(of))
	}
	return n, nil
}

// byOthers is what is held of something, without what the step ends.
func (h *holds) byOthers(of []byte) (int64, error) {
	n, err := h.sum(of)
	if err != nil {
		return 0, err
	}
	if n -= h.ended[string(of)] + h.own[string(of)]; n < 0 || n > catalog.MaxLimit {
		return 0, corrupt("what is held", string(of))
	}
	return n, nil
}

// checkFreed looks at all sums that the step may lower, before it writes any:
// its charges need not be of them.
func (h *holds) checkFreed() error {
	for _, freed := range []map[string]int64{h.ended, h.own} {
		for of := range freed {
			if _, err := h.byOthers([]byte(of)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readHeld reads what is held of a charge's counters; nil: nothing ever was.
func (s *step) readHeld(c *quota.Charge, found *quota.ChargeOutcome) error {
	if s.holds.bucket == nil {
		return nil
	}
	found.Held = make([]int64, len(found.Used))
	for k := range found.Held {
		n, err := s.holds.byOthers(s.ofCharge(c, k))
		if err != nil {
			return err
		}
		found.Held[k] = n
	}
	return nil
}

// add changes a sum, which is removed when it becomes zero.
func (h *holds) add(of []byte, n int64) error {
	before, err := h.sum(of)
	if err != nil {
		return err
	}
	key := append([]byte{sumKind}, of...)
	if before+n <= 0 {
		return h.bucket.Delete(key)
	}
	return h.bucket.Put(key, encodeCount(before+n))
}

// settle frees what reservations still hold that have ended, with a step that
// keeps the clock by which they have: the next one may be of a caller whose clock
// is behind.
func (s *step) settle() error {
	if len(s.holds.over) == 0 {
		return nil
	}
	s.in.isMixed = true
	for of, n := range s.holds.ended {
		if err := s.holds.add([]byte(of), -n); err != nil {
			return err
		}
	}
	for _, k := range s.holds.over {
		if err := s.holds.bucket.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// writeHold carries the step on the reservation out.
func (s *step) writeHold(o *quota.Outcome) error {
	op := s.txn.Hold.Op
	if op == quota.HoldNone || op == quota.HoldRead {
		return nil
	}
	s.in.isMixed = true
	if op == quota.HoldPlace {
		if err := s.makeHolds(); err != nil {
			return err
		}
		return s.place(o)
	}
	state := quota.HoldCancelled
	if op == quota.HoldCommit {
		state = quota.HoldCommitted
	}
	return s.endHold(o, state)
}

// forgotten bounds how many reservations of days past one step forgets.
const forgotten = 64

func (s *step) makeHolds() error {
	all, err := s.in.tx.CreateBucketIfNotExists(holdsBucket)
	if err != nil {
		return err
	}
	if s.holds.bucket, err = all.CreateBucketIfNotExists(appKey(s.txn.App)); err != nil {
		return err
	}
	past := holdGenerationKey(holdGenerationOf(s.clock) - 1)
	isPast := func(k []byte) bool { return bytes.Compare(k, past) < 0 }
	for _, k := range keysOf(s.holds.bucket, []byte{recordKind}, forgotten, isPast) {
		if err := s.holds.bucket.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// dropHolds forgets what reservations of an app held that was lost.
func dropHolds(tx *bolt.Tx, app uint32) error {
	all := tx.Bucket(holdsBucket)
	if all == nil || all.Bucket(appKey(app)) == nil {
		return nil
	}
	return all.DeleteBucket(appKey(app))
}

// place makes a reservation of all that the charges would add.
func (s *step) place(o *quota.Outcome) error {
	var parts []holding
	for i := range s.txn.Charges {
		c, found := &s.txn.Charges[i], &o.Charges[i]
		if found.Delta <= 0 || found.Used == nil {
			continue
		}
		if found.Held == nil {
			found.Held = make([]int64, len(found.Used))
		}
		for k := range found.Used {
			parts = append(parts, holding{s.ofCharge(c, k), found.Delta})
			found.Held[k] += found.Delta
		}
	}
	if s.txn.Group.Op == quota.GroupCreate {
		parts = append(parts, holding{s.ofGroupID(), 1})
	}
	for _, p := range parts {
		if err := s.holds.add(p.Of, p.N); err != nil {
			return err
		}
	}
	value, err := json.Marshal(parts)
	if err != nil {
		return err
	}
	t := &s.txn.Hold
	r := &reservation{
		state: quota.HoldPlaced, fingerprint: s.txn.Request.Fingerprint,
		end: s.clock.Add(t.For).UnixMilli(), plan: t.Plan,
	}
	o.Hold, s.changed = r.record(), true
	return errors.Join(s.holds.bucket.Put(endKey(r.end, t.ID), value), s.holds.bucket.Put(s.holds.key, r.encode()))
}

// endHold commits or cancels a reservation.
func (s *step) endHold(o *quota.Outcome, state quota.HoldState) error {
	h := &s.holds
	for _, p := range h.parts {
		if err := h.add(p.Of, -p.N); err != nil {
			return err
		}
	}
	r := *h.found
	r.state, r.plan = state, nil
	o.Hold, s.changed = r.record(), true
	// Of one that has ended, settle does this.
	return errors.Join(h.bucket.Delete(endKey(r.end, s.txn.Hold.ID)), h.bucket.Put(h.key, r.encode()))
}
