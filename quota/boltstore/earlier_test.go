package boltstore

import (
	"bytes"
	"testing"

	"github.com/imquota/imquota/account"
	bolt "go.etcd.io/bbolt"
)

// earlier makes a store as the first version did, with an app in it.
func earlier(t *testing.T, path string) *account.App {
	t.Helper()
	s := open(t, path)
	app := found(t, s, 1)
	applyOne(t, s, adding(app, "sent"))
	shut(t, s)
	plant(t, path, func(tx *bolt.Tx) error {
		for _, name := range laterBuckets {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	return app
}

// TestOpenAnEarlierStore: what the first version had no buckets for is not
// there, and is kept from then on; nothing else changes.
func TestOpenAnEarlierStore(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(t *testing.T, path string){
		"as it is": func(*testing.T, string) {},
		"compacted": func(t *testing.T, path string) {
			if _, _, err := Compact(t.Context(), path, Options{}, nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			app := earlier(t, path)
			before(t, path)
			s := open(t, path)
			same(t, "counter", int64(1), used(t, s, app, "sent"))
			events, err := s.Events(t.Context(), 1, 0, 10)
			if err != nil || len(events) != 0 {
				t.Errorf("log %+v, %v", events, err)
			}
			loaded := s.Accounts(t.Context(), []string{"acme"})
			same(t, "account", []account.LoadedAccount{{Account: &account.Account{ID: "acme", Apps: 1}}}, loaded)
			change(t, s, app, "DisableApp")
			drop(t, s, app)
			if err := s.UpdateAccount(t.Context(), loaded[0].Account); err != nil {
				t.Fatal(err)
			}
			shut(t, s)

			bytesBefore := read(t, path)
			s = open(t, path)
			if !bytes.Equal(bytesBefore, read(t, path)) {
				t.Error("the second opening wrote to the file")
			}
			events, err = s.Events(t.Context(), 1, 0, 10)
			if err != nil || len(events) != 2 || events[0].Revision != 3 {
				t.Errorf("log %+v, %v", events, err)
			}
			got := s.Accounts(t.Context(), []string{"acme"})[0].Account
			same(t, "account", []int{0, 1, 1}, []int{got.Apps, got.Deleted, int(got.Version.Revision)})
			same(t, "deleted", []uint32{1}, listed(t, s, true))
			sound(t, s)
		})
	}
}
