package account

import (
	"slices"
	"time"
)

// Change is a request that changed a record.
type Change struct {
	RequestID   string    `json:"requestId"`
	Fingerprint uint64    `json:"fingerprint"` // of the request, to tell it from another of the same id
	At          time.Time `json:"at,omitzero"` // when the record was changed
}

// A record remembers requests for as long as they may be repeated, and the newest
// for longer; the last bound keeps it small, whatever is done to it.
const (
	changesKeptFor = 10 * time.Minute
	changesKept    = 16
	changesAtMost  = 256
)

// remember notes a request that changed a record.
func remember(changes []Change, c Change, now time.Time) []Change {
	if c.RequestID == "" {
		return changes
	}
	c.At = now
	changes = append(changes, c)
	drop := 0
	for left := len(changes); left > changesKept && (left > changesAtMost || now.Sub(changes[drop].At) > changesKeptFor); left-- {
		drop++
	}
	return slices.Delete(changes, 0, drop)
}

// remembered finds a request by its id. It may be another of the same id:
// ErrRequestReused.
func remembered(changes []Change, c Change) (bool, error) {
	if c.RequestID == "" {
		return false, nil
	}
	for _, known := range changes {
		if known.RequestID == c.RequestID {
			if known.Fingerprint != c.Fingerprint {
				return false, ErrRequestReused
			}
			return true, nil
		}
	}
	return false, nil
}
