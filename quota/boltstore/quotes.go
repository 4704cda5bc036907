package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// Quotes lie in a bucket for each day on which they may be forgotten, which goes
// as a whole. The first quote makes the bucket of them all.
var quotesBucket = []byte("quotes") // last day -> app, id -> document

// lastDay names the bucket of what is kept until an instant: by the days of UTC
// since 1970.
func lastDay(until time.Time) []byte {
	const secondsOfDay = 24 * 60 * 60
	return binary.BigEndian.AppendUint64(nil, uint64(until.Unix()/secondsOfDay))
}

// SaveQuote implements account.Registry. Saved for longer, it is in two buckets
// until the first of them goes.
func (s *Store) SaveQuote(ctx context.Context, app uint32, id string, document []byte, keep time.Duration) error {
	now := s.now()
	// The journal says nothing of quotes, and may stay as it is.
	return s.enqueue(ctx, &work{do: func(t *transaction) error {
		quotes, err := t.tx.CreateBucketIfNotExists(quotesBucket)
		if err != nil {
			return err
		}
		for _, day := range keysOf(quotes, nil, dropsAtOnce, func(day []byte) bool { return bytes.Compare(day, lastDay(now)) < 0 }) {
			if err := quotes.DeleteBucket(day); err != nil {
				return err
			}
		}
		day, err := quotes.CreateBucketIfNotExists(lastDay(now.Add(keep)))
		if err != nil {
			return err
		}
		return day.Put(idKeyOf(app, id), document)
	}})
}

// dropsAtOnce bounds how many days one step drops, for all others wait: more go
// with the next.
const dropsAtOnce = 1

// Quote implements account.Registry.
func (s *Store) Quote(ctx context.Context, app uint32, id string) (document []byte, err error) {
	today := lastDay(s.now())
	err = s.view(ctx, func(tx *bolt.Tx) error {
		quotes := tx.Bucket(quotesBucket)
		if quotes == nil {
			return account.ErrQuoteNotFound
		}
		days := quotes.Cursor()
		for day, _ := days.Last(); bytes.Compare(day, today) >= 0; day, _ = days.Prev() {
			if found := quotes.Bucket(day).Get(idKeyOf(app, id)); found != nil {
				document = slices.Clone(found)
				return nil
			}
		}
		return account.ErrQuoteNotFound
	})
	return document, err
}
