package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// Bounds of one script. Redis runs nothing else meanwhile, so a script ends
// after this much work; a transaction that is larger goes alone.
const (
	maxScriptTxns    = 64
	maxScriptCharges = 256
)

// call is one evaluation of the script: consecutive transactions of one app.
type call struct {
	command

	request encoder
	at      []int // positions of its transactions among those of Apply
	grows   int   // how many of them may grow something
	known   mark  // of the app's sequence, before it was sent
}

// Apply implements quota.Store. Transactions of one app travel together in a
// script, those of several apps in one pipeline.
func (s *Store) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := make([]quota.Outcome, len(txns))
	if err := s.admit(ctx); err != nil {
		for i := range outcomes {
			outcomes[i].Err = err
		}
		return outcomes
	}
	all := make([]int, len(txns))
	for i := range all {
		all[i] = i
	}
	deadline := time.Now().Add(retryFor)
	for _, wave := range s.plan(txns, all) {
		s.evaluate(ctx, deadline, wave)
		for _, c := range wave {
			s.catchUp(ctx, deadline, txns, c)
			s.decode(c, txns, outcomes)
			if c.grows < len(c.at) && isFull(c.err) {
				s.applyShrinking(ctx, deadline, txns, c.at, outcomes)
			}
		}
	}
	return outcomes
}

// applyShrinking carries out those transactions of a refused call that a full
// Redis has room for. The others keep the fault: they have written nothing.
func (s *Store) applyShrinking(ctx context.Context, deadline time.Time, txns []quota.Txn, at []int, outcomes []quota.Outcome) {
	var shrinking []int
	for _, i := range at {
		if !grows(&txns[i]) {
			shrinking = append(shrinking, i)
		}
	}
	for _, wave := range s.plan(txns, shrinking) {
		s.evaluate(ctx, deadline, wave)
		for _, c := range wave {
			s.catchUp(ctx, deadline, txns, c)
			s.decode(c, txns, outcomes)
		}
	}
}

// catchUpAttempts bounds how often a call is sent again because the app's clock
// has reached another generation of request ids, or because it holds something:
// once each, unless others move it.
const catchUpAttempts = 4

// catchUp sends a call again with the keys that the app's clock and what it holds
// ask for. The script has done nothing yet.
func (s *Store) catchUp(ctx context.Context, deadline time.Time, txns []quota.Txn, c *call) {
	at := c.request.now
	for range catchUpAttempts {
		clock, isAhead := c.ahead()
		ends, holds := c.asksFor(replyHolds)
		switch {
		case isAhead:
			at = clock
		case holds:
			s.holding.note(txns[c.at[0]].App, ends)
		default:
			return
		}
		c.request = s.newEncoder(&txns[c.at[0]], at)
		c.request.holds = c.request.holds || holds
		for _, i := range c.at {
			c.request.add(&txns[i])
		}
		s.evaluate(ctx, deadline, []*call{c})
	}
}

// ahead returns the app's clock when the script refused the call for it.
func (c *call) ahead() (time.Time, bool) { return c.asksFor(replyAhead) }

// asksFor returns the instant that came with the script's refusal.
func (c *call) asksFor(code int64) (time.Time, bool) {
	if c.err != nil {
		return time.Time{}, false
	}
	reply, _ := c.cmd.Val().([]any)
	if len(reply) != 2 || reply[0] != code {
		return time.Time{}, false
	}
	at, ok := reply[1].(int64)
	return time.UnixMilli(at), ok
}

func isFull(err error) bool {
	var f *account.Fault
	return errors.As(err, &f) && f.Reason == account.StoreOutOfMemory
}

// plan cuts the transactions at these positions into calls. Calls of one wave
// are of different apps and go out together; an app's second call waits for its
// first, so that its transactions keep their order.
func (s *Store) plan(txns []quota.Txn, at []int) [][]*call {
	var waves [][]*call
	open, next := make(map[uint32]*call), make(map[uint32]int)
	for _, i := range at {
		t := &txns[i]
		c := open[t.App]
		if c == nil || !c.request.fits(t) {
			c = &call{request: s.newEncoder(t, t.Now)}
			open[t.App] = c
			wave := next[t.App]
			next[t.App]++
			if wave == len(waves) {
				waves = append(waves, nil)
			}
			waves[wave] = append(waves[wave], c)
		}
		c.request.add(t)
		c.at = append(c.at, i)
		c.writes = c.writes || t.Mode != quota.ModeJudge
		if grows(t) {
			c.grows++
		}
	}
	return waves
}

// evaluate runs the calls of a wave.
func (s *Store) evaluate(ctx context.Context, deadline time.Time, wave []*call) {
	commands := make([]*command, len(wave))
	for i, c := range wave {
		c.script = s.scripts.grow
		if c.grows == 0 {
			c.script = s.scripts.release
		}
		c.keys, c.args = c.request.finish()
		c.known = s.tails.before(c.request.first.App)
		commands[i] = &c.command
	}
	s.deliver(ctx, deadline, commands)
}

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
)

// errReply says that the script answered what it never answers.
var errReply = errors.New("the script's reply is not what it should be")

// decode turns the script's reply into outcomes.
func (s *Store) decode(c *call, txns []quota.Txn, outcomes []quota.Outcome) {
	fail := func(err error) {
		for _, i := range c.at {
			outcomes[i] = quota.Outcome{Err: err}
		}
	}
	if c.err != nil {
		fail(c.err)
		return
	}
	reply, _ := c.cmd.Val().([]any)
	if len(reply) > 0 && reply[0] == int64(replyStale) {
		fail(quota.ErrStale)
		return
	}
	if len(reply) == 2 && reply[0] == int64(replyCorrupt) {
		fail(damagedValue(reply[1]))
		return
	}
	if len(reply) == 2 && reply[0] == int64(replyClockSkew) {
		theirs, _ := reply[1].(int64)
		fail(s.clockAhead(txns[c.at[0]].Now.Sub(time.UnixMilli(theirs))))
		return
	}
	if clock, ok := c.ahead(); ok {
		fail(&quota.WindowPassedError{Clock: clock}) // it moves on each time: plan anew
		return
	}
	if _, ok := c.asksFor(replyHolds); ok { // it ends and begins each time: plan anew
		fail(quota.ErrStale)
		return
	}
	if len(reply) != len(c.at)+3 {
		fail(&account.Fault{Reason: account.OutcomeUnknown, Detail: "Redis", Err: errReply})
		return
	}
	clockMillis, _ := reply[1].(int64)
	clock := time.UnixMilli(clockMillis)
	var tailLost time.Time
	if sequence, ok := reply[2].(int64); ok {
		tailLost = s.tails.answered(txns[c.at[0]].App, c.known, sequence, time.Now())
	}
	for k, i := range c.at {
		o := &outcomes[i]
		values, _ := reply[k+3].([]any)
		if err := decodeTxn(&txns[i], values, clock, o); err != nil {
			*o = quota.Outcome{Err: err}
			continue
		}
		o.TailLost = tailLost
		if o.Applied {
			o.Durability = c.durability()
		}
		if o.Hold.State == quota.HoldPlaced {
			s.holding.note(txns[i].App, o.Hold.End)
		}
	}
}

func damagedValue(text any) *account.Fault {
	return &account.Fault{Reason: account.UsageUnknown, Detail: fmt.Sprintf("a stored value is damaged: %v", text)}
}

func decodeTxn(t *quota.Txn, values []any, clock time.Time, o *quota.Outcome) error {
	*o = quota.Outcome{}
	r := &reader{values: values}
	switch code := r.number(); code {
	case replyDone:
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
		return damagedValue(r.next())
	case replyBrokeOff:
		return &account.Fault{Reason: account.OutcomeUnknown, Detail: fmt.Sprintf("the script broke off while it wrote: %v", r.next())}
	default:
		return &account.Fault{Reason: account.OutcomeUnknown, Detail: fmt.Sprintf("code %d", code), Err: errReply}
	}
	o.Clock = clock
	o.Applied, o.Replayed = r.number() == 1, r.number() == 1
	o.Group.Found = r.number() == 1
	o.Group.Type = r.letter(o.Group.Found)
	o.Group.Day, o.Group.Members = int32(r.number()), r.number()
	isHeld := r.number() == 1
	o.Charges = make([]quota.ChargeOutcome, len(t.Charges))
	for i := range o.Charges {
		o.Charges[i].Delta = r.number()
		if n := r.number(); n > 0 {
			if n != int64(max(1, len(t.Charges[i].Subjects))) {
				r.failed = true
				break
			}
			o.Charges[i].Used = r.numbers(n)
			if isHeld {
				o.Charges[i].Held = r.numbers(n)
			}
		}
	}
	r.online(t, o)
	r.hold(t, o)
	if r.failed {
		return &account.Fault{Reason: account.OutcomeUnknown, Detail: "Redis", Err: errReply}
	}
	return nil
}

// online reads what is said of users online.
func (r *reader) online(t *quota.Txn, o *quota.Outcome) {
	if t.Online.Op == quota.OnlineNone {
		return
	}
	o.Online.Users, o.Online.Gateways = r.number(), int(r.number())
	if ends := r.number(); ends != 0 {
		o.Online.LeaseEnd = time.UnixMilli(ends)
	}
	o.Online.Peaks = make([]int64, len(t.Online.Months))
	for i := range o.Online.Peaks {
		o.Online.Peaks[i] = r.number()
	}
}

// hold reads what is said of the reservation.
func (r *reader) hold(t *quota.Txn, o *quota.Outcome) {
	if t.Hold.Op == quota.HoldNone {
		return
	}
	state, end, plan := quota.HoldState(r.number()), r.number(), r.text()
	if state == 0 {
		return
	}
	o.Hold = quota.HoldRecord{State: state, End: time.UnixMilli(end)}
	if plan != "" {
		o.Hold.Plan = []byte(plan)
	}
}

// reader reads a reply's values one after the other.
type reader struct {
	values []any
	failed bool
}

func (r *reader) next() any {
	if len(r.values) == 0 {
		r.failed = true
		return nil
	}
	v := r.values[0]
	r.values = r.values[1:]
	return v
}

func (r *reader) number() int64 {
	n, ok := r.next().(int64)
	r.failed = r.failed || !ok
	if !ok {
		return math.MinInt64
	}
	return n
}

func (r *reader) numbers(n int64) []int64 {
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = r.number()
	}
	return numbers
}

// letter reads a group's type, which is empty if there is none.
func (r *reader) letter(found bool) byte {
	s := r.text()
	if !found {
		return 0
	}
	if len(s) != 1 {
		r.failed = true
		return 0
	}
	return s[0]
}

func (r *reader) text() string {
	s, ok := r.next().(string)
	r.failed = r.failed || !ok
	return s
}
