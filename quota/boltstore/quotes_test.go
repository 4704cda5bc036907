package boltstore

import (
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// Quotes are kept for as long as was asked, for longer if that was asked since,
// and gone some time later, whether anybody asks for them or not.
func TestQuotesAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(path, Options{now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	save := func(id string, keep time.Duration) {
		t.Helper()
		if err := s.SaveQuote(t.Context(), 7, id, []byte("document of "+id), keep); err != nil {
			t.Fatal(err)
		}
	}
	isKept := func(id string) bool {
		t.Helper()
		document, err := s.Quote(t.Context(), 7, id)
		if err != nil && !errors.Is(err, account.ErrQuoteNotFound) {
			t.Fatal(err)
		}
		if err == nil && string(document) != "document of "+id {
			t.Fatalf("%s is %q", id, document)
		}
		return err == nil
	}
	if isKept("none") {
		t.Error("there is a quote before the first")
	}
	const day = 24 * time.Hour
	save("open", day)
	save("accepted", day)
	save("accepted", 400*day)
	save("accepted", day) // never for shorter
	now = now.Add(day)
	if !isKept("open") || !isKept("accepted") {
		t.Error("gone when their time is not over")
	}
	now = now.Add(day)
	if isKept("open") || !isKept("accepted") {
		t.Error("the wrong one is gone")
	}
	now = now.Add(397 * day)
	if !isKept("accepted") {
		t.Error("the other is gone too")
	}
	for i := range 10 { // days that nobody comes back to
		save(strconv.Itoa(i), day)
		now = now.Add(day)
	}
	save("last", day)
	if err := s.view(t.Context(), func(tx *bolt.Tx) error {
		if n := len(keysOf(tx.Bucket(quotesBucket), nil, 100, all)); n > 2 {
			t.Errorf("%d days are kept", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Quotes are copied when the file is compacted, and there when it is opened again.
func TestQuotesOutlastCompaction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveQuote(t.Context(), 7, "q", []byte("document"), time.Hour); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if document, err := s.Quote(t.Context(), 7, "q"); err != nil || string(document) != "document" {
		t.Errorf("%q, %v", document, err)
	}
}

// TestQuotesLeaveTheJournal: whoever saves one does not wait until it is carried
// out, and it is carried out when its time has come.
func TestQuotesLeaveTheJournal(t *testing.T) {
	t.Parallel()
	s := openShort(t, newPath(t), 4)
	app := found(t, s, 1)
	for n := range 20 {
		applyOne(t, s, adding(app, strconv.Itoa(n)))
		before := s.journal.next
		if err := s.SaveQuote(t.Context(), 1, strconv.Itoa(n), []byte("a quote"), time.Hour); err != nil {
			t.Fatal(err)
		}
		release := block(t, s)
		if s.journal.next < before || s.journal.next == 0 {
			t.Error("the journal is carried out")
		}
		release()
	}
	path := newPath(t)
	write(t, path, read(t, s.path))
	for _, s := range []*Store{s, open(t, path)} {
		for n := range 20 {
			same(t, "counter", int64(1), used(t, s, app, strconv.Itoa(n)))
			if document, err := s.Quote(t.Context(), 1, strconv.Itoa(n)); err != nil || string(document) != "a quote" {
				t.Errorf("quote %d: %q, %v", n, document, err)
			}
		}
	}
}
