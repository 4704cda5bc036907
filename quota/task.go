package quota

import (
	"errors"
	"fmt"

	"github.com/imquota/imquota/account"
)

// task is one request and what it has come to.
type task struct {
	request *Request
	app     *standing
	planner *planner // nil: there is no plan, and err says why
	err     error
	done    bool
	Result
}

func (t *task) decide(d *Decision) { t.Decision, t.done = d, true }
func (t *task) fail(err error)     { t.Err, t.done = err, true }

// drop gives the planner back.
func (t *task) drop() {
	if t.planner == nil {
		return
	}
	t.planner.free()
	t.planner = nil
}

// plan plans the request for its app and judges what needs no store.
func (t *task) plan() {
	s, r := t.app, t.request
	t.drop()
	if t.err = s.err; t.err != nil {
		return
	}
	if t.err = s.outlook.err; t.err != nil {
		return
	}
	st := s.outlook.at(s.now)
	if t.err = st.err; t.err != nil {
		return
	}
	p, _ := planners.Get().(*planner)
	p.begin(st, s.now)
	p.client, p.adjust, p.isDegraded = r.Client, r.Mode == Adjust, s.away != nil
	t.planner, t.err = p, p.plan(r.Action)
}

// isFinal reports whether the plan decides by itself, without the step of the
// store that would confirm the record it was made from.
func (t *task) isFinal() bool {
	return t.err != nil || t.planner.isLocal() || t.planner.isDenied()
}

// settle decides a request that needs no store, or says why it cannot be decided;
// else it completes the transaction.
func (b *batch) settle(t *task) {
	p, r := t.planner, t.request
	switch {
	case errors.Is(t.err, account.ErrAppNotFound):
		t.decide(b.unknownApp(r))
	case t.err != nil:
		t.fail(t.err)
	case p.isLocal(), p.stretch.state.IsGone() && t.app.away == nil:
		t.decide(p.decideLocally(r))
	default:
		p.suspend()
		p.complete(r)
		if away := t.app.away; away != nil {
			t.settleAway(away)
		}
	}
	if t.done {
		t.drop()
	}
}

// complete makes the transaction that is for the store. A local denial still goes
// there, to find what else denies the action; with a request id, because an effect
// it had before comes first.
func (p *planner) complete(r *Request) {
	if r.Mode == CheckOnly || p.txn.Group.Op == GroupRead {
		return
	}
	p.txn.Request = r.key(&p.scratch)
	if r.Mode == Reserve {
		p.txn.Hold = p.hold(r)
	}
	if len(p.violations) == 0 {
		p.txn.Mode = writing[r.Mode]
	}
}

// writing is how a transaction writes what a request asks for.
var writing = [...]TxnMode{Consume: ModeConsume, Adjust: ModeForce, Reserve: ModeReserve}

// settleAway settles what the store would have been asked for, and is away: a
// denial that nothing comes before stands, and nothing else is known.
func (t *task) settleAway(away error) {
	if t.planner.isDeniedAnyway(away) {
		t.decide(t.planner.denyUnjudged(t.request))
		return
	}
	t.fail(away)
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
