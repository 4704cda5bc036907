package catalog

// Scope says whose usage a quota counts.
type Scope string

// The scopes.
const (
	ScopeApp   Scope = "app"
	ScopeUser  Scope = "user"
	ScopeGroup Scope = "group"
)

// Kind says how long a count lasts.
type Kind string

// The kinds.
const (
	KindStock  Kind = "stock"  // what exists now
	KindDay    Kind = "day"    // counted in a local calendar day
	KindMonth  Kind = "month"  // counted in a local calendar month
	KindStatic Kind = "static" // a value of the plan that nothing counts
)

// The quotas that actions charge by name (FACTS §1). A catalog must define
// them, with the scope and kind that the actions rely on; it may define more.
const (
	Users        = "users"         // app, stock, distinct
	FreeMAU      = "free_mau"      // app, month, distinct
	Friends      = "friends"       // user, stock
	JoinedGroups = "joined_groups" // user, stock
	GroupMembers = "group_members" // group, stock
)

// Roles that a quota's upstream code may differ by (FACTS §4).
const (
	RolePeer   = "peer"   // the other side of a friendship
	RoleCreate = "create" // the initial members of a group
)

// Quota is one row of the plan comparison: what is counted, for whom and how
// long. Its limits stand in the editions.
type Quota struct {
	Key      string
	Title    string
	Scope    Scope
	Kind     Kind
	Distinct bool // counts members of a set: a bare number cannot be set
	Signed   bool // may fall below zero
	Direct   bool // use_quota and return_quota may name it
	Index    int  // position in the catalog: the order in which violations are reported

	codes map[string]int32 // by role; "" for all others
}

// IsMonthly reports whether it is counted by the month for an app as a whole: bills
// are made from those.
func (q *Quota) IsMonthly() bool { return q.Scope == ScopeApp && q.Kind == KindMonth }

// UpstreamCode returns the code that the vendor's servers answer when the
// quota's limit denies an action in the given role; zero for none.
func (q *Quota) UpstreamCode(role string) int32 {
	if code, ok := q.codes[role]; ok {
		return code
	}
	return q.codes[""]
}
