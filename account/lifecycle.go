package account

import (
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// Stage is where an app stands in its lifecycle.
type Stage uint8

// The stages (FACTS §6).
const (
	Active    Stage = iota
	Grace           // expired a short while ago, and served
	Suspended       // out of service; what was counted is kept
	Reclaimed       // suspended for so long that it is not
	Deleted         // by its owner
)

// Plan is how an app's orders stand.
type Plan uint8

// How orders stand (FACTS §6).
const (
	NoPlan       Plan = iota // no order has begun, or was returned
	PlanInForce              // an order is
	PlanInGrace              // none is any more, for a short while
	PlanEnded                // for longer: it expired
	PlanReturned             // orders were returned, and none began since
)

// SuspensionReason is why an app is suspended. An app may have several; curing
// one does not lift another.
type SuspensionReason uint8

// The reasons, and what cures each.
const (
	Expired  SuspensionReason = iota // an order in force
	Refunded                         // an order in force
	Overdue                          // all bills of the account paid
	Disabled                         // enabling the app
	suspensionReasons
)

// Suspension is a reason to be suspended and since when it holds.
type Suspension struct {
	Reason SuspensionReason
	Since  time.Time
}

// State is how an app stands for a stretch of time. It is derived from records
// and never stored, so that it cannot be late.
type State struct {
	// From and Until are when it holds, half-open; zero: since or for ever, as
	// far as nothing but time changes it.
	From, Until time.Time

	Stage   Stage
	Edition string // of the order in force, or of the last one
	Plan    Plan   // how its orders stand, whatever else suspends the app
	// PlanEnd is when the plan ends or ended: the end of the orders that follow
	// each other without a gap. Zero: there is no plan, or it was returned.
	PlanEnd time.Time
	// GraceUntil is set in Grace: the first instant out of service.
	GraceUntil time.Time
	// Suspensions are set in Suspended, by their beginning.
	Suspensions []Suspension
	// Since is when the app went out of service, in Suspended, Reclaimed and
	// Deleted. Reasons that follow each other without a gap count as one.
	Since time.Time
	// ReclaimAt is set in Suspended when the clock runs: the app's data is
	// reclaimed then, unless it is cured of all that keeps the clock running.
	ReclaimAt time.Time
}

// Holds reports whether this is the state at an instant.
func (s *State) Holds(at time.Time) bool {
	return span{s.From, s.Until}.holds(at)
}

// IsOnly reports whether this is the only reason of the suspension.
func (s *State) IsOnly(r SuspensionReason) bool {
	return len(s.Suspensions) == 1 && s.Suspensions[0].Reason == r
}

// IsGone reports whether the app is deleted or its data reclaimed.
func (s *State) IsGone() bool { return s.Stage == Reclaimed || s.Stage == Deleted }

// Fate is what an app was that IsGone: "deleted", or the like.
func (s *State) Fate() string {
	if s.Stage == Reclaimed {
		return "suspended for so long that its data was reclaimed"
	}
	return "deleted"
}

// Lifecycle is the states of an app one after the other, without a gap, from
// the beginning to the end of time, if nothing but time changes it any more.
type Lifecycle []State

// At returns the state at an instant.
func (l Lifecycle) At(now time.Time) *State {
	first, last := 0, len(l)-1 // the last one never ends
	for first < last {
		if i := (first + last) / 2; now.Before(l[i].Until) {
			last = i
		} else {
			first = i + 1
		}
	}
	return &l[first]
}

// StateAt is Lifecycle for one instant.
func (a *App) StateAt(now time.Time, owner *Account, cat *catalog.Snapshot) *State {
	return a.Lifecycle(owner, cat).At(now)
}

// StateNow is StateAt for the instant at which an app is judged now: Latest.
func (a *App) StateNow(now time.Time, owner *Account, cat *catalog.Snapshot) *State {
	return a.StateAt(Latest(now, a, owner), owner, cat)
}

// Lifecycle derives the states of an app from its record and its account's.
//
// Each instant at which anything begins or ends cuts the time line. What holds
// between two cuts follows from the records; since when it holds, and when data
// is reclaimed, from the stretches before.
func (a *App) Lifecycle(owner *Account, cat *catalog.Snapshot) Lifecycle {
	cat = a.RulesIn(cat)
	// Before it was made, an app did not suffer from what its account owed.
	overdue := since(owner.overdue(cat.Account()), a.Created)
	b := &lifecycle{app: a, rules: cat.Account(), cat: cat, overdue: overdue}
	cuts := b.cuts()
	states := make(Lifecycle, 0, len(cuts)+2)
	var from time.Time
	for i := 0; i <= len(cuts); i++ {
		var until time.Time
		if i < len(cuts) {
			until = cuts[i]
		}
		states = b.stretch(states, from, until)
		from = until
	}
	return states
}

// lifecycle derives a Lifecycle.
type lifecycle struct {
	app     *App
	cat     *catalog.Snapshot
	rules   catalog.AccountRules
	overdue []span

	since     [suspensionReasons]time.Time // of each reason that holds without a gap
	suspended time.Time                    // the same, of any
	clock     time.Time                    // the same, of any that lets the clock run
	gone      time.Time                    // reclaimed
}

// cuts are the instants at which something begins or ends.
func (b *lifecycle) cuts() []time.Time {
	var cuts []time.Time
	add := func(instants ...time.Time) {
		for _, at := range instants {
			if !at.IsZero() {
				cuts = append(cuts, at)
			}
		}
	}
	for i := range b.app.Orders {
		o := &b.app.Orders[i]
		add(o.Start, o.End, o.End.Add(b.rules.Grace), o.Refunded)
		for k := range o.Upgrades {
			add(o.Upgrades[k].At)
		}
	}
	for _, s := range b.overdue {
		add(s.from, s.until)
	}
	for _, s := range b.app.Disabled {
		add(s.From, s.Until)
	}
	add(b.app.Reclaimed, b.app.Deleted)
	slices.SortFunc(cuts, time.Time.Compare)
	return slices.CompactFunc(cuts, time.Time.Equal)
}

// standing is what the orders say of an instant.
type standing struct {
	edition  string
	isActive bool      // an order is in force
	end      time.Time // State.PlanEnd
	grace    time.Time // until when
	expired  bool      // no order has been in force since the grace was over
	returned bool      // nor since orders were returned
}

func (p *standing) plan() Plan {
	switch {
	case p.isActive:
		return PlanInForce
	case p.returned:
		return PlanReturned
	case p.expired:
		return PlanEnded
	case !p.grace.IsZero():
		return PlanInGrace
	}
	return NoPlan
}

// standingAt reads the orders. An app without any does not expire, and before its
// first it has the edition that it was made in. Orders that were returned before
// they began never were, but for the suspension that returning them is.
func (b *lifecycle) standingAt(at time.Time) (p standing) {
	p.edition = b.app.Edition
	var last time.Time // when an order was in force last
	for i := range b.app.Orders {
		o := &b.app.Orders[i]
		s := o.inForce()
		switch {
		case s.isEmpty():
		case s.holds(at):
			p = standing{isActive: true, edition: o.EditionAt(at)}
			if !o.isReturned() {
				p.end = chainAt(b.app.Orders, at).end
			}
			return p
		case !s.until.After(at) && s.until.After(last):
			last = s.until
			p = standing{edition: o.EditionAt(s.until)}
			if o.wasCut() {
				continue
			}
			p.end = o.End
			if until := o.End.Add(b.rules.Grace); at.Before(until) {
				p.grace = until
			} else {
				p.expired = true
			}
		}
	}
	for i := range b.app.Orders {
		o := &b.app.Orders[i]
		if o.wasCut() && !o.Refunded.After(at) && !o.Refunded.Before(last) {
			p.returned, p.end, p.grace = true, time.Time{}, time.Time{}
		}
	}
	return p
}

// stretch appends the states of a stretch without a cut: one, or two when data
// is reclaimed in it.
func (b *lifecycle) stretch(states Lifecycle, from, until time.Time) Lifecycle {
	p := b.standingAt(from)
	s := State{From: from, Until: until, Edition: p.edition, Plan: p.plan(), PlanEnd: p.end}
	_, isOverdue := spanAt(b.overdue, from)
	holds := [suspensionReasons]bool{
		Expired:  p.expired,
		Refunded: p.returned,
		Overdue:  isOverdue,
		Disabled: b.app.isDisabled(from),
	}
	for r := range suspensionReasons {
		b.since[r] = unbroken(b.since[r], holds[r], from)
		if holds[r] {
			s.Suspensions = append(s.Suspensions, Suspension{r, b.since[r]})
		}
	}
	slices.SortStableFunc(s.Suspensions, func(a, b Suspension) int { return a.Since.Compare(b.Since) })
	b.suspended = unbroken(b.suspended, len(s.Suspensions) > 0, from)
	// Who disables an app keeps its data (FACTS §6).
	b.clock = unbroken(b.clock, holds[Expired] || holds[Refunded] || holds[Overdue], from)

	switch {
	case !b.app.Deleted.IsZero() && !from.Before(b.app.Deleted):
		return append(states, State{From: from, Until: until, Stage: Deleted, Edition: p.edition, Plan: p.plan(), Since: b.app.Deleted})
	case b.gone.IsZero() && !b.app.Reclaimed.IsZero() && !from.Before(b.app.Reclaimed):
		b.gone = b.app.Reclaimed
	}
	if b.gone.IsZero() {
		switch {
		case len(s.Suspensions) > 0:
			s.Stage, s.Since = Suspended, b.suspended
		case !p.grace.IsZero():
			s.Stage, s.GraceUntil = Grace, p.grace
		}
		if b.clock.IsZero() {
			return append(states, s)
		}
		s.ReclaimAt = b.reclaimAt()
		if !until.IsZero() && !s.ReclaimAt.Before(until) {
			return append(states, s)
		}
		b.gone = s.ReclaimAt
		s.Until = s.ReclaimAt
		if !s.From.Equal(s.Until) {
			states = append(states, s)
		}
		from = b.gone
	}
	return append(states, State{From: from, Until: until, Stage: Reclaimed, Edition: p.edition, Plan: p.plan(), Since: b.gone})
}

// reclaimAt is when data is reclaimed: the day of the suspension is the first of
// those that it is kept for, and when they are over it goes, at the beginning
// of the local day.
func (b *lifecycle) reclaimAt() time.Time {
	first := catalog.Day(b.clock, b.cat.Zone())
	return catalog.DayStart(first+int32(b.rules.KeptDays), b.cat.Zone())
}

// unbroken returns since when something holds that holds now or does not.
func unbroken(since time.Time, holds bool, now time.Time) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case since.IsZero():
		return now
	}
	return since
}
