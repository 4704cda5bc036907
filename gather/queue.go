package gather

import (
	"context"
	"sync"
	"time"
)

// Queue carries items. It is safe for use by many goroutines.
type Queue[V any] struct {
	limits Limits
	send   func(flight []*Item[V])
	visits sync.Pool // that are over, and that nothing is under way of

	mu       sync.Mutex
	underWay int
	departed time.Time     // the last flight
	carries  int           // its items
	shortest time.Duration // of late, that a flight took
	waiting  lines[V]
}

// New returns a queue. send carries a flight, of one item at least, and returns
// when what became of each is in its Value. It must not panic. It is called by the
// caller's goroutine when the flight is all its own, and else by another, so that
// callers whose time is up need not wait for it.
func New[V any](limits Limits, send func(flight []*Item[V])) *Queue[V] {
	share := max(1, limits.Work/turnsOfWork)
	return &Queue[V]{limits: limits, send: send, waiting: lines[V]{share: share, of: make(map[uint64]*line[V])}}
}

// turnsOfWork is how many turns of one owner make a full flight, while others wait.
const turnsOfWork = 16

// Do has the items carried, in one flight or several, and returns when all are, or
// ctx's error when that ends before. Then what was not sent yet never is, and
// Item.Sent tells which was. A call whose own flight is under way waits for it
// whatever ctx says: send is to end in time.
func (q *Queue[V]) Do(ctx context.Context, items ...*Item[V]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.Try(items...) {
		return nil
	}
	q.mu.Lock()
	v, ok := q.visits.Get().(*visit)
	if !ok {
		v = &visit{done: make(chan struct{}, 1)}
	}
	v.left = len(items)
	for _, it := range items {
		it.visit = v
		q.waiting.add(it)
	}
	q.depart()
	q.mu.Unlock()
	select {
	case <-v.done:
		q.visits.Put(v)
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if v.left == 0 {
		return nil
	}
	return q.drop(items, ctx.Err())
}

// Try has the items carried if they are a flight for which there is room, by its
// caller, and reports whether it was so: else they are as they were. Who has to
// make ready for waiting tries first. Of a single item Work does not matter.
func (q *Queue[V]) Try(items ...*Item[V]) bool {
	if len(items) == 0 {
		return true
	}
	q.mu.Lock()
	if q.waiting.items > 0 || !q.hasRoom(len(items)) || !q.fits(items) {
		q.mu.Unlock()
		return false
	}
	departed := q.begin(len(items))
	for _, it := range items {
		it.place = sent
	}
	q.mu.Unlock()
	defer func() { q.leave(departed) }() // also if send panics, in a goroutine that may be saved from it
	q.send(items)
	return true
}

// Waiting returns how many items wait for a flight.
func (q *Queue[V]) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.items
}

// fits reports whether items are one flight.
func (q *Queue[V]) fits(items []*Item[V]) bool {
	work := 0
	for _, it := range items {
		work += it.Work
	}
	return len(items) <= q.limits.Items && (len(items) == 1 || work <= q.limits.Work)
}

// drop takes back what was not sent, and returns err.
func (q *Queue[V]) drop(items []*Item[V], err error) error {
	for _, it := range items {
		if it.place == inLine {
			it.place = dropped
			q.waiting.items--
		}
	}
	return err
}

// hasRoom reports whether a flight may leave that so many items are there for.
func (q *Queue[V]) hasRoom(items int) bool {
	switch most := q.limits.Flights; {
	case q.underWay < most:
		return true
	case q.underWay >= most+q.limits.More, items < q.carries:
		return false
	}
	return q.isFar() || time.Since(q.departed) >= q.limits.Apart
}

// begin notes that a flight of so many items leaves, and returns when.
func (q *Queue[V]) begin(items int) time.Time {
	q.underWay++
	q.carries = items
	if q.limits.More > 0 {
		q.departed = time.Now()
	}
	return q.departed
}

// end notes that a flight has returned.
func (q *Queue[V]) end(departed time.Time) {
	q.underWay--
	if q.limits.Far == 0 {
		return
	}
	if took := time.Since(departed); took < q.shortest {
		q.shortest = took
	} else {
		q.shortest += (took - q.shortest) / shortestOf
	}
}

// shortestOf is about how many flights have to take long, none of them being short,
// before it is the way that is.
const shortestOf = 32

func (q *Queue[V]) isFar() bool { return q.limits.Far > 0 && q.shortest >= q.limits.Far }

// leave ends the flight of a caller that has its answer, and leaves those who
// wait to others.
func (q *Queue[V]) leave(departed time.Time) {
	q.mu.Lock()
	q.end(departed)
	q.depart()
	q.mu.Unlock()
}

// depart begins as many flights as there is room and need for.
func (q *Queue[V]) depart() {
	for q.waiting.items > 0 && q.hasRoom(q.waiting.items) {
		flight := q.board(nil)
		departed := q.begin(len(flight))
		go q.fly(flight, departed)
	}
}

// fly carries a flight, and then others for as long as somebody waits.
func (q *Queue[V]) fly(flight []*Item[V], departed time.Time) {
	for len(flight) > 0 {
		q.send(flight)
		q.mu.Lock()
		for i, it := range flight {
			flight[i] = nil
			if it.visit.left--; it.visit.left == 0 {
				it.visit.done <- struct{}{}
			}
		}
		q.end(departed)
		if flight = flight[:0]; q.waiting.items > 0 && q.hasRoom(q.waiting.items) {
			flight = q.board(flight)
			departed = q.begin(len(flight))
		}
		q.mu.Unlock()
	}
}

// board takes the next flight out of the lines, by turns.
func (q *Queue[V]) board(flight []*Item[V]) []*Item[V] {
	work := 0
	for len(flight) < q.limits.Items {
		it := q.waiting.first()
		if it == nil || len(flight) > 0 && work+it.Work > q.limits.Work {
			break
		}
		q.waiting.pass()
		it.place = sent
		work += it.Work
		flight = append(flight, it)
	}
	return flight
}
