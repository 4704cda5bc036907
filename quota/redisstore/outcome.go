package redisstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// Codes of the script's replies.
const (
	replyDone = iota
	replyStale
	replyWindowPassed
	replyReused
	replyGroupExists
	replyGroupType
	replyOverflow
	replyCorrupt
	replyAhead
	replyBrokeOff
	replyClockSkew
	replyGateways
	replyNoHold
	replyHoldCommitted
	replyHoldCancelled
	replyHoldEnded
	replyHolds
	replyNotPermitted
)

// errReply says that the script answered what it never answers.
var errReply = errors.New("the script's reply is not what it should be")

// A done transaction's reply begins with these, as a sum; another's with its code,
// negative.
const (
	doneApplied = 1 << iota
	doneReplayed
	doneFound
	doneHeld
)

// decode turns the replies to a parcel into outcomes.
func (w *work) decode(p *parcel) {
	u, room := unpacker{data: p.replies}, w.roomFor(p)
	for _, i := range p.at {
		t, o := &w.txns[i], &w.outcomes[i]
		if err := decodeTxn(t, &u, &room, p.clock, o); err != nil {
			*o = quota.Outcome{Err: err}
			continue
		}
		o.TailLost = p.tailLost
		if o.Applied {
			o.Durability = p.durability
		}
		if o.Hold.State == quota.HoldPlaced {
			w.holding.note(t.App, o.Hold.End)
		}
	}
	if u.failed || u.data != "" {
		w.fail(p, unreadable())
	}
}

// outcomeRoom is where the outcomes of a parcel lie together.
type outcomeRoom struct {
	charges  []quota.ChargeOutcome
	counters []int64
}

// roomFor makes room for all that is told of a parcel; what is held has its own.
func (w *work) roomFor(p *parcel) outcomeRoom {
	charges, counters := 0, 0
	for _, i := range p.at {
		t := &w.txns[i]
		charges += len(t.Charges)
		for k := range t.Charges {
			counters += max(1, len(t.Charges[k].Subjects))
		}
	}
	return outcomeRoom{make([]quota.ChargeOutcome, charges), make([]int64, 0, counters)}
}

// take takes the places of a transaction's charges.
func (r *outcomeRoom) take(charges int) []quota.ChargeOutcome {
	taken := r.charges[:charges:charges]
	r.charges = r.charges[charges:]
	return taken
}

func unreadable() *account.Fault {
	return &account.Fault{Reason: account.OutcomeUnknown, Detail: "Redis", Err: errReply}
}

func damagedValue(why string) *account.Fault {
	return &account.Fault{Reason: account.UsageUnknown, Detail: "a stored value is damaged: " + why}
}

// errorOf returns what a transaction's code says.
func errorOf(code int64, why string, clock time.Time) error {
	switch code {
	case replyWindowPassed:
		return &quota.WindowPassedError{Clock: clock}
	case replyReused:
		return quota.ErrRequestReused
	case replyGroupExists:
		return quota.ErrGroupExists
	case replyGroupType:
		return quota.ErrGroupType
	case replyOverflow:
		return quota.ErrOverflow
	case replyGateways:
		return quota.ErrGateways
	case replyNoHold:
		return quota.ErrHoldNotFound
	case replyHoldCommitted:
		return quota.ErrHoldCommitted
	case replyHoldCancelled:
		return quota.ErrHoldCancelled
	case replyHoldEnded:
		return quota.ErrHoldEnded
	case replyCorrupt:
		return damagedValue(why)
	case replyBrokeOff:
		return &account.Fault{Reason: account.OutcomeUnknown, Detail: "the script broke off while it wrote: " + why}
	}
	return &account.Fault{Reason: account.OutcomeUnknown, Detail: fmt.Sprintf("code %d", code), Err: errReply}
}

func decodeTxn(t *quota.Txn, u *unpacker, room *outcomeRoom, clock time.Time, o *quota.Outcome) error {
	done := u.number()
	if done < 0 {
		why := u.text()
		return errorOf(-done, why, clock)
	}
	*o = quota.Outcome{Clock: clock, Applied: done&doneApplied != 0, Replayed: done&doneReplayed != 0}
	if done&doneFound != 0 {
		o.Group = quota.GroupRecord{Found: true, Type: u.letter(), Day: int32(u.number()), Members: u.number()}
	}
	o.Charges = room.take(len(t.Charges))
	for i := range t.Charges {
		c, found := &t.Charges[i], &o.Charges[i]
		n := max(1, len(c.Subjects))
		found.Delta = c.Delta
		if o.Replayed {
			found.Delta = 0
		}
		if kindOf(c) == kindOther {
			switch applies := u.number(); {
			case applies == 0:
				found.Delta = 0
				continue
			case applies != int64(n):
				u.failed = true
			}
			if c.Basis != quota.PerTxn {
				found.Delta = u.number()
			}
		}
		found.Used, room.counters = u.numbers(n, room.counters)
		if done&doneHeld != 0 {
			found.Held, _ = u.numbers(n, nil)
		}
		if u.failed {
			break
		}
	}
	u.online(t, o)
	u.hold(t, o)
	if u.failed {
		return unreadable()
	}
	return nil
}

// numbers reads so many into what there is room for.
func (u *unpacker) numbers(n int, room []int64) (numbers, rest []int64) {
	first := len(room)
	for range n {
		room = append(room, u.number())
	}
	return room[first:len(room):len(room)], room
}

// letter reads a group's type.
func (u *unpacker) letter() byte {
	s := u.text()
	if len(s) != 1 {
		u.failed = true
		return 0
	}
	return s[0]
}

// online reads what is said of users online.
func (u *unpacker) online(t *quota.Txn, o *quota.Outcome) {
	if t.Online.Op == quota.OnlineNone {
		return
	}
	o.Online.Users, o.Online.Gateways = u.number(), int(u.number())
	if ends := u.number(); ends != 0 {
		o.Online.LeaseEnd = time.UnixMilli(ends)
	}
	o.Online.Peaks, _ = u.numbers(len(t.Online.Months), nil)
}

// hold reads what is said of the reservation.
func (u *unpacker) hold(t *quota.Txn, o *quota.Outcome) {
	if t.Hold.Op == quota.HoldNone {
		return
	}
	state, end, plan := quota.HoldState(u.number()), u.number(), u.text()
	if state == 0 {
		return
	}
	o.Hold = quota.HoldRecord{State: state, End: time.UnixMilli(end)}
	if plan != "" {
		o.Hold.Plan = []byte(plan)
	}
}
