package quota

// decisionRoom is where the decisions of a batch lie together that are of one
// request alone.
type decisionRoom struct {
	tasks     int // that may need a place still
	decisions []Decision
	counters  []State
}

// decision returns a place.
func (r *decisionRoom) decision() *Decision {
	if len(r.decisions) == 0 {
		r.decisions = make([]Decision, max(1, r.tasks))
	}
	d := &r.decisions[0]
	r.decisions = r.decisions[1:]
	return d
}

// states returns a list with room for so many counters, of which keep says how many
// there are in the end.
func (r *decisionRoom) states(most int) []State {
	if len(r.counters) < most {
		r.counters = make([]State, most*max(1, r.tasks))
	}
	return r.counters[:0:most]
}

func (r *decisionRoom) keep(states int) { r.counters = r.counters[states:] }
