package quota

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// planner turns an action into a transaction, for one app in one edition at
// one instant. The charges of an action are the same in every edition but for
// their limits, so that a denied action can be judged again in another.
type planner struct {
	catalog *catalog.Snapshot
	app     *account.App
	stretch *stretch
	edition *catalog.Edition // the stretch's, or another that might have allowed it
	client  Client
	now     time.Time
	adjust  bool // limits do not deny
	// isDegraded: the store is away, and the records may be out of date.
	isDegraded bool

	txn     Txn
	rows    []row // one for every charge of txn
	release bool
	// Room to write in: for the request's key, and for two subjects.
	scratch []byte
	pair    [2]string
	// violations are decided without a store, the state's apart. They may be shared:
	// appending copies them.
	violations []Violation
	refusal    *refusal // of the feature that is among them
	// sized is the feature whose conditions on the group wait for the store.
	sized *catalog.Feature
}

// newPlanner plans for an app in the state and edition of a stretch.
func newPlanner(s *stretch, now time.Time) *planner {
	p := &planner{}
	p.begin(s, now)
	return p
}

func (p *planner) begin(s *stretch, now time.Time) {
	p.catalog, p.app, p.stretch, p.edition, p.now = s.outlook.catalog, s.outlook.app, s, s.edition, now
}

// free ends a plan that no store keeps anything of.
func (p *planner) free() {
	clear(p.txn.Charges)
	*p = planner{rows: p.rows[:0], scratch: p.scratch[:0], txn: Txn{Charges: p.txn.Charges[:0]}}
	planners.Put(p)
}

// planners are used again, with the charges that they made.
var planners = sync.Pool{New: func() any { return &planner{} }}

// row is what a decision needs to know of a charge and a store does not.
type row struct {
	quota     *catalog.Quota
	role      string // upstream codes may differ by it
	groupType string // limits may
	limit     catalog.Limit
	billed    bool
}

// plan fills in the planner.
func (p *planner) plan(a Action) error {
	p.txn, p.rows = Txn{Now: p.now, Charges: p.txn.Charges[:0]}, p.rows[:0]
	p.release, p.violations, p.refusal, p.sized = false, nil, nil, nil
	if err := a.plan(p); err != nil {
		return err
	}
	// Of the records of many apps most are not in the processor's cache: what decides
	// a feature without a store does not look at them.
	if _, isFeature := a.(*UseFeature); !isFeature || !p.isLocal() {
		p.txn.App, p.txn.FanoutBits, p.txn.Version = p.app.ID, p.app.FanoutBits, p.app.Version
	}
	p.sortCharges()
	return nil
}

// sortCharges puts charges into the order in which violations are reported.
func (p *planner) sortCharges() {
	byQuota := func(i, j int) bool { return p.rows[i].quota.Index < p.rows[j].quota.Index }
	for i := 1; i < len(p.rows); i++ {
		for j := i; j > 0 && byQuota(j, j-1); j-- {
			p.rows[j], p.rows[j-1] = p.rows[j-1], p.rows[j]
			p.txn.Charges[j], p.txn.Charges[j-1] = p.txn.Charges[j-1], p.txn.Charges[j]
		}
	}
}

// lone returns the list of one subject.
func (p *planner) lone(id string) []string {
	p.pair[0] = id
	return p.pair[:1:1]
}

// builtin returns a quota that every catalog defines.
func (p *planner) builtin(key string) *catalog.Quota {
	q, _ := p.catalog.Quota(key)
	return q
}

// expect makes room for charges.
func (p *planner) expect(charges int) {
	p.txn.Charges = slices.Grow(p.txn.Charges[:0], charges)
}

// charge adds a charge on a quota. The quota's counter, window and limit are
// filled in; a Limit that is given already holds.
func (p *planner) charge(q *catalog.Quota, c Charge) { p.chargeAs("", q, c) }

// chargeAs is charge with a role.
func (p *planner) chargeAs(role string, q *catalog.Quota, c Charge) {
	p.chargeIn("", role, q, c)
}

// chargeIn is chargeAs with the type of group that the limit is for.
func (p *planner) chargeIn(groupType, role string, q *catalog.Quota, c Charge) {
	c.Counter = Counter{Quota: q.Key, Scope: q.Scope, Window: p.window(q)}
	c.Signed = q.Signed
	limit, billed := limitOf(p.app, p.edition, q, groupType, p.now)
	c.Limit = limit
	if billed || p.adjust {
		c.Limit = catalog.Unlimited()
	}
	p.rows = append(p.rows, row{quota: q, role: role, groupType: groupType, limit: limit, billed: billed})
	p.txn.Charges = append(p.txn.Charges, c)
}

// limitOf returns the limit in force and whether usage beyond it is billed.
func limitOf(app *account.App, e *catalog.Edition, q *catalog.Quota, groupType string, now time.Time) (catalog.Limit, bool) {
	rule := e.Limit(q)
	limit := rule.For(groupType)
	if o, ok := app.Overrides[q.Key]; ok && o.InForce(now) {
		limit = o.Limit
	}
	return limit, rule.OnExceed == catalog.Bill
}

// window returns the quota's window at the planner's instant, and makes the
// transaction end with it.
func (p *planner) window(q *catalog.Quota) catalog.Window {
	return p.running(q.Kind)
}

// running returns the running window of a kind, which ends the transaction.
func (p *planner) running(k catalog.Kind) catalog.Window {
	w := p.catalog.DateAt(p.now).Window(k)
	p.endWith(w)
	return w
}

// endWith keeps the transaction from being applied once the window is over.
func (p *planner) endWith(w catalog.Window) {
	if !w.IsStock() && (p.txn.WindowEnd.IsZero() || w.End.Before(p.txn.WindowEnd)) {
		p.txn.WindowEnd = w.End
	}
}

// month returns the running month, which ends the transaction.
func (p *planner) month() int32 {
	p.running(catalog.KindMonth)
	return p.catalog.DateAt(p.now).MonthNumber
}

// day returns the running day, which ends the transaction.
func (p *planner) day() int32 {
	p.running(catalog.KindDay)
	return p.catalog.DateAt(p.now).DayNumber
}

// groupType finds a type of group by name or alias.
func (p *planner) groupType(name string) (*catalog.GroupType, error) {
	t, ok := p.catalog.GroupType(name)
	if !ok {
		return nil, &account.InvalidError{Field: "group_type", Description: unknown("group type", name, p.catalog.GroupTypeNames())}
	}
	return t, nil
}

// addMembers charges users who come into the group of the transaction.
func (p *planner) addMembers(t *catalog.GroupType, users []string, role string) {
	if len(users) == 0 {
		return
	}
	p.charge(p.builtin(catalog.JoinedGroups), Charge{Subjects: users, Delta: 1})
	if t.HasMembers {
		p.chargeIn(t.Key, role, p.builtin(catalog.GroupMembers), Charge{Members: true, Delta: int64(len(users))})
	}
}

// removeMembers gives back users of a group that may not exist any more.
func (p *planner) removeMembers(group string, users []string) error {
	p.release = true
	p.txn.Group = GroupStep{Op: GroupLeave, ID: group}
	var types []byte
	for _, t := range p.catalog.GroupTypes() {
		if t.HasMembers {
			types = append(types, t.Code)
		}
	}
	p.expect(2)
	p.charge(p.builtin(catalog.JoinedGroups), Charge{Subjects: users, Delta: -1})
	p.charge(p.builtin(catalog.GroupMembers), Charge{Members: true, Delta: -int64(len(users)), Types: string(types)})
	return nil
}

// direct charges a quota that callers may name.
func (p *planner) direct(key, subject string, delta int64) error {
	q, ok := p.catalog.Quota(key)
	if !ok {
		return &account.InvalidError{Field: "quota", Description: unknown("quota", key, p.catalog.QuotaNames())}
	}
	if !q.Direct {
		return &account.InvalidError{Field: "quota", Description: key + " is not a direct quota: actions count it"}
	}
	if err := checkSubject(q, subject); err != nil {
		return err
	}
	p.expect(1)
	c := Charge{Delta: delta}
	if q.Scope != catalog.ScopeApp {
		c.Subjects = []string{subject}
	}
	p.charge(q, c)
	return nil
}

// checkSubject holds a subject against the quota's scope.
func checkSubject(q *catalog.Quota, subject string) error {
	switch {
	case q.Scope == catalog.ScopeApp && subject != "":
		return &account.InvalidError{Field: "subject", Description: q.Key + " is counted for the app as a whole: leave the subject empty"}
	case q.Scope != catalog.ScopeApp && subject == "":
		return &account.InvalidError{Field: "subject", Description: q.Key + " is counted for each " + string(q.Scope) + ": name one"}
	case q.Scope == catalog.ScopeUser:
		return checkUserID(subject)
	}
	return nil
}

// checkUserID refuses a subject that is too long for a user.
func checkUserID(id string) error {
	if len(id) > MaxUserID {
		return &account.InvalidError{Field: "subject", Description: "a user id has at most " + strconv.Itoa(MaxUserID) + " bytes"}
	}
	return nil
}

// Lengths of ids, in bytes (FACTS §3).
const (
	MaxUserID  = 32
	MaxGroupID = 48
)

// readGroup has the store read a group, because a feature's conditions ask.
func (p *planner) readGroup(id string, t *catalog.GroupType, f *catalog.Feature) {
	p.txn.Group = GroupStep{Op: GroupRead, ID: id}
	if t != nil {
		p.txn.Group.Type = t.Code
	}
	p.sized = f
}

// deny adds a violation that needs no store.
func (p *planner) deny(r Reason, subject string, upstream int32, message string) {
	p.violations = append(p.violations, Violation{
		Reason: r, Subject: subject, UpstreamCode: upstream, Message: message,
	})
}

// isLocal reports whether the plan needs no store.
func (p *planner) isLocal() bool {
	return len(p.txn.Charges) == 0 && p.txn.Group.Op == GroupNone && p.txn.Users.Op == UsersNone
}

// isDenied reports whether plan or state deny the action.
func (p *planner) isDenied() bool { return len(p.violations) > 0 || p.stretch.denies(p.release) }

// suspend puts the state's violations before all others. It is called once.
func (p *planner) suspend() {
	if !p.stretch.denies(p.release) {
		return
	}
	vs := p.stretch.violations()
	if len(p.violations) > 0 {
		vs = append(vs, p.violations...)
	}
	p.violations = vs
}

// sortByReason puts violations into the order of their reasons. Those that are
// shared are in it.
func sortByReason(vs []Violation) {
	for i := 1; i < len(vs); i++ {
		if vs[i].Reason < vs[i-1].Reason {
			slices.SortStableFunc(vs, func(a, b Violation) int { return int(a.Reason) - int(b.Reason) })
			return
		}
	}
}

// unknown says that there is nothing of a name, and what there is.
func unknown(what, name, names string) string {
	b := append(append(make([]byte, 0, 512), "unknown "...), what...)
	b = strconv.AppendQuoteToASCII(append(b, ' '), name)
	return string(append(append(b, "; there are "...), names...))
}

func quote(s string) string { return strconv.QuoteToASCII(s) }
