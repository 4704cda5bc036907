package redisstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/gather"
	"github.com/imquota/imquota/quota"
	"github.com/redis/go-redis/v9"
)

func (s *Store) isCluster() bool { return s.target.cluster }

// limits are those of the flights to one server. One at a time is the fullest, and
// Redis does one thing at a time; over a network that takes longer than Redis does,
// others leave meanwhile, 4000 a second at most; where the way alone takes most of a
// millisecond, they leave as they come.
var limits = gather.Limits{
	Flights: 1, More: 7, Apart: 250 * time.Microsecond, Far: 750 * time.Microsecond,
	Items: maxScriptTxns, Work: maxScriptCharges,
}

type queue = gather.Queue[*parcel]

func (s *Store) newQueue() *queue { return gather.New(limits, s.fly) }

// queueOf returns where parcels wait for the server that has the app's keys.
func (s *Store) queueOf(ctx context.Context, app uint32) *queue {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return s.queue
	}
	node, err := cluster.MasterForKey(ctx, s.headerKey(app))
	if err != nil { // the call will find out why
		return s.queue
	}
	return s.nodes.of(node.Options().Addr)
}

// queues are those of a Cluster's nodes, by address.
type queues struct {
	mu    sync.Mutex
	nodes map[string]*queue
	next  func() *queue
}

func (q *queues) of(address string) *queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	found := q.nodes[address]
	if found == nil {
		if q.nodes == nil {
			q.nodes = make(map[string]*queue)
		}
		found = q.next()
		q.nodes[address] = found
	}
	return found
}

// section is the parcels of a flight that are of one app in one version, at about
// one instant.
type section struct {
	app        uint32
	version    account.Version
	parcels    []*parcel
	now        time.Time
	generation int64 // of request ids; 0 without any
	holds      bool
	known      sighting // of the app's sequence, before it was sent
}

// sharedWithin is how far apart the instants of a section may be. The later one
// stamps all: so near, it is no other day for one server's clock.
const sharedWithin = time.Second

// takes reports whether a parcel may share the section.
func (c *section) takes(p *parcel) bool {
	return c.app == p.app && c.version == p.version &&
		p.now.Sub(c.now).Abs() <= sharedWithin &&
		(c.generation == 0 || !p.withIDs || c.generation == generationOf(p.now))
}

func (c *section) add(p *parcel) {
	c.parcels = append(c.parcels, p)
	if p.now.After(c.now) {
		c.now = p.now
	}
	if p.withIDs {
		c.generation = generationOf(p.now)
	}
	c.holds = c.holds || p.holds
}

// evaluation is one call of the script.
type evaluation struct {
	command

	sections []*section
}

// serve notes what a parcel asks of the whole call.
func (e *evaluation) serve(p *parcel) {
	e.writes = e.writes || p.writes
	if ends, ok := p.ctx.Deadline(); ok && (e.ends.IsZero() || ends.Before(e.ends)) {
		e.ends = ends
	}
}

// fly carries a flight: the parcels of each app together, and as many apps as one
// call can be for. In a Cluster that is one.
func (s *Store) fly(flight []*gather.Item[*parcel]) {
	ctx := flightContext(flight)
	evaluations := s.evaluations(flight)
	commands := make([]*command, len(evaluations))
	for i, e := range evaluations {
		s.encode(e)
		commands[i] = &e.command
	}
	for pending := commands; len(pending) > 0; pending = s.unknown(ctx, pending) {
		s.dispatch(ctx, pending)
	}
	for _, e := range evaluations {
		s.land(ctx, e)
	}
}

// flightContext is the caller's own, if there is one caller; else its time is up
// with that of the last of them.
func flightContext(flight []*gather.Item[*parcel]) context.Context {
	first := flight[0].Value.ctx
	if !slices.ContainsFunc(flight, func(it *gather.Item[*parcel]) bool { return it.Value.ctx != first }) {
		return first
	}
	shared := &sharedContext{Context: context.WithoutCancel(first)}
	for _, it := range flight {
		deadline, ok := it.Value.ctx.Deadline()
		if !ok {
			return shared.Context
		}
		if deadline.After(shared.last) {
			shared.last = deadline
		}
	}
	return shared
}

// sharedContext tells go-redis by when replies are of use. It has no timer: what
// waits for a reply has the connection's.
type sharedContext struct {
	context.Context
	last time.Time
}

// Deadline implements context.Context.
func (c *sharedContext) Deadline() (time.Time, bool) { return c.last, true }

// Err implements context.Context.
func (c *sharedContext) Err() error {
	if time.Now().Before(c.last) {
		return nil
	}
	return context.DeadlineExceeded
}

// evaluations spreads the parcels of a flight over calls. What a full Redis still
// takes goes apart from what it refuses.
func (s *Store) evaluations(flight []*gather.Item[*parcel]) []*evaluation {
	isCluster := s.isCluster()
	var all []*evaluation
next:
	for _, it := range flight {
		p := it.Value
		sc := s.scripts.grow
		if p.grows == 0 {
			sc = s.scripts.release
		}
		var shared *evaluation
		for _, e := range all {
			if e.script != sc || e.detours != p.detours {
				continue
			}
			shared = e
			for _, c := range e.sections {
				if c.takes(p) {
					c.add(p)
					e.serve(p)
					continue next
				}
			}
		}
		e := shared
		if e == nil || isCluster {
			e = &evaluation{command: command{script: sc, form: s.form(), detours: p.detours}}
			all = append(all, e)
		}
		c := &section{app: p.app, version: p.version, now: p.now}
		c.add(p)
		e.sections = append(e.sections, c)
		e.serve(p)
	}
	return all
}

// encode prepares a call.
func (s *Store) encode(e *evaluation) {
	size, names, n := 0, 0, 0
	for _, c := range e.sections {
		size, names, n = size+64, names+2*len(c.parcels[0].keys.prefix)+16, n+3
		for _, p := range c.parcels {
			size, names, n = size+len(p.data)+8, names+len(p.keys.text), n+len(p.keys.ends)
		}
	}
	a := newArray(size)
	keys := keyList{text: make([]byte, 0, names), ends: make([]int, 0, n)}
	a.number((generation + generationSlack).Milliseconds())
	a.number((3 * holdGeneration).Milliseconds())
	a.number(int64(len(e.sections)))
	for _, c := range e.sections {
		first := c.parcels[0]
		c.known = s.tails.before(c.app)
		var earliest, generationEnd int64
		if skew := s.skew(); skew != 0 {
			earliest = c.now.Add(-skew).UnixMilli()
		}
		if c.generation != 0 {
			generationEnd = (c.generation + 1) * generation.Milliseconds()
		}
		keys.prefix = first.keys.prefix
		a.number(keys.add("app"))
		a.text(versionText(c.version))
		a.number(earliest)
		a.number(c.now.UnixMilli())
		a.number(generationEnd)
		if c.holds || s.holding.until(c.app).After(c.now) {
			a.number(keys.add(heldName))
			a.number(keys.add(endsName))
		} else {
			a.number(0)
			a.number(0)
		}
		a.number(int64(len(c.parcels)))
		length := a.placeholder()
		before := a.elements
		var last []byte // shape
		for _, p := range c.parcels {
			p.appendTo(&a, &keys, last)
			last = p.bytesOf(p.last)
		}
		a.fill(length, a.elements-before)
	}
	e.keys, e.args = keys.names(), []any{a.array()}
}

// land tells each parcel what became of it.
func (s *Store) land(ctx context.Context, e *evaluation) {
	if e.err != nil {
		s.suspect(ctx, e.err)
		v, reason := judge(e.err)
		for _, c := range e.sections {
			for _, p := range c.parcels {
				if v == ran || final[reason] {
					p.err = s.faultOf(e.err, p.writes)
				} else {
					p.refusal, p.detours = e.err, p.detours || v == moving
				}
			}
		}
		return
	}
	text, _ := e.cmd.Val().(string)
	u, now := unpack(text), time.Now()
	for _, c := range e.sections {
		if !s.landSection(&u, e, c, now) {
			for _, p := range c.parcels {
				p.err = unreadable()
			}
		}
	}
}

// landSection reads what the script answers for an app, and reports whether it
// was that.
func (s *Store) landSection(u *unpacker, e *evaluation, c *section, now time.Time) bool {
	if code := u.number(); code != replyDone {
		if code == replyCorrupt || code == replyNotPermitted {
			why := u.text()
			return !u.failed && s.turnBack(c, code, 0, why)
		}
		n := u.number()
		return !u.failed && s.turnBack(c, code, n, "")
	}
	clock, sequence := time.UnixMilli(u.number()), u.number()
	if u.failed {
		return false
	}
	lost := s.tails.answered(c.app, c.known, sequence, now)
	for _, p := range c.parcels {
		p.replies, p.clock, p.tailLost, p.durability = u.skip(u.number()), clock, lost, e.durability()
	}
	return !u.failed
}

// turnBack tells the parcels of an app that the script did nothing for it, and why.
func (s *Store) turnBack(c *section, code, n int64, why string) bool {
	for _, p := range c.parcels {
		switch code {
		case replyStale:
			p.err = quota.ErrStale
		case replyCorrupt:
			p.err = damagedValue(why)
		case replyNotPermitted:
			p.refusal = refusedBy(why)
		case replyClockSkew:
			p.err = s.clockAhead(p.now.Sub(time.UnixMilli(n)))
		case replyAhead:
			p.asks, p.until = asksClock, time.UnixMilli(n)
		case replyHolds:
			p.asks, p.until = asksHolds, time.UnixMilli(n)
			s.holding.note(p.app, p.until)
		default:
			return false
		}
	}
	return true
}

// refusedBy is what a script says that Redis would not let it do, before it did
// anything.
type refusedBy string

// Error is what it says.
func (r refusedBy) Error() string { return string(r) }
