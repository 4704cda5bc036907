package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// batch is the work of one CheckAll.
type batch struct {
	e        *Enforcer
	catalog  *catalog.Snapshot
	now      time.Time
	requests []*Request
	results  []Result
	apps     map[uint32]*standing // read once, so that items of an app share a version
}

// round plans and applies the pending requests, and returns those that must
// be planned anew.
func (b *batch) round(ctx context.Context, pending []int) []int {
	plans := make([]*planner, 0, len(pending))
	txns := make([]Txn, 0, len(pending))
	asked := make([]int, 0, len(pending))
	for k, d := range b.drafts(ctx, pending) {
		i := pending[k]
		if b.settleLocally(b.requests[i], d, &b.results[i]) {
			continue
		}
		plans, txns, asked = append(plans, d.planner), append(txns, d.planner.txn), append(asked, i)
	}
	if len(txns) == 0 {
		return nil
	}
	endTogether(txns)
	var again []int
	for k, o := range b.e.store.Apply(ctx, txns) {
		i, t, passed := asked[k], &txns[k], (*WindowPassedError)(nil)
		switch {
		case o.Err == nil:
			plans[k].decide(b.requests[i], &o, &b.results[i].Decision)
		case errors.Is(o.Err, ErrStale):
			b.e.refused(plans[k].app)
			delete(b.apps, t.App)
			again = append(again, i)
		case errors.As(o.Err, &passed):
			if loaded := b.apps[t.App]; loaded != nil {
				loaded.now = passed.Clock
			}
			again = append(again, i)
		case plans[k].isDeniedAnyway(o.Err):
			plans[k].isDegraded = account.IsAway(o.Err)
			plans[k].denyUnjudged(b.requests[i], &b.results[i].Decision)
		default:
			b.results[i].Err = describe(o.Err, t)
		}
	}
	return again
}

// endTogether gives the transactions of an app the earliest end of a window
// among them: when the day turns under a batch, all of them are planned anew
// and keep their order.
func endTogether(txns []Txn) {
	if len(txns) == 1 {
		return
	}
	ends := make(map[uint32]time.Time)
	for i := range txns {
		if end := txns[i].WindowEnd; !end.IsZero() && (ends[txns[i].App].IsZero() || end.Before(ends[txns[i].App])) {
			ends[txns[i].App] = end
		}
	}
	for i := range txns {
		txns[i].WindowEnd = ends[txns[i].App]
	}
}

// isDeniedAnyway reports whether a request that plan or state deny is denied
// though the store could not judge the rest of it. One with an id may have
// taken effect before, which only the store knows: it finds that out before it
// looks at the group.
func (p *planner) isDeniedAnyway(err error) bool {
	if len(p.violations) == 0 {
		return false
	}
	return errors.Is(err, ErrGroupExists) || errors.Is(err, ErrGroupType) || p.txn.Request.IsZero()
}

// describe names the group in an error of the store about it.
func describe(err error, t *Txn) error {
	if errors.Is(err, ErrGroupExists) || errors.Is(err, ErrGroupType) {
		return fmt.Errorf("group %s: %w", quote(t.Group.ID), err)
	}
	return err
}

// draft is a request's plan, or why there is none.
type draft struct {
	planner *planner
	err     error
	away    error // of the standing it was made from
}

// isFinal reports whether the draft decides by itself, without the step of the
// store that would confirm the record it was made from.
func (d draft) isFinal() bool {
	return d.err != nil || d.planner.isLocal() || len(d.planner.violations) > 0
}

// drafts plans the pending requests. What the record of an app decides without
// the store's confirmation needs a current one: of all such apps those are read
// together, and the plans for them are made again.
func (b *batch) drafts(ctx context.Context, pending []int) []draft {
	var fresh []*standing
	for _, i := range pending {
		id := b.requests[i].App
		if _, ok := b.apps[id]; !ok {
			s := &standing{id: id, now: b.now}
			b.apps[id] = s
			fresh = append(fresh, s)
		}
	}
	b.e.load(ctx, fresh, b.catalog)
	drafts := make([]draft, len(pending))
	var outdated []*standing
	for k, i := range pending {
		l := b.apps[b.requests[i].App]
		drafts[k] = b.draft(l, b.requests[i])
		if !l.isCurrent && drafts[k].isFinal() && l.err == nil && l.away == nil && !slices.Contains(outdated, l) {
			outdated = append(outdated, l)
		}
	}
	if len(outdated) == 0 {
		return drafts
	}
	b.e.refresh(ctx, outdated, b.catalog)
	for k, i := range pending {
		if l := b.apps[b.requests[i].App]; slices.Contains(outdated, l) {
			drafts[k] = b.draft(l, b.requests[i])
		}
	}
	return drafts
}

// settleLocally reports whether a request is decided, or failed, without the
// store; else its transaction is complete.
func (b *batch) settleLocally(r *Request, d draft, result *Result) bool {
	switch {
	case errors.Is(d.err, account.ErrAppNotFound):
		result.Decision = b.unknownApp(r)
		return true
	case d.err != nil:
		result.Err = d.err
		return true
	case d.planner.isLocal(), d.planner.state.IsGone() && d.away == nil:
		d.planner.decideLocally(r, &result.Decision)
		return true
	}
	// A local denial still goes to the store, to find what else denies the
	// action; with a request id, because an effect it had before comes first.
	if p := d.planner; r.Mode != CheckOnly && p.txn.Group.Op != GroupRead {
		p.txn.Request = r.key()
		if r.Mode == Reserve {
			p.txn.Hold = p.hold(r)
		}
		if len(p.violations) == 0 {
			p.txn.Mode = writing[r.Mode]
		}
	}
	if d.away != nil {
		d.settleAway(r, result)
		return true
	}
	return false
}

// writing is how a transaction writes what a request asks for.
var writing = [...]TxnMode{Consume: ModeConsume, Adjust: ModeForce, Reserve: ModeReserve}

// settleAway settles what the store would have been asked for, and is away: a
// denial that nothing comes before stands, and nothing else is known.
func (d draft) settleAway(r *Request, result *Result) {
	if d.planner.isDeniedAnyway(d.away) {
		d.planner.denyUnjudged(r, &result.Decision)
		return
	}
	result.Err = d.away
}

// draft plans a request for an app and judges what needs no store.
func (b *batch) draft(l *standing, r *Request) draft {
	if l.err != nil {
		return draft{err: l.err}
	}
	if l.catErr != nil {
		return draft{err: l.catErr}
	}
	state := l.state(l.now)
	edition, err := l.editionIn(state)
	if err != nil {
		return draft{err: err}
	}
	p := &planner{
		catalog: l.cat, app: l.app, state: state, edition: edition, client: r.Client, now: l.now,
		adjust: r.Mode == Adjust, isDegraded: l.away != nil,
	}
	if err := p.plan(r.Action); err != nil {
		return draft{err: err}
	}
	p.suspend()
	p.sortViolations()
	return draft{planner: p, away: l.away}
}

// unknownApp is the denial of every request for an app that does not exist.
func (b *batch) unknownApp(r *Request) Decision {
	d := Decision{
		Source: SourceStore, ViolationCount: 1,
		Violations: []Violation{{
			Reason: AppNotFound, UpstreamCode: b.catalog.Codes().AppNotFound,
			Message: fmt.Sprintf("there is no app %d", r.App),
		}},
	}
	if !r.Basic {
		d.CatalogVersion = b.catalog.Version()
	}
	return d
}
