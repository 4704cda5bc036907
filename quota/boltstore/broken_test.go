package boltstore

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// overwrite changes a file that a store has open.
func overwrite(t *testing.T, path string, page int, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, int64(page*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func cutOff(t *testing.T, path string, page int) {
	t.Helper()
	if err := os.Truncate(path, int64(page*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
}

// reading asks for a user, registering writes one.
func reading(app *account.App, id string) quota.Txn {
	txn := registering(app, id)
	txn.Mode = quota.ModeJudge
	return txn
}

func registering(app *account.App, id string) quota.Txn {
	txn := txnOf(app)
	txn.Users = quota.UserStep{Op: quota.UsersRegister, IDs: []string{id}}
	txn.Charges = []quota.Charge{{Counter: quota.Counter{Quota: "users"}, Basis: quota.PerNewUser, Delta: 1, Limit: catalog.Unlimited()}}
	return txn
}

// isDamaged checks that an error says which file is, and what of the call is
// known.
func isDamaged(t *testing.T, what, path string, want account.FaultReason, err error) {
	t.Helper()
	if fault(err) != want || !strings.Contains(err.Error(), path+" is damaged") {
		t.Errorf("%s: got %v, want %s of %s", what, err, want, path)
	}
}

// brokenNow checks that nothing is answered any more, and that the file can be
// closed and is let go of.
func brokenNow(t *testing.T, s *Store, app *account.App) {
	t.Helper()
	ctx := context.Background()
	_, err := s.App(ctx, app.ID)
	isDamaged(t, "App", s.path, account.StoreUnavailable, err)
	isDamaged(t, "UpdateApp", s.path, account.StoreUnavailable, s.UpdateApp(ctx, app, account.Event{}))
	isDamaged(t, "judge", s.path, account.StoreUnavailable, s.Apply(ctx, []quota.Txn{judging(app, "sent")})[0].Err)
	isDamaged(t, "consume", s.path, account.StoreUnavailable, s.Apply(ctx, []quota.Txn{adding(app, "sent")})[0].Err)
	isDamaged(t, "Ready", s.path, account.StoreUnavailable, s.Ready(ctx))
	shut(t, s)
	shut(t, s)
	other, err := Open(s.path, impatient)
	if err == nil {
		shut(t, other)
	} else if strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

// TestDamagedPageOfAnOpenFile damages a page after the store was opened. Who
// reads it gets a fault, and others their answers; once the writer met it,
// nothing is answered.
func TestDamagedPageOfAnOpenFile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		damage func(t *testing.T, path string, leaf int)
		alone  bool // no other page is damaged
	}{
		{"zero", func(t *testing.T, path string, leaf int) { // bbolt panics
			overwrite(t, path, leaf, make([]byte, os.Getpagesize()))
		}, true},
		{"cut off", cutOff, false}, // there is no memory
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			tr := grown(t, path)
			s := open(t, path)
			app, err := s.App(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			leaf := tr.leaves[len(tr.leaves)/2]
			at := strings.Index(string(tr.page(leaf)), "user-")
			victim := string(tr.page(leaf)[at:][:len(bulkyUser(0))])
			applyOne(t, s, reading(app, victim))
			tt.damage(t, path, leaf)

			for range 3 {
				err := s.Apply(t.Context(), []quota.Txn{reading(app, victim)})[0].Err
				isDamaged(t, "reader", path, account.StoreUnavailable, err)
				if tt.alone {
					applyOne(t, s, judging(app, "sent"))
					applyOne(t, s, adding(app, "sent"))
				}
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			}
			err = s.Apply(t.Context(), []quota.Txn{registering(app, victim)})[0].Err
			isDamaged(t, "writer", path, account.StoreUnavailable, err)
			brokenNow(t, s, app)
		})
	}
}

// TestDamagedPageMetByACommit: bbolt reads a page's neighbours to join them,
// after all was judged. What became of it is not known.
func TestDamagedPageMetByACommit(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	tr := grown(t, path)
	s := open(t, path)
	app, err := s.App(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, tr.leaves[1], make([]byte, os.Getpagesize()))
	first := tr.page(tr.leaves[0])
	err = s.submit(t.Context(), func(tx *bolt.Tx) error {
		for n := 1; strings.Contains(string(first), bulkyUser(n)); n++ {
			if err := tx.Bucket(usersBucket).Delete(idKeyOf(1, bulkyUser(n))); err != nil {
				return err
			}
		}
		return nil
	})
	isDamaged(t, "commit", path, account.OutcomeUnknown, err)
	brokenNow(t, s, app)
}

// heads are ways to damage what every transaction begins with.
var heads = map[string]func(t *testing.T, s *Store){
	"overwritten": func(t *testing.T, s *Store) {
		overwrite(t, s.path, 0, make([]byte, 2*os.Getpagesize()))
	},
	"cut off": func(t *testing.T, s *Store) { cutOff(t, s.path, 0) },
	"last commit overwritten": func(t *testing.T, s *Store) {
		overwrite(t, s.path, int(s.committed.Load()%2), make([]byte, os.Getpagesize()))
	},
}

// TestDamagedHead: bbolt panics while it holds its locks, or goes on from an
// older commit.
func TestDamagedHead(t *testing.T) {
	t.Parallel()
	for name, damage := range heads {
		for who, txn := range map[string]func(*account.App, string) quota.Txn{"reader": judging, "writer": adding} {
			t.Run(name+" met by a "+who, func(t *testing.T) {
				t.Parallel()
				s := open(t, newPath(t))
				app := found(t, s, 1)
				damage(t, s)
				err := s.Apply(t.Context(), []quota.Txn{txn(app, "sent")})[0].Err
				isDamaged(t, who, s.path, account.StoreUnavailable, err)
				brokenNow(t, s, app)
			})
		}
	}
}

// TestDamagedHeadHoldsNobodyUp: neither a reader that is at work when another
// finds the damage, nor callers whose writer waits for a lock that is never
// released, nor Close.
func TestDamagedHeadHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for name, damage := range heads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t))
			app := found(t, s, 1)
			const calls = 3
			began, release, ended := make(chan struct{}, calls), make(chan struct{}), make(chan error, calls)
			at := func(*bolt.Tx) error {
				began <- struct{}{}
				<-release
				return nil
			}
			go func() { ended <- s.view(context.Background(), at) }()
			<-began
			go func() { ended <- s.submit(context.Background(), at) }() // the writer that waits
			<-began
			waits := start(t.Context(), s, adding(app, "sent"))
			queued(s, 1)
			damage(t, s)
			err := s.Apply(t.Context(), []quota.Txn{judging(app, "sent")})[0].Err
			isDamaged(t, "reader", s.path, account.StoreUnavailable, err)

			isDamaged(t, "waiting", s.path, account.OutcomeUnknown, (<-waits)[0].Err)
			isDamaged(t, "writing", s.path, account.OutcomeUnknown, <-ended)
			brokenNow(t, s, app)
			close(release)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			<-s.stopped
		})
	}
}
