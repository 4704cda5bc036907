package quota

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// Request asks for one action or release.
type Request struct {
	App  uint32
	ID   string // request id; empty: not remembered
	Mode Mode
	// Caller scopes ID: two callers' ids never collide.
	Caller string
	Client Client
	Action Action
	Basic  bool // leave the details out of the decision
	// Hold is how long a reservation holds. Reserve.
	Hold time.Duration
}

// Mode says what a request does to the counters.
type Mode uint8

// The modes.
const (
	Consume   Mode = iota // judge and, if allowed, count: all or nothing
	CheckOnly             // judge only
	Adjust                // count even over the limit
	Reserve               // judge and, if allowed, hold
)

// Client is the device that a request comes from, as far as it is known.
type Client struct {
	Platform string // a platform of the catalog; empty: unknown
	SDK      catalog.SDKVersion
	HasSDK   bool
}

// key returns the key that the store remembers a request by. The mode is part
// of what was asked: counting over the limit is another request.
// scratch is room for what the key is made of.
func (r *Request) key(scratch *[]byte) RequestKey {
	if r.ID == "" {
		return RequestKey{}
	}
	b := appendScoped((*scratch)[:0], r.Caller, r.ID)
	id := len(b)
	b = r.Action.canonical(append(b, byte(r.Mode)))
	*scratch = b
	return hashed(b[:id], b[id:])
}

// newKey makes a key of a caller's id and of what it asked.
func newKey(caller, requestID string, canonical []byte) RequestKey {
	if requestID == "" {
		return RequestKey{}
	}
	return hashed(appendScoped(nil, caller, requestID), canonical)
}

// appendScoped appends a request id that is the caller's own.
func appendScoped(b []byte, caller, requestID string) []byte {
	return appendString(appendString(b, caller), requestID)
}

func hashed(scoped, canonical []byte) (k RequestKey) {
	id, what := sha256.Sum256(scoped), sha256.Sum256(canonical)
	copy(k.Hash[:], id[:])
	copy(k.Fingerprint[:], what[:])
	return k
}

// appendString appends a string so that no two sequences of strings have the
// same bytes.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendSet appends a set of ids, whatever their order.
func appendSet(b []byte, ids []string) []byte {
	if !slices.IsSorted(ids) {
		ids = slices.Clone(ids)
		slices.Sort(ids)
	}
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = appendString(b, id)
	}
	return b
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
