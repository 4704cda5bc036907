package redisstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// The log is a stream of what change.go announces: the record of an app, or of
// an account. Whoever watches reads it to its end again and again. A read that
// came to the end has seen whatever was announced before it was sent, so that
// what is kept may be used for a while from then on.
const (
	logApp   = "a"
	logOwner = "o"
)

const (
	// tailBlock is how long a read waits for entries.
	tailBlock = 250 * time.Millisecond
	// tailGrace is how much later its answer may come: a connection that is dead
	// is noticed by it.
	tailGrace = 400 * time.Millisecond
	// tailCount bounds the entries of one read. One that is full has not come to
	// the end.
	tailCount = 1000
	// confirmedFor is how long what is kept may be used after a read was sent
	// that came to the end. A check that begins in that time and takes up to 200
	// ms still sees every change within a second; and the next read, at most
	// tailBlock later, is answered before it is over.
	confirmedFor = 800 * time.Millisecond
	// tailOverlap is how far before the last entry a watch begins: those who
	// announced something may make their change for announcedFor.
	tailOverlap = 3 * time.Second
	// tailPool is enough connections for one read at a time, and for a look at who
	// has the keys.
	tailPool = 2
)

// watchers are those of this process. They are told of its own changes at once.
type watchers struct {
	mu  sync.Mutex
	all map[*tail]bool
}

func (w *watchers) add(t *tail) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[*tail]bool)
	}
	w.all[t] = true
}

func (w *watchers) remove(t *tail) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, t)
}

// announced tells them that a record may change from now on.
func (w *watchers) announced(subject account.Subject) {
	w.mu.Lock()
	all := slices.Collect(maps.Keys(w.all))
	w.mu.Unlock()
	until := time.Now().Add(announcedFor)
	for _, t := range all {
		t.watcher.Announced(subject, until)
	}
}

// Watch implements account.Registry. It reads by connections of its own, so that
// a read that waits keeps no command waiting. It ends when the store is closed,
// too.
func (s *Store) Watch(ctx context.Context, w account.Watcher) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.background, cancel)()

	own := *s.target
	own.pool, own.timeout = tailPool, tailBlock+tailGrace
	t := &tail{store: s, client: own.client(), watcher: w}
	s.watchers.add(t)
	defer s.watchers.remove(t)
	defer func() { _ = t.client.Close() }()
	// A read that waits does not hear that the context is done.
	defer context.AfterFunc(ctx, func() { _ = t.client.Close() })()

	pause := retryFirst
	for ctx.Err() == nil {
		if t.follow(ctx) {
			pause = retryFirst
		}
		w.Missed()
		rest(ctx, t.client, pause)
		s.circuit.await(ctx)
		pause = min(2*pause, retryMost)
	}
}

// tail is one watch of the log.
type tail struct {
	store   *Store
	client  redis.UniversalClient
	conn    *redis.Conn // what follow reads by
	watcher account.Watcher
	at      string    // id of the last entry that was read
	forget  time.Time // when changes were missed for the last time; zero: they were
}

// follow reads the log until something goes wrong, and reports whether anything
// was read. A lost connection, a server that was started again, another primary:
// all of that goes wrong, because all is read by one connection to one server.
// go-redis would open another one where it finds that the first was closed
// between two reads, and would go on at whatever server is there by then.
func (t *tail) follow(ctx context.Context) (worked bool) {
	if err := t.connect(ctx); err != nil {
		return false
	}
	defer func() { _ = t.conn.Close() }()
	if err := t.start(ctx); err != nil {
		return false
	}
	for {
		sent := time.Now()
		entries, err := t.read(ctx)
		if err != nil {
			return worked
		}
		worked = true
		t.tell(entries)
		if !t.forget.IsZero() && time.Now().After(t.forget) {
			t.watcher.Missed()
			t.forget = time.Time{}
		}
		if len(entries) < tailCount && t.store.isSound() {
			t.watcher.Confirmed(sent.Add(confirmedFor))
		}
	}
}

// connect finds who has the log. A connection is opened by the first command, and
// no other one after that: what it fails by is answered by all that follow.
func (t *tail) connect(ctx context.Context) error {
	switch client := t.client.(type) {
	case *redis.ClusterClient:
		ctx, cancel := context.WithTimeout(ctx, t.store.target.timeout)
		defer cancel()
		node, err := client.MasterForKey(ctx, t.store.logKey())
		if err != nil {
			return err
		}
		t.conn = node.Conn()
	case *redis.Client:
		t.conn = client.Conn()
	}
	return nil
}

// start finds where to begin. While the log is on its way to another node of a
// Cluster there is nowhere: nothing is confirmed until it is there.
func (t *tail) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.store.target.timeout)
	defer cancel()
	last, err := t.conn.XRevRangeN(ctx, t.store.logKey(), "+", "-", 1).Result()
	if err != nil {
		return err
	}
	t.at = "0"
	if len(last) > 0 {
		millis, _, _ := strings.Cut(last[0].ID, "-")
		n, err := strconv.ParseInt(millis, 10, 64)
		if err != nil {
			return err
		}
		t.at = strconv.FormatInt(max(0, n-tailOverlap.Milliseconds()), 10)
	}
	t.missed()
	return nil
}

// missed says that changes may have been missed, now and once more when they
// have been made: what is not known to be announced may be made for as long. One
// such announcement is in an entry that cannot be read, others are in those that
// a log has lost with its tail, when a replica took over.
func (t *tail) missed() {
	t.watcher.Missed()
	t.forget = time.Now().Add(announcedFor)
}

// read waits for entries and returns them, or none.
func (t *tail) read(ctx context.Context) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, tailBlock+tailGrace)
	defer cancel()
	args := []any{"xread", "count", tailCount, "block", tailBlock.Milliseconds(), "streams", t.store.logKey(), t.at}
	cmd := redis.NewXStreamSliceCmd(ctx, args...)
	_ = t.conn.Process(ctx, cmd) // the command has its error
	streams, err := cmd.Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil || len(streams) == 0:
		return nil, err
	}
	return streams[0].Messages, nil
}

// tell tells what was announced. Who announced it did so before now.
func (t *tail) tell(entries []redis.XMessage) {
	for i := range entries {
		t.at = entries[i].ID
		subject, ok := decodeEntry(&entries[i])
		if !ok {
			t.missed()
			continue
		}
		t.watcher.Announced(subject, time.Now().Add(announcedFor))
	}
}

// decodeEntry reads an entry; another imquota may have written it.
func decodeEntry(entry *redis.XMessage) (account.Subject, bool) {
	app, isApp := entry.Values[logApp].(string)
	owner, isOwner := entry.Values[logOwner].(string)
	switch id, err := strconv.ParseUint(app, 10, 32); {
	case len(entry.Values) != 1:
	case isApp && err == nil && id != 0:
		return account.Subject{App: uint32(id)}, true
	case isOwner && owner != "":
		return account.Subject{Account: owner}, true
	}
	return account.Subject{}, false
}
