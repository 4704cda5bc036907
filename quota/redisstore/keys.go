package redisstore

import (
	"strconv"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Names of keys. All keys of an app share the hash tag {app}, so that one
// script reaches them in a Cluster too. Users and groups are fields of hashes,
// never part of a name, so any byte may stand in their ids; the keys of quotas,
// which are part of names, hold no colon.
//
//	imq:store                     what marks the database as ours
//	imq:log                       the records that may change
//	imq:lease:NAME                who has the lease
//	imq:{dir:N}                   app -> live and its account; and a mark
//	imq:{acct:ACCOUNT}            app -> live, pending TOKEN SECONDS, or leaving TOKEN
//	imq:{acct:ACCOUNT}:rec        the account's record
//	imq:{acct:ACCOUNT}:gone       its deleted apps: app -> seconds
//	imq:{APP}:app                 the header: what every step reads
//	imq:{APP}:rec                 the record, after its version
//	imq:{APP}:e                   the app's log: revision -> event
//	imq:{APP}:q:ID                a quote
//	imq:{APP}:c                   the app's counters: quota -> count
//	imq:{APP}:w:WINDOW            the same, of a window
//	imq:{APP}:s:QUOTA:BUCKET      subject -> count
//	imq:{APP}:s:QUOTA:WINDOW:BUCKET
//	imq:{APP}:u:BUCKET            user -> last active month
//	imq:{APP}:g:BUCKET            group -> record
//	imq:{APP}:o                   gateway -> users online and lease
//	imq:{APP}:op                  month -> most users online at once
//	imq:{APP}:h                   what is held, and by which reservations
//	imq:{APP}:he                  reservation -> when its hold ends
//	imq:{APP}:v:GENERATION:BUCKET reservation -> what became of it
//	imq:{APP}:r:GENERATION:BUCKET request -> fingerprint

// directories spread the directory of all apps over a Cluster.
const directories = 256

func (s *Store) storeKey() string { return s.prefix + ":store" }

func (s *Store) directoryKey(app uint32) string {
	return s.prefix + ":{dir:" + strconv.Itoa(int(app%directories)) + "}"
}

func (s *Store) logKey() string { return s.prefix + ":log" }

func (s *Store) leaseKey(name string) string { return s.prefix + ":lease:" + name }

func (s *Store) accountKey(account string) string { return s.prefix + ":{acct:" + account + "}" }

func (s *Store) ownerKey(account string) string { return s.accountKey(account) + ":rec" }

func (s *Store) goneKey(account string) string { return s.accountKey(account) + ":gone" }

// placeKeys are what says of an account's apps that they are live, or deleted.
func (s *Store) placeKeys(account string) []string {
	return []string{s.accountKey(account), s.goneKey(account)}
}

// headerKey names what every step of an app reads first and many write. All of it
// is short: with a value above 64 bytes Redis would keep a hash table instead of a
// list in one piece, and find each field by fetching from other places of memory.
func (s *Store) headerKey(app uint32) string { return s.appPrefix(app) + "app" }

// recordKey names what is read when the app is looked up, and replaced when it is
// changed.
func (s *Store) recordKey(app uint32) string { return s.appPrefix(app) + "rec" }

func (s *Store) eventsKey(app uint32) string { return s.appPrefix(app) + "e" }

// quoteKey names a quote, which is gone when its time is.
func (s *Store) quoteKey(app uint32, id string) string { return s.appPrefix(app) + "q:" + id }

// Names of the keys of users online, after the app's prefix. Of an app that is
// gone the peaks stay: bills are made from them.
const (
	gatewaysName = "o"
	peaksName    = "op"
)

// The beginnings of the names of users', groups' and counters' buckets, after the
// app's prefix.
const (
	usersName    = "u:"
	groupsName   = "g:"
	subjectsName = "s:"
)

// recordKeys are what is made and replaced with an app's record.
func (s *Store) recordKeys(app uint32) []string {
	return []string{s.headerKey(app), s.recordKey(app), s.eventsKey(app)}
}

func (s *Store) appPrefix(app uint32) string { return string(s.appendAppPrefix(nil, app)) }

func (s *Store) appendAppPrefix(b []byte, app uint32) []byte {
	b = append(append(b, s.prefix...), ":{"...)
	return append(strconv.AppendUint(b, uint64(app), 10), "}:"...)
}

// bucket names which of 1<<bits buckets an id lies in: FNV-1a, whose result
// is part of stored names and can never change.
func bucket[T string | []byte](id T, bits uint8) string { return bucketName(bucketOf(id, bits)) }

func bucketOf[T string | []byte](id T, bits uint8) uint32 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	h ^= h >> 16 // the low bits of FNV alone spread short ids unevenly
	return h & (1<<bits - 1)
}

func bucketName(number uint32) string { return strconv.FormatUint(uint64(number), 36) }

// windowName is the part of a key that names a window.
func windowName(w catalog.Window) string {
	return string(w.Kind[:1]) + strconv.FormatInt(w.Start.Unix(), 36)
}

// counterKey names the hash that a counter lies in, after the app's prefix.
func counterKey(c *quota.Counter, subject string, bits uint8) string {
	if c.Scope == catalog.ScopeApp {
		return counterFamily(c)
	}
	return counterFamily(c) + bucket(subject, bits)
}

// counterFamily is the key of a counter of the app, and what comes before the
// bucket in those of its users or groups.
func counterFamily(c *quota.Counter) string {
	switch {
	case c.Scope == catalog.ScopeApp && c.Window.IsStock():
		return "c"
	case c.Scope == catalog.ScopeApp:
		return "w:" + windowName(c.Window)
	case c.Window.IsStock():
		return subjectsName + c.Quota + ":"
	}
	return subjectsName + c.Quota + ":" + windowName(c.Window) + ":"
}

// Request ids are kept in hashes of two generations, each as long as the
// horizon; half as many buckets as users have keep those of a busy app small.
const generation = quota.RequestHorizon

// generationSlack is for how much longer than anybody looks at them they are kept:
// the clocks of an app and of its server need not go alike.
const generationSlack = time.Minute

func generationOf(at time.Time) int64 { return at.UnixMilli() / generation.Milliseconds() }

func requestsFamily(number int64) string { return "r:" + strconv.FormatInt(number, 36) + ":" }

func requestsKey(number int64, k *quota.RequestKey, bits uint8) string {
	return requestsFamily(number) + bucket(k.Hash[:], bits-1)
}

// Names of the keys of what is held, after the app's prefix.
const (
	heldName = "h"
	endsName = "he"
)

// Reservations are kept in hashes of two generations, which begin together with
// those of request ids: a step that knows the one knows the other.
const holdGeneration = quota.HoldKept

func holdGenerationOf(at time.Time) int64 { return at.UnixMilli() / holdGeneration.Milliseconds() }

func holdsFamily(number int64) string { return "v:" + strconv.FormatInt(number, 36) + ":" }

func holdsKey(number int64, id quota.HoldID, bits uint8) string {
	return holdsFamily(number) + bucket(id[:], bits-1)
}
