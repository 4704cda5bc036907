package boltstore

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Of an app's request ids and windows those are past that lie before these keys,
// by the app's clock: no step asks for such an id any more, and such a window
// may be forgotten.

func generationsPast(app uint32, clock time.Time) []byte {
	return generationKey(app, max(0, generationOf(clock)-1)) // a clock begins at 0
}

func windowsPast(app uint32, clock time.Time) []byte { return keptUntil(app, clock) }

// isPast reports whether a bucket in the bucket named parent is past.
//
// The app's clock is the one it has in its header, also where the app is idle
// and its clock stands still. By the time of day more would be past, but that is
// the clock of one machine at one moment: were it ahead, ids would be forgotten
// before their horizon and counts before their window is over, of all apps at
// once, and nothing would show it. An app that is idle keeps two generations of
// ids at most.
func isPast(tx *bolt.Tx, parent, name []byte) bool {
	var past func(app uint32, clock time.Time) []byte
	switch {
	case bytes.Equal(parent, requestsBucket):
		past = generationsPast
	case bytes.Equal(parent, windowsBucket):
		past = windowsPast
	default:
		return false
	}
	if len(name) < len(appKey(0)) {
		return false
	}
	app := binary.BigEndian.Uint32(name)
	h, err := decodeHeader(tx.Bucket(appsBucket).Get(appKey(app)))
	if err != nil { // the clock is lost
		return false
	}
	return bytes.Compare(name, past(app, time.UnixMilli(h.clock))) < 0
}

// dropPast drops what is past only by clocks that the journal had, or what the
// journal had of what is past.
func dropPast(tx *bolt.Tx) error {
	for _, parent := range [][]byte{requestsBucket, windowsBucket} {
		b := tx.Bucket(parent)
		past := keysOf(b, nil, math.MaxInt, func(name []byte) bool { return isPast(tx, parent, name) })
		if err := dropBuckets(b, past); err != nil {
			return err
		}
	}
	return nil
}
