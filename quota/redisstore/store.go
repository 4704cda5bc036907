// Package redisstore keeps records and counters in Redis 7 or later, alone,
// behind Sentinel or in a Cluster. Any number of sidecars share one.
package redisstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Store implements quota.Store and account.Registry.
type Store struct {
	client redis.UniversalClient
	target *target
	prefix string
	now    func() time.Time // nil: not compared

	scripts          applyScripts
	refusedFunctions atomic.Pointer[time.Time] // when a server last did not take them
	queue            *queue                    // of Apply's parcels
	nodes            queues
	liveLooks        liveLooks
	watchers         watchers
	holding          holding
	tails            *tails
	self             string // who asks for leases

	background context.Context // done when the store is closed

	circuit   circuit
	suspected chan struct{} // has one when a call did not reach a server

	health   atomic.Pointer[health]
	wasSound atomic.Bool // the last probe that was answered found nothing wrong
	probing  sync.Mutex
	first    sync.Once
	probed   chan struct{} // closed by the first probe
	stop     context.CancelFunc
	stopped  chan struct{}
}

// Options configures a store. The zero value is right for production.
type Options struct {
	// ProbeEvery is how often the store is looked at in the background; a
	// second when it is zero.
	ProbeEvery time.Duration
	// Now is the clock that transactions are stamped by; the store is not ready
	// while a server's is further away from it than the URL allows. Nil: they
	// are not compared.
	Now func() time.Time
	// TailLost is called when the store is found to have lost its tail: for each
	// app once a minute at most. Nil: it is only counted.
	TailLost func(TailLoss)
	// AwayEvery is the pause between two looks while no server answers; 100 ms
	// when it is zero.
	AwayEvery time.Duration
	// Circuit is told when the store's circuit opens and closes. It must not
	// block. Nil: nobody is.
	Circuit func(CircuitChange)
}

// silence is go-redis's logger: what goes wrong is told by faults.
type silence struct{}

// Printf implements go-redis's logger.
func (silence) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silence{}) } //nolint:gochecknoinits // go-redis has one logger for all clients

// Open reads a URL and prepares clients; parseURL has its forms. It does not
// need the server: Ready tells whether it can be trusted, and a probe in the
// background keeps that true.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("the store's URL: %w", err)
	}
	if o.ProbeEvery == 0 {
		o.ProbeEvery = time.Second
	}
	if o.AwayEvery == 0 {
		o.AwayEvery = awayEvery
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Store{
		client: t.client(), target: t, prefix: t.prefix, now: o.Now, scripts: newApplyScripts(applyLua),
		tails: newTails(maxTails, o.TailLost),
		self:  drawID(), background: background, stop: stop,
		circuit: circuit{notify: o.Circuit}, suspected: make(chan struct{}, 1),
		probed: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.queue, s.nodes.next = s.newQueue(), s.newQueue
	go s.probeEvery(background, o.ProbeEvery, o.AwayEvery)
	return s, nil
}

// Close stops the probe and whoever watches, and closes the connections. Calls under way may answer
// that their outcome is unknown.
func (s *Store) Close() error {
	s.stop()
	<-s.stopped
	return s.client.Close()
}

// String names the store without its password.
func (s *Store) String() string { return s.target.String() }

// IsURL reports whether a store's name is for this driver.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "redis:") || strings.HasPrefix(name, "rediss:") ||
		strings.HasPrefix(name, "redis+") || strings.HasPrefix(name, "rediss+")
}
