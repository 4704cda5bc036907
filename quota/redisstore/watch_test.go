package redisstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/redis/go-redis/v9"
)

// listener is an account.Watcher that remembers what it was told.
type listener struct {
	mu        sync.Mutex
	announced map[account.Subject]int
	until     time.Time // of the last announcement
	missed    int
	confirmed time.Time // zero: not since the last miss
	atFirst   int       // subjects announced by the first confirmation
	told      chan struct{}
	between   func() // done once, between two reads that come to the end
}

func (l *listener) note(do func()) {
	l.mu.Lock()
	do()
	l.mu.Unlock()
	select {
	case l.told <- struct{}{}:
	default:
	}
}

func (l *listener) Announced(s account.Subject, until time.Time) {
	l.note(func() {
		l.announced[s]++
		l.until = until
	})
}

func (l *listener) Confirmed(until time.Time) {
	l.note(func() {
		if l.atFirst < 0 {
			l.atFirst = len(l.announced)
		}
		l.confirmed = until
	})
	l.mu.Lock()
	do := l.between
	l.between = nil
	l.mu.Unlock()
	if do != nil {
		do()
	}
}

func (l *listener) Missed() {
	l.note(func() {
		l.missed++
		l.confirmed = time.Time{}
	})
}

// await waits until something holds, which is looked at under the lock.
func (l *listener) await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	patience := time.NewTimer(15 * time.Second)
	defer patience.Stop()
	for {
		l.mu.Lock()
		ok := holds()
		l.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-l.told:
		case <-patience.C:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func (l *listener) awaitConfirmed(t testing.TB) {
	t.Helper()
	l.await(t, "a confirmation", func() bool { return time.Now().Before(l.confirmed) })
}

func (l *listener) awaitHeard(t testing.TB, s account.Subject) {
	t.Helper()
	l.await(t, fmt.Sprint("an announcement of ", s), func() bool { return l.announced[s] > 0 })
}

// heard is how often a subject was announced so far.
func (l *listener) heard(s account.Subject) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.announced[s]
}

// misses is how often changes were missed so far.
func (l *listener) misses() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missed
}

// watch has a store tell a listener until the test is over or stop is called.
func watch(t testing.TB, s *Store) (l *listener, stop func()) {
	t.Helper()
	l = &listener{announced: make(map[account.Subject]int), told: make(chan struct{}, 1), atFirst: -1}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { s.Watch(ctx, l) })
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return l, stop
}

// lapse waits until what was confirmed is over, and checks that nothing is
// confirmed for a moment longer.
func (l *listener) lapse(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	last := l.confirmed
	l.mu.Unlock()
	if left := time.Until(last); left > confirmedFor {
		t.Errorf("confirmed for %v from now on, want at most %v", left, confirmedFor)
	}
	eventually(t, 5*time.Second, "the confirmation to lapse", func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if time.Since(l.confirmed) < confirmedFor {
			return fmt.Errorf("confirmed until %v", l.confirmed)
		}
		return nil
	})
}

func subjectOf(app *account.App) account.Subject { return account.Subject{App: app.ID} }

// TestWatch: a change that one process makes is told to all, and to its own
// before it is acknowledged.
func TestWatch(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	other := initialized(t, "redis://"+server.Addr)
	mine, _ := watch(t, s)
	again, _ := watch(t, s)
	theirs, stop := watch(t, other)
	all := []*listener{mine, again, theirs}
	app, lost := newApp(t, s, 1), newApp(t, s, 2)
	redisDo(t, server, "DEL", s.headerKey(2))
	for _, l := range all {
		l.awaitConfirmed(t)
	}
	owner := &account.Account{ID: "acme"}
	for _, tt := range []struct {
		name    string
		subject account.Subject
		change  func() error
	}{
		{"a change of an app", subjectOf(app), func() error { return s.UpdateApp(t.Context(), app, account.Event{}) }},
		{"a change of an account", account.Subject{Account: "acme"}, func() error { return s.UpdateAccount(t.Context(), owner) }},
		{"a loss that is accepted", subjectOf(lost), func() error {
			return s.CreateApp(t.Context(), ownedBy("acme", 2), account.Event{}, 10, true)
		}},
		{"a deletion", subjectOf(app), func() error {
			app.Deleted = monday
			return s.DeleteApp(t.Context(), app, account.Event{})
		}},
	} {
		before := theirs.heard(tt.subject)
		if err := tt.change(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for _, l := range all[:2] {
			if l.heard(tt.subject) == 0 {
				t.Errorf("%s: this process was not told", tt.name)
			}
		}
		theirs.await(t, tt.name, func() bool { return theirs.announced[tt.subject] > before })
	}
	for _, l := range all {
		l.mu.Lock()
		if left := time.Until(l.until); left > announcedFor {
			t.Errorf("announced for %v from now on, want at most %v", left, announcedFor)
		}
		l.mu.Unlock()
		// What a log that lost its tail has not told is missed once more.
		l.await(t, "the second miss", func() bool { return l.missed >= 2 })
		l.awaitConfirmed(t)
	}
	stop()
	if !theirs.confirmed.IsZero() {
		t.Error("who is told no more may use what is kept")
	}
	if n := len(other.watchers.all); n != 0 {
		t.Errorf("%d watch still", n)
	}
}

// TestWatchEndsWithTheStore and not only with its context.
func TestWatchEndsWithTheStore(t *testing.T) {
	t.Parallel()
	_, s := standalone(t)
	l, stop := watch(t, s)
	l.awaitConfirmed(t)
	_ = s.Close()
	l.await(t, "the end", func() bool { return l.confirmed.IsZero() })
	stop()
}

// TestWriterDies between the announcement and the change: all the same nobody
// keeps what is read meanwhile.
func TestWriterDies(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	l, _ := watch(t, initialized(t, "redis://"+server.Addr))
	l.awaitConfirmed(t)
	app := newApp(t, s, 1)
	begun := time.Now()
	if _, err := s.announce(t.Context(), subjectOf(app), s.headerKey(1)); err != nil {
		t.Fatal(err)
	}
	l.awaitHeard(t, subjectOf(app))
	if l.until.Sub(begun) < announcedFor {
		t.Errorf("announced for %v from its beginning, want %v at least", l.until.Sub(begun), announcedFor)
	}
	if got, err := s.App(t.Context(), 1); err != nil || got.Version != app.Version {
		t.Errorf("the record: %+v, %v", got, err)
	}
}

// TestTailThatBreaks: while nobody tells a watcher of changes nothing is
// confirmed, and what it missed is known when it is told again.
func TestTailThatBreaks(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	for _, tt := range []struct {
		name  string
		harm  func(*redistest.Proxy)
		mends bool // by itself
	}{
		{"cut", (*redistest.Proxy).Cut, true},
		{"rejected", (*redistest.Proxy).Reject, false},
		{"half open", (*redistest.Proxy).HalfOpen, false},
		{"lagging too far", func(p *redistest.Proxy) { p.Lag(tailGrace + 200*time.Millisecond) }, false},
		{"killed by the server", func(*redistest.Proxy) { redisDo(t, server, "CLIENT", "KILL", "TYPE", "normal") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy := redistest.NewProxy(t, server.Addr)
			l, stop := watch(t, initialized(t, "redis://"+proxy.Addr))
			defer stop()
			l.awaitConfirmed(t)
			l.await(t, "the second miss", func() bool { return l.missed >= 2 })
			l.awaitConfirmed(t)
			before, heard := l.misses(), l.heard(subjectOf(app))
			tt.harm(proxy)
			l.await(t, "a miss", func() bool { return l.missed > before })
			if !tt.mends {
				l.lapse(t)
			}
			if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
				t.Fatal(err)
			}
			proxy.Lag(0)
			proxy.Pass()
			if !tt.mends {
				proxy.Cut() // what was lost on it stays so
			}
			l.awaitConfirmed(t)
			l.await(t, "what was announced meanwhile", func() bool { return l.announced[subjectOf(app)] > heard })
		})
	}
}

// TestTailThatBreaksBetweenReads: a connection that is lost while nothing waits on
// it is replaced by go-redis without a word, whoever listens there by then.
func TestTailThatBreaksBetweenReads(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		t.Parallel()
		server := redistest.Standalone(t)
		proxy := redistest.NewProxy(t, server.Addr)
		testLossBetweenReads(t, proxy, initialized(t, "redis://"+proxy.Addr))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		_, proxy := redistest.ClusterOfOne(t)
		testLossBetweenReads(t, proxy, initialized(t, "redis+cluster://"+proxy.Addr))
	})
}

func testLossBetweenReads(t *testing.T, proxy *redistest.Proxy, s *Store) {
	t.Helper()
	l, _ := watch(t, s)
	l.await(t, "the second miss", func() bool { return l.missed >= 2 })
	l.awaitConfirmed(t)
	cut := make(chan int, 1)
	l.mu.Lock()
	l.between = func() {
		proxy.Cut()
		cut <- l.misses()
	}
	l.mu.Unlock()
	before := <-cut
	l.await(t, "a miss", func() bool { return l.missed > before })
	l.awaitConfirmed(t)
}

// TestWatchWhileTheClusterIsLookedAt: looking at who has which keys opens
// connections, to all nodes. They are not the one that is read by.
func TestWatchWhileTheClusterIsLookedAt(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, 0)
	s := initialized(t, "redis+cluster://"+cluster.Addrs[0])
	l, _ := watch(t, s)
	l.await(t, "the second miss", func() bool { return l.missed >= 2 })
	const looks = 10
	before := l.misses()
	for range looks {
		s.watchers.mu.Lock()
		for tail := range s.watchers.all {
			client, _ := tail.client.(*redis.ClusterClient)
			client.ReloadState(t.Context())
			if err := client.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
				return node.Ping(ctx).Err()
			}); err != nil {
				t.Error(err)
			}
		}
		s.watchers.mu.Unlock()
		l.mu.Lock()
		last := l.confirmed
		l.mu.Unlock()
		l.await(t, "another confirmation", func() bool { return l.confirmed.After(last) })
	}
	if n := l.misses() - before; n > looks/2 {
		t.Errorf("changes were missed %d times while the cluster was looked at %d times", n, looks)
	}
}

// TestLaggingTail: what comes late, but not too late, is confirmed from when it
// was asked for.
func TestLaggingTail(t *testing.T) {
	t.Parallel()
	server, _ := standalone(t)
	proxy := redistest.NewProxy(t, server.Addr)
	l, _ := watch(t, initialized(t, "redis://"+proxy.Addr))
	l.awaitConfirmed(t)
	const lag = 200 * time.Millisecond
	proxy.Lag(lag)
	var last time.Time
	for i := range 5 {
		l.await(t, "another confirmation", func() bool { return l.confirmed.After(last) })
		l.mu.Lock()
		last = l.confirmed
		if left := time.Until(last); i > 0 && left > confirmedFor-lag {
			t.Errorf("confirmed for %v after an answer that took %v", left, lag)
		}
		l.mu.Unlock()
	}
}

// TestWatchAfterRestart with all data: what was announced since is told.
func TestWatchAfterRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	s := openProbing(t, "redis://"+server.Addr, 50*time.Millisecond)
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	app := newApp(t, s, 1)
	l, _ := watch(t, openProbing(t, "redis://"+server.Addr, 50*time.Millisecond))
	l.awaitConfirmed(t)
	if err := server.Client().Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	l.await(t, "a miss", func() bool { return l.missed > 0 && l.confirmed.IsZero() })
	l.lapse(t)
	server.Restart()
	eventually(t, 5*time.Second, "the store to be changed", func() error { return s.UpdateApp(t.Context(), app, account.Event{}) })
	l.awaitHeard(t, subjectOf(app))
	l.awaitConfirmed(t)
}

// TestWatchAfterFlush: a store that lost everything, its log too, confirms
// nothing, though the connection holds; and once it is initialised anew, what
// is announced is told.
func TestWatchAfterFlush(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t)
	s := openProbing(t, "redis://"+server.Addr, 50*time.Millisecond)
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	l, _ := watch(t, s)
	first := newApp(t, s, 1)
	if err := s.UpdateApp(t.Context(), first, account.Event{}); err != nil {
		t.Fatal(err)
	}
	l.awaitConfirmed(t)
	l.await(t, "the second miss", func() bool { return l.missed >= 2 })
	redisDo(t, server, "FLUSHALL")
	l.lapse(t)
	if _, _, err := s.Init(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	other := initialized(t, "redis://"+server.Addr)
	second := newApp(t, other, 2)
	if err := other.UpdateApp(t.Context(), second, account.Event{}); err != nil {
		t.Fatal(err)
	}
	l.awaitHeard(t, subjectOf(second))
	l.awaitConfirmed(t)
}

// TestUnsoundStoreIsNotConfirmed though it answers.
func TestUnsoundStoreIsNotConfirmed(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	l, _ := watch(t, s)
	l.awaitConfirmed(t)
	redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	wantReason(t, s.Ready(t.Context()), account.StoreEvicting)
	l.lapse(t)
	redisDo(t, server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.awaitConfirmed(t)
}

// TestWhereAWatchBegins: before the last entry, as far as changes may be still to
// come, and it confirms nothing before it has read to the end.
func TestWhereAWatchBegins(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	const last = 1_700_000_000_000
	old, young := account.Subject{App: 1}, account.Subject{App: 2}
	redisDo(t, server, "XADD", s.logKey(), fmt.Sprint(last-4000, "-0"), logApp, 1)
	redisDo(t, server, "XADD", s.logKey(), fmt.Sprint(last-2000, "-0"), logApp, 2)
	const many = 3*tailCount + 1
	pipe := server.Client().Pipeline()
	for i := range many {
		pipe.Do(t.Context(), "XADD", s.logKey(), fmt.Sprint(last, "-", i), logOwner, fmt.Sprint("owner", i))
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, _ := watch(t, s)
	l.awaitConfirmed(t)
	if l.heard(old) != 0 || l.heard(young) == 0 { // again by a watch that was slow, and began anew
		t.Errorf("announced the old one %d times, the young one %d times; want 0 and 1", l.heard(old), l.heard(young))
	}
	if l.atFirst != many+1 {
		t.Errorf("%d subjects were announced before the first confirmation, want %d", l.atFirst, many+1)
	}
}

// TestEntryThatCannotBeRead may say anything: whatever is kept is not used, now
// and when the change it may be of has been made. What follows is told.
func TestEntryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	app := newApp(t, s, 1)
	l, _ := watch(t, s)
	l.await(t, "the second miss", func() bool { return l.missed >= 2 })
	for i, entry := range [][]any{{logApp, "x"}, {logApp, 0}, {logOwner, ""}, {"z", 1}, {logApp, 1, "z", 1}} {
		before := l.misses()
		redisDo(t, server, append([]any{"XADD", s.logKey(), "*"}, entry...)...)
		next := account.Subject{Account: fmt.Sprint("after entry ", i)}
		redisDo(t, server, "XADD", s.logKey(), "*", logOwner, next.Account)
		l.awaitHeard(t, next)
		if l.misses() == before {
			t.Errorf("entry %d was not missed", i)
		}
	}
	before := l.misses()
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	l.await(t, "an announcement by the log", func() bool { return l.announced[subjectOf(app)] >= 3 })
	l.await(t, "the second miss", func() bool { return l.missed > before })
	l.awaitConfirmed(t)
}

// TestLogStaysSmall however much is changed.
func TestLogStaysSmall(t *testing.T) {
	t.Parallel()
	server, s := standalone(t)
	client := server.Client()
	app := newApp(t, s, 1)
	old := time.Now().Add(-logKept - time.Second).UnixMilli()
	pipe := client.Pipeline()
	for i := range 5000 {
		pipe.Do(t.Context(), "XADD", s.logKey(), fmt.Sprint(old, "-", i), logApp, 2)
	}
	pipe.Do(t.Context(), "XADD", s.logKey(), fmt.Sprint(old+5000, "-0"), logApp, 3)
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateApp(t.Context(), app, account.Event{}); err != nil {
		t.Fatal(err)
	}
	entries, err := client.XRange(t.Context(), s.logKey(), "-", "+").Result()
	if n := len(entries); err != nil || n < 2 || n > 200 {
		t.Fatalf("%d entries, %v; want a node of the stream or two", n, err)
	}
	for i, want := range []string{"3", "1"} {
		if got := entries[len(entries)-2+i].Values[logApp]; got != want {
			t.Errorf("entry %d is of app %v, want %s", i, got, want)
		}
	}
}

// TestWatchOfCluster: the log lies on one node, records on all. It is followed
// when its slot moves and when its node dies.
func TestWatchOfCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.Cluster(t, 3, 1)
	url := "redis+cluster://" + strings.Join(cluster.Addrs, ",")
	s := openProbing(t, url, 100*time.Millisecond)
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	l, _ := watch(t, openProbing(t, url, 100*time.Millisecond))
	l.awaitConfirmed(t)
	id := uint32(1)
	changeOn := func(t *testing.T, node *redistest.Server) {
		t.Helper()
		for ; ; id++ {
			if owner, _ := cluster.Owner(t, s.headerKey(id)); owner == node {
				break
			}
		}
		app := newApp(t, s, id)
		id++
		eventually(t, 10*time.Second, "the app to be changed", func() error { return s.UpdateApp(t.Context(), app, account.Event{}) })
		l.awaitHeard(t, subjectOf(app))
		l.awaitConfirmed(t)
	}
	t.Run("records of every node", func(t *testing.T) {
		for _, node := range cluster.Primaries(t) {
			changeOn(t, node)
		}
	})
	t.Run("the log's slot moves", func(t *testing.T) {
		from, slot := cluster.Owner(t, s.logKey())
		to := otherThan(cluster.Primaries(t), from)
		move := cluster.BeginMove(t, slot, from, to)
		changeOn(t, from)
		move.Finish()
		changeOn(t, from)
		changeOn(t, to)
	})
	t.Run("the log's node dies", func(t *testing.T) {
		primary, _ := cluster.Owner(t, s.logKey())
		replica := cluster.ReplicaOf(t, primary)
		survivor := otherThan(cluster.Primaries(t), primary)
		before := l.misses()
		primary.Kill()
		l.await(t, "a miss", func() bool { return l.missed > before })
		cluster.AwaitPrimary(t, replica)
		eventually(t, 10*time.Second, "the probe to find the store sound", func() error { return s.Ready(t.Context()) })
		changeOn(t, survivor)
		changeOn(t, replica)
	})
}

// TestWatchOfSentinel is told what is announced to the primary that took over.
func TestWatchOfSentinel(t *testing.T) {
	t.Parallel()
	servers := redistest.Sentinel(t)
	url := "redis+sentinel://" + servers.Addrs[0] + "," + servers.Addrs[1] + "/" + servers.MasterName
	s := openProbing(t, url, 100*time.Millisecond)
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	app := newApp(t, s, 1)
	l, _ := watch(t, openProbing(t, url, 100*time.Millisecond))
	l.awaitConfirmed(t)
	before := l.misses()
	servers.Primary.Client().Wait(t.Context(), 1, time.Second)
	servers.FailOver(t)
	l.await(t, "a miss", func() bool { return l.missed > before })
	eventually(t, 10*time.Second, "the app to be changed", func() error { return s.UpdateApp(t.Context(), app, account.Event{}) })
	l.awaitHeard(t, subjectOf(app))
	l.awaitConfirmed(t)
}
