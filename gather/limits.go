package gather

// Limits bound flights. All are at least 1.
type Limits struct {
	// Flights are under way at once at most.
	Flights int
	// Items of one flight at most.
	Items int
	// Work of one flight at most. An item with more goes alone.
	Work int
}
