package redisstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/imquota/imquota/account"
)

// crowd puts apps into the first directories, n in each, without making them.
func crowd(t testing.TB, s *Store, in, n int) {
	t.Helper()
	pipe := s.client.Pipeline()
	for directory := range in {
		for i := range n {
			pipe.HSet(t.Context(), s.directoryKey(uint32(directory)), fmt.Sprint(i*directories+directory), live+" acme")
		}
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// walkAll walks to the end, does something after each page, and returns how often each app
// was found, and on how many pages.
func walkAll(t testing.TB, s *Store, limit int, after func(page int)) (found map[uint32]int, pages int) {
	t.Helper()
	found = make(map[uint32]int)
	last := account.Page{}
	for cursor := ""; ; {
		page, err := s.Walk(t.Context(), cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		if page.Done < last.Done || page.Total != directories || (page.Next == "") != (page.Done == page.Total) {
			t.Errorf("page %d: %d of %d done, after %d; next %q", pages, page.Done, page.Total, last.Done, page.Next)
		}
		for _, id := range page.Apps {
			found[id]++
		}
		if page.Next == "" {
			return found, pages
		}
		cursor, last = page.Next, page
		after(pages)
	}
}

// TestWalkOfManyApps: directories of several pages each.
func TestWalkOfManyApps(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	const in, each, limit = 3, 2000, 100
	crowd(t, s, in, each)
	found, pages := walkAll(t, s, limit, func(int) {})
	if len(found) != in*each {
		t.Errorf("%d apps were found, want %d", len(found), in*each)
	}
	if want := in * each / limit; pages < want/2 || pages > want*2 {
		t.Errorf("%d pages, want about %d", pages, want)
	}
}

// TestWalkAcrossARestart: to the server that comes back the cursor means nothing,
// and no app is left out.
func TestWalkAcrossARestart(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	const in, each = 2, 3000
	crowd(t, s, in, each)
	found, _ := walkAll(t, s, 100, func(page int) {
		if page != 10 {
			return
		}
		if err := server.Client().Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		server.Kill()
		server.Restart()
	})
	if len(found) != in*each {
		t.Errorf("%d apps were found, want %d", len(found), in*each)
	}
}

// TestWalkOfFewApps is one page in few steps, though there are many directories.
func TestWalkOfFewApps(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	for id := range uint32(5) {
		newApp(t, s, 1+id*50)
	}
	walkAll(t, s, 100, func(int) {}) // the script is loaded
	count := &trips{}
	s.client.AddHook(count)
	page, err := s.Walk(countedContext(t), "", 100)
	if err != nil || len(page.Apps) != 5 || page.Next != "" {
		t.Errorf("page %+v, %v", page, err)
	}
	if got := count.n.Load(); got < 1 || got > 20 {
		t.Errorf("%d round trips, want 20 at most", got)
	}
}

func TestWalkRefusesOtherCursors(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	for _, cursor := range []string{"x", "1", "1:2", "256:0:", "-1:0:", "1:x:", "1::", ":0:"} {
		_, err := s.Walk(t.Context(), cursor, 10)
		if _, ok := errors.AsType[*account.InvalidError](err); !ok {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}
