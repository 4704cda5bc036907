package redisstore

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// encoder builds what apply.lua takes of a part, which it describes. Keys are
// named by their number in the part.
type encoder struct {
	packed

	keys keyList
	now  time.Time // of its transactions, or the app's clock when that is known to be ahead

	first  shape // of its first transaction
	last   shape // of the last that was given whole
	totals []totalKey
}

// shape is what transactions that only add to counters of users, or are logins, have in
// common with others of the same action: all but the request, and whose counters or
// login it is. Of most that travel together it is the same, and is sent once. It is
// the zero value of a transaction that has none.
type shape struct {
	from, to int // in the encoder's data
	elements int
	keys     int // that it names
	own      int // elements of the transaction that follow it
}

// totalKey is the key that a counter of the app as a whole lies in, which is named once.
type totalKey struct {
	quota.Counter

	key int64
}

func (e *encoder) bytesOf(s shape) []byte { return e.data[s.from:s.to] }

// keyList is names of keys in one piece of memory.
type keyList struct {
	prefix []byte // of all of them
	text   []byte
	ends   []int
}

// add returns the number of a key that is named by these, after the prefix.
func (k *keyList) add(parts ...string) int64 {
	k.begin(parts)
	return k.end()
}

// addBucket is add, for one of a family's buckets.
func (k *keyList) addBucket(bucket uint32, family ...string) int64 {
	k.begin(family)
	k.text = strconv.AppendUint(k.text, uint64(bucket), 36) // as bucketName
	return k.end()
}

func (k *keyList) begin(parts []string) {
	k.text = append(k.text, k.prefix...)
	for _, part := range parts {
		k.text = append(k.text, part...)
	}
}

func (k *keyList) end() int64 {
	k.ends = append(k.ends, len(k.text))
	return int64(len(k.ends))
}

// join adds the keys of another list, but for so many at its beginning.
func (k *keyList) join(other *keyList, but int) {
	skipped := 0
	if but > 0 {
		skipped = other.ends[but-1]
	}
	from := len(k.text) - skipped
	k.text = append(k.text, other.text[skipped:]...)
	for _, end := range other.ends[but:] {
		k.ends = append(k.ends, from+end)
	}
}

func (k *keyList) names() []string {
	text, from, names := string(k.text), 0, make([]string, len(k.ends))
	for i, end := range k.ends {
		names[i], from = text[from:end], end
	}
	return names
}

// The kinds of a charge.
const (
	kindEach  = 1 // counted for each subject, for ever, never below zero
	kindTotal = 2 // the same, for the app as a whole
	kindOther = 3
)

// The steps of a transaction, as a sum.
const (
	stepRequest = 1 << iota
	stepHold
	stepUsers
	stepGroup
	stepOnline
	stepOnlyAdds // not a step, but that there is none beside the request
	stepLogin    // that it is the login of one user, and no other is there
)

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

// add encodes a transaction.
func (e *encoder) add(t *quota.Txn) {
	steps := stepsOf(t)
	if steps >= stepOnlyAdds {
		e.addShaped(t, steps)
		return
	}
	e.last = shape{}
	length := e.placeholder()
	before := e.elements
	e.begin(t, steps)
	e.addRequest(t)
	e.addHold(t)
	e.addUsers(t)
	e.addGroup(t)
	e.addOnline(t)
	for i := range t.Charges {
		c := &t.Charges[i]
		e.addTerms(t, c)
		e.addCounters(t, c)
	}
	e.fill(length, e.elements-before)
}

// addShaped encodes a transaction that only adds to counters or is a login; without
// its shape, if that is the one before.
func (e *encoder) addShaped(t *quota.Txn, steps int64) {
	before := e.packed
	length := e.placeholder()
	s := e.addShape(t, steps)
	if bytes.Equal(e.bytesOf(s), e.bytesOf(e.last)) {
		e.data, e.elements = e.data[:len(before.data)], before.elements
		e.number(-int64(s.own))
	} else {
		e.fill(length, s.elements+s.own)
		e.last = s
		if before.elements == 0 {
			e.first = s
		}
	}
	if steps&stepLogin != 0 {
		e.addUser(t.Users.IDs[0], t.FanoutBits)
		return
	}
	e.addRequest(t)
	for i := range t.Charges {
		e.addCounters(t, &t.Charges[i])
	}
}

// addShape encodes what such a transaction may have in common with others.
func (e *encoder) addShape(t *quota.Txn, steps int64) shape {
	from, elements, keys, own := len(e.data), e.elements, len(e.keys.ends), 0
	e.begin(t, steps)
	login := steps&stepLogin != 0
	if login {
		e.beginUsers(&t.Users)
		own = userElements
	}
	if steps&stepRequest != 0 {
		own = requestElements
	}
	for i := range t.Charges {
		c := &t.Charges[i]
		e.addTerms(t, c)
		if login { // which counts for the app as a whole
			e.addCounters(t, c)
		}
		own += 2 * len(c.Subjects)
	}
	return shape{from: from, to: len(e.data), elements: e.elements - elements, keys: len(e.keys.ends) - keys, own: own}
}

// begin encodes what all transactions begin with.
func (e *encoder) begin(t *quota.Txn, steps int64) {
	e.number(int64(t.Mode))
	e.number(millis(t.WindowEnd))
	e.number(int64(len(t.Charges)))
	e.number(steps)
}

func stepsOf(t *quota.Txn) (steps int64) {
	if !t.Request.IsZero() {
		steps |= stepRequest
	}
	if t.Hold.Op != quota.HoldNone {
		steps |= stepHold
	}
	if t.Users.Op != quota.UsersNone {
		steps |= stepUsers
	}
	if t.Group.Op != quota.GroupNone {
		steps |= stepGroup
	}
	if t.Online.Op != quota.OnlineNone {
		steps |= stepOnline
	}
	switch {
	case steps&^stepRequest == 0 && onlyAdds(t):
		steps |= stepOnlyAdds
	case steps == stepUsers && isLogin(t):
		steps |= stepLogin
	}
	return steps
}

// isLogin reports whether a transaction whose step is about users is the login of
// one, and counts what the script's shortest way with it takes for granted.
func isLogin(t *quota.Txn) bool {
	return t.Mode == quota.ModeConsume && t.Users.Op == quota.UsersLogin && len(t.Users.IDs) == 1 && len(t.Charges) > 0 &&
		!slices.ContainsFunc(t.Charges, func(c quota.Charge) bool {
			return c.Basis != quota.PerNewUser && c.Basis != quota.PerNewActive || !isPlain(&c) || c.Subjects != nil
		})
}

// onlyAdds reports whether a transaction without steps does nothing but add to
// counters, by what the script needs to know of it.
func onlyAdds(t *quota.Txn) bool {
	return (t.Mode == quota.ModeConsume || t.Mode == quota.ModeForce) && t.WindowEnd.IsZero() && len(t.Charges) > 0 &&
		!slices.ContainsFunc(t.Charges, func(c quota.Charge) bool { return c.Delta <= 0 || kindOf(&c) != kindEach })
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// requestElements is how many addRequest adds, of a transaction that has a request.
const requestElements = 4

func (e *encoder) addRequest(t *quota.Txn) {
	if t.Request.IsZero() {
		return
	}
	// The keys must be known before the script runs, the app's clock is known
	// in it: the script refuses keys of another generation than its clock's, so
	// that callers whose clocks differ look in the same place.
	now, bucket := generationOf(e.now), bucketOf(t.Request.Hash[:], t.FanoutBits-1)
	e.bytes(t.Request.Hash[:])
	e.number(e.keys.addBucket(bucket, requestsFamily(now)))
	e.number(e.keys.addBucket(bucket, requestsFamily(now-1)))
	e.bytes(t.Request.Fingerprint[:])
}

func (e *encoder) addHold(t *quota.Txn) {
	h := &t.Hold
	if h.Op == quota.HoldNone {
		return
	}
	now, bucket := holdGenerationOf(e.now), bucketOf(h.ID[:], t.FanoutBits-1)
	e.number(int64(h.Op))
	e.number(e.keys.addBucket(bucket, holdsFamily(now)))
	e.number(e.keys.addBucket(bucket, holdsFamily(now-1)))
	e.bytes(h.ID[:])
	e.bytes(t.Request.Fingerprint[:])
	e.number(h.For.Milliseconds())
	e.bytes(h.Plan)
	e.flag(h.Late)
}

func (e *encoder) addUsers(t *quota.Txn) {
	u := &t.Users
	if u.Op == quota.UsersNone {
		return
	}
	e.beginUsers(u)
	for _, id := range u.IDs {
		e.addUser(id, t.FanoutBits)
	}
	if u.Op != quota.UsersDelete {
		return
	}
	e.number(int64(len(u.Drop) * len(u.IDs)))
	for i := range u.Drop {
		for _, id := range u.IDs {
			e.number(e.counter(&u.Drop[i], id, t.FanoutBits))
			e.text(id)
		}
	}
}

func (e *encoder) beginUsers(u *quota.UserStep) {
	e.number(int64(u.Op))
	e.number(int64(u.Month))
	e.number(int64(len(u.IDs)))
}

// userElements is how many addUser adds.
const userElements = 2

func (e *encoder) addUser(id string, bits uint8) {
	e.number(e.keys.addBucket(bucketOf(id, bits), usersName))
	e.text(id)
}

// counter adds the key that a counter lies in, as counterKey names it.
func (e *encoder) counter(c *quota.Counter, subject string, bits uint8) int64 {
	switch {
	case c.Scope == catalog.ScopeApp:
		return e.total(c)
	case c.Window.IsStock(): // most, without making the family's name
		return e.keys.addBucket(bucketOf(subject, bits), subjectsName, c.Quota, ":")
	}
	return e.keys.addBucket(bucketOf(subject, bits), counterFamily(c))
}

// total is counter, for one of the app as a whole, of which many transactions are.
func (e *encoder) total(c *quota.Counter) int64 {
	for i := range e.totals {
		if e.totals[i].Counter == *c {
			return e.totals[i].key
		}
	}
	key := e.keys.add(counterFamily(c))
	e.totals = append(e.totals, totalKey{*c, key})
	return key
}

func (e *encoder) addGroup(t *quota.Txn) {
	g := &t.Group
	if g.Op == quota.GroupNone {
		return
	}
	letter := ""
	if g.Type != 0 {
		letter = string(rune(g.Type))
	}
	e.number(int64(g.Op))
	e.number(e.keys.addBucket(bucketOf(g.ID, t.FanoutBits), groupsName))
	e.text(g.ID)
	e.text(letter)
	e.number(int64(g.Day))
}

func (e *encoder) addOnline(t *quota.Txn) {
	o := &t.Online
	if o.Op == quota.OnlineNone {
		return
	}
	var monthEnd int64
	if len(o.Months) > 0 {
		monthEnd = o.Months[0].End.UnixMilli()
	}
	e.number(int64(o.Op))
	e.number(e.keys.add(gatewaysName))
	e.number(e.keys.add(peaksName))
	e.number(quota.PeakKept.Milliseconds())
	e.text(o.Gateway)
	e.number(o.Users)
	e.number(o.Lease.Milliseconds())
	e.number(monthEnd)
	e.number(int64(len(o.Months)))
	for _, month := range o.Months {
		e.number(month.Start.UnixMilli())
	}
}

// isPlain reports whether a charge is of counters that end at zero, whatever the
// group.
func isPlain(c *quota.Charge) bool { return !c.Signed && !c.Members && c.Types == "" && !c.SameDay }

// kindOf returns the kind of a charge.
func kindOf(c *quota.Charge) int64 {
	switch {
	case c.Basis != quota.PerTxn || !isPlain(c) || !c.Window.IsStock():
		return kindOther
	case c.Subjects == nil:
		return kindTotal
	}
	return kindEach
}

// addTerms encodes all of a charge but whose counters it is of.
func (e *encoder) addTerms(t *quota.Txn, c *quota.Charge) {
	kind, counters := kindOf(c), len(c.Subjects)
	if c.Subjects == nil && !c.Members {
		counters = 1
	}
	e.number(c.Delta)
	if c.Limit.IsUnlimited() {
		e.none()
	} else {
		e.number(c.Limit.Max())
	}
	e.number(kind)
	e.number(int64(counters))
	if kind == kindOther {
		var ttl int64
		if !c.Window.IsStock() {
			ttl = keptFor(c.Window, t.Now).Milliseconds()
		}
		e.number(int64(c.Basis))
		e.flag(c.Signed)
		e.flag(c.Members)
		e.text(c.Types)
		e.flag(c.SameDay)
		e.number(ttl)
		e.flag(c.Subjects == nil)
	}
}

// keptFor is for how long a counter of a window is kept from now on, in whole minutes:
// so transactions of about one time have the same shape.
func keptFor(w catalog.Window, now time.Time) time.Duration {
	return max(time.Minute, w.KeptUntil().Sub(now.Truncate(time.Minute)))
}

// addCounters encodes the counters of a charge.
func (e *encoder) addCounters(t *quota.Txn, c *quota.Charge) {
	switch {
	case c.Members:
	case c.Subjects == nil:
		e.number(e.counter(&c.Counter, "", t.FanoutBits))
		e.text(c.Quota)
	default:
		for _, subject := range c.Subjects {
			e.number(e.counter(&c.Counter, subject, t.FanoutBits))
			e.text(subject)
		}
	}
}
