package account

import (
	"crypto/rand"
	"encoding/binary"
)

// Version names one state of an app's record. A store refuses to judge with
// any other than the current one.
type Version struct {
	// Epoch is drawn at random with every revision. So an app created anew under
	// the same id is never taken for the old one, nor a revision for another of
	// the same number that a store has lost with its tail.
	Epoch uint64 `json:"epoch"`
	// Revision rises by one with every change, from 1.
	Revision uint64 `json:"revision"`
}

// FirstVersion returns the version of an app that is being created.
func FirstVersion() Version { return Version{}.Next() }

// Next returns the version after a change.
func (v Version) Next() Version {
	var epoch [8]byte
	_, _ = rand.Read(epoch[:]) // never fails
	return Version{Epoch: binary.BigEndian.Uint64(epoch[:]), Revision: v.Revision + 1}
}
