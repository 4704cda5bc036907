package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/quota/redisstore"
	"golang.org/x/term"
)

const (
	defaultStore      = "bolt:data/imquota.db"
	defaultListen     = "127.0.0.1:7400"
	defaultHTTPListen = "127.0.0.1:7401"
	noHTTP            = "off"
)

// store is what a process stands on.
type store interface {
	quota.Store
	account.Registry
	Ready(ctx context.Context) error
	String() string
	Close() error
}

// storeFlag names a store.
type storeFlag struct {
	Store string `help:"The store: bolt:PATH (embedded, one process), redis://HOST:PORT/DB, rediss://..., redis+sentinel://H1,H2/NAME, redis+cluster://H1,H2 or redis+unix:///PATH." default:"${store}"`
}

// boltPath returns the path of an embedded store.
func (f *storeFlag) boltPath() (string, bool) { return strings.CutPrefix(f.Store, "bolt:") }

// open opens the store. isShared: other processes may use it at once.
func (f *storeFlag) open(ctx context.Context) (s store, isShared bool, err error) {
	return f.openWith(ctx, redisstore.Options{})
}

// openWith is open with options of a Redis, whose clock is set.
func (f *storeFlag) openWith(ctx context.Context, o redisstore.Options) (s store, isShared bool, err error) {
	if redisstore.IsURL(f.Store) {
		o.Now = time.Now
		s, err := redisstore.Open(ctx, f.Store, o)
		if err != nil {
			return nil, true, fmt.Errorf("--store: %w", err)
		}
		return s, true, nil
	}
	path, ok := f.boltPath()
	if !ok {
		scheme, _, _ := strings.Cut(f.Store, ":") // what follows may hold a password
		return nil, false, fmt.Errorf("--store: %q is none of bolt:, redis://, rediss://, redis+sentinel://, redis+cluster:// and redis+unix://, with which a store begins, such as bolt:data/imquota.db", scheme)
	}
	if path == "" {
		return nil, false, errors.New("--store: bolt: without a path, such as bolt:data/imquota.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, fmt.Errorf("--store: %w", err)
	}
	embedded, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return nil, false, fmt.Errorf("--store: %w", err)
	}
	return embedded, false, nil
}

// openThere is open for a store that must be there: an embedded one would be made.
func (f *storeFlag) openThere(ctx context.Context) (store, error) {
	if path, ok := f.boltPath(); ok && path != "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--store: there is no %s yet; imquota serve makes it", path)
		}
	}
	opened, _, err := f.open(ctx)
	return opened, err
}

// storeCmd looks after a store.
type storeCmd struct {
	Init    storeInitCmd    `cmd:"" help:"Mark a Redis as imquota's, once. What else is in it stays. The embedded store does it by itself."`
	Status  storeStatusCmd  `cmd:"" help:"Say whether a store can be trusted, and if not, why."`
	Compact storeCompactCmd `cmd:"" help:"Give back the space that an embedded store has let go of; nothing may serve from it meanwhile."`
	Backup  storeBackupCmd  `cmd:"" help:"Write a store to a file that can be restored into any other."`
	Restore storeRestoreCmd `cmd:"" help:"Restore what a backup holds into a store."`
}

type storeInitCmd struct {
	storeFlag
	outputFlag
	AcceptLoss bool `help:"Initialise anew a Redis whose mark is lost, whole or in part: apps whose counters are gone as well are unknown from then on."`
}

// Run carries the command out.
func (c *storeInitCmd) Run(ctx context.Context, s *streams) error {
	path, isBolt := c.boltPath()
	_, statErr := os.Stat(path)
	opened, _, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	id, created, err := initialize(ctx, opened, c.AcceptLoss)
	if err != nil {
		return err
	}
	created = created || isBolt && errors.Is(statErr, fs.ErrNotExist)
	verb := "is initialised"
	if created {
		verb = "is initialised now"
	}
	return c.print(s.out, fmt.Sprintf("%s %s, with the store id %s", opened, verb, id), struct {
		Store   string `json:"store"`
		StoreID string `json:"storeId"`
		Created bool   `json:"created"`
	}{opened.String(), id, created})
}

// newStore is what whoever mistyped a path is to see.
const newStore = "there was no store: a new one was made"

// isNew reports whether there was no store before it was opened.
func isNew(s store) bool {
	e, ok := s.(*boltstore.Store)
	return ok && e.IsNew()
}

// initialize marks a store as imquota's; the embedded one is when it is opened.
func initialize(ctx context.Context, s store, acceptLoss bool) (id string, created bool, err error) {
	switch s := s.(type) {
	case *redisstore.Store:
		return s.Init(ctx, acceptLoss)
	case *boltstore.Store:
		return s.StoreID(), false, nil
	}
	return "", false, errors.New("this store cannot be initialised")
}

type storeStatusCmd struct {
	storeFlag
	outputFlag
}

// Run carries the command out.
func (c *storeStatusCmd) Run(ctx context.Context, s *streams) error {
	opened, err := c.openThere(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	status := struct {
		Store  string `json:"store"`
		Ready  bool   `json:"ready"`
		Reason string `json:"reason,omitempty"`
		Detail string `json:"detail,omitempty"`
	}{Store: opened.String(), Ready: true}
	if err := opened.Ready(ctx); err != nil {
		fault, ok := errors.AsType[*account.Fault](err)
		if !ok || c.Output != outputJSON {
			return err
		}
		status.Ready, status.Reason, status.Detail = false, string(fault.Reason), fault.Detail
		return errors.Join(c.print(s.out, "", status), err)
	}
	return c.print(s.out, opened.String()+" is ready", status)
}

type storeCompactCmd struct {
	storeFlag
	outputFlag
}

// Run carries the command out.
func (c *storeCompactCmd) Run(ctx context.Context, s *streams) error {
	path, ok := c.boltPath()
	if !ok {
		return errors.New("--store: only an embedded store (bolt:PATH) is compacted")
	}
	before, after, err := boltstore.Compact(ctx, path, boltstore.Options{}, progress(s.err, size))
	if err != nil {
		return err
	}
	return c.print(s.out, fmt.Sprintf("%s: %s, was %s", path, size(after), size(before)), struct {
		Path        string `json:"path"`
		BytesBefore int64  `json:"bytesBefore"`
		BytesAfter  int64  `json:"bytesAfter"`
	}{path, before, after})
}

// progress shows how far long work is, on a terminal: elsewhere it would only
// fill a log.
func progress(w io.Writer, text func(int64) string) func(done, total int64) {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return nil
	}
	return func(done, total int64) {
		_, _ = fmt.Fprintf(f, "\r  %s %s of %s", bar(done, max(1, total)), text(done), text(total))
		if done >= total {
			_, _ = fmt.Fprintln(f)
		}
	}
}

// wipe is what comes before a line on a terminal where a bar may stand, of which
// what is left would stand behind it.
func wipe(w io.Writer) string {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		return "\r\x1b[K"
	}
	return ""
}

func isTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd()))
}

func size(bytes int64) string {
	const kib = 1 << 10
	if bytes < kib*kib {
		return fmt.Sprintf("%.1f KiB", float64(bytes)/kib)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/kib/kib)
}
