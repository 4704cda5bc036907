package client_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// sent tells how many checks are under way alone, of so many that came at once, and
// what the others were sent as.
func sent(t *testing.T, g *gate, c *client.Client, r *imquotav1.CheckQuotaRequest, checks int) (alone int, others []string) {
	t.Helper()
	from := len(g.calls)
	for range checks {
		ask(t.Context(), c, r)
	}
	underWay := g.shape()[from:]
	if slices.ContainsFunc(underWay, func(s string) bool { return s != "CheckQuota 1" }) {
		t.Errorf("under way: %v", underWay)
	}
	g.clear()
	return len(underWay), g.shape()[from+len(underWay):]
}

// TestFewGoAlone: what a batch would spare is less than waiting for it takes. Two
// more go before the others wait for them.
func TestFewGoAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.New(g, client.Options{})
		for range 3 { // and no place is lost
			if alone, others := sent(t, g, c, friend("bob"), 20); alone != 14 || !slices.Equal(others, []string{"BatchCheckQuota 6"}) {
				t.Errorf("counted: %d, then %v", alone, others)
			}
			if alone, others := sent(t, g, c, feature(), 20); alone != 6 || !slices.Equal(others, []string{"BatchCheckQuota 14"}) {
				t.Errorf("features: %d, then %v", alone, others)
			}
			func() {
				defer func() { _ = recover() }()
				g.fails = func(string) error { panic("an interceptor") }
				close(g.next)
				_, _ = c.Check(t.Context(), friend("bob"))
			}()
			g.fails, g.next = func(string) error { return nil }, make(chan struct{})
		}
	})
}

// TestSlowServer: checks that come slowly do not wait for each other, though many are
// under way because each takes long; but only so many, for the server may hang.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := client.New(g, client.Options{})
		takes := func(d time.Duration) {
			for range 40 {
				ask(t.Context(), c, friend("bob"))
				<-time.After(d)
				g.open()
			}
		}
		takes(3 * time.Millisecond)
		if alone, others := sent(t, g, c, friend("bob"), 45); alone != 45 {
			t.Errorf("of a slow server: %d, then %v", alone, others)
		}
		takes(time.Second)
		if alone, others := sent(t, g, c, friend("bob"), 100); alone != 66 || !slices.Equal(others, []string{"BatchCheckQuota 34"}) {
			t.Errorf("of one that hangs: %d, then %v", alone, others)
		}
		takes(0)
		if alone, others := sent(t, g, c, friend("bob"), 20); alone != 14 {
			t.Errorf("of one that is fast again: %d, then %v", alone, others)
		}
	})
}
