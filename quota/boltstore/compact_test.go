package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	bolt "go.etcd.io/bbolt"
)

// bulky makes a store with large buckets, a nested one among them, most of
// which is free space.
func bulky(t *testing.T, path string) *account.App {
	t.Helper()
	s := open(t, path)
	app := found(t, s, 1)
	const kept, dropped = 40_000, 80_000
	if err := s.db.Update(func(tx *bolt.Tx) error {
		users := tx.Bucket(usersBucket)
		for n := range kept + dropped {
			if err := users.Put(idKeyOf(app.ID, bulkyUser(n)), encodeUser(user{month: 7})); err != nil {
				return err
			}
		}
		ids, err := tx.Bucket(requestsBucket).CreateBucket(generationKey(app.ID, generationOf(noon)))
		for n := uint64(0); err == nil && n < kept; n++ {
			k := request(n)
			err = ids.Put(k.Hash[:], k.Fingerprint[:])
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error {
		users := tx.Bucket(usersBucket)
		for n := kept; n < kept+dropped; n++ {
			if err := users.Delete(idKeyOf(app.ID, bulkyUser(n))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	applyOne(t, s, adding(app, "sent"))
	shut(t, s)
	return app
}

func bulkyUser(n int) string { return fmt.Sprintf("user-%060d", n) }

// contents is all that is in a file.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var walk func(at string, b *bolt.Bucket) error
	walk = func(at string, b *bolt.Bucket) error {
		all[at] = ""
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return walk(at+fmt.Sprintf("/%x", k), b.Bucket(k))
			}
			all[at+fmt.Sprintf("/%x", k)] = "=" + string(v)
			return nil
		})
	}
	if err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return walk(string(name), b) })
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCompactKeepsEverythingInLessSpace(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	app := bulky(t, path)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	want := contents(t, path)
	old, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}

	var last, total int64
	calls := 0
	before, after, err := Compact(t.Context(), path, Options{}, func(done, of int64) {
		if done <= last && calls > 0 || done > of || total != 0 && of != total {
			t.Errorf("progress %d of %d after %d of %d", done, of, last, total)
		}
		last, total = done, of
		calls++
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for at, v := range want {
		if strings.HasPrefix(v, "=") {
			size += int64(len(at)-strings.LastIndexByte(at, '/')-1)/2 + int64(len(v)) - 1
		}
	}
	same(t, "sizes", []int64{old.Size(), info.Size()}, []int64{before, after})
	same(t, "mode", old.Mode(), info.Mode())
	same(t, "last progress", []int64{size, size}, []int64{last, total})
	if calls < 2 {
		t.Errorf("progress was told %d times", calls)
	}
	if after >= before/2 {
		t.Errorf("from %d to %d bytes", before, after)
	}
	same(t, "contents", want, contents(t, path))
	onlyFile(t, path)
	s := open(t, path)
	applyOne(t, s, adding(app, "sent"))
	same(t, "counter", int64(2), used(t, s, app, "sent"))
}

func TestCompactNewStore(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	shut(t, open(t, path))
	want := contents(t, path)
	before, after, err := Compact(t.Context(), path, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after > before {
		t.Errorf("from %d to %d bytes", before, after)
	}
	same(t, "contents", want, contents(t, path))
}

func TestCompactFollowsALink(t *testing.T) {
	t.Parallel()
	target := newPath(t)
	bulky(t, target)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(t.Context(), link, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(target); err != nil || info.Size() != after || after >= before {
		t.Errorf("from %d to %d bytes; %v %v", before, after, info, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v %v", info, err)
	}
}

// TestCompactThatIsCancelledChangesNothing ends the context at each of the
// moments at which progress is told.
func TestCompactThatIsCancelledChangesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	bulky(t, path)
	want := read(t, path)
	for moment := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		if moment == 0 {
			cancel()
		}
		_, _, err := Compact(ctx, path, Options{}, func(done, total int64) {
			if calls++; calls == moment && done < total {
				cancel()
			}
		})
		cancel()
		refused(t, nil, err, path, "context canceled")
		if !bytes.Equal(want, read(t, path)) {
			t.Error("the file was changed")
		}
		onlyFile(t, path)
	}
}

// TestCompactThatCannotWriteChangesNothing: something that cannot be removed
// stands where the new file would.
func TestCompactThatCannotWriteChangesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	want := filled(t, path)
	if err := os.MkdirAll(filepath.Join(compactPath(path), "theirs"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err := Compact(t.Context(), path, Options{}, nil)
	if err == nil || !strings.Contains(err.Error(), compactPath(path)) {
		t.Errorf("got %v", err)
	}
	if !bytes.Equal(want, read(t, path)) {
		t.Error("the file was changed")
	}
}

func TestWhatAKilledCompactLeftIsRemoved(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(path string) error{
		"by Open": func(path string) error {
			s, err := Open(path, Options{})
			if err != nil {
				return err
			}
			return s.Close()
		},
		"by Compact": func(path string) error {
			_, _, err := Compact(context.Background(), path, Options{}, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			filled(t, path)
			want := contents(t, path)
			write(t, compactPath(path), []byte("half a copy"))
			if err := next(path); err != nil {
				t.Fatal(err)
			}
			onlyFile(t, path)
			same(t, "contents", want, contents(t, path))
		})
	}
}

// TestStoreWaitsForCompact: who waits for the lock while a store is compacted
// opens the new file.
func TestStoreWaitsForCompact(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	app := bulky(t, path)
	waits := make(chan struct{}, 2*openings)
	opened := make(chan *Store, 1)
	started := false
	_, _, err := Compact(t.Context(), path, Options{}, func(int64, int64) {
		if started {
			return
		}
		started = true
		go func() {
			s, err := Open(path, Options{LockWait: time.Minute, opened: func() { waits <- struct{}{} }})
			if err != nil {
				t.Error(err)
			}
			opened <- s
		}()
		<-waits
	})
	if err != nil {
		t.Fatal(err)
	}
	s := <-opened
	if s == nil {
		return
	}
	defer s.Close()
	applyOne(t, s, adding(app, "sent"))
	shut(t, s)
	s = open(t, path)
	same(t, "counter", int64(2), used(t, s, app, "sent"))
}

// compactUntilKilled compacts a store again and again, and says where it is.
func compactUntilKilled(path string, out io.Writer) error {
	for {
		if _, _, err := Compact(context.Background(), path, Options{}, func(int64, int64) {
			_, _ = io.WriteString(out, "copying\n")
		}); err != nil {
			return err
		}
		_, _ = io.WriteString(out, "compacted\n")
	}
}

// TestKilledCompactLosesNothing kills a process that compacts, wherever it is.
func TestKilledCompactLosesNothing(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	app := bulky(t, path)
	for round := range 8 {
		c := startChild(t, "compact", path)
		for range 1 + rand.IntN(6) {
			if !c.lines.Scan() {
				t.Fatal("the other process ended")
			}
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		s := open(t, path)
		onlyFile(t, path)
		same(t, "counter", int64(1+round), used(t, s, app, "sent"))
		applyOne(t, s, adding(app, "sent"))
		txn := judging(app, "sent")
		txn.Request = request(12_345)
		if !applyOne(t, s, txn).Replayed {
			t.Error("a request is forgotten")
		}
		txn = txnOf(app)
		txn.Mode, txn.Users = quota.ModeJudge, quota.UserStep{Op: quota.UsersRegister, IDs: []string{bulkyUser(39_999)}}
		txn.Charges = []quota.Charge{{Counter: quota.Counter{Quota: "users"}, Delta: 1, Basis: quota.PerNewUser}}
		if o := applyOne(t, s, txn); o.Charges[0].Delta != 0 {
			t.Error("a user is forgotten")
		}
		shut(t, s)
	}
}
