package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// Apply implements quota.Store. What is asked meanwhile travels together, also of
// several callers; see fly.
func (s *Store) Apply(ctx context.Context, txns []quota.Txn) []quota.Outcome {
	outcomes := make([]quota.Outcome, len(txns))
	if err := s.admit(ctx); err != nil {
		for i := range outcomes {
			outcomes[i].Err = err
		}
		return outcomes
	}
	w := work{Store: s, ctx: ctx, txns: txns, outcomes: outcomes}
	if len(txns) == 1 {
		w.carry(w.alone(0))
		return outcomes
	}
	all := make([]int, len(txns))
	for i := range all {
		all[i] = i
	}
	w.carryOut(all)
	return outcomes
}

// work is one call of Apply.
type work struct {
	*Store

	ctx      context.Context
	deadline time.Time // of trying again; zero: nothing was tried again yet
	txns     []quota.Txn
	outcomes []quota.Outcome
}

// carryOut carries out the transactions at these positions.
func (w *work) carryOut(at []int) {
	for _, wave := range w.plan(at) {
		w.carry(wave)
	}
}

// plan cuts transactions into parcels. Parts of one wave are of different apps and may
// go out together; an app's second parcel waits for its first, so that its
// transactions keep their order.
func (w *work) plan(at []int) [][]*parcel {
	type line struct {
		open  *parcel
		first *quota.Txn
		waves int
	}
	var waves [][]*parcel
	apps := make(map[uint32]line)
	for _, i := range at {
		t := &w.txns[i]
		l := apps[t.App]
		if l.open == nil || !l.open.fits(l.first, t) {
			l.open, l.first = w.newParcel(w.ctx, t, t.Now), t
			if l.waves == len(waves) {
				waves = append(waves, nil)
			}
			waves[l.waves] = append(waves[l.waves], l.open)
			l.waves++
			apps[t.App] = l
		}
		l.open.add(t, i)
	}
	return waves
}

// alone is a parcel of one transaction, as a list.
func (w *work) alone(at int) []*parcel {
	t := &w.txns[at]
	p := w.newParcel(w.ctx, t, t.Now)
	p.add(t, at)
	p.room.alone[0] = p
	return p.room.alone[:]
}

// mostAsked bounds how often a parcel is sent again at once, as the script asks: once
// for the app's clock and once for what it holds, unless others move them.
const mostAsked = 4

// carry has parcels carried, and those again that did not run for a reason that may
// pass.
func (w *work) carry(parcels []*parcel) {
	for pause := retryFirst; ; {
		errs := w.send(parcels)
		var again []*parcel
		isRefused := false
		for i, p := range parcels {
			switch {
			case errs != nil && errs[i] != nil:
				w.fail(p, errs[i])
			case p.refusal != nil, p.asks != asksNothing && p.asked < mostAsked:
				isRefused = isRefused || p.refusal != nil
				again = append(again, p)
			default:
				w.settle(p)
				p.free()
			}
		}
		if len(again) == 0 {
			return
		}
		if isRefused {
			if w.deadline.IsZero() {
				w.deadline = time.Now().Add(retryFor)
			}
			if !w.wait(w.ctx, w.deadline, pause) {
				for _, p := range again {
					w.settle(p)
				}
				return
			}
			pause = min(2*pause, retryMost)
		}
		for i, p := range again {
			again[i] = w.again(p, w.txns)
		}
		parcels = again
	}
}

// send has parcels gathered with those of other callers, and carried. It returns the
// faults of those that the caller's time was up for, which may be under way still.
func (w *work) send(parcels []*parcel) []error {
	if len(parcels) == 1 || !w.isCluster() {
		return w.sendTo(w.queueOf(w.ctx, parcels[0].app), parcels)
	}
	queues := make(map[*queue][]int)
	for i, p := range parcels {
		q := w.queueOf(w.ctx, p.app)
		queues[q] = append(queues[q], i)
	}
	var (
		errs    = make([]error, len(parcels))
		sending sync.WaitGroup
	)
	for q, at := range queues {
		sending.Go(func() {
			theirs := make([]*parcel, len(at))
			for k, i := range at {
				theirs[k] = parcels[i]
			}
			for k, err := range w.sendTo(q, theirs) {
				errs[at[k]] = err
			}
		})
	}
	sending.Wait()
	return errs
}

// sendTo is send, for parcels that go to one server.
func (w *work) sendTo(q *queue, parcels []*parcel) []error {
	items := parcels[0].room.items[:0]
	for _, p := range parcels {
		items = append(items, &p.item)
	}
	err := q.Do(w.ctx, items...)
	if err == nil {
		return nil
	}
	errs := make([]error, len(parcels))
	for i, it := range items {
		if errs[i] = gone(err); it.Sent() {
			errs[i] = w.faultOf(err, parcels[i].writes)
		}
	}
	return errs
}

// settle turns what became of a parcel into outcomes.
func (w *work) settle(p *parcel) {
	switch {
	case p.err == nil && p.refusal == nil && p.asks == asksNothing:
		w.decode(p)
	case p.asks == asksClock: // it moves on each time: plan anew
		w.fail(p, &quota.WindowPassedError{Clock: p.until})
	case p.asks == asksHolds: // it ends and begins each time: plan anew
		w.fail(p, quota.ErrStale)
	case p.refusal != nil:
		w.fail(p, w.faultOf(p.refusal, p.writes))
	case p.grows < len(p.at) && isFull(p.err):
		w.fail(p, p.err)
		w.shrink(p)
	default:
		w.fail(p, p.err)
	}
}

// shrink carries out those transactions of a refused parcel that a full Redis has
// room for. The others keep the fault: they have written nothing.
func (w *work) shrink(p *parcel) {
	var shrinking []int
	for _, i := range p.at {
		if !grows(&w.txns[i]) {
			shrinking = append(shrinking, i)
		}
	}
	if p.grows > 0 { // else it was refused though it grows nothing
		w.carryOut(shrinking)
	}
}

func isFull(err error) bool {
	var f *account.Fault
	return errors.As(err, &f) && f.Reason == account.StoreOutOfMemory
}

func (w *work) fail(p *parcel, err error) {
	for _, i := range p.at {
		w.outcomes[i] = quota.Outcome{Err: err}
	}
}
