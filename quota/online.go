package quota

import (
	"time"

	"github.com/imquota/imquota/catalog"
)

// OnlineOp says what happens to the users that are online.
type OnlineOp uint8

// The operations on users online.
const (
	OnlineNone   OnlineOp = iota
	OnlineRead            // nothing
	OnlineReport          // Gateway says how many there are through it; in ModeConsume and ModeForce
)

// OnlineStep is the report of one gateway, or reads what all came to. A report
// holds until its lease ends, by the app's clock, or the gateway reports again;
// none of zero users does. Their sum is how many users are online. The peak of a
// month is the largest sum at any instant of it: at a report, and at the first
// instant of the month, for whoever is online then is online in it.
//
// A report by one gateway more than MaxGateways is ErrGateways.
type OnlineStep struct {
	Op      OnlineOp
	Gateway string
	Users   int64
	Lease   time.Duration // whole milliseconds
	// Months are those whose peaks are asked for; the first is the running one,
	// which a report needs.
	Months []catalog.Window
}

// OnlineOutcome is what gateways came to.
type OnlineOutcome struct {
	Users    int64
	Gateways int       // whose leases hold
	LeaseEnd time.Time // of the gateway that reported; zero: it has none
	Peaks    []int64   // of Months
}

// MaxGateways bounds how many gateways of an app have a lease.
const MaxGateways = 1000

// PeakKept is for how long after its beginning the peak of a month is kept at
// least: as long as its counters, which are kept from its end on.
const PeakKept = (400 + 31) * 24 * time.Hour
