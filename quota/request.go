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
func (r *Request) key() RequestKey {
	if r.ID == "" {
		return RequestKey{}
	}
	return newKey(r.Caller, r.ID, r.Action.canonical([]byte{byte(r.Mode)}))
}

// newKey makes a key of a caller's id and of what it asked.
func newKey(caller, requestID string, canonical []byte) RequestKey {
	var k RequestKey
	if requestID == "" {
		return k
	}
	id := sha256.Sum256(appendString(appendString(nil, caller), requestID))
	what := sha256.Sum256(canonical)
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
	ids = slices.Sorted(slices.Values(ids))
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
