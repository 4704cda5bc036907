package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/redis/go-redis/v9"
)

// health is what the last probe found; without a fault the store is healthy.
type health struct {
	fault *account.Fault
	// isAway: a server did not answer. Nothing is known to be wrong but that.
	isAway bool
	// isGone: no server answered at all.
	isGone bool
}

// newHealth tells a server that answered, whatever it answered, from none.
func newHealth(f *account.Fault) *health {
	if f == nil {
		return &health{}
	}
	_, answered := errors.AsType[redis.Error](f.Err)
	return &health{fault: f, isAway: f.Reason == account.StoreUnavailable && f.Err != nil && !answered}
}

// format is the version of the layout that keys.go and the scripts describe.
const format = "2"

// oldestMajor is the oldest Redis whose scripts declare flags.
const oldestMajor = 7

// Ready probes the store: reachable, Redis 7 or later, writable, not evicting,
// of the same time, initialised. The error is an *account.Fault.
func (s *Store) Ready(ctx context.Context) error {
	s.probing.Lock()
	defer s.probing.Unlock()
	h := s.probe(ctx)
	if h.isGone && !s.circuit.isOpen() && !isTimeout(h.fault) {
		h = s.probe(ctx) // one connection that broke is no server that is gone
	}
	if ctx.Err() == nil || h.fault == nil { // else the caller left, and nothing was found out
		s.note(h)
		s.first.Do(func() { close(s.probed) })
	}
	if h.fault != nil {
		return h.fault
	}
	return nil
}

// isTimeout reports whether a server was given all the time there is.
func isTimeout(f *account.Fault) bool {
	timed, ok := errors.AsType[net.Error](f.Err)
	return ok && timed.Timeout()
}

// note keeps what is known of the store's health now.
func (s *Store) note(h *health) {
	if !h.isAway {
		s.wasSound.Store(h.fault == nil)
	}
	s.health.Store(h)
	s.circuit.set(h)
}

// probeEvery keeps the health current until the store is closed. It looks at once
// when a call did not reach a server, and often while there is none.
func (s *Store) probeEvery(ctx context.Context, every, away time.Duration) {
	defer close(s.stopped)
	for {
		_ = s.Ready(ctx)
		pause, suspected := every, s.suspected
		if s.circuit.isOpen() {
			pause, suspected = away, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-suspected:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// suspect has the store looked at when an error says that no server answered.
// That a caller or the pool had no time for it does not.
func (s *Store) suspect(ctx context.Context, err error) {
	dialed, isDial := errors.AsType[*dialError](err)
	if _, answered := errors.AsType[redis.Error](err); answered || ctx.Err() != nil && (!isDial || dialed.isTimeout) {
		return
	}
	if isOfPool(err) {
		return
	}
	select {
	case s.suspected <- struct{}{}:
	default:
	}
}

// trusted answers from the last probe, the first of which it awaits. While only
// some of a cluster's servers are away, and it was sound, it is tried all the
// same.
func (s *Store) trusted(ctx context.Context) error {
	h := s.health.Load()
	if h == nil {
		timer := time.NewTimer(s.target.timeout)
		defer timer.Stop()
		select {
		case <-s.probed:
			h = s.health.Load()
		case <-timer.C:
			return s.fault(account.StoreUnavailable, "does not answer")
		case <-ctx.Done():
			return gone(ctx.Err())
		}
	}
	if h.fault == nil || h.isAway && !h.isGone && s.wasSound.Load() {
		return nil
	}
	return h.fault
}

// isSound reports whether the last probe found nothing wrong.
func (s *Store) isSound() bool {
	h := s.health.Load()
	return h != nil && h.fault == nil
}

func (s *Store) probe(ctx context.Context) *health {
	limit := 2 * s.target.timeout
	if s.circuit.isOpen() {
		limit = min(limit, awayTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var sound atomic.Int64
	if f := s.probeServers(ctx, &sound); f != nil {
		h := newHealth(f)
		h.isGone = h.isAway && sound.Load() == 0
		return h
	}
	return newHealth(s.probeMark(ctx))
}

// probeMark looks for the store's id.
func (s *Store) probeMark(ctx context.Context) *account.Fault {
	found, err := s.client.HMGet(ctx, s.storeKey(), "id", "format").Result()
	switch {
	case err != nil:
		return s.faultOf(err, false)
	case found[0] == nil && found[1] != nil:
		return s.fault(account.StoreNotInitialized, "is not initialised to the end; repeat imquota store init")
	case found[0] == nil:
		return s.notInitialized()
	}
	return s.checkFormat(found[1])
}

func (s *Store) checkFormat(found any) *account.Fault {
	text, _ := found.(string)
	if text == format {
		return nil
	}
	advice := "Serve it with the version that made it; to move it, make a backup with that version (imquota store backup), " +
		"and restore it with this one into an empty Redis (imquota store init, then store restore)"
	own, _ := strconv.Atoi(format)
	if of, err := strconv.Atoi(text); err == nil && of > own {
		advice = "A newer version made it: bring this one up to that"
	}
	return s.fault(account.StoreNotInitialized, "holds format %q; this version of imquota knows format %s. %s", text, format, advice)
}

func (s *Store) notInitialized() *account.Fault {
	return s.fault(account.StoreNotInitialized, "has no store id: it was never initialised (imquota store init), or it lost its mark")
}

// probeServers looks at the server, or at every primary of a cluster, and counts
// those that answer as they should.
func (s *Store) probeServers(ctx context.Context, sound *atomic.Int64) *account.Fault {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return s.probeServer(ctx, s.client)
	}
	var fault *account.Fault
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		if f := s.probeServer(ctx, c); f != nil {
			return f
		}
		sound.Add(1)
		return nil
	})
	if err != nil && !errors.As(err, &fault) {
		return s.faultOf(err, false)
	}
	return fault
}

func (s *Store) probeServer(ctx context.Context, c redis.Cmdable) *account.Fault {
	text, err := c.Info(ctx, "server", "memory", "replication", "persistence").Result()
	if err != nil {
		return s.faultOf(err, false)
	}
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestMajor {
		return s.fault(account.StoreUnavailable, "is version %q; imquota needs %d or later", info["redis_version"], oldestMajor)
	}
	if info["loading"] == "1" {
		return s.fault(account.StoreUnavailable, "is loading its data")
	}
	if info["role"] != "master" {
		return s.fault(account.StoreReadOnly, "is a replica; name the primary")
	}
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		return s.fault(account.StoreEvicting, "has maxmemory-policy %s and may drop counters; imquota needs noeviction", policy)
	}
	return s.compareClocks(ctx, c)
}

// skew is how far this process's clock may be ahead of a server's; zero: they
// are not compared.
func (s *Store) skew() time.Duration {
	if s.now == nil {
		return 0
	}
	return s.target.skew
}

func (s *Store) clockAhead(by time.Duration) *account.Fault {
	return s.fault(account.ClockSkew, "has a clock that is %v behind this machine's; set both by NTP", by.Round(time.Second))
}

// compareClocks holds this process's clock, when the question was sent and when
// it was answered, against the server's.
func (s *Store) compareClocks(ctx context.Context, c redis.Cmdable) *account.Fault {
	if s.skew() == 0 {
		return nil
	}
	sent := s.now()
	theirs, err := c.Time(ctx).Result()
	if err != nil {
		return s.faultOf(err, false)
	}
	switch {
	case sent.Sub(theirs) > s.target.skew:
		return s.clockAhead(sent.Sub(theirs))
	case theirs.Sub(s.now()) > s.target.skew:
		return s.fault(account.ClockSkew, "has a clock that is %v ahead of this machine's; set both by NTP", theirs.Sub(sent).Round(time.Second))
	}
	return nil
}

func (s *Store) fault(reason account.FaultReason, format string, args ...any) *account.Fault {
	return &account.Fault{Reason: reason, Detail: s.target.String() + " " + fmt.Sprintf(format, args...)}
}
