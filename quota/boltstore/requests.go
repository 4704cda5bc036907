package boltstore

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// Request ids are hashes: in their own order each would lie on another page, and a
// commit write as many pages as it has ids. So they lie in the order in which they
// come, one after the other, and an index in memory says which there are. A value
// is the id and its fingerprint.
//
// Where the order was theirs, as in earlier files, the key is the id.
const (
	requestKeySize  = 8
	requestHashSize = len(quota.RequestKey{}.Hash)
)

// requestFill is how full pages of ids become, which only ever grow at their end.
const requestFill = 1.0

// requestIndex is the writer's alone. What it lacks it reads from the file, as the
// transaction under way has it: so whatever is dropped from it comes back.
type requestIndex struct {
	tables map[requestsName]*requestTable
	// Of the transaction under way, which may come to nothing:
	added   []addedRequest
	removed bool // ids were removed from the file
}

// requestsName names the ids of an app and a generation.
type requestsName struct {
	app        uint32
	generation int64
}

type requestTable struct {
	ids  map[[16]byte][8]byte // fingerprints
	next uint64               // key
	// isDamaged: there are ids that cannot be read. Any that is not in the table
	// may be one of them.
	isDamaged bool
}

type addedRequest struct {
	name requestsName
	id   [16]byte
}

func newRequestIndex() *requestIndex {
	return &requestIndex{tables: make(map[requestsName]*requestTable)}
}

// table returns the ids of a generation of an app.
func (x *requestIndex) table(in *transaction, name requestsName) (*requestTable, error) {
	t := x.tables[name]
	if t == nil {
		b := in.requests(generationKey(name.app, name.generation))
		if b.exists() && b.isPending() {
			if err := in.carryOut(); err != nil {
				return nil, err
			}
		}
		t = readRequests(b.bucket)
		x.tables[name] = t
	}
	return t, nil
}

// readRequests reads a bucket of ids, which may not be there.
func readRequests(b *bolt.Bucket) *requestTable {
	t := &requestTable{ids: make(map[[16]byte][8]byte)}
	if b == nil {
		return t
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		id := k
		if len(k) == requestKeySize {
			t.next = binary.BigEndian.Uint64(k) + 1
			t.isDamaged = t.isDamaged || t.next == 0
			id, v = v[:min(len(v), requestHashSize)], v[min(len(v), requestHashSize):]
		}
		if len(id) != requestHashSize || len(v) != len(quota.RequestKey{}.Fingerprint) {
			t.isDamaged = true
			continue
		}
		t.ids[[16]byte(id)] = [8]byte(v)
	}
	return t
}

// has reports whether a request was made, in this generation or the one before.
func (x *requestIndex) has(in *transaction, now requestsName, k *quota.RequestKey) (bool, error) {
	isDamaged := false
	for _, name := range []requestsName{now, {now.app, now.generation - 1}} {
		t, err := x.table(in, name)
		if err != nil {
			return false, err
		}
		if fingerprint, ok := t.ids[k.Hash]; ok {
			if fingerprint != k.Fingerprint {
				return false, quota.ErrRequestReused
			}
			return true, nil
		}
		isDamaged = isDamaged || t.isDamaged
	}
	if isDamaged {
		return false, corrupt("request", hex.EncodeToString(k.Hash[:]))
	}
	return false, nil
}

// put adds a request to a bucket of the file and to the index.
func (x *requestIndex) put(b table, name requestsName, k *quota.RequestKey) error {
	t, err := x.table(b.of, name)
	if err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint64(make([]byte, 0, requestKeySize), t.next)
	value := append(append(make([]byte, 0, requestHashSize+len(k.Fingerprint)), k.Hash[:]...), k.Fingerprint[:]...)
	if err := b.put(key, value); err != nil {
		return err
	}
	t.ids[k.Hash] = k.Fingerprint
	t.next++
	x.added = append(x.added, addedRequest{name, k.Hash})
	return nil
}

// settle ends a transaction, which was committed or came to nothing.
func (x *requestIndex) settle(committed bool) {
	switch {
	case committed:
	case x.removed: // some may have been read since, without those that are there again
		clear(x.tables)
	default:
		for _, a := range x.added {
			if t := x.tables[a.name]; t != nil {
				delete(t.ids, a.id)
			}
		}
	}
	x.added, x.removed = x.added[:0], false
}

// forget drops what no app asks for whose clock has reached this generation. Of one
// whose clock is behind it is read again.
func (x *requestIndex) forget(generation int64) {
	for name := range x.tables {
		if name.generation < generation-1 {
			delete(x.tables, name)
		}
	}
}

// forgetApp drops what is known of an app whose ids are removed from the file.
func (x *requestIndex) forgetApp(app uint32) {
	x.removed = true
	for name := range x.tables {
		if name.app == app {
			delete(x.tables, name)
		}
	}
}
