package gather

// Item is what a caller brings, and what becomes of it: send writes into Value,
// and once Do has returned without an error it is the caller's again.
type Item[V any] struct {
	Value V
	// Of is whose it is. Those of different owners take turns, so that one who
	// brings much does not keep others waiting.
	Of uint64
	// Work is how much of Limits.Work it takes.
	Work int

	visit *visit
	next  *Item[V] // in its owner's line
	place place
}

// place is where an item is.
type place uint8

const (
	inLine place = iota
	dropped
	sent
)

// Sent reports, after Do has returned an error, whether the item was sent all the
// same: then send may still be using Value.
func (it *Item[V]) Sent() bool { return it.place == sent }

// visit is one call of Do that waits.
type visit struct {
	left int           // of its items, not yet returned
	done chan struct{} // has one when none is left
}
