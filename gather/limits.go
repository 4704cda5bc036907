package gather

import "time"

// Limits bound flights. Flights, Items and Work are at least 1.
type Limits struct {
	// Flights are under way at once at most.
	Flights int
	// More than Flights are under way while they take long: so many leave before
	// one has returned, each Apart from the one before at least, and not with fewer
	// items than that had. Who comes in between waits for the next to come, or for
	// a flight to return, and not for a timer.
	More  int
	Apart time.Duration
	// Far is what even a short flight takes where the way is most of it: then the
	// next does not gain by being Apart, and is not. Zero: nowhere is far.
	Far time.Duration
	// Items of one flight at most.
	Items int
	// Work of one flight at most. An item with more goes alone.
	Work int
}
