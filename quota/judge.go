package quota

import (
	"slices"
	"strconv"

	"github.com/imquota/imquota/catalog"
)

// decideLocally makes the decision of a plan that needs no store, or finds it made.
func (p *planner) decideLocally(r *Request) *Decision {
	place := p.answers().place(p.isDegraded, r.Basic)
	if made := place.Load(); made != nil {
		return made
	}
	p.suspend()
	d := p.deniedBy(r, p.violations)
	if !d.Allowed && !r.Basic {
		d.Upgrade, d.Currency = p.upgrade(r, &Outcome{}), p.catalog.Currency()
	}
	d.shared = &shared{}
	place.Store(d)
	return d
}

// answers is where decisions are kept that are the same for all: those that
// nothing but the state denies, and those that nothing denies but that and the
// refusal of a feature.
func (p *planner) answers() *answers {
	switch {
	case len(p.violations) == 0:
		return p.stretch.decisions
	case p.refusal != nil && len(p.violations) == len(p.refusal.violations):
		return &p.refusal.decisions
	}
	return &answers{} // it is this request's alone
}

// deniedBy makes a decision without counters, and without an edition that would
// allow it.
func (p *planner) deniedBy(r *Request, vs []Violation) *Decision {
	d := &Decision{Source: SourceCache, Allowed: len(vs) == 0}
	if p.isDegraded {
		d.Source = SourceDegraded
	}
	p.finish(r, d, vs)
	return d
}

// denyUnjudged makes the denial of a plan whose counters the store could not
// judge. Nobody knows which edition would allow it.
func (p *planner) denyUnjudged(r *Request) *Decision { return p.deniedBy(r, p.violations) }

// decide makes the decision from what the store found.
// It lies in the room of those of a batch.
func (p *planner) decide(r *Request, o *Outcome, room *decisionRoom) *Decision {
	var violations []Violation
	if !o.Replayed {
		violations = p.violate(o)
	}
	isAllowed := len(violations) == 0
	isClamped := isAllowed && !o.Replayed && p.isClamped(o)
	if r.Basic && isAllowed && !o.Replayed && !isClamped && o.Hold.State == 0 {
		return &plain[o.Durability]
	}
	d := room.decision()
	d.Source, d.Allowed, d.Replayed, d.Clamped = SourceStore, isAllowed, o.Replayed, isClamped
	d.Durability, d.Reservation = o.Durability, p.reservation(o)
	p.finish(r, d, violations)
	if r.Basic {
		return d
	}
	if !isAllowed {
		d.Upgrade, d.Currency = p.upgrade(r, o), p.catalog.Currency()
	}
	d.Quotas = p.states(o, d, room)
	return d
}

// plain is what most requests are told that ask for the BASIC view, by durability.
var plain = func() (all [DurabilitySynced + 1]Decision) {
	for d := range all {
		all[d] = Decision{Allowed: true, Source: SourceStore, Durability: Durability(d), shared: &shared{}}
	}
	return all
}()

// violate returns all violations: the plan's own, the group's and the limits'.
func (p *planner) violate(o *Outcome) []Violation {
	vs := p.judgeGroup(p.violations, o)
	sortByReason(vs)
	n := p.exceeding(o)
	if n == 0 {
		return vs
	}
	vs = slices.Grow(vs, n)
	for i := range o.Charges {
		c, found := &p.txn.Charges[i], &o.Charges[i]
		for k, used := range found.Used {
			if held := found.heldOf(k); !c.Limit.Allows(used+held, found.Delta) {
				vs = append(vs, p.exceeded(i, k, used, held, found.Delta))
			}
		}
	}
	return vs
}

// judgeGroup appends what the group's record denies, if a feature waits for it.
func (p *planner) judgeGroup(vs []Violation, o *Outcome) []Violation {
	if p.sized == nil {
		return vs
	}
	c := featureCase{catalog: p.catalog, groupType: p.knownType()}
	return c.judgeGroup(vs, p.sized, p.txn.Group.ID, o.Group)
}

// exceeding returns how many counters do not fit their limits. Those of what was
// applied do, and what is held includes it already.
func (p *planner) exceeding(o *Outcome) (n int) {
	if o.Applied {
		return 0
	}
	for i := range o.Charges {
		limit, found := p.txn.Charges[i].Limit, &o.Charges[i]
		for k, used := range found.Used {
			if !limit.Allows(used+found.heldOf(k), found.Delta) {
				n++
			}
		}
	}
	return n
}

// knownType is the type of group that the request named.
func (p *planner) knownType() *catalog.GroupType {
	t, _ := p.catalog.GroupTypeByCode(p.txn.Group.Type)
	return t
}

// exceeded describes a charge that does not fit its limit.
func (p *planner) exceeded(charge, subject int, used, held, delta int64) Violation {
	row := &p.rows[charge]
	v := Violation{
		Reason: LimitExceeded, Quota: row.quota.Key, Subject: p.subject(charge, subject),
		Limit: row.limit.Max(), Used: used, Held: held, Requested: delta,
		UpstreamCode: row.quota.UpstreamCode(row.role),
	}
	v.Message = v.describe()
	return v
}

// describe says how a counter does not fit its limit, such as "friends of "a": 20
// of 20 used, 1 more requested".
func (v *Violation) describe() string {
	b := append(make([]byte, 0, 128), v.Quota...)
	if v.Subject != "" {
		b = strconv.AppendQuoteToASCII(append(b, " of "...), v.Subject)
	}
	b = strconv.AppendInt(append(b, ": "...), v.Used, 10)
	b = strconv.AppendInt(append(b, " of "...), v.Limit, 10)
	b = append(b, " used"...)
	if v.Held > 0 {
		b = append(strconv.AppendInt(append(b, ", "...), v.Held, 10), " reserved"...)
	}
	b = strconv.AppendInt(append(b, ", "...), v.Requested, 10)
	return string(append(b, " more requested"...))
}

// subject names whose counter a charge is on.
func (p *planner) subject(charge, i int) string {
	c := &p.txn.Charges[charge]
	switch {
	case c.Members:
		return p.txn.Group.ID
	case len(c.Subjects) > i:
		return c.Subjects[i]
	}
	return ""
}

// isClamped reports whether a release found less than it gave back.
func (p *planner) isClamped(o *Outcome) bool {
	if p.txn.Group.Op == GroupDissolve && !o.Group.Found {
		return true
	}
	for i := range o.Charges {
		c, found := &p.txn.Charges[i], &o.Charges[i]
		if c.Basis == PerGoneUser && -found.Delta < int64(len(p.txn.Users.IDs)) {
			return true
		}
		for _, used := range found.Used {
			if !c.Signed && found.Delta < 0 && used+found.Delta < 0 {
				return true
			}
		}
	}
	return false
}

// finish fills in what all decisions have in common.
func (p *planner) finish(r *Request, d *Decision, violations []Violation) {
	d.ViolationCount = len(violations)
	d.Violations = violations[:min(len(violations), MaxViolations)]
	if r.Basic {
		return
	}
	d.Edition = p.edition.Key
	d.Lifecycle = p.stretch.told()
	d.CatalogVersion = p.catalog.Version()
}

// states lists the counters touched, one for each quota: the tightest.
func (p *planner) states(o *Outcome, d *Decision, room *decisionRoom) []State {
	states := room.states(len(o.Charges))
	change := d.Allowed && !d.Replayed && p.txn.Mode != ModeReserve
	for i := range o.Charges {
		row, found := &p.rows[i], &o.Charges[i]
		for k, used := range found.Used {
			s := State{
				Quota: row.quota.Key, Subject: p.subject(i, k), Limit: row.limit, Used: used, Held: found.heldOf(k),
				Billed: row.billed, Reset: p.txn.Charges[i].Window.End,
			}
			if change {
				s.Change = added(&p.txn.Charges[i], used, found.Delta)
				if o.Applied {
					s.Used += s.Change
				}
			}
			if n := len(states); n > 0 && states[n-1].Quota == s.Quota {
				if s.tighter(&states[n-1]) {
					states[n-1] = s
				}
				continue
			}
			states = append(states, s)
		}
	}
	room.keep(len(states))
	return slices.Clip(states)
}

// added returns what a charge adds to a counter, the floor at zero considered.
func added(c *Charge, used, delta int64) int64 {
	if !c.Signed && used+delta < 0 {
		return -used
	}
	return delta
}

// tighter reports whether less may be added to s than to t.
func (s *State) tighter(t *State) bool {
	if s.Limit.IsUnlimited() {
		return t.Limit.IsUnlimited() && s.Used+s.Held > t.Used+t.Held
	}
	return t.Limit.IsUnlimited() || s.Limit.Max()-s.Used-s.Held < t.Limit.Max()-t.Used-t.Held
}
