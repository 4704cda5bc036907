package quota

import (
	"encoding/hex"
	"errors"
	"time"
)

// HoldID names a reservation.
type HoldID [16]byte

// String returns the id as callers know it: 32 hexadecimal digits.
func (id HoldID) String() string { return hex.EncodeToString(id[:]) }

// ParseHoldID reads what String wrote.
func ParseHoldID(text string) (id HoldID, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != text {
		return id, false
	}
	copy(id[:], b)
	return id, true
}

// HoldOp says what happens to one reservation.
type HoldOp uint8

// The operations on a reservation.
const (
	HoldNone   HoldOp = iota
	HoldPlace         // it is made, in ModeReserve; in ModeJudge it is looked for
	HoldRead          // nothing
	HoldCommit        // what it holds is free, and the charges are judged; then it is committed
	HoldCancel        // what it holds is free, and it is cancelled
)

// HoldStep changes one reservation. A reservation holds from the step that
// places it until the app's clock reaches its end, or it is committed or
// cancelled before. What it holds is the delta of every charge that grew
// something: other transactions are judged as if it were used. Stores remember
// a reservation for HoldKept at least after it was placed.
//
// Placing one that is there with the same fingerprint (of Txn.Request, or zero)
// is Replayed, with another ErrRequestReused. One that creates a group holds
// the group's id: nobody else's GroupCreate gets it (ErrGroupExists). A touch
// may make the group meanwhile; the commit then gives it its day.
//
// Committing or cancelling one that nobody knows is ErrHoldNotFound, repeating
// it is Replayed, committing after cancelling ErrHoldCancelled, the other way
// round ErrHoldCommitted.
type HoldStep struct {
	Op HoldOp
	ID HoldID
	// For is how long it holds, in whole milliseconds. HoldPlace.
	For time.Duration
	// Plan is handed back to who reads the reservation, until it is committed
	// or cancelled. HoldPlace.
	Plan []byte
	// Late: the caller knows that the hold has ended. A commit that is wrong
	// about that is ErrHoldEnded, and nothing was written. HoldCommit.
	Late bool
}

// HoldState is what became of a reservation.
type HoldState uint8

// The states of a reservation.
const (
	HoldPlaced    HoldState = iota + 1 // it holds until its end, and may be committed after
	HoldCommitted                      // what it held is counted
	HoldCancelled                      // what it held is free
)

// HoldRecord is what a store knows of a reservation, after the step.
type HoldRecord struct {
	State HoldState // zero: there is none
	End   time.Time // by the app's clock
	Plan  []byte    // while it is placed; of HoldRead
}

// Bounds of a reservation.
const (
	MinHold     = time.Second
	MaxHold     = 15 * time.Minute
	DefaultHold = 30 * time.Second
	// HoldKept is for how long a reservation is remembered at least.
	HoldKept = 24 * time.Hour
)

// What a store answers about a reservation.
var (
	ErrHoldNotFound  = errors.New("there is no such reservation, or it ended more than a day ago")
	ErrHoldCommitted = errors.New("the reservation was committed: release what it counted")
	ErrHoldCancelled = errors.New("the reservation was cancelled")
	ErrHoldEnded     = errors.New("the reservation has just ended")
)
