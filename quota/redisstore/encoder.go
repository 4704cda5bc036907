package redisstore

import (
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/quota"
)

// encoder builds the KEYS and ARGV of apply.lua, which describes them. Every
// key is named once; ARGV refers to it by its number.
type encoder struct {
	prefix  string
	version string
	skew    time.Duration // how far ahead of the server's clock the first transaction's may be; 0: not compared
	now     time.Time     // of its transactions, or the app's clock when that is known to be ahead
	first   quota.Txn     // what all must share
	withIDs bool          // a transaction has a request id
	holds   bool          // the app may hold something
	keys    []string
	numbers map[string]int // of keys, without the prefix
	args    []any
	txns    int
	charges int
}

// headArgs are version, the server's earliest clock, the app's clock, end of the
// ids' generation, the keys of what is held and number of transactions, known at
// the end.
const headArgs = 7

// newEncoder begins a script at an instant that is not before the first
// transaction's.
func (s *Store) newEncoder(first *quota.Txn, now time.Time) encoder {
	prefix := s.appPrefix(first.App)
	return encoder{
		prefix: prefix, skew: s.skew(), holds: s.holding.until(first.App).After(now), first: *first, now: now, version: versionText(first.Version),
		keys: append(make([]string, 0, 8), prefix+"app"), numbers: make(map[string]int, 8),
		args: make([]any, headArgs, 48),
	}
}

// fits reports whether a transaction may join those that are there.
func (e *encoder) fits(t *quota.Txn) bool {
	return e.txns < maxScriptTxns && e.charges+weight(t) <= maxScriptCharges &&
		t.Version == e.first.Version && t.FanoutBits == e.first.FanoutBits && t.Now.Equal(e.first.Now)
}

// weight is the work of a transaction: counters and users that it touches.
func weight(t *quota.Txn) int {
	n := len(t.Users.IDs) * (1 + len(t.Users.Drop))
	for i := range t.Charges {
		n += max(1, len(t.Charges[i].Subjects))
	}
	return n
}

// grows reports whether a transaction may make something larger, which a full
// Redis refuses.
func grows(t *quota.Txn) bool {
	if t.Mode == quota.ModeJudge {
		return false
	}
	if t.Hold.Op == quota.HoldCommit {
		return false // it was promised
	}
	return t.Mode == quota.ModeReserve || t.Online.Op == quota.OnlineReport ||
		t.Users.Op != quota.UsersNone && t.Users.Op != quota.UsersDelete ||
		t.Group.Op == quota.GroupCreate || t.Group.Op == quota.GroupTouch ||
		slices.ContainsFunc(t.Charges, func(c quota.Charge) bool { return c.Delta > 0 || c.Basis == quota.Absolute })
}

// finish returns the script's keys and arguments.
func (e *encoder) finish() ([]string, []any) {
	var generationEnd int64
	if e.withIDs {
		generationEnd = (generationOf(e.now) + 1) * generation.Milliseconds()
	}
	var earliest int64
	if e.skew != 0 {
		earliest = e.first.Now.Add(-e.skew).UnixMilli()
	}
	held, ends := 0, 0
	if e.holds {
		held, ends = e.key(heldName), e.key(endsName)
	}
	copy(e.args, []any{e.version, earliest, e.now.UnixMilli(), generationEnd, held, ends, e.txns})
	return e.keys, e.args
}

// key returns the number of a key, which is named without the prefix.
func (e *encoder) key(name string) int {
	if n, ok := e.numbers[name]; ok {
		return n
	}
	e.keys = append(e.keys, e.prefix+name)
	e.numbers[name] = len(e.keys)
	return len(e.keys)
}

func (e *encoder) put(args ...any) { e.args = append(e.args, args...) }

// add encodes a transaction.
func (e *encoder) add(t *quota.Txn) {
	e.txns++
	e.charges += weight(t)
	e.put(int(t.Mode), millis(t.WindowEnd))
	e.addRequest(t)
	e.addUsers(t)
	e.addGroup(t)
	e.addOnline(t)
	e.addHold(t)
	e.put(len(t.Charges))
	for i := range t.Charges {
		e.addCharge(t, &t.Charges[i])
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func (e *encoder) addRequest(t *quota.Txn) {
	if t.Request.IsZero() {
		e.put("")
		return
	}
	// The keys must be known before the script runs, the app's clock is known
	// in it: the script refuses keys of another generation than its clock's, so
	// that callers whose clocks differ look in the same place.
	e.withIDs = true
	now := generationOf(e.now)
	e.put(string(t.Request.Hash[:]),
		e.key(requestsKey(now, &t.Request, t.FanoutBits)),
		e.key(requestsKey(now-1, &t.Request, t.FanoutBits)),
		string(t.Request.Fingerprint[:]), (3 * generation).Milliseconds())
}

func (e *encoder) addUsers(t *quota.Txn) {
	u := &t.Users
	e.put(int(u.Op))
	if u.Op == quota.UsersNone {
		return
	}
	e.put(u.Month, len(u.IDs))
	for _, id := range u.IDs {
		e.put(e.key(usersName+bucket(id, t.FanoutBits)), id)
	}
	if u.Op != quota.UsersDelete {
		return
	}
	e.put(len(u.Drop) * len(u.IDs))
	for i := range u.Drop {
		for _, id := range u.IDs {
			e.put(e.key(counterKey(&u.Drop[i], id, t.FanoutBits)), id)
		}
	}
}

func (e *encoder) addGroup(t *quota.Txn) {
	g := &t.Group
	e.put(int(g.Op))
	if g.Op == quota.GroupNone {
		return
	}
	letter := ""
	if g.Type != 0 {
		letter = string(rune(g.Type))
	}
	e.put(e.key(groupsName+bucket(g.ID, t.FanoutBits)), g.ID, letter, g.Day)
}

func (e *encoder) addOnline(t *quota.Txn) {
	o := &t.Online
	e.put(int(o.Op))
	if o.Op == quota.OnlineNone {
		return
	}
	var monthEnd int64
	if len(o.Months) > 0 {
		monthEnd = o.Months[0].End.UnixMilli()
	}
	e.put(e.key(gatewaysName), e.key(peaksName), quota.PeakKept.Milliseconds(), o.Gateway, o.Users, o.Lease.Milliseconds(), monthEnd, len(o.Months))
	for _, month := range o.Months {
		e.put(month.Start.UnixMilli())
	}
}

func (e *encoder) addHold(t *quota.Txn) {
	h := &t.Hold
	e.put(int(h.Op))
	if h.Op == quota.HoldNone {
		return
	}
	e.holds = true
	e.withIDs = true // as addRequest: the script refuses keys of another generation
	now := holdGenerationOf(e.now)
	e.put(e.key(holdsKey(now, h.ID, t.FanoutBits)), e.key(holdsKey(now-1, h.ID, t.FanoutBits)),
		string(h.ID[:]), string(t.Request.Fingerprint[:]),
		h.For.Milliseconds(), string(h.Plan), flag(h.Late), (3 * holdGeneration).Milliseconds())
}

func (e *encoder) addCharge(t *quota.Txn, c *quota.Charge) {
	limit := ""
	if !c.Limit.IsUnlimited() {
		limit = strconv.FormatInt(c.Limit.Max(), 10)
	}
	var ttl int64
	if !c.Window.IsStock() {
		ttl = max(1, c.Window.KeptUntil().Sub(t.Now).Milliseconds())
	}
	e.put(c.Delta, int(c.Basis), limit, flag(c.Signed), flag(c.Members), c.Types, flag(c.SameDay), ttl)
	switch {
	case c.Members:
		e.put(0)
	case c.Subjects == nil:
		e.put(1, e.key(counterKey(&c.Counter, "", t.FanoutBits)), c.Quota)
	default:
		e.put(len(c.Subjects))
		for _, subject := range c.Subjects {
			e.put(e.key(counterKey(&c.Counter, subject, t.FanoutBits)), subject)
		}
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
