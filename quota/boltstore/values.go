package boltstore

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// Values are a varint each, or a few of them; whatever else is there is
// reported as corrupt, never taken for zero.

var errCorrupt = errors.New("a stored value is not what it should be")

func encodeCount(n int64) []byte { return binary.AppendVarint(nil, n) }

func decodeCount(b []byte) (int64, error) {
	if b == nil {
		return 0, nil
	}
	n, size := binary.Varint(b)
	if size <= 0 || size != len(b) || n > catalog.MaxLimit || n < -catalog.MaxLimit {
		return 0, errCorrupt
	}
	return n, nil
}

// user is what is stored of a user.
type user struct {
	month   int32 // last active in; neverActive
	deleted bool  // remembered only because active in month
}

const neverActive int32 = -1

func encodeUser(u user) []byte {
	n := int64(u.month)
	if u.deleted {
		n = -2 - n
	}
	return binary.AppendVarint(nil, n)
}

func decodeUser(b []byte) (user, error) {
	n, err := decodeCount(b)
	switch {
	case err != nil || n > 1<<30 || n < -1<<30:
		return user{}, errCorrupt
	case n <= -2:
		return user{month: int32(-2 - n), deleted: true}, nil
	}
	return user{month: int32(n)}, nil
}

func encodeGroup(g quota.GroupRecord) []byte {
	return binary.AppendVarint(binary.AppendVarint([]byte{g.Type}, int64(g.Day)), g.Members)
}

func decodeGroup(b []byte) (quota.GroupRecord, error) {
	if b == nil {
		return quota.GroupRecord{}, nil
	}
	if len(b) < 3 || b[0] < 'a' || b[0] > 'z' {
		return quota.GroupRecord{}, errCorrupt
	}
	day, n := binary.Varint(b[1:])
	if n <= 0 || day != int64(int32(day)) {
		return quota.GroupRecord{}, errCorrupt
	}
	members, err := decodeCount(b[1+n:])
	if err != nil || members < 0 || len(b) == 1+n {
		return quota.GroupRecord{}, errCorrupt
	}
	return quota.GroupRecord{Found: true, Type: b[0], Day: int32(day), Members: members}, nil
}

// header is an app as it is stored. Version and clock are read and written by
// every step, the record only when it changes: so the numbers come first.
type header struct {
	version  account.Version
	clock    int64 // Unix milliseconds
	sequence uint64
	record   []byte // account.EncodeApp
}

const headerSize = versionSize + 16

func encodeHeader(h header) []byte {
	b := appendVersion(make([]byte, 0, headerSize+len(h.record)), h.version)
	b = binary.BigEndian.AppendUint64(b, uint64(h.clock))
	b = binary.BigEndian.AppendUint64(b, h.sequence)
	return append(b, h.record...)
}

func decodeHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, errCorrupt
	}
	return header{
		version:  versionOf(b),
		clock:    int64(binary.BigEndian.Uint64(b[16:])),
		sequence: binary.BigEndian.Uint64(b[24:]),
		record:   b[headerSize:],
	}, nil
}

// later returns the app's clock: it never runs backwards.
func (h header) later(now time.Time) time.Time {
	if stored := time.UnixMilli(h.clock); stored.After(now) {
		return stored
	}
	return time.UnixMilli(now.UnixMilli())
}

// owner is an account as it is stored; the zero value: it is not.
type owner struct {
	version account.Version
	record  []byte // account.EncodeAccount
}

func encodeOwner(o owner) []byte {
	return append(appendVersion(make([]byte, 0, versionSize+len(o.record)), o.version), o.record...)
}

func decodeOwner(b []byte) (owner, error) {
	if b == nil {
		return owner{}, nil
	}
	// A version of zero would be taken for an account that has no record.
	if len(b) < versionSize || versionOf(b).Revision == 0 {
		return owner{}, errCorrupt
	}
	return owner{versionOf(b), b[versionSize:]}, nil
}

const versionSize = 16

func appendVersion(b []byte, v account.Version) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, v.Epoch), v.Revision)
}

func versionOf(b []byte) account.Version {
	return account.Version{Epoch: binary.BigEndian.Uint64(b), Revision: binary.BigEndian.Uint64(b[8:])}
}
