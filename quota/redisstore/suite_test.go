package redisstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/quota/storetest"
)

// TestSuite runs the contract on every kind of Redis. The tests of one kind
// share its servers: each has apps of its own.
func TestSuite(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		suite(t, "redis://"+redistest.Standalone(t).Addr)
	})
	t.Run("without functions", func(t *testing.T) {
		t.Parallel()
		suite(t, "redis://"+redistest.Standalone(t, "--rename-command", "FCALL", "").Addr)
	})
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		servers := redistest.Sentinel(t)
		suite(t, "redis+sentinel://"+strings.Join(servers.Addrs, ",")+"/"+servers.MasterName)
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		suite(t, "redis+cluster://"+strings.Join(redistest.Cluster(t, 3, 3).Addrs, ","))
	})
}

func suite(t *testing.T, url string) {
	t.Helper()
	s := initialized(t, url)
	storetest.Run(t, storetest.Harness{
		Open: func(t testing.TB) storetest.Driver {
			t.Helper()
			return initialized(t, url)
		},
		Damage: func(t testing.TB, _ storetest.Driver, app *account.App, v storetest.Value) {
			t.Helper()
			if err := s.damage(t, app, v); err != nil {
				t.Fatal(err)
			}
		},
		Lose: func(t testing.TB, _ storetest.Driver, app *account.App) {
			t.Helper()
			if err := s.client.Del(t.Context(), s.headerKey(app.ID)).Err(); err != nil {
				t.Fatal(err)
			}
		},
	})
}

// damage overwrites a value with text that is none.
func (s *Store) damage(t testing.TB, app *account.App, v storetest.Value) error {
	t.Helper()
	key, field := counterKey(&v.Counter, v.Subject, app.FanoutBits), v.Subject
	switch {
	case v.User != "":
		key, field = "u:"+bucket(v.User, app.FanoutBits), v.User
	case v.GroupID != "":
		key, field = "g:"+bucket(v.GroupID, app.FanoutBits), v.GroupID
	case v.Gateway != "":
		key, field = gatewaysName, "g"+v.Gateway
	case v.Subject == "":
		field = v.Counter.Quota
	}
	key = s.appPrefix(app.ID) + key
	if there, err := s.client.HExists(t.Context(), key, field).Result(); err != nil || !there {
		return errors.Join(errors.New("there is nothing to damage"), err)
	}
	return s.client.HSet(t.Context(), key, field, "x").Err()
}

// FuzzTransactions compares the store with the suite's model.
func FuzzTransactions(f *testing.F) {
	storetest.FuzzTransactions(f, initialized(f, "redis://"+redistest.Standalone(f).Addr))
}
