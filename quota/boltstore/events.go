package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

func encodeEvent(app uint32, e account.Event) ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode an event of app %d: %w", app, err)
	}
	return b, nil
}

// decodeEvent reads an event; its key says of which revision.
func decodeEvent(k, v []byte) (account.Event, error) {
	e := account.Event{Revision: binary.BigEndian.Uint64(k[len(appKey(0)):])}
	if err := json.Unmarshal(v, &e); err != nil {
		return account.Event{}, corrupt("event", strconv.FormatUint(e.Revision, 10))
	}
	return e, nil
}

// putEvent writes an app's event and forgets the one that is too old by then.
func putEvent(tx *bolt.Tx, app uint32, revision uint64, event []byte) error {
	events := tx.Bucket(eventsBucket)
	if revision > account.EventsKept {
		if err := events.Delete(eventKey(app, revision-account.EventsKept)); err != nil {
			return err
		}
	}
	return events.Put(eventKey(app, revision), event)
}

// dropEvents forgets the log of an app that was lost: the revisions of the one
// that takes its id begin anew.
func dropEvents(tx *bolt.Tx, app uint32) error {
	events := tx.Bucket(eventsBucket)
	for _, k := range keysOf(events, appKey(app), math.MaxInt, all) {
		if err := events.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Events implements account.Registry.
func (s *Store) Events(ctx context.Context, id uint32, before uint64, limit int) ([]account.Event, error) {
	if before == 0 {
		before = math.MaxUint64
	}
	var events []account.Event
	err := s.view(ctx, func(tx *bolt.Tx) error {
		if tx.Bucket(appsBucket).Get(appKey(id)) == nil {
			return missing(tx, id)
		}
		c, prefix := tx.Bucket(eventsBucket).Cursor(), appKey(id)
		for k, v := lastBefore(c, eventKey(id, before)); bytes.HasPrefix(k, prefix) && len(events) < limit; k, v = c.Prev() {
			e, err := decodeEvent(k, v)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		return nil
	})
	return events, err
}

// lastBefore moves a cursor to the last key before this one.
func lastBefore(c *bolt.Cursor, key []byte) (k, v []byte) {
	if k, _ := c.Seek(key); k == nil { // all are
		return c.Last()
	}
	return c.Prev()
}
