package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// keysOfView bounds the keys that one transaction of a walk reads: while it is
// open, the writer may have to wait, and its pages are not used again.
const keysOfView = 1000

// walk is how far a walk over the directory is. Its text is the cursor; so the
// apps are counted once, and not for every page.
type walk struct {
	after uint32 // the last app that was listed
	done  uint32 // how many were
	total uint32 // of so many
}

// String returns the cursor.
func (w walk) String() string { return fmt.Sprintf("%d:%d:%d", w.after, w.done, w.total) }

// parseWalk reads a cursor, which callers hold meanwhile.
func parseWalk(cursor string) (w walk, err error) {
	_, err = fmt.Sscanf(cursor, "%d:%d:%d", &w.after, &w.done, &w.total)
	if err != nil || w.String() != cursor {
		return walk{}, &account.InvalidError{Field: "page_token", Description: fmt.Sprintf("%q is no place in a walk over all apps", cursor)}
	}
	return w, nil
}

// Walk implements account.Registry.
func (s *Store) Walk(ctx context.Context, cursor string, limit int) (account.Page, error) {
	w, err := s.walkFrom(ctx, cursor)
	if err != nil {
		return account.Page{}, err
	}
	ids, more, err := s.appsAfter(ctx, w.after, limit)
	if err != nil {
		return account.Page{}, err
	}
	// Apps that were created since they were counted come on top.
	w.done += uint32(len(ids))
	page := account.Page{Apps: ids, Done: int64(w.done), Total: int64(w.done)}
	if more {
		w.after, w.total = ids[len(ids)-1], max(w.total, w.done+1)
		page.Next, page.Total = w.String(), int64(w.total)
	}
	return page, nil
}

// walkFrom returns where a cursor is; at the beginning it counts the apps.
func (s *Store) walkFrom(ctx context.Context, cursor string) (w walk, err error) {
	if cursor != "" {
		return parseWalk(cursor)
	}
	for after, more := uint32(0), true; more; {
		var ids []uint32
		if ids, more, err = s.appsAfter(ctx, after, keysOfView); err != nil {
			return walk{}, err
		}
		w.total += uint32(len(ids))
		if more {
			after = ids[len(ids)-1]
		}
	}
	return w, nil
}

// appsAfter lists ids of the directory, and whether there are more.
func (s *Store) appsAfter(ctx context.Context, after uint32, limit int) (ids []uint32, more bool, err error) {
	limit = min(max(limit, 1), keysOfView)
	err = s.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(directoryBucket).Cursor()
		for k, _ := c.Seek(appKey(after)); k != nil && !more; k, _ = c.Next() {
			id := binary.BigEndian.Uint32(k)
			switch {
			case id <= after:
			case len(ids) == limit:
				more = true
			default:
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids, more, err
}
