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

func accountPrefix(name string) []byte { return append([]byte{byte(len(name))}, name...) }

func placeKey(name string, app uint32) []byte {
	return binary.BigEndian.AppendUint32(accountPrefix(name), app)
}

// eventKey orders an app's events by revision.
func eventKey(app uint32, revision uint64) []byte {
	return binary.BigEndian.AppendUint64(appKey(app), revision)
}

func counterKey(app uint32, quota, subject string) []byte {
	k := make([]byte, 0, 5+len(quota)+len(subject))
	k = binary.BigEndian.AppendUint32(k, app)
	k = append(k, byte(len(quota)))
	k = append(k, quota...)
	return append(k, subject...)
}

// isOfSubject reports whether a counter's key names a user or group, rather than
// the app as a whole.
func isOfSubject(counter []byte) bool {
	return len(counter) > 4 && len(counter) > 5+int(counter[4])
}

// windowKey names the bucket of an app's counters of a window. Of an app's
// buckets those that may be dropped come first. Each app has its own, because
// each has its own clock: one that is ahead must not take the others' counts.
func windowKey(app uint32, w catalog.Window) []byte {
	k := keptUntil(app, w.KeptUntil())
	k = binary.BigEndian.AppendUint64(k, uint64(w.Start.Unix()))
	return append(k, w.Kind...)
}

// isMonth reports whether a bucket's name is the windowKey of a month.
func isMonth(name []byte) bool {
	const kindAt = 4 + 8 + 8
	return len(name) > kindAt && string(name[kindAt:]) == string(catalog.KindMonth)
}

// goneKey names the bucket of the groups that an app dissolved on a day. It is
// kept until the day after is over in every zone.
func goneKey(app uint32, day int32) []byte {
	const secondsOfDay = 24 * 60 * 60
	return append(keptUntil(app, time.Unix((int64(day)+3)*secondsOfDay, 0)), goneName...)
}

const goneName = "gone"

// isGone reports whether a bucket's name is a goneKey.
func isGone(name []byte) bool {
	const nameAt = 4 + 8
	return len(name) > nameAt && string(name[nameAt:]) == goneName
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
