package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// changes is by key what values become; nil: there is none any more. Its keys are
// those of tables (see table).
type changes map[string][]byte

// carryOut puts all changes in their places, in order: those of a page come one
// after the other.
func (c changes) carryOut(tx *bolt.Tx) error { return c.put(tx, slices.Sorted(maps.Keys(c))) }

// put puts the changes of these keys in their places.
func (c changes) put(tx *bolt.Tx, keys []string) error {
	var name string
	var place *bolt.Bucket
	for _, key := range keys {
		at, k, ok := splitKey(key)
		if !ok {
			return errJournal
		}
		if at != name {
			var err error
			if place, err = placeOf(tx, at); err != nil {
				return err
			}
			name = at
		}
		var err error
		switch v := c[key]; {
		case key[0] == 'h':
			err = putNumbers(place, []byte(k), v)
		case v == nil:
			err = place.Delete([]byte(k))
		default:
			err = place.Put([]byte(k), v)
		}
		if err != nil {
			return fmt.Errorf("carry out the journal: %w", err)
		}
	}
	return nil
}

var errJournal = errors.New("it is damaged: its journal cannot be read")

// A record is, for each change, the key and the value, each with its length before
// it. That of a value is one more, and 0 where it is removed.

func (c changes) encode() []byte {
	size := 0
	for k, v := range c {
		size += 2*binary.MaxVarintLen32 + len(k) + len(v)
	}
	b := make([]byte, 0, size)
	for k, v := range c {
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
		if v == nil {
			b = binary.AppendUvarint(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(v))+1), v...)
	}
	return b
}

// decode adds a record's changes, whose values are the record's bytes.
func (c changes) decode(record []byte) error {
	part := func(shift uint64) (part []byte, ok bool) {
		length, n := binary.Uvarint(record)
		if n <= 0 {
			return nil, false
		}
		record = record[n:]
		if length < shift {
			return nil, true
		}
		if length -= shift; length > uint64(len(record)) {
			return nil, false
		}
		part, record = record[:length:length], record[length:]
		return part, true
	}
	for len(record) > 0 {
		k, ok := part(0)
		if !ok {
			return errJournal
		}
		v, ok := part(1)
		if !ok {
			return errJournal
		}
		c[string(k)] = v
	}
	return nil
}
