package redisstore

import (
	"testing"
	"time"

	"github.com/imquota/imquota/account"
)

// A quote is kept for as long as was asked, for longer if that was asked since,
// and never for shorter.
func TestQuotes_KeptFor(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	c := server.Client()
	for _, tt := range []struct{ keep, least time.Duration }{
		{time.Hour, time.Hour}, {400 * 24 * time.Hour, 400 * 24 * time.Hour}, {time.Minute, 400 * 24 * time.Hour},
	} {
		if err := s.SaveQuote(t.Context(), 7, "q", []byte("document"), tt.keep); err != nil {
			t.Fatal(err)
		}
		const slow = time.Minute // for the test itself
		if left, err := c.PTTL(t.Context(), s.quoteKey(7, "q")).Result(); err != nil || left > tt.least || left < tt.least-slow {
			t.Errorf("kept for %v: %v left, %v; want %v", tt.keep, left, err, tt.least)
		}
	}
}

// A store that lost everything has not "no quotes".
func TestQuotes_OfALostStore(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	if err := server.Client().Del(t.Context(), s.storeKey()).Err(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Quote(t.Context(), 7, "q")
	wantReason(t, err, account.StoreNotInitialized)
}
