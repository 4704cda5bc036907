package quota

import (
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// exceedsAlsoIn reports whether what exceeds its limit would in another edition
// too. That is found without a plan: there may be a thousand editions.
func (p *planner) exceedsAlsoIn(e *catalog.Edition, o *Outcome) bool {
	for i := range o.Charges {
		row, found := &p.rows[i], &o.Charges[i]
		limit, billed := limitOf(p.app, e, row.quota, row.groupType, p.now)
		if billed {
			continue
		}
		for k, used := range found.Used {
			used += found.heldOf(k)
			if !p.txn.Charges[i].Limit.Allows(used, found.Delta) && !limit.Allows(used, found.Delta) {
				return true
			}
		}
	}
	return false
}

// upgrade returns the cheapest edition within reach that would have allowed
// the request, given what the store found.
func (p *planner) upgrade(r *Request, o *Outcome) *catalog.Edition {
	// Only an app in full service can change its edition at once.
	if p.stretch.state.Stage != account.Active {
		return nil
	}
	q, _ := planners.Get().(*planner)
	defer q.free()
	q.begin(p.stretch, p.now)
	q.client, q.adjust = p.client, p.adjust
	for _, e := range p.edition.Reachable {
		if p.exceedsAlsoIn(e, o) {
			continue
		}
		q.edition = e
		if q.plan(r.Action) == nil && len(q.violations) == 0 && len(q.judgeGroup(nil, o)) == 0 && q.exceeding(o) == 0 {
			return e
		}
	}
	return nil
}
