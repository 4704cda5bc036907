package boltstore

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// register writes apps into the directory.
func register(t *testing.T, s *Store, ids ...uint32) {
	t.Helper()
	if err := s.db.Update(func(tx *bolt.Tx) error {
		for _, id := range ids {
			if err := tx.Bucket(directoryBucket).Put(appKey(id), []byte("acme")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// many are ids far apart, the last that there is among them.
func many(n int) (ids []uint32) {
	for i := range n {
		ids = append(ids, math.MaxUint32-uint32(n-1-i)*1000)
	}
	return ids
}

// TestWalk: pages of each size list every app once, by id, and say how far they
// are. No page is longer than a transaction may be.
func TestWalk(t *testing.T) {
	t.Parallel()
	const apps = 2*keysOfView + 500
	s := open(t, newPath(t))
	want := many(apps)
	register(t, s, want...)
	for _, limit := range []int{-1, 7, 100, 500, keysOfView, keysOfView + 1, math.MaxInt} {
		var got []uint32
		for cursor := ""; ; {
			page, err := s.Walk(t.Context(), cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(page.Apps); n > max(limit, 1) || n > keysOfView {
				t.Errorf("%d apps on a page of %d", n, limit)
			}
			got = append(got, page.Apps...)
			same(t, "done, total", []int64{int64(len(got)), apps}, []int64{page.Done, page.Total})
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(want, got) {
			t.Errorf("by pages of %d: %d apps, %d different", limit, len(got), len(slices.Compact(got)))
		}
	}
}

func TestWalkOfAnEmptyStore(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	page, err := s.Walk(t.Context(), "", 10)
	same(t, "page", account.Page{}, page)
	if err != nil {
		t.Error(err)
	}
}

// TestWalkWhileAppsAreCreated: more apps may be found than were counted.
func TestWalkWhileAppsAreCreated(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	register(t, s, 10, 20)
	var got []account.Page
	for cursor := ""; ; {
		page, err := s.Walk(t.Context(), cursor, 1)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page)
		if cursor = page.Next; cursor == "" {
			break
		}
		register(t, s, 5, 12, 14, 16) // once
	}
	same(t, "pages", []account.Page{
		{Apps: []uint32{10}, Next: "10:1:2", Done: 1, Total: 2},
		{Apps: []uint32{12}, Next: "12:2:3", Done: 2, Total: 3},
		{Apps: []uint32{14}, Next: "14:3:4", Done: 3, Total: 4},
		{Apps: []uint32{16}, Next: "16:4:5", Done: 4, Total: 5},
		{Apps: []uint32{20}, Done: 5, Total: 5},
	}, got)
}

// TestWalkRefusesACursorThatIsNone: callers hold them meanwhile.
func TestWalkRefusesACursorThatIsNone(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	for _, cursor := range []string{"0", "a:b:c", "1:2", "1:2:3:4", "1:2:3 ", "-1:2:3", "01:2:3", "4294967296:0:1", "1:2:99999999999"} {
		_, err := s.Walk(t.Context(), cursor, 10)
		if invalid, ok := errors.AsType[*account.InvalidError](err); !ok || invalid.Field != "page_token" {
			t.Errorf("%q: got %v", cursor, err)
		}
	}
}
