package gather

// line is what one owner's callers have brought, in order.
type line[V any] struct {
	of         uint64
	head, tail *Item[V]
	credit     int // work that it may have carried while it is its turn
	before     *line[V]
	after      *line[V]
}

// lines hold what waits. They form a ring and take turns: at its turn each may have
// so much work carried, and saves what it does not use for a larger item.
type lines[V any] struct {
	share int // of work, at each turn
	items int // that are not dropped
	of    map[uint64]*line[V]
	turn  *line[V] // whose turn it is; nil: nothing waits
	spare *line[V] // for the next owner, linked by after
}

// add puts an item at the end of its owner's line.
func (l *lines[V]) add(it *Item[V]) {
	at := l.of[it.Of]
	if at == nil {
		at = l.open(it.Of)
	}
	if at.tail == nil {
		at.head = it
	} else {
		at.tail.next = it
	}
	at.tail = it
	l.items++
}

// open gives an owner a line, whose turn comes last.
func (l *lines[V]) open(of uint64) *line[V] {
	at := l.spare
	if at == nil {
		at = &line[V]{}
	} else {
		l.spare = at.after
	}
	*at = line[V]{of: of}
	l.of[of] = at
	if l.turn == nil {
		at.before, at.after = at, at
		l.give(at)
		return at
	}
	at.after, at.before = l.turn, l.turn.before
	at.before.after, at.after.before = at, at
	return at
}

// give makes it a line's turn.
func (l *lines[V]) give(at *line[V]) {
	at.credit += l.share
	l.turn = at
}

// first returns what goes next; nil when nothing waits. What its caller has
// dropped is passed over.
func (l *lines[V]) first() *Item[V] {
	for l.turn != nil {
		at := l.turn
		for at.head != nil && at.head.place == dropped {
			at.head = at.head.next
		}
		switch {
		case at.head == nil:
			l.close(at)
		case at.head.Work > at.credit:
			l.give(at.after)
		default:
			return at.head
		}
	}
	return nil
}

// pass takes off what first returned.
func (l *lines[V]) pass() {
	at := l.turn
	it := at.head
	at.head, it.next = it.next, nil
	at.credit -= it.Work
	l.items--
	if at.head == nil {
		l.close(at)
	}
}

// close ends the line whose turn it is, which is empty.
func (l *lines[V]) close(at *line[V]) {
	delete(l.of, at.of)
	if at.after == at {
		l.turn = nil
	} else {
		at.before.after, at.after.before = at.after, at.before
		l.give(at.after)
	}
	*at = line[V]{after: l.spare}
	l.spare = at
}
