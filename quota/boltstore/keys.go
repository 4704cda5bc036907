package boltstore

import (
	"encoding/binary"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Keys begin with the app, so that what belongs to one app lies together, and
// parts of unknown length but the last are length-prefixed, so that no two
// different keys have the same bytes.

func appKey(app uint32) []byte { return binary.BigEndian.AppendUint32(nil, app) }

func idKeyOf(app uint32, id string) []byte { return append(appKey(app), id...) }

func counterKey(app uint32, quota, subject string) []byte {
	k := make([]byte, 0, 5+len(quota)+len(subject))
	k = binary.BigEndian.AppendUint32(k, app)
	k = append(k, byte(len(quota)))
	k = append(k, quota...)
	return append(k, subject...)
}

// windowKey names the bucket of an app's counters of a window. Of an app's
// buckets those that may be dropped come first. Each app has its own, because
// each has its own clock: one that is ahead must not take the others' counts.
func windowKey(app uint32, w catalog.Window) []byte {
	k := keptUntil(app, w.KeptUntil())
	k = binary.BigEndian.AppendUint64(k, uint64(w.Start.Unix()))
	return append(k, w.Kind...)
}

// goneKey names the bucket of the groups that an app dissolved on a day. It is
// kept until the day after is over in every zone.
func goneKey(app uint32, day int32) []byte {
	const secondsOfDay = 24 * 60 * 60
	return append(keptUntil(app, time.Unix((int64(day)+3)*secondsOfDay, 0)), "gone"...)
}

func keptUntil(app uint32, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(appKey(app), uint64(at.Unix()))
}

// generation is how long one bucket of request ids is written to; the one
// before is still read, so that an id is remembered for at least as long.
const generation = quota.RequestHorizon

// generationKey names the bucket of an app's request ids of a generation.
func generationKey(app uint32, number int64) []byte {
	return binary.BigEndian.AppendUint64(appKey(app), uint64(number))
}

func generationOf(at time.Time) int64 { return at.UnixMilli() / generation.Milliseconds() }
