package account

import (
	"cmp"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// Account is the record of one account: what it owes. A record that a Registry
// or a cache handed out is shared and must not be changed; Clone it first.
type Account struct {
	ID    string `json:"id"`
	Bills []Bill `json:"bills,omitempty"` // by push, then id
	// Changes remembers the newest requests that changed the record.
	Changes []Change `json:"changes,omitempty"`
	// Changed is when the record was changed last, by the clock of who did.
	Changed time.Time `json:"changed,omitzero"`

	// Version is set by the Registry; zero while there is no record, as of an
	// account that was never billed.
	Version Version `json:"-"`
	// Apps is how many places are taken and Deleted how many apps were deleted.
	// The Registry sets both.
	Apps    int `json:"-"`
	Deleted int `json:"-"`
}

// Bill is what an account owes for a month.
type Bill struct {
	ID     string          `json:"id"`
	Month  string          `json:"month,omitempty"` // such as 2024-06
	Amount decimal.Decimal `json:"amount"`
	Pushed time.Time       `json:"pushed"`
	Paid   time.Time       `json:"paid,omitzero"` // zero: it is open
	// Who recorded the bill and its payment, as far as it was said.
	RecordedBy string `json:"recordedBy,omitempty"`
	PaidBy     string `json:"paidBy,omitempty"`
}

// IsOpen reports whether the bill is not paid.
func (b *Bill) IsOpen() bool { return b.Paid.IsZero() }

// OverdueFrom is the first instant at which the bill suspends the account's
// apps, unless it is paid before.
func (b *Bill) OverdueFrom(rules catalog.AccountRules) time.Time {
	return b.Pushed.Add(rules.OverdueAfter)
}

// Exists reports whether there is such an account at all.
func (a *Account) Exists() bool { return a.Version.Revision > 0 || a.Apps > 0 || a.Deleted > 0 }

// CheckOwner says that the store has lost an app's account, if that is so: one
// that has an app holds a place for it, or remembers that it was deleted. What
// it owes is not known then.
func CheckOwner(app *App, owner *Account) error {
	if owner.Exists() {
		return nil
	}
	return ForApp(app.ID, &Fault{Reason: UsageUnknown, Detail: "the store lost the account " + app.Account + ", and with it what it owes"})
}

// Latest returns the later of an instant and of the last changes of an app and
// its account. Who made those may have had a clock that is ahead: what was
// changed holds from the change on by every clock.
func Latest(now time.Time, app *App, owner *Account) time.Time {
	return later(later(now, app.Changed), owner.Changed)
}

// Clone returns a copy that may be changed.
func (a *Account) Clone() *Account {
	c := *a
	c.Bills = slices.Clone(a.Bills)
	c.Changes = slices.Clone(a.Changes)
	return &c
}

// Bill finds a bill by its id.
func (a *Account) Bill(id string) *Bill {
	for i := range a.Bills {
		if a.Bills[i].ID == id {
			return &a.Bills[i]
		}
	}
	return nil
}

// OverdueSince returns since when bills have been overdue without a gap; zero:
// none is. As with Latest, what was changed holds from the change on.
func (a *Account) OverdueSince(now time.Time, rules catalog.AccountRules) time.Time {
	if a == nil {
		return time.Time{}
	}
	s, _ := spanAt(a.overdue(rules), later(now, a.Changed))
	return s.from
}

// overdue returns when bills were or will be overdue, if none is paid any more.
func (a *Account) overdue(rules catalog.AccountRules) []span {
	if a == nil {
		return nil
	}
	var spans []span
	for i := range a.Bills {
		b := &a.Bills[i]
		if s := (span{b.OverdueFrom(rules), b.Paid}); !s.isEmpty() {
			spans = append(spans, s)
		}
	}
	return merge(spans)
}

// sortBills puts bills in the sequence in which they were pushed.
func sortBills(bills []Bill) {
	slices.SortFunc(bills, func(a, b Bill) int {
		return cmp.Or(a.Pushed.Compare(b.Pushed), cmp.Compare(a.ID, b.ID))
	})
}

// span is a stretch of time, half-open; a zero until: for ever.
type span struct{ from, until time.Time }

func (s span) isEmpty() bool { return !s.until.IsZero() && !s.from.Before(s.until) }

func (s span) holds(at time.Time) bool {
	return !at.Before(s.from) && (s.until.IsZero() || at.Before(s.until))
}

// merge joins spans that overlap or touch, and sorts them.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var merged []span
	for _, s := range spans {
		n := len(merged)
		switch {
		case n == 0 || !merged[n-1].until.IsZero() && merged[n-1].until.Before(s.from):
			merged = append(merged, s)
		case s.until.IsZero() || !merged[n-1].until.IsZero() && merged[n-1].until.Before(s.until):
			merged[n-1].until = s.until
		}
	}
	return merged
}

// since leaves out of spans, which are sorted, what was before an instant.
func since(spans []span, from time.Time) []span {
	var left []span
	for _, s := range spans {
		if s.from.Before(from) {
			s.from = from
		}
		if !s.isEmpty() {
			left = append(left, s)
		}
	}
	return left
}

// spanAt finds the span that holds an instant.
func spanAt(spans []span, at time.Time) (span, bool) {
	for _, s := range spans {
		if s.holds(at) {
			return s, true
		}
	}
	return span{}, false
}
