package client

import (
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/gather"
)

// pace is how checks of a kind go while they are few: each at once, alone. Gathering
// spares work and takes waiting, so it pays once checks come faster than one each so
// often; slower ones, however many are under way because the server is slow, had
// only to wait. The server gathers counted ones too, for its store, so that they
// have less to gain.
type pace struct {
	each time.Duration
	few  int64 // that are alone however fast they come
	most int64 // that are alone at once: many more wait on a server that hangs
}

var (
	counted  = pace{each: 60 * time.Microsecond, few: 12, most: 64}
	features = pace{each: 25 * time.Microsecond, few: 4, most: 64}
)

// gathering is checks of a kind, which gather once they come faster than its pace.
type gathering struct {
	*gather.Queue[check]
	pace

	underWay atomic.Int64 // also those that wait
	takes    atomic.Int64 // what an RPC took lately, in nanoseconds
}

func (c *Client) newGathering(p pace) *gathering {
	g := &gathering{pace: p}
	g.Queue = gather.New(limits, func(flight []*gather.Item[check]) {
		defer g.took(time.Now())
		c.send(flight)
	})
	return g
}

// enter counts one more check under way, and reports whether it is to go alone.
func (g *gathering) enter() (alone bool) {
	n := g.underWay.Add(1)
	return n <= g.few || n <= g.most && n <= g.takes.Load()/int64(g.each)
}

// exit ends a check that went alone.
func (g *gathering) exit(began time.Time) {
	g.took(began)
	g.underWay.Add(-1)
}

// took notes what an RPC took, also of one that panicked.
func (g *gathering) took(began time.Time) {
	before := g.takes.Load()
	g.takes.Store(before + (int64(time.Since(began))-before)/8) // of two at once either may be lost
}
