package storetest

import (
	"context"

	"github.com/imquota/imquota/quota"
)

// Instant is a store for measurements: it finds every counter at a number, at
// once, and makes as little garbage as a store must. What is measured with it is
// the Enforcer's own work and three allocations: outcomes, charges, what was used.
type Instant struct {
	*Model

	Used int64 // every counter, whatever is added to it
}

// Apply implements quota.Store, but that nothing is written.
func (s *Instant) Apply(_ context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := make([]quota.Outcome, len(txns))
	charges, counters := 0, 0
	for i := range txns {
		charges += len(txns[i].Charges)
		for k := range txns[i].Charges {
			counters += max(1, len(txns[i].Charges[k].Subjects))
		}
	}
	found, used := make([]quota.ChargeOutcome, charges), make([]int64, counters)
	for i := range used {
		used[i] = s.Used
	}
	for i := range txns {
		n := len(txns[i].Charges)
		outcomes[i].Charges, found = found[:n:n], found[n:]
		used = s.apply(&txns[i], &outcomes[i], used)
	}
	return outcomes
}

// apply does as much as the decision can tell.
func (s *Instant) apply(t *quota.Txn, o *quota.Outcome, used []int64) []int64 {
	fits := true
	for i := range t.Charges {
		c := &t.Charges[i]
		n := max(1, len(c.Subjects))
		o.Charges[i].Delta, o.Charges[i].Used, used = c.Delta, used[:n:n], used[n:]
		fits = fits && c.Limit.Allows(s.Used, c.Delta)
	}
	o.Clock = t.Now
	o.Applied = t.Mode == quota.ModeForce || t.Mode != quota.ModeJudge && fits
	if o.Applied {
		o.Durability = quota.DurabilityPrimary
		if t.Hold.Op == quota.HoldPlace {
			o.Hold = quota.HoldRecord{State: quota.HoldPlaced, End: t.Now.Add(t.Hold.For)}
		}
	}
	return used
}
