package quota

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// UsageQuery names the counters to read. The app's own are read when neither
// a user nor a group is named, or when Quotas names them.
type UsageQuery struct {
	App             uint32
	Quotas          []string // empty: all of the scopes asked for
	UserID, GroupID string
}

// Usage reads counters and their limits, in the catalog's order.
type Usage struct {
	States  []State
	Online  *OnlineOutcome // of a query about the app; nil: it was about a user or a group
	Edition string
	Catalog string // version
	// TailLost is when this process last noticed that the store had lost what it
	// acknowledged for the app; zero: it noticed nothing.
	TailLost time.Time
}

// Usage answers a query. Errors: account.ErrAppNotFound, an *account.InvalidError, an
// *account.Fault.
func (e *Enforcer) Usage(ctx context.Context, q UsageQuery) (*Usage, error) {
	cat := e.catalog.Load()
	read := &readUsage{query: q}
	p, o, err := e.apply(ctx, cat, q.App, func(p *planner) error { return read.plan(p) })
	if err != nil {
		return nil, err
	}
	u := &Usage{Edition: p.edition.Key, Catalog: p.catalog.Version(), TailLost: o.TailLost}
	if p.txn.Online.Op != OnlineNone {
		u.Online = &o.Online
	}
	for i := range o.Charges {
		row := &p.rows[i]
		limit, billed := row.limit, row.billed
		used := int64(0)
		if len(o.Charges[i].Used) > 0 {
			used = o.Charges[i].Used[0]
		}
		if p.txn.Charges[i].Members {
			if t, ok := p.catalog.GroupTypeByCode(o.Group.Type); ok && o.Group.Found {
				limit, billed = limitOf(p.app, p.edition, row.quota, t.Key, p.now)
			}
		}
		u.States = append(u.States, State{
			Quota: row.quota.Key, Subject: p.subject(i, 0), Limit: limit, Billed: billed,
			Used: used, Held: o.Charges[i].heldOf(0), Reset: p.txn.Charges[i].Window.End,
		})
	}
	return u, nil
}

// apply plans with the current record and has the store carry it out.
func (e *Enforcer) apply(ctx context.Context, cat *catalog.Snapshot, id uint32, plan func(*planner) error) (*planner, *Outcome, error) {
	all, err := e.applyEach(ctx, cat, id, []planFunc{plan})
	if err != nil {
		return nil, nil, err
	}
	return all[0].planner, &all[0].outcome, all[0].err
}

// applied is what became of a plan: an outcome, or an error that is its alone.
type applied struct {
	planner *planner
	outcome Outcome
	err     error
}

// applyEach makes plans for an app with its current record and has the store carry
// each out, again where the record or a window moved meanwhile. An error is of all
// of them; some may have taken effect.
func (e *Enforcer) applyEach(ctx context.Context, cat *catalog.Snapshot, id uint32, plans []planFunc) ([]applied, error) {
	all := make([]applied, len(plans))
	var pending []int
	for i := range plans {
		pending = append(pending, i)
	}
	now := e.now()
	for range maxRounds {
		s := e.current(ctx, id, cat)
		st, err := s.living(now)
		if err != nil {
			return nil, err
		}
		var planned []int
		var txns []Txn
		for _, i := range pending {
			p := newPlanner(st, now)
			p.adjust = true
			all[i].planner = p
			if all[i].err = p.plan(plans[i]); all[i].err == nil {
				planned, txns = append(planned, i), append(txns, p.txn)
			}
		}
		if len(txns) == 0 {
			return all, nil
		}
		var end time.Time // when the day turns under them, all are planned anew
		for i := range txns {
			end = soonest(end, txns[i].WindowEnd)
		}
		for i := range txns {
			txns[i].WindowEnd = end
		}
		pending = nil
		for k, o := range e.store.Apply(ctx, txns) {
			i, passed := planned[k], (*WindowPassedError)(nil)
			switch {
			case o.Err == nil:
				all[i].outcome = o
			case errors.Is(o.Err, ErrStale):
				e.refused(s.app.record)
				pending = append(pending, i)
			case errors.As(o.Err, &passed):
				now = passed.Clock
				pending = append(pending, i)
			case account.IsOfRecord(o.Err) || !isFault(o.Err): // of this plan alone
				all[i].err = describe(o.Err, &txns[k])
			default:
				return nil, o.Err
			}
		}
		if len(pending) == 0 {
			return all, nil
		}
	}
	return nil, ErrUnsettled
}

func isFault(err error) bool {
	_, ok := errors.AsType[*account.Fault](err)
	return ok
}

// planFunc is an action that only this package asks for.
type planFunc func(*planner) error

func (f planFunc) plan(p *planner) error   { return f(p) }
func (planFunc) canonical(b []byte) []byte { return b }

// readUsage plans the reading of counters.
type readUsage struct{ query UsageQuery }

func (a *readUsage) plan(p *planner) error {
	q := a.query
	if q.UserID == "" && q.GroupID == "" {
		p.txn.Online = OnlineStep{Op: OnlineRead, Months: []catalog.Window{p.running(catalog.KindMonth)}}
	}
	wanted := make(map[string]bool, len(q.Quotas))
	for i, key := range q.Quotas {
		if err := a.check(p, fmt.Sprintf("quotas[%d]", i), key); err != nil {
			return err
		}
		wanted[key] = true
	}
	for _, quota := range p.catalog.Quotas() {
		if len(wanted) > 0 && !wanted[quota.Key] || quota.Kind == catalog.KindStatic {
			continue
		}
		switch quota.Scope {
		case catalog.ScopeApp:
			if len(wanted) > 0 || q.UserID == "" && q.GroupID == "" {
				p.charge(quota, Charge{})
			}
		case catalog.ScopeUser:
			if q.UserID != "" {
				p.charge(quota, Charge{Subjects: []string{q.UserID}})
			}
		case catalog.ScopeGroup:
			if q.GroupID != "" {
				p.chargeGroup(quota, q.GroupID, Charge{})
			}
		}
	}
	return nil
}

// check refuses a quota that the query cannot read.
func (a *readUsage) check(p *planner, field, key string) error {
	quota, ok := p.catalog.Quota(key)
	switch {
	case !ok:
		return &account.InvalidError{Field: field, Description: unknown("quota", key, p.catalog.QuotaNames())}
	case quota.Kind == catalog.KindStatic:
		return &account.InvalidError{Field: field, Description: key + " is a value of the plan that nothing counts: see the entitlements"}
	case quota.Scope == catalog.ScopeUser && a.query.UserID == "":
		return &account.InvalidError{Field: "user_id", Description: key + " is counted for each user: name one"}
	case quota.Scope == catalog.ScopeGroup && a.query.GroupID == "":
		return &account.InvalidError{Field: "group_id", Description: key + " is counted for each group: name one"}
	}
	return nil
}

// chargeGroup charges a group-scoped quota; members lie in the group's record.
func (p *planner) chargeGroup(q *catalog.Quota, id string, c Charge) {
	if q.Key == catalog.GroupMembers {
		if p.txn.Group.Op == GroupNone {
			p.txn.Group = GroupStep{Op: GroupRead, ID: id}
		}
		c.Members = true
	} else {
		c.Subjects = []string{id}
	}
	p.charge(q, c)
}

// UsageSetting is a counter and what it should be.
type UsageSetting struct {
	App       uint32
	RequestID string
	Caller    string
	Quota     string
	Subject   string
	Used      int64
	// Observed is the counter that the caller saw when it measured Used: what
	// was counted since is kept. Nil: the counter becomes Used.
	Observed  *int64
	DryRun    bool
	GroupType string // of a group whose members are set before it is known
}

// UsageChange is what a setting changed, or would change.
type UsageChange struct {
	Before, After int64
	State         State
	Replayed      bool
}

// SetUsage sets one counter. Errors: as Usage, and ErrRequestReused,
// ErrGroupType.
func (e *Enforcer) SetUsage(ctx context.Context, s UsageSetting) (*UsageChange, error) {
	if err := e.checkGroupKnown(ctx, &s); err != nil {
		return nil, err
	}
	p, o, err := e.apply(ctx, e.catalog.Load(), s.App, func(p *planner) error {
		if err := s.plan(p); err != nil {
			return err
		}
		if !s.DryRun {
			p.txn.Mode = ModeForce
			p.txn.Request = newKey(s.Caller, s.RequestID, s.canonical(nil))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	row, c := &p.rows[0], &p.txn.Charges[0]
	change := &UsageChange{Replayed: o.Replayed}
	if found := &o.Charges[0]; len(found.Used) > 0 {
		change.Before = found.Used[0]
		change.After = change.Before
		if !o.Replayed {
			change.After += added(c, change.Before, found.Delta)
		}
	}
	change.State = State{
		Quota: row.quota.Key, Subject: s.Subject, Limit: row.limit, Billed: row.billed,
		Used: change.After, Held: o.Charges[0].heldOf(0), Change: change.After - change.Before, Reset: c.Window.End,
	}
	return change, nil
}

// checkGroupKnown refuses the members of a group whose type nobody has told,
// before the request is remembered.
func (e *Enforcer) checkGroupKnown(ctx context.Context, s *UsageSetting) error {
	if s.Quota != catalog.GroupMembers || s.GroupType != "" {
		return nil
	}
	_, o, err := e.apply(ctx, e.catalog.Load(), s.App, func(p *planner) error { return s.plan(p) })
	if err == nil && !o.Group.Found {
		return unknownGroup(s.Subject)
	}
	return err
}

func (s *UsageSetting) plan(p *planner) error {
	q, ok := p.catalog.Quota(s.Quota)
	switch {
	case !ok:
		return &account.InvalidError{Field: "quota", Description: unknown("quota", s.Quota, p.catalog.QuotaNames())}
	case q.Kind == catalog.KindStatic:
		return &account.InvalidError{Field: "quota", Description: s.Quota + " is a value of the plan that nothing counts"}
	case q.Distinct:
		return &account.InvalidError{Field: "quota", Description: s.Quota + " counts distinct users: a bare number cannot stand for them; register the users instead"}
	}
	if err := checkSubject(q, s.Subject); err != nil {
		return err
	}
	if s.GroupType != "" && q.Key != catalog.GroupMembers {
		return &account.InvalidError{Field: "group_type", Description: "only " + catalog.GroupMembers + " are of a type of group; leave it empty for " + q.Key}
	}
	c := Charge{Delta: s.Used, Basis: Absolute}
	if s.Observed != nil {
		c = Charge{Delta: s.Used - *s.Observed}
	}
	switch {
	case q.Key == catalog.GroupMembers:
		return s.planMembers(p, q, c)
	case q.Scope != catalog.ScopeApp:
		c.Subjects = []string{s.Subject}
	}
	p.charge(q, c)
	return nil
}

// planMembers sets the members of a group, which is made when its type is told.
func (s *UsageSetting) planMembers(p *planner, q *catalog.Quota, c Charge) error {
	p.txn.Group = GroupStep{Op: GroupLeave, ID: s.Subject}
	c.Members = true
	if s.GroupType == "" {
		p.charge(q, c)
		return nil
	}
	t, err := p.groupType(s.GroupType)
	if err != nil {
		return err
	}
	if !t.HasMembers {
		return &account.InvalidError{Field: "group_type", Description: "the members of a " + t.Key + " group are not counted"}
	}
	p.txn.Group = GroupStep{Op: GroupTouch, ID: s.Subject, Type: t.Code, Day: AnyDay}
	p.chargeIn(t.Key, "", q, c)
	return nil
}

func (s *UsageSetting) canonical(b []byte) []byte {
	b = appendString(appendString(append(b, canonSetUsage), s.Quota), s.Subject)
	b = appendBool(binary.AppendVarint(b, s.Used), s.Observed != nil)
	if s.Observed != nil {
		b = binary.AppendVarint(b, *s.Observed)
	}
	return appendString(b, s.GroupType)
}
