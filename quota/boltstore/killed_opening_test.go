package boltstore

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
)

// openUntilKilled opens a store and does nothing with it.
func openUntilKilled(path string, out io.Writer) error {
	_, _ = io.WriteString(out, "opening\n")
	if _, err := Open(path, Options{}); err != nil {
		return err
	}
	_, _ = io.WriteString(out, "open\n")
	_, err := io.Copy(io.Discard, os.Stdin) // which does not end
	return err
}

// TestKilledWhileOpening kills a process while it makes a store, or brings an
// earlier one up to date: whoever comes next finds all of it, or none.
func TestKilledWhileOpening(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	app := earlier(t, path)
	before := read(t, path)
	for name, test := range map[string]struct {
		begin func(path string) error
		check func(t *testing.T, s *Store)
	}{
		"a new store": {
			func(string) error { return nil },
			func(t *testing.T, s *Store) { applyOne(t, s, adding(found(t, s, 1), "sent")) },
		},
		"an earlier store": {
			func(path string) error { return os.WriteFile(path, before, 0o600) },
			func(t *testing.T, s *Store) {
				same(t, "counter", int64(1), used(t, s, app, "sent"))
				listed := s.Accounts(t.Context(), []string{"acme"})
				same(t, "account", []account.LoadedAccount{{Account: &account.Account{ID: "acme", Apps: 1}}}, listed)
				applyOne(t, s, adding(app, "sent"))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random, goesOn := soak(t, 25)
			for goesOn() {
				k := &killed{t: t, path: newPath(t)}
				if err := test.begin(k.path); err != nil {
					t.Fatal(err)
				}
				k.kill("open", nil, "", time.Duration(random.IntN(8000))*time.Microsecond)
				s := open(t, k.path)
				test.check(t, s)
				sound(t, s)
				shut(t, s)
				onlyFile(t, k.path)
				if err := os.Remove(k.path); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
		})
	}
}
