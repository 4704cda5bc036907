package quota

import (
	"sync/atomic"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Decision is the answer to a request. A denial is a decision, not an error. It may
// be the answer to many requests at once, and must not be changed.
type Decision struct {
	Allowed bool
	// Violations are the reasons of a denial, the primary one first; at most
	// MaxViolations of the ViolationCount there are.
	Violations     []Violation
	ViolationCount int
	// Upgrade is the cheapest edition within reach that would allow exactly
	// this request; nil when none would.
	Upgrade  *catalog.Edition
	Currency string // of Upgrade's price
	Source   Source
	Replayed bool // the request took effect before; nothing was counted now
	Clamped  bool // a release found less than it gave back
	// Reservation is what the decision made, committed or cancelled; nil: none.
	Reservation *Reservation
	Late        bool // a commit after the hold had ended, and so judged anew
	Durability  Durability

	// The rest is left out of a Basic request's decision.

	// Quotas are the counters touched, after the request; of counters per user
	// only the tightest.
	Quotas         []State
	Edition        string
	Lifecycle      *account.State // of an app in service nothing but that; nil: there never was such an app
	CatalogVersion string

	shared *shared // nil: it is one request's alone
}

// shared is what many requests have in common that get the same decision.
type shared struct{ form atomic.Pointer[any] }

// IsShared reports whether many requests may get the decision.
func (d *Decision) IsShared() bool { return d.shared != nil }

// Form returns what make makes of the decision. Where many requests get the same
// decision, and so must not change it, it is made once for all of them.
func (d *Decision) Form(makeForm func(*Decision) any) any {
	if d.shared == nil {
		return makeForm(d)
	}
	if form := d.shared.form.Load(); form != nil {
		return *form
	}
	form := makeForm(d)
	d.shared.form.Store(&form)
	return form
}

// MaxViolations bounds Decision.Violations.
const MaxViolations = 20

// Source says where a decision was made.
type Source uint8

// The sources.
const (
	SourceStore Source = iota + 1
	SourceCache
	SourceDegraded // as SourceCache, by records that may be out of date: the store is away
)

// Reason says why a request is denied. Lower reasons take precedence.
type Reason uint8

// The reasons, in the order of their precedence (FACTS §4).
const (
	AppNotFound Reason = iota + 1
	AppSuspended
	FeatureNotInEdition
	ApprovalMissing
	ApprovalPending
	RegionExcluded
	PlatformUnsupported
	SDKTooOld
	GroupTypeUnsupported
	GroupTooLarge
	TrialNotStarted
	TrialEnded
	OperationNotAllowed
	LimitExceeded
)

// Violation is one reason of a denial.
type Violation struct {
	Reason       Reason
	Quota        string
	Feature      string
	Subject      string // user or group id; empty for the app
	Limit        int64  // LimitExceeded, GroupTooLarge: inclusive
	Used         int64  // before the request
	Held         int64  // by reservations: it counts as used
	Requested    int64  // what the request would have added
	UpstreamCode int32  // zero: the vendor's servers have no code for this
	Since        time.Time
	Suspensions  []account.Suspension // AppSuspended: every reason
	Message      string
}

// State is one counter and its limit.
type State struct {
	Quota   string
	Subject string
	Limit   catalog.Limit
	Used    int64
	Held    int64     // by reservations, after the request
	Billed  bool      // usage beyond the limit is allowed and billed
	Reset   time.Time // when the window ends; zero for a stock
	Change  int64     // what the request changed, or would change
}

// Overage returns the usage that is billed.
func (s *State) Overage() int64 {
	if !s.Billed {
		return 0
	}
	return s.Limit.Overage(s.Used)
}
