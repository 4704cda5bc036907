package redisstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

// TestInitKeepsTheEvidence loses what lay on one node of a cluster: the store's
// mark, and an app with its directory. Until the loss is accepted the app is
// not unknown, and cannot be created with counters at zero.
func TestInitKeepsTheEvidence(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	c := server.Client()
	newApp(t, s, 7)
	newApp(t, s, 8)
	redisDo(t, server, "DEL", s.storeKey(), s.directoryKey(7), s.headerKey(7))
	before := dumpAll(t, c)

	_, _, err := s.Init(t.Context(), false)
	wantReason(t, err, account.StoreNotInitialized)
	for _, says := range []string{"255 of 256 directories", "1 apps", "store init --accept-loss", "Restore a backup"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if diff := cmp.Diff(before, dumpAll(t, c)); diff != "" {
		t.Errorf("it wrote (-before +after):\n%s", diff)
	}
	_, err = s.App(t.Context(), 7)
	wantReason(t, err, account.StoreNotInitialized)

	id, created, err := s.Init(t.Context(), true)
	if err != nil || !created || id == "" {
		t.Fatalf("with the loss accepted: %q, %v, %v", id, created, err)
	}
	if _, err := s.App(t.Context(), 7); !errors.Is(err, account.ErrAppNotFound) {
		t.Errorf("the lost app: %v, want %v", err, account.ErrAppNotFound)
	}
	if _, err := s.App(t.Context(), 8); err != nil {
		t.Errorf("the other app: %v", err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestInitRepairsADirectory only when the loss of its apps is accepted.
func TestInitRepairsADirectory(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	newApp(t, s, 7)
	redisDo(t, server, "DEL", s.headerKey(7), s.directoryKey(7))
	for _, acceptLoss := range []bool{false, true} {
		want := account.ErrUsageUnknown
		if acceptLoss {
			want = account.ErrAppNotFound
		}
		if _, created, err := s.Init(t.Context(), acceptLoss); created || err != nil {
			t.Errorf("created %v, %v", created, err)
		}
		if _, err := s.App(t.Context(), 7); !errors.Is(err, want) {
			t.Errorf("accepted %v: the app is answered as %v, want %v", acceptLoss, err, want)
		}
	}
}

// TestInitGoesOn: while a store is not marked to the end nothing is answered
// from it; the next Init goes on without asking.
func TestInitGoesOn(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	for _, tt := range []struct {
		name       string
		writable   []string
		acceptLoss bool
	}{
		{"after the store's key", []string{"imq:store"}, false},
		{"between two directories", []string{"imq:store", "imq:{dir:1*"}, false},
		{"before the id, of a store that lost its mark", []string{"imq:store", "imq:{dir:1*"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			redisDo(t, server, "FLUSHALL")
			if tt.acceptLoss {
				redisDo(t, server, "HSET", s.directoryKey(1), directoryMark, format, "1", "live acme")
			}
			_, _, err := refusing(t, server, tt.writable...).Init(t.Context(), tt.acceptLoss)
			wantReason(t, err, account.StoreUnavailable)
			err = s.Ready(t.Context())
			wantReason(t, err, account.StoreNotInitialized)
			if err == nil || !strings.Contains(err.Error(), "repeat imquota store init") {
				t.Errorf("%v does not say what to do", err)
			}
			fresh := open(t, "redis://"+server.Addr)
			_, err = fresh.App(t.Context(), 1)
			wantReason(t, err, account.StoreNotInitialized)
			if _, created, err := s.Init(t.Context(), false); !created || err != nil {
				t.Fatalf("going on: created %v, %v", created, err)
			}
			for i := range uint32(directories) {
				if !server.Client().HExists(t.Context(), s.directoryKey(i), directoryMark).Val() {
					t.Errorf("directory %d has no mark", i)
				}
			}
			if err := s.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
