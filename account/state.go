package account

import "time"

// Stage is where an app stands in its lifecycle.
type Stage uint8

// The stages that follow from a record today.
const (
	Active Stage = iota
	Grace
	Suspended
)

// State is an app's standing at an instant. It is derived from the record,
// never stored, so that it cannot be late.
type State struct {
	Stage Stage
	// GraceUntil is set in Grace: the first instant out of service.
	GraceUntil time.Time
	// Since is set in Suspended: the first instant out of service.
	Since time.Time
	// Until is when the state may change by time alone; zero: not at all.
	Until time.Time
}

// StateAt derives the state. An app without orders does not expire. One with
// orders is in service while one is in force and for the grace after the last
// one that started (renewal guide: 24 hours).
func (a *App) StateAt(now time.Time, grace time.Duration) State {
	if len(a.Orders) == 0 {
		return State{Stage: Active}
	}
	// Orders are sorted and do not overlap: the last one that has started
	// decides, and the first that has not says when that changes.
	var current *Order
	var next time.Time
	for i := range a.Orders {
		if a.Orders[i].Start.After(now) {
			next = a.Orders[i].Start
			break
		}
		current = &a.Orders[i]
	}
	if current == nil {
		return State{Stage: Suspended, Since: a.Created, Until: next}
	}
	if now.Before(current.End) {
		return State{Stage: Active, Until: current.End}
	}
	until := current.End.Add(grace)
	if now.Before(until) {
		return State{Stage: Grace, GraceUntil: until, Until: earliest(until, next)}
	}
	return State{Stage: Suspended, Since: until, Until: next}
}

func earliest(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
