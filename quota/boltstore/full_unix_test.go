//go:build unix

package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// fileLimit bounds how far into a file this process may write: what lies beyond
// is as a disk that is full. It lasts until the returned function is called.
func fileLimit(bytes int64) (lift func() error, err error) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return nil, err
	}
	now := before
	now.Cur = uint64(bytes)
	lift = func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }
	return lift, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now)
}

// fullDisks are where the space ends.
var fullDisks = map[string]func(size int64) int64{
	"full-to-grow":  func(size int64) int64 { return size },
	"full-to-write": func(int64) int64 { return int64(3 * os.Getpagesize()) },
	"full-for-all":  func(int64) int64 { return 0 },
}

func init() { //nolint:gochecknoinits // the modes of this file are of one system
	for mode, bytesOf := range fullDisks {
		childModes[mode] = func(path string, out io.Writer) error { return writeToFullDisk(path, out, bytesOf) }
	}
	childModes["full-to-compact"], childModes["full-to-create"], childModes["full-to-open"] = compactOnFullDisk, createOnFullDisk, openOnFullDisk
}

// writeToFullDisk counts until the space ends, looks at what can be done then,
// and goes on when there is space again. It says what it counted.
func writeToFullDisk(path string, out io.Writer, bytesOf func(size int64) int64) error {
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	app, err := s.App(ctx, 1)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	lift, err := fileLimit(bytesOf(info.Size()))
	if err != nil {
		return err
	}
	txn := func(n int) quota.Txn {
		txn := registering(app, bulkyUser(n))
		txn.Request = request(uint64(n))
		return txn
	}
	counted := 0
	var full error
	for ; counted < 10_000; counted++ {
		if full = s.Apply(ctx, []quota.Txn{txn(counted)})[0].Err; full != nil {
			break
		}
	}
	_, _ = fmt.Fprintln(out, "refused:", full)
	judged := txn(counted)
	judged.Mode = quota.ModeJudge
	o := s.Apply(ctx, []quota.Txn{judged})[0]
	if o.Err != nil || o.Replayed || o.Charges[0].Used[0] != int64(counted) || o.Charges[0].Delta != 1 {
		return fmt.Errorf("%d were counted, one was refused, and read is %+v", counted, o)
	}
	_, again := s.App(ctx, 1)
	if err := errors.Join(again, s.Ready(ctx)); err != nil {
		return err
	}
	large := app.Clone()
	large.Name = strings.Repeat("x", 1<<20)
	_, _ = fmt.Fprintln(out, "refused:", s.UpdateApp(ctx, large, account.Event{}))
	if err := lift(); err != nil {
		return err
	}
	if o := s.Apply(ctx, []quota.Txn{txn(counted)})[0]; o.Err != nil || !o.Applied {
		return fmt.Errorf("with space again: %+v", o)
	}
	counted++
	if err := s.UpdateApp(ctx, app, account.Event{}); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "counted:", counted)
	return s.Close()
}

// TestFullDisk: whoever calls is told that the space ended, and that nothing was
// counted. What can be read is read meanwhile, and what is to be written is once
// there is space again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for mode := range fullDisks {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := open(t, path)
			app := found(t, s, 1)
			shut(t, s)
			c := startChild(t, mode, path)
			var said []string
			for c.lines.Scan() {
				said = append(said, c.lines.Text())
			}
			if err := c.Wait(); err != nil || len(said) != 3 {
				t.Fatalf("%v, %q", err, said)
			}
			want := fmt.Sprintf("refused: %s: the store %s could not be written, and nothing was: %v", account.StoreUnavailable, path, syscall.EFBIG)
			for _, got := range said[:2] {
				if !strings.HasPrefix(got, want) {
					t.Errorf("said %q, want %q", got, want)
				}
			}
			var counted int
			if _, err := fmt.Sscanf(said[2], "counted: %d", &counted); err != nil {
				t.Fatal(err)
			}
			s = open(t, path)
			sound(t, s)
			app, err := s.App(t.Context(), app.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "counter", int64(counted), used(t, s, app, "users"))
			same(t, "changes of the record", uint64(2), app.Version.Revision)
		})
	}
}

// compactOnFullDisk compacts where there is no space for the new file.
func compactOnFullDisk(path string, out io.Writer) error {
	lift, err := fileLimit(int64(8 * os.Getpagesize()))
	if err != nil {
		return err
	}
	_, _, err = Compact(context.Background(), path, Options{}, nil)
	_, _ = fmt.Fprintln(out, "refused:", err)
	return lift()
}

// createOnFullDisk makes a store where there is space for a part of it.
func createOnFullDisk(path string, out io.Writer) error {
	for pages := range 8 {
		lift, err := fileLimit(int64(pages * os.Getpagesize() / 2))
		if err != nil {
			return err
		}
		s, err := Open(path, Options{})
		if err == nil {
			return errors.Join(errors.New("it was made"), s.Close())
		}
		_, _ = fmt.Fprintln(out, "refused:", err)
		if err := lift(); err != nil {
			return err
		}
	}
	return nil
}

// openOnFullDisk opens a store where nothing can be written, and adds to it.
func openOnFullDisk(path string, out io.Writer) error {
	lift, err := fileLimit(0)
	if err != nil {
		return err
	}
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	app, err := s.App(context.Background(), 1)
	if err != nil {
		return err
	}
	count := func(txn quota.Txn) {
		o := s.Apply(context.Background(), []quota.Txn{txn})[0]
		_, _ = fmt.Fprintln(out, o.Applied, fault(o.Err), o.Charges)
	}
	count(judging(app, "sent"))
	count(adding(app, "sent"))
	if err := lift(); err != nil {
		return err
	}
	count(adding(app, "sent"))
	return s.Close()
}

// TestFullDiskAfterAKill: a process that left a journal can be started before there
// is space to carry it out.
func TestFullDiskAfterAKill(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	app := journaled(t, path)
	c := startChild(t, "full-to-open", path)
	var said []string
	for c.lines.Scan() {
		said = append(said, c.lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v, %q", err, said)
	}
	same(t, "judged, counted, counted with space again", []string{"false  [{[2] [] 1}]", "false STORE_UNAVAILABLE []", "true  [{[2] [] 1}]"}, said)
	s := open(t, path)
	same(t, "counter", int64(3), used(t, s, app, "sent"))
	sound(t, s)
}

// TestFullDiskElsewhere: of compacting and of making a store the cause is told,
// and what was there is there.
func TestFullDiskElsewhere(t *testing.T) {
	t.Parallel()
	for mode, begin := range map[string]func(t *testing.T, path string) []byte{
		"full-to-compact": func(t *testing.T, path string) []byte { bulky(t, path); return read(t, path) },
		"full-to-create":  func(*testing.T, string) []byte { return nil },
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			before := begin(t, path)
			c := startChild(t, mode, path)
			said := 0
			for ; c.lines.Scan(); said++ {
				if got := c.lines.Text(); !strings.Contains(got, path) || !strings.Contains(got, syscall.EFBIG.Error()) {
					t.Errorf("said %q", got)
				}
			}
			if err := c.Wait(); err != nil || said == 0 {
				t.Fatalf("%v, said %d", err, said)
			}
			if before != nil && !bytes.Equal(before, read(t, path)) {
				t.Error("the file was changed")
			}
			s := open(t, path)
			onlyFile(t, path)
			sound(t, s)
			if before == nil {
				applyOne(t, s, adding(found(t, s, 1), "sent"))
			}
		})
	}
}
