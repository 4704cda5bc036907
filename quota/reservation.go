package quota

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Reservation is what holds quotas until it is committed, cancelled, or ends by
// itself.
type Reservation struct {
	ID  HoldID
	End time.Time // when it stops holding by itself, or stopped
}

// heldAction is what a commit needs to know of a reservation; exactly one action
// is set. It is stored: change it so that what was stored before can be read.
type heldAction struct {
	AddFriend       *AddFriend       `json:"addFriend,omitempty"`
	CreateGroup     *CreateGroup     `json:"createGroup,omitempty"`
	AddGroupMembers *AddGroupMembers `json:"addGroupMembers,omitempty"`

	Platform string `json:"platform,omitempty"`
	SDK      string `json:"sdk,omitempty"`
	// Judged is when, in Unix milliseconds, and Catalog the digest of what by.
	Judged  int64  `json:"judged"`
	Catalog string `json:"catalog"`
}

// CanReserve reports whether an action can be reserved.
func CanReserve(a Action) bool { return new(heldAction).set(a) }

func (h *heldAction) set(a Action) bool {
	switch a := a.(type) {
	case *AddFriend:
		h.AddFriend = a
	case *CreateGroup:
		h.CreateGroup = a
	case *AddGroupMembers:
		h.AddGroupMembers = a
	default:
		return false
	}
	return true
}

func (h *heldAction) action() (Action, bool) {
	switch {
	case h.AddFriend != nil:
		return h.AddFriend, true
	case h.CreateGroup != nil:
		return h.CreateGroup, true
	case h.AddGroupMembers != nil:
		return h.AddGroupMembers, true
	}
	return nil, false
}

// hold is the step that places the reservation of a request. Its id follows from
// the request's, so that whoever repeats the request finds the reservation for
// as long as it is remembered.
func (p *planner) hold(r *Request) HoldStep {
	h := &heldAction{
		Platform: r.Client.Platform, Judged: p.now.UnixMilli(), Catalog: digest(p.catalog),
	}
	if r.Client.HasSDK {
		h.SDK = r.Client.SDK.String()
	}
	h.set(r.Action) // the edge refuses others
	step := HoldStep{Op: HoldPlace, For: r.Hold}
	step.Plan, _ = json.Marshal(h) //nolint:errchkjson // strings and numbers always can be
	if step.For == 0 {
		step.For = DefaultHold
	}
	if p.txn.Request.IsZero() {
		_, _ = rand.Read(step.ID[:]) // never fails
		return step
	}
	step.ID = HoldID(p.txn.Request.Hash)
	return step
}

func digest(c *catalog.Snapshot) string {
	sum := c.Digest()
	return hex.EncodeToString(sum[:])
}

// reservation is what a decision says of the transaction's.
func (p *planner) reservation(o *Outcome) *Reservation {
	if o.Hold.State == 0 {
		return nil
	}
	return &Reservation{ID: p.txn.Hold.ID, End: o.Hold.End}
}

// ReservationEnd asks to commit or cancel a reservation.
type ReservationEnd struct {
	App   uint32
	ID    HoldID
	Basic bool
}

// Commit counts what a reservation holds: in time without judging it again, in
// the windows that it was judged in; once its hold has ended, or with another
// catalog, as if it were asked for now, and Decision.Late says so. Errors:
// ErrHoldNotFound, ErrHoldCancelled, ErrGroupExists, ErrGroupType, an
// *account.Fault.
func (e *Enforcer) Commit(ctx context.Context, r ReservationEnd) (*Decision, error) {
	return e.endHold(ctx, r, (*holdEnd).commit)
}

// Cancel gives back what a reservation holds. Errors: ErrHoldNotFound,
// ErrHoldCommitted, an *account.Fault.
func (e *Enforcer) Cancel(ctx context.Context, r ReservationEnd) (*Decision, error) {
	return e.endHold(ctx, r, (*holdEnd).cancel)
}

// holdEnd is one attempt to commit or cancel.
type holdEnd struct {
	*planner
	request Request
	found   HoldRecord
	clock   time.Time // the app's, when it was found
	isAnew  bool      // it is judged again
}

// notLiving answers about the end of a reservation of an app that nothing is
// counted for: one that is gone is a denial.
func (s *standing) notLiving(r ReservationEnd, cat *catalog.Snapshot, now time.Time, err error) (*Decision, error) {
	if !errors.Is(err, account.ErrAppNotFound) {
		return nil, err
	}
	request := &Request{App: r.App, Basic: r.Basic}
	if s.app == nil {
		return (&batch{catalog: cat}).unknownApp(request), nil
	}
	st := s.outlook.at(now)
	if st.err != nil {
		return nil, st.err
	}
	return newPlanner(st, now).decideLocally(request), nil
}

// endHold reads the reservation, plans its end and has the store carry it out,
// again when something moved in between.
func (e *Enforcer) endHold(ctx context.Context, r ReservationEnd, plan func(*holdEnd, ReservationEnd) error) (*Decision, error) {
	cat, now := e.catalog.Load(), e.now()
	for range maxRounds {
		s := e.current(ctx, r.App, cat)
		if _, err := s.living(now); err != nil {
			return s.notLiving(r, cat, now, err)
		}
		h := &holdEnd{request: Request{App: r.App, Basic: r.Basic}}
		read := newTxn(s.app.record, now)
		read.Hold = HoldStep{Op: HoldRead, ID: r.ID}
		o := e.store.Apply(ctx, []Txn{read})[0]
		if o.Err == nil {
			h.found, h.clock = o.Hold, o.Clock
			st, err := s.living(h.clock)
			if err != nil {
				return s.notLiving(r, cat, h.clock, err)
			}
			h.planner = newPlanner(st, h.clock)
			if err := plan(h, r); err != nil {
				return nil, err
			}
			o = e.store.Apply(ctx, []Txn{h.txn})[0]
		}
		var passed *WindowPassedError
		switch {
		case o.Err == nil:
			d := *h.decide(&h.request, &o, &decisionRoom{})
			d.Late, d.shared = h.isAnew && !o.Replayed, nil
			return &d, nil
		case errors.Is(o.Err, ErrStale):
			e.refused(s.app.record)
		case errors.As(o.Err, &passed):
			now = passed.Clock
		case errors.Is(o.Err, ErrHoldEnded): // between the two steps
		case h.planner != nil:
			return nil, describe(o.Err, &h.txn)
		default:
			return nil, o.Err
		}
	}
	return nil, ErrUnsettled
}

// recall makes the plan of the reservation's action at an instant.
func (h *holdEnd) recall(held *heldAction, at time.Time) error {
	action, ok := held.action()
	if !ok {
		return &account.Fault{Reason: account.UsageUnknown, Detail: "a reservation's action is damaged"}
	}
	h.request.Action = action
	h.request.Client = Client{Platform: held.Platform}
	if sdk, err := catalog.ParseSDKVersion(held.SDK); err == nil {
		h.request.Client.SDK, h.request.Client.HasSDK = sdk, true
	}
	h.client, h.now = h.request.Client, at
	return h.plan(action)
}

func (h *holdEnd) read() (*heldAction, error) {
	held := &heldAction{}
	if err := json.Unmarshal(h.found.Plan, held); err != nil {
		return nil, &account.Fault{Reason: account.UsageUnknown, Detail: "a reservation is damaged", Err: err}
	}
	return held, nil
}

// commit plans to count what is held.
func (h *holdEnd) commit(r ReservationEnd) error {
	if h.found.State != HoldPlaced { // the store says what it came to
		h.txn = newTxn(h.app, h.clock)
		h.txn.Mode, h.txn.Hold = ModeForce, HoldStep{Op: HoldCommit, ID: r.ID}
		return nil
	}
	held, err := h.read()
	if err != nil {
		return err
	}
	late := !h.found.End.After(h.clock)
	at := h.clock
	inTime := !late && held.Catalog == digest(h.catalog)
	if inTime {
		at, h.adjust = time.UnixMilli(held.Judged), true
	}
	if err := h.recall(held, at); err != nil {
		return err
	}
	h.txn.Hold = HoldStep{Op: HoldCommit, ID: r.ID, Late: late}
	h.txn.Now, h.now = h.clock, h.clock
	if inTime {
		// It was judged, and its windows may be over.
		h.violations, h.txn.WindowEnd, h.txn.Mode = nil, time.Time{}, ModeForce
		return nil
	}
	h.isAnew = true
	h.suspend()
	h.txn.Mode = ModeConsume
	if len(h.violations) > 0 {
		h.txn.Mode = ModeJudge
	}
	return nil
}

// cancel plans to give back what is held, and to show its counters.
func (h *holdEnd) cancel(r ReservationEnd) error {
	if h.found.State != HoldPlaced {
		h.txn = newTxn(h.app, h.clock)
	} else {
		held, err := h.read()
		if err != nil {
			return err
		}
		if err := h.recall(held, time.UnixMilli(held.Judged)); err != nil {
			return err
		}
		h.violations, h.txn.WindowEnd, h.txn.Now = nil, time.Time{}, h.clock
		if h.txn.Group.Op != GroupNone {
			h.txn.Group = GroupStep{Op: GroupRead, ID: h.txn.Group.ID}
		}
		for i := range h.txn.Charges {
			h.txn.Charges[i].Delta = 0
		}
	}
	h.txn.Mode, h.txn.Hold = ModeForce, HoldStep{Op: HoldCancel, ID: r.ID}
	return nil
}
