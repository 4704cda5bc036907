package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// removals are how a path comes not to name a store's file any more.
var removals = map[string]func(path string) error{
	"removed": os.Remove,
	"renamed": func(path string) error { return os.Rename(path, path+".old") },
	"replaced": func(path string) error {
		whole, err := os.ReadFile(path)
		return errors.Join(err, os.Remove(path), os.WriteFile(path, whole, 0o600))
	},
	"with its directory": func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") },
}

// TestFileRemoved: what would be counted where nobody finds it is not, and nothing
// is read there, for others may count elsewhere by now.
func TestFileRemoved(t *testing.T) {
	t.Parallel()
	for name, remove := range removals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, app := inDirectory(t)
			applyOne(t, s, adding(app, "sent"))
			if err := remove(s.path); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{
				"a read":   s.Apply(t.Context(), []quota.Txn{judging(app, "sent")})[0].Err,
				"a count":  s.Apply(t.Context(), []quota.Txn{adding(app, "sent")})[0].Err,
				"a change": s.UpdateApp(t.Context(), app, account.Event{}),
				"a look":   s.Ready(t.Context()),
			} {
				if f, ok := errors.AsType[*account.Fault](err); !ok || f.Reason != account.StoreUnavailable {
					t.Errorf("%s answered %v", what, err)
				}
			}
		})
	}
}

// TestFileRemovedMeanwhile: the file was there when the step began.
func TestFileRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, remove := range removals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := inDirectory(t)
			err := s.submit(t.Context(), func(*bolt.Tx) error { return remove(s.path) })
			if f, ok := errors.AsType[*account.Fault](err); !ok || f.Reason != account.OutcomeUnknown {
				t.Errorf("answered %v", err)
			}
		})
	}
}

// inDirectory opens a store in a directory of its own, and creates an app.
func inDirectory(t *testing.T) (*Store, *account.App) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "quota.db"))
	return s, found(t, s, 1)
}
