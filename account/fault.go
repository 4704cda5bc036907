package account

import (
	"errors"
	"fmt"
	"time"
)

// Fault says why a store could not answer. It is an error, never a denial.
type Fault struct {
	Reason FaultReason
	// Detail is the cause, for an operator: lower case, no secrets.
	Detail string
	// RetryAfter is when a retry may help; zero when that is not known.
	RetryAfter time.Duration
	// Err is the cause as the driver gave it. Optional.
	Err error
}

// FaultReason is the kind of a fault.
type FaultReason string

// The kinds of faults. All but OutcomeUnknown promise that nothing was written.
const (
	StoreUnavailable    FaultReason = "STORE_UNAVAILABLE"     // cannot be reached
	StoreReadOnly       FaultReason = "STORE_READ_ONLY"       // refuses writes
	StoreEvicting       FaultReason = "STORE_EVICTING"        // may drop counters
	StoreNotInitialized FaultReason = "STORE_NOT_INITIALIZED" // never initialised, or lost its mark
	StoreOutOfMemory    FaultReason = "STORE_OUT_OF_MEMORY"   // refuses to grow
	OutcomeUnknown      FaultReason = "OUTCOME_UNKNOWN"       // sent, and the reply was lost
	UsageUnknown        FaultReason = "USAGE_UNKNOWN"         // a counter cannot be read
	SlotMoving          FaultReason = "SLOT_MOVING"           // keys are between two nodes
	ClockSkew           FaultReason = "CLOCK_SKEW"            // its clock and this process's differ
	RecordNewer         FaultReason = "RECORD_NEWER"          // a newer imquota wrote the app's record
	CallerGone          FaultReason = "CALLER_GONE"           // the caller's time was up before the store was asked
)

// Error returns the reason and the detail.
func (f *Fault) Error() string {
	if f.Err != nil {
		return fmt.Sprintf("%s: %s: %v", f.Reason, f.Detail, f.Err)
	}
	return fmt.Sprintf("%s: %s", f.Reason, f.Detail)
}

// IsAway reports whether an error says that a store could not answer for now,
// and nothing of what it holds: what was known of it before is not refuted.
func IsAway(err error) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && (f.Reason == StoreUnavailable || f.Reason == StoreReadOnly || f.Reason == SlotMoving)
}

// Unwrap returns the driver's own error.
func (f *Fault) Unwrap() error { return f.Err }
