package redisstore

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/gather"
	"github.com/imquota/imquota/quota"
)

// Bounds of one script. Redis runs nothing else meanwhile, so a script ends
// after this much work; a transaction that is larger goes alone. A transaction of
// few charges is taken for one of two: it has work that is not of charges.
const (
	maxScriptTxns    = 128
	maxScriptCharges = 256
	leastWork        = maxScriptCharges / maxScriptTxns
)

// parcel is what of one caller's travels together: consecutive transactions of one
// app, made from one version of its record at one instant.
type parcel struct {
	ctx context.Context
	encoder
	item gather.Item[*parcel]

	app     uint32
	version account.Version
	at      []int // positions of its transactions among those of Apply
	work    int
	grows   int  // how many of its transactions may grow something
	writes  bool // not all only judge
	withIDs bool // a transaction has a request id, or is about a reservation
	holds   bool // a transaction is about a reservation

	detours bool // its keys are on their way to another node
	asked   int  // how often it was sent again as the script asked

	// What became of it, written by what carried it.
	refusal    error // it did not run, for a reason that may pass
	asks       asks  // it did not run, and is to be sent again
	until      time.Time
	err        error // it was not carried out, or may have been and that is not known
	replies    string
	clock      time.Time
	tailLost   time.Time
	durability quota.Durability

	// What a parcel that goes alone needs is of one piece with it.
	room struct {
		items [1]*gather.Item[*parcel]
		alone [1]*parcel
	}
}

// asks is what the script asks for before it does anything.
type asks uint8

const (
	asksNothing asks = iota
	asksClock        // to be encoded for the app's clock, which shows until
	asksHolds        // to come with the keys of what is held, until then
)

// spareParcels are used again, with what was written in them.
var spareParcels = sync.Pool{New: func() any { return &parcel{} }}

// keptParcel is how long a parcel's data may be that is used again, in bytes: one of
// a thousand users is rare.
const keptParcel = 16 << 10

// newParcel begins a parcel at an instant that is not before the transaction's.
func (s *Store) newParcel(ctx context.Context, t *quota.Txn, now time.Time) *parcel {
	p, _ := spareParcels.Get().(*parcel)
	p.ctx, p.app, p.version, p.now = ctx, t.App, t.Version, now
	p.item.Value, p.item.Of = p, uint64(t.App)
	p.keys.prefix = s.appendAppPrefix(p.keys.prefix, t.App)
	return p
}

// free ends a parcel that is settled, and that nobody carries any more.
func (p *parcel) free() {
	if cap(p.data)+cap(p.keys.text) > keptParcel {
		return
	}
	*p = parcel{at: p.at[:0], encoder: encoder{
		packed: packed{data: p.data[:0]},
		keys:   keyList{prefix: p.keys.prefix[:0], text: p.keys.text[:0], ends: p.keys.ends[:0]},
		totals: p.totals[:0],
	}}
	spareParcels.Put(p)
}

// fits reports whether a transaction may join those that are there.
func (p *parcel) fits(first, t *quota.Txn) bool {
	return len(p.at) < maxScriptTxns && p.work+workOf(t) <= maxScriptCharges &&
		t.Version == p.version && t.FanoutBits == first.FanoutBits && t.Now.Equal(first.Now)
}

func workOf(t *quota.Txn) int { return max(leastWork, weight(t)) }

// add encodes a transaction, which is at this position among those of Apply.
func (p *parcel) add(t *quota.Txn, at int) {
	p.encoder.add(t)
	p.at = append(p.at, at)
	p.work += workOf(t)
	p.item.Work = p.work
	p.writes = p.writes || t.Mode != quota.ModeJudge
	p.holds = p.holds || t.Hold.Op != quota.HoldNone
	p.withIDs = p.withIDs || p.holds || !t.Request.IsZero()
	if grows(t) {
		p.grows++
	}
}

// appendTo adds what apply.lua takes of a parcel to that of others of the app, of which
// the last transaction that was given whole has this shape.
func (p *parcel) appendTo(a *packed, keys *keyList, last []byte) {
	rest, unused := p.packed, 0
	isAlike := p.first.elements > 0 && bytes.Equal(p.bytesOf(p.first), last)
	if isAlike {
		rest = packed{data: p.data[p.first.to:], elements: p.elements - p.first.elements - 1}
		if p.first == p.last { // and no other transaction is about them
			unused = p.first.keys
		}
	}
	a.number(int64(len(keys.ends) - unused))
	a.number(int64(len(p.at)))
	if isAlike {
		a.number(-int64(p.first.own))
	}
	a.append(&rest)
	keys.join(&p.keys, unused)
}

// again prepares a parcel for being carried once more; by the app's clock if the
// script asked for that.
func (s *Store) again(p *parcel, txns []quota.Txn) *parcel {
	now := p.now
	if p.asks == asksClock {
		now = p.until
	}
	next := s.newParcel(p.ctx, &txns[p.at[0]], now)
	for _, at := range p.at {
		next.add(&txns[at], at)
	}
	next.detours, next.asked = p.detours, p.asked
	if p.asks != asksNothing {
		next.asked++
	}
	return next
}
