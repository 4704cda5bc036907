package quota

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// UsageRow is a counter and its value, or a member of a distinct quota: what an
// import is made of, and an export.
type UsageRow struct {
	Quota   string
	Subject string
	// Used is what the counter is to be. Of a distinct quota, whose members are
	// what counts: 1, Subject is one; 0, it is none.
	Used     int64
	Observed *int64 // as of UsageSetting
	// GroupType is of the group whose members are counted. An import needs it of
	// a group that is not known yet.
	GroupType string
	// Window names the running window, such as 2024-06-15 or 2024-06. An import
	// that names another is out of date.
	Window string
}

// UsageImport is a part of what is known from elsewhere about an app's usage.
type UsageImport struct {
	App       uint32
	RequestID string
	Caller    string
	Rows      []UsageRow
	DryRun    bool
}

// RowChange is what became of a row of an import: what it changed, or would
// change, or why not. Of a member Before and After are 0 or 1.
type RowChange struct {
	Before, After int64
	Replayed      bool
	Err           error
}

// ImportUsage sets counters and members, each row by itself and in their order. A
// row's error is that row's alone. Repeated with the same request id, a row takes
// effect once, even if others did not the first time. Errors, with which some
// rows may have taken effect: as Usage.
func (e *Enforcer) ImportUsage(ctx context.Context, in UsageImport) ([]RowChange, error) {
	plans := make([]planFunc, len(in.Rows))
	for i := range plans {
		plans[i] = in.row(i)
	}
	all, err := e.applyEach(ctx, e.catalog.Load(), in.App, plans)
	if err != nil {
		return nil, err
	}
	changes := make([]RowChange, len(all))
	for i := range all {
		if changes[i].Err = all[i].err; all[i].err == nil {
			changes[i] = in.Rows[i].change(all[i].planner, &all[i].outcome)
		}
	}
	return changes, nil
}

// row plans a row.
func (in *UsageImport) row(i int) planFunc {
	row := &in.Rows[i]
	return func(p *planner) error {
		q, ok := p.catalog.Quota(row.Quota)
		if ok {
			if err := row.checkWindow(p, q); err != nil {
				return err
			}
		}
		if ok && q.Distinct {
			if !in.DryRun {
				p.txn.Mode = ModeForce // it may be repeated without an id
			}
			return row.planMember(p, q)
		}
		if ok && !q.Signed && (row.Used < 0 || row.Observed != nil && *row.Observed < 0) {
			return &account.InvalidError{Field: "used", Description: q.Key + " is never below zero"}
		}
		setting := UsageSetting{Quota: row.Quota, Subject: row.Subject, Used: row.Used, Observed: row.Observed, GroupType: row.GroupType}
		if !in.DryRun {
			p.txn.Mode = ModeForce
			if in.RequestID != "" {
				// No byte of a caller's own id is zero: the ids of rows are nobody else's.
				id := binary.AppendUvarint(append([]byte(in.RequestID), 0), uint64(i))
				p.txn.Request = newKey(in.Caller, string(id), setting.canonical(nil))
			}
		}
		return setting.plan(p)
	}
}

// checkWindow refuses a row that was measured in a window that is over.
func (r *UsageRow) checkWindow(p *planner, q *catalog.Quota) error {
	if r.Window == "" {
		return nil
	}
	running := windowText(p.window(q))
	switch {
	case running == "":
		return &account.InvalidError{Field: "window", Description: q.Key + " is not counted by the day or month: leave it empty"}
	case r.Window != running:
		return &account.InvalidError{Field: "window", Description: fmt.Sprintf("is %s; %s is counted in %s now", quote(r.Window), q.Key, running)}
	}
	return nil
}

// windowText names a window; empty: it never ends.
func windowText(w catalog.Window) string {
	switch w.Kind {
	case catalog.KindDay:
		return w.Start.Format(time.DateOnly)
	case catalog.KindMonth:
		return w.Start.Format("2006-01")
	case catalog.KindStock, catalog.KindStatic:
	}
	return ""
}

// planMember makes the subject a member of a distinct quota, or none.
func (r *UsageRow) planMember(p *planner, q *catalog.Quota) error {
	switch {
	case r.Observed != nil:
		return &account.InvalidError{Field: "observed", Description: "belongs to counters; the members of " + q.Key + " are what counts"}
	case r.GroupType != "":
		return &account.InvalidError{Field: "group_type", Description: "only " + catalog.GroupMembers + " are of a type of group; leave it empty for " + q.Key}
	case r.Subject == "":
		return &account.InvalidError{Field: "subject", Description: q.Key + " counts distinct users: name one in each row"}
	}
	if err := checkUserID(r.Subject); err != nil {
		return err
	}
	if r.Used != 0 && r.Used != 1 {
		return &account.InvalidError{Field: "used", Description: fmt.Sprintf("is %d; a user of %s has 1, and one who is none has 0", r.Used, q.Key)}
	}
	step := UserStep{IDs: []string{r.Subject}}
	switch {
	case q.Key == catalog.Users && r.Used == 1:
		step.Op = UsersRegister
		p.charge(q, Charge{Delta: 1, Basis: PerNewUser})
	case q.Key == catalog.Users:
		step.Op, step.Month = UsersDelete, p.month()
		p.charge(q, Charge{Delta: -1, Basis: PerGoneUser})
	case r.Used == 1:
		step.Op, step.Month = UsersActive, p.month()
		p.charge(q, Charge{Delta: 1, Basis: PerNewActive})
	default:
		return &account.InvalidError{Field: "used", Description: "is 0; a user who was active in the month is counted in it, whatever comes later"}
	}
	p.txn.Users = step
	return nil
}

// change is what became of a row.
func (r *UsageRow) change(p *planner, o *Outcome) RowChange {
	change := RowChange{Replayed: o.Replayed}
	found, c := &o.Charges[0], &p.txn.Charges[0]
	switch {
	case p.rows[0].quota.Distinct:
		change.Before, change.After = r.Used, r.Used
		if found.Delta != 0 {
			change.Before = 1 - r.Used
		}
	case len(found.Used) > 0:
		change.Before = found.Used[0]
		change.After = change.Before
		if !o.Replayed {
			change.After += added(c, change.Before, found.Delta)
		}
	case r.Used != 0 && !o.Group.Found && r.GroupType == "":
		change.Err = unknownGroup(r.Subject)
	}
	return change
}

func unknownGroup(id string) error {
	return &account.InvalidError{Field: "group_type", Description: "group " + quote(id) + " is not known yet: say its type"}
}
