package quota

import (
	"time"

	"github.com/imquota/imquota/account"
)

// EntryKind says what an Entry is about.
type EntryKind uint8

// The kinds of entries.
const (
	EntryUser      EntryKind = iota + 1 // a user who is registered, or was active lately
	EntryGroup                          // a group's record
	EntryDissolved                      // a group that was dissolved a moment ago
	EntryCounter                        // a counter that is not zero
	EntryPeak                           // the most users that were online at once in a month
)

// Entry is one thing that a store keeps of what an app counted: what Export
// reads, and Restore writes. Request ids, reservations and gateways are none: they
// are over in minutes.
type Entry struct {
	Kind EntryKind
	// ID is of the user or the group; of a counter, its subject.
	ID string

	// Registered, and the Month that the user was last active in, or NeverActive:
	// of EntryUser. One of both at least is.
	Registered bool
	Month      int32

	Group GroupRecord // EntryGroup
	Day   int32       // EntryDissolved: catalog.Day of its dissolution

	Counter Counter // EntryCounter
	Used    int64   // EntryCounter, EntryPeak

	Start time.Time // EntryPeak: the first instant of its month
}

// NeverActive is the Month of a user who was never active.
const NeverActive int32 = -1

// Export says what to read of an app, and from where on.
type Export struct {
	App        uint32
	FanoutBits uint8
	Version    account.Version
	// Counters are those that are read, of all their subjects. Of the app as a
	// whole others of the same windows may come along.
	Counters []Counter
	From     string // Exported.Next of the call before; empty to begin
	Limit    int    // about how many entries
}

// Exported is a part of what an app counted.
type Exported struct {
	Entries []Entry
	Next    string // to go on with; empty: that was all
	// Done of Total parts are behind it.
	Done, Total int64
	// Sequence rises with everything that is written of the app. The same before
	// the first part and after the last: they are of one moment.
	Sequence uint64
}

// Restoration is what is written of an app that is not there yet.
type Restoration struct {
	App        uint32
	FanoutBits uint8
	Now        time.Time // counters whose time is over are left out
	Entries    []Entry
}
