// Package gather carries what concurrent callers bring in few, full flights,
// without a timer: what arrives while a flight has room to leave leaves at once,
// and what arrives while all flights are under way goes together when one
// returns. The busier it is, the fuller they are.
//
// Whoever is alone pays nothing for it: the flight is the caller's own call.
package gather
