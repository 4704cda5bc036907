package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// batch is the work of one Check or CheckAll.
type batch struct {
	e       *Enforcer
	catalog *catalog.Snapshot
	now     time.Time
	tasks   []task
	// apps are read once, so that tasks of an app share a version. They are found by
	// their ids, or where they are many by byApp.
	apps  []*standing
	ids   []uint32
	byApp map[uint32]*standing
	room  []standing // the places of apps
	asked []int      // tasks whose transactions are with the store
	txns  []Txn      // theirs
}

// fewApps are found faster one by one than in a map.
const fewApps = 64

// batches are used again: none is a part of what is handed on.
var batches = sync.Pool{New: func() any { return &batch{byApp: make(map[uint32]*standing)} }}

func (e *Enforcer) newBatch() *batch {
	b, _ := batches.Get().(*batch)
	b.e, b.catalog, b.now = e, e.catalog.Load(), e.now()
	return b
}

func (b *batch) add(r *Request) { b.tasks = append(b.tasks, task{request: r}) }

// free ends the batch: nothing of it is used any more.
func (b *batch) free() {
	clear(b.tasks)
	clear(b.apps)
	clear(b.byApp)
	clear(b.room)
	clear(b.txns)
	*b = batch{
		tasks: b.tasks[:0], apps: b.apps[:0], ids: b.ids[:0], byApp: b.byApp, room: b.room[:0],
		asked: b.asked[:0], txns: b.txns[:0],
	}
	batches.Put(b)
}

// run decides all tasks.
func (b *batch) run(ctx context.Context) {
	for range maxRounds {
		if !b.round(ctx) {
			return
		}
	}
	for i := range b.tasks {
		if t := &b.tasks[i]; !t.done {
			t.fail(ErrUnsettled)
		}
	}
}

// round plans and applies the tasks that are not done, and reports whether some
// must be planned anew.
func (b *batch) round(ctx context.Context) (again bool) {
	b.draft(ctx)
	b.asked = b.asked[:0]
	for i := range b.tasks {
		if !b.tasks[i].done {
			b.asked = append(b.asked, i)
		}
	}
	if len(b.asked) == 0 {
		return false
	}
	b.txns = b.txns[:0]
	for _, i := range b.asked {
		b.txns = append(b.txns, b.tasks[i].planner.txn)
	}
	txns, room := b.txns, decisionRoom{tasks: len(b.asked)}
	b.endTogether(txns)
	outcomes := b.e.store.Apply(ctx, txns)
	for k, i := range b.asked {
		t, o := &b.tasks[i], &outcomes[k]
		p := t.planner
		switch passed, isPassed := errors.AsType[*WindowPassedError](o.Err); {
		case o.Err == nil:
			t.decide(p.decide(t.request, o, &room))
		case errors.Is(o.Err, ErrStale):
			b.e.refused(p.app)
			t.app.isOver = true
		case isPassed:
			t.app.now = passed.Clock
		case p.isDeniedAnyway(o.Err):
			p.isDegraded = account.IsAway(o.Err)
			t.decide(p.denyUnjudged(t.request))
		default:
			t.fail(describe(o.Err, &txns[k]))
		}
		again = again || !t.done
		if o.Err != nil {
			b.txns, t.planner = nil, nil // the store may keep them
		}
		t.drop()
		room.tasks--
	}
	return again
}

// endTogether gives the transactions of an app the earliest end of a window
// among them: when the day turns under a batch, all of them are planned anew
// and keep their order.
func (b *batch) endTogether(txns []Txn) {
	if len(txns) == 1 {
		return
	}
	for _, s := range b.apps {
		s.end = time.Time{}
	}
	for k, i := range b.asked {
		s := b.tasks[i].app
		s.end = soonest(s.end, txns[k].WindowEnd)
	}
	for k, i := range b.asked {
		txns[k].WindowEnd = b.tasks[i].app.end
	}
}

// soonest returns the earlier of two ends; zero: there is none.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// draft makes the plans of all tasks that are not done, and settles those that need
// no store. What the record of an app decides without the store's confirmation needs
// a current one: of all such apps those are read together, and the plans for them
// are made again.
func (b *batch) draft(ctx context.Context) {
	known := len(b.apps)
	var over []*standing
	for i := range b.tasks {
		t := &b.tasks[i]
		if t.done {
			continue
		}
		if t.app == nil {
			t.app = b.standing(t.request.App)
		}
		if t.app.isOver {
			*t.app = standing{id: t.app.id, now: b.now}
			over = append(over, t.app)
		}
	}
	fresh := b.apps[known:]
	if len(over) > 0 {
		fresh = append(over, fresh...)
	}
	if len(fresh) > 0 {
		b.e.load(ctx, b.glance(known == 0), fresh, b.catalog)
	}
	if len(fresh) > 1 { // as in load, for the plans are long
		for _, s := range fresh {
			if s.outlook != nil {
				s.outlook.at(s.now)
			}
		}
	}
	var outdated []*standing
	for i := range b.tasks {
		t := &b.tasks[i]
		if t.done {
			continue
		}
		t.plan()
		s := t.app
		if s.isCurrent || !t.isFinal() || s.err != nil || s.away != nil {
			b.settle(t)
			continue
		}
		if !slices.Contains(outdated, s) {
			outdated = append(outdated, s)
		}
	}
	if len(outdated) == 0 {
		return
	}
	b.e.refresh(ctx, outdated, b.catalog)
	for i := range b.tasks {
		if t := &b.tasks[i]; !t.done && slices.Contains(outdated, t.app) {
			t.plan()
			b.settle(t)
		}
	}
}

// glance is the batch's at what is current. What comes first follows from the
// instant that it began at.
func (b *batch) glance(isFirst bool) glance {
	if isFirst && b.e.isOneClock {
		return b.e.glanceAt(b.now)
	}
	return b.e.glance()
}

// standing is the place for how an app stands.
func (b *batch) standing(id uint32) *standing {
	if s := b.find(id); s != nil {
		return s
	}
	if len(b.room) == cap(b.room) { // the places that are taken stay where they are
		b.room = make([]standing, 0, len(b.tasks))
	}
	b.room = append(b.room, standing{id: id, now: b.now})
	s := &b.room[len(b.room)-1]
	b.apps, b.ids = append(b.apps, s), append(b.ids, id)
	if len(b.apps) > fewApps {
		for _, s := range b.apps[len(b.byApp):] {
			b.byApp[s.id] = s
		}
	}
	return s
}

// find returns the place that an app has; nil: none.
func (b *batch) find(id uint32) *standing {
	if len(b.apps) > fewApps {
		return b.byApp[id]
	}
	if i := slices.Index(b.ids, id); i >= 0 {
		return b.apps[i]
	}
	return nil
}

// unknownApp is the denial of every request for an app that does not exist.
func (b *batch) unknownApp(r *Request) *Decision {
	d := &Decision{
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
