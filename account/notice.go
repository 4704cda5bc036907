package account

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/imquota/imquota/catalog"
)

// Notice is something that the owner of an app is to be told once, or the
// biller is to do. It is derived from records; whenever it is, it is the same and
// has the same ID.
type Notice struct {
	ID      string
	Kind    NoticeKind
	Account string
	App     uint32    // zero: it is about the account
	At      time.Time // since when it is due to be told
	Due     time.Time // when what it is about happens
	Months  int       // RenewalDue
	Bill    *Bill     // BillOpen
	Message string
}

// NoticeKind says what a notice is about.
type NoticeKind uint8

// The kinds (FACTS §6).
const (
	PlanExpires NoticeKind = iota // within days, or today: one a local day
	PlanExpired                   // yesterday: one a local day
	RenewalDue                    // of a plan that renews automatically: one an end
	BillOpen                      // one a local day
	ReclaimSoon                   // one for each of some days before
)

// AppNotices derives the notices about an app.
func AppNotices(app *App, owner *Account, cat *catalog.Snapshot, at time.Time) []Notice {
	state := app.StateAt(at, owner, cat)
	if state.IsGone() {
		return nil
	}
	cat = app.RulesIn(cat)
	b := &noticeBuilder{app: app, state: state, cat: cat, rules: cat.Account().Notices, at: at, today: catalog.Day(at, cat.Zone())}
	if !state.PlanEnd.IsZero() {
		b.expiry()
		b.renewal()
	}
	if !state.ReclaimAt.IsZero() {
		b.reclaim()
	}
	return b.notices
}

// noticeBuilder derives the notices about an app.
type noticeBuilder struct {
	app     *App
	state   *State
	cat     *catalog.Snapshot
	rules   catalog.NoticeRules
	at      time.Time
	today   int32
	notices []Notice
}

// add adds a notice that is due from the beginning of a day.
func (b *noticeBuilder) add(n Notice, day int32) {
	n.Account, n.App, n.At = b.app.Account, b.app.ID, catalog.DayStart(day, b.cat.Zone())
	b.notices = append(b.notices, n)
}

func (b *noticeBuilder) local(t time.Time) string { return t.In(b.cat.Zone()).Format(time.RFC3339) }

// expiry tells that the plan ends, on some days before and after.
func (b *noticeBuilder) expiry() {
	end := b.state.PlanEnd
	past := int(b.today - catalog.Day(end, b.cat.Zone()))
	if past < -b.rules.ExpiryDaysBefore || past > b.rules.ExpiryDaysAfter {
		return
	}
	n := Notice{ID: fmt.Sprintf("plan/%d/%d/%d", b.app.ID, end.Unix(), past), Kind: PlanExpires, Due: end}
	verb := "ends"
	if past > 0 {
		n.Kind, verb = PlanExpired, "ended"
	}
	n.Message = fmt.Sprintf("the %s plan of app %d %s at %s; without a renewal the app is suspended at %s",
		chainAt(b.app.Orders, b.at).edition, b.app.ID, verb, b.local(end), b.local(end.Add(b.cat.Account().Grace)))
	b.add(n, b.today)
}

// renewal tells the biller that it is to renew the plan, until that is too late.
func (b *noticeBuilder) renewal() {
	end := b.state.PlanEnd
	from := catalog.Day(end, b.cat.Zone()) - int32(b.rules.RenewalDaysBefore)
	if b.app.Renewal.Mode != RenewAutomatically || b.today < from || !b.at.Before(end.Add(b.cat.Account().Grace)) {
		return
	}
	months, plan := b.app.Renewal.Months, chainAt(b.app.Orders, b.at)
	b.add(Notice{
		ID: fmt.Sprintf("renewal/%d/%d", b.app.ID, end.Unix()), Kind: RenewalDue, Due: end, Months: months,
		Message: fmt.Sprintf("the %s plan of app %d is to be renewed automatically: %d month(s) from %s to %s",
			plan.edition, b.app.ID, months, b.local(end), b.local(plan.after(months, b.cat.Zone()))),
	}, from)
}

// reclaim warns that data is about to go: the last of the warnings that are due.
func (b *noticeBuilder) reclaim() {
	last := catalog.Day(b.state.ReclaimAt, b.cat.Zone())
	left := int(last - b.today)
	warning := -1
	for _, days := range b.rules.ReclaimDaysBefore {
		if left <= days {
			warning = days
		}
	}
	if warning < 0 {
		return
	}
	b.add(Notice{
		ID: fmt.Sprintf("reclaim/%d/%d/%d", b.app.ID, b.state.ReclaimAt.Unix(), warning), Kind: ReclaimSoon, Due: b.state.ReclaimAt,
		Message: fmt.Sprintf("app %d is suspended: its data is reclaimed at %s, and cannot be recovered then",
			b.app.ID, b.local(b.state.ReclaimAt)),
	}, last-int32(warning))
}

// BillNotices derives the notices about an account: its open bills.
func BillNotices(owner *Account, cat *catalog.Snapshot, at time.Time) []Notice {
	var notices []Notice
	today := catalog.Day(at, cat.Zone())
	for i := range owner.Bills {
		b := &owner.Bills[i]
		age := int(today - catalog.Day(b.Pushed, cat.Zone()))
		if !b.IsOpen() || b.Pushed.After(at) || age >= cat.Account().Notices.BillDays {
			continue
		}
		overdue := b.OverdueFrom(cat.Account())
		notices = append(notices, Notice{
			ID: fmt.Sprintf("bill/%s/%s/%d", owner.ID, b.ID, age), Kind: BillOpen, Account: owner.ID,
			At: later(catalog.DayStart(today, cat.Zone()), b.Pushed), Due: overdue, Bill: b,
			Message: fmt.Sprintf("bill %s of account %s is not paid: all apps of the account are suspended from %s on until it is",
				b.ID, owner.ID, overdue.In(cat.Zone()).Format(time.RFC3339)),
		})
	}
	return notices
}

// NoticeQuery says for whom notices are derived: an app, an account or, with
// neither, all of them, a page at a time.
type NoticeQuery struct {
	App     uint32
	Account string
	At      time.Time // zero: now
	Cursor  string    // of the page before
}

// noticePage is about how many apps a page of notices is about.
const noticePage = 100

// Notices lists notices. next is the cursor of the next page; empty after the
// last. Where all are listed, records that cannot be read are left out, and what
// is about an account may be on more than one page.
func (s *Accounts) Notices(ctx context.Context, q NoticeQuery) (notices []Notice, next string, err error) {
	if q.At.IsZero() {
		q.At = s.Now()
	}
	apps, owners, next, err := s.about(ctx, q)
	if err != nil {
		return nil, "", err
	}
	if q.App == 0 {
		for _, owner := range owners {
			notices = append(notices, BillNotices(owner, s.Catalog(), q.At)...)
		}
	}
	for _, app := range apps {
		if owner := owners[app.Account]; owner != nil {
			notices = append(notices, AppNotices(app, owner, s.Catalog(), q.At)...)
		}
	}
	slices.SortFunc(notices, func(a, b Notice) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
	})
	return notices, next, nil
}

// about reads whom notices are about.
func (s *Accounts) about(ctx context.Context, q NoticeQuery) (apps []*App, owners map[string]*Account, next string, err error) {
	switch {
	case q.App != 0:
		app, err := s.Registry.App(ctx, q.App)
		if err != nil {
			return nil, nil, "", ForApp(q.App, err)
		}
		owner, err := OwnerOf(ctx, s.Registry, app)
		return []*App{app}, map[string]*Account{app.Account: owner}, "", err
	case q.Account != "":
		owner, err := s.Account(ctx, q.Account)
		if err == nil {
			apps, err = s.listed(ctx, q.Account)
		}
		return apps, map[string]*Account{q.Account: owner}, "", err
	}
	page, err := s.Registry.Walk(ctx, q.Cursor, noticePage)
	if err != nil {
		return nil, nil, "", err
	}
	if apps, err = Readable(ctx, s.Registry, page.Apps); err != nil {
		return nil, nil, "", err
	}
	owners, err = Owners(ctx, s.Registry, apps)
	return apps, owners, page.Next, err
}

// listed reads the apps of an account. What cannot be read has no notices.
func (s *Accounts) listed(ctx context.Context, name string) (apps []*App, err error) {
	loaded, err := s.Registry.Apps(ctx, name, 0, math.MaxInt32, false)
	for _, l := range loaded {
		if l.Err == nil {
			apps = append(apps, l.App)
		}
	}
	return apps, err
}
