package account_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"pgregory.net/rapid"
)

// clerk knows FACTS §6 and nothing else. Hour by hour he looks at the papers
// and writes down how the app stands.
type clerk struct {
	app   *account.App
	owner *account.Account
	zone  *time.Location
	kept  int // days

	edition   string
	ranOut    time.Time // the plan, and was not replaced
	returned  bool      // the plan, and was not replaced
	since     map[account.SuspensionReason]time.Time
	suspended time.Time
	clock     time.Time
	reclaimAt time.Time // when the clock runs
	reclaimed time.Time
}

// look writes down one hour.
func (c *clerk) look(now time.Time) account.State {
	s := account.State{}
	current := c.orders(now)
	inGrace := false
	holds := map[account.SuspensionReason]bool{account.Refunded: c.returned}
	if current == nil && !c.ranOut.IsZero() {
		inGrace = now.Sub(c.ranOut) < 24*time.Hour
		holds[account.Expired] = !inGrace
		if !c.returned {
			s.PlanEnd = c.ranOut
		}
	}
	if current != nil && current.Refunded.IsZero() {
		s.PlanEnd = c.planEnd(current)
	}
	for _, b := range c.owner.Bills {
		if !now.Before(c.app.Created) && now.Sub(b.Pushed) >= 24*time.Hour && (b.Paid.IsZero() || now.Before(b.Paid)) {
			holds[account.Overdue] = true
		}
	}
	for _, d := range c.app.Disabled {
		if !now.Before(d.From) && (d.Until.IsZero() || now.Before(d.Until)) {
			holds[account.Disabled] = true
		}
	}
	for _, r := range []account.SuspensionReason{account.Expired, account.Refunded, account.Overdue, account.Disabled} {
		if !holds[r] {
			delete(c.since, r)
			continue
		}
		if _, known := c.since[r]; !known {
			c.since[r] = now
		}
	}
	if len(c.since) == 0 {
		c.suspended = time.Time{}
	} else if c.suspended.IsZero() {
		c.suspended = now
	}
	if !holds[account.Expired] && !holds[account.Refunded] && !holds[account.Overdue] {
		c.clock = time.Time{}
	} else if c.clock.IsZero() {
		c.clock, c.reclaimAt = now, c.reclaim(now)
	}
	if c.reclaimed.IsZero() && !c.clock.IsZero() && !now.Before(c.reclaimAt) {
		c.reclaimed = now
	}
	s.Edition = c.edition
	switch {
	case current != nil:
		s.Plan = account.PlanInForce
	case c.returned:
		s.Plan = account.PlanReturned
	case holds[account.Expired]:
		s.Plan = account.PlanEnded
	case inGrace:
		s.Plan = account.PlanInGrace
	}
	switch {
	case !c.app.Deleted.IsZero() && !now.Before(c.app.Deleted):
		return account.State{Stage: account.Deleted, Edition: c.edition, Plan: s.Plan, Since: c.app.Deleted}
	case !c.reclaimed.IsZero():
		return account.State{Stage: account.Reclaimed, Edition: c.edition, Plan: s.Plan, Since: c.reclaimed}
	case len(c.since) > 0:
		s.Stage, s.Since, s.ReclaimAt = account.Suspended, c.suspended, time.Time{}
		if !c.clock.IsZero() {
			s.ReclaimAt = c.reclaimAt
		}
		for r, since := range c.since {
			s.Suspensions = append(s.Suspensions, account.Suspension{Reason: r, Since: since})
		}
	case inGrace:
		s.Stage, s.GraceUntil = account.Grace, c.ranOut.Add(24*time.Hour)
	}
	return s
}

// orders looks at each order in turn, and returns the one in force.
func (c *clerk) orders(now time.Time) (current *account.Order) {
	for i := range c.app.Orders {
		o := &c.app.Orders[i]
		wasReturned := !o.Refunded.IsZero() && !now.Before(o.Refunded)
		if !now.Before(o.Start) && now.Before(o.End) && !wasReturned {
			current = o
		}
	}
	if current != nil {
		c.edition, c.ranOut, c.returned = current.Edition, time.Time{}, false
		for _, u := range current.Upgrades {
			if !now.Before(u.At) {
				c.edition = u.Edition
			}
		}
		return current
	}
	for i := range c.app.Orders {
		o := &c.app.Orders[i]
		switch {
		case o.Refunded.Equal(now):
			c.returned = true
		case o.Refunded.IsZero() && o.End.Equal(now):
			c.ranOut = now
		}
	}
	return nil
}

// planEnd goes from order to order.
func (c *clerk) planEnd(o *account.Order) time.Time {
	end := o.End
	for again := true; again; {
		again = false
		for _, next := range c.app.Orders {
			if next.Refunded.IsZero() && next.Start.Equal(end) {
				end, again = next.End, true
			}
		}
	}
	return end
}

// reclaim counts days on the calendar, the day of the suspension being the
// first, and then waits for the day after the last to begin.
func (c *clerk) reclaim(first time.Time) time.Time {
	y, m, d := first.In(c.zone).Date()
	day := time.Date(y, m, d+c.kept, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	at := first
	for at.In(c.zone).Format(time.DateOnly) < day {
		at = at.Add(time.Hour)
	}
	return at
}

// oracleHours is for how long the clerk looks: about a year and a half.
const oracleHours = 13_000

// papers are a random app's and its account's, with everything on the hour.
type papers struct {
	app   *account.App
	owner *account.Account
	begin time.Time
}

func (p *papers) hour(h int) time.Time { return p.begin.Add(time.Duration(h) * time.Hour) }

func drawPapers(t *rapid.T) papers {
	p := papers{
		app: &account.App{ID: 7, Account: "acme", Edition: "developer"}, owner: &account.Account{ID: "acme"},
		begin: time.Date(2018, 10, 1, 0, 0, 0, 0, time.UTC),
	}
	p.app.Created = p.hour(rapid.SampledFrom([]int{0, 0, 1500}).Draw(t, "created"))
	gaps := rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 50), rapid.IntRange(1, 3000))
	free := 0 // from then on there is no order
	for i := range rapid.IntRange(0, 6).Draw(t, "orders") {
		start := free + gaps.Draw(t, "gap")
		end := start + rapid.OneOf(rapid.IntRange(1, 48), rapid.IntRange(1, 1500)).Draw(t, "length")
		o := account.Order{ID: string(rune('a' + i)), Edition: rapid.SampledFrom([]string{"standard", "premium"}).Draw(t, "edition"), Start: p.hour(start), End: p.hour(end), Months: 1}
		free = end
		switch rapid.IntRange(0, 4).Draw(t, "fate") {
		case 0: // returned in force
			free = rapid.IntRange(start, end-1).Draw(t, "returned")
			o.Refunded = p.hour(free)
		case 1: // returned before it begins
			free = rapid.IntRange(0, start).Draw(t, "returned early")
			o.Refunded = p.hour(free)
			free = max(free, lastEnd(&p))
		}
		until := end
		if !o.Refunded.IsZero() {
			until = free
		}
		for at := 0; at < until && rapid.IntRange(0, 2).Draw(t, "upgraded") == 0; {
			at = rapid.IntRange(at, until-1).Draw(t, "upgraded at")
			o.Upgrades = append(o.Upgrades, account.Upgrade{At: p.hour(at), Edition: rapid.SampledFrom([]string{"premium", "gold"}).Draw(t, "upgrade")})
		}
		p.app.Orders = append(p.app.Orders, o)
	}
	if err := account.SortOrders(p.app.Orders); err != nil {
		t.Fatal(err)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "bills") {
		pushed := rapid.IntRange(0, 8000).Draw(t, "pushed")
		b := account.Bill{ID: string(rune('a' + i)), Pushed: p.hour(pushed)}
		if rapid.IntRange(0, 3).Draw(t, "open") > 0 {
			b.Paid = p.hour(pushed + rapid.IntRange(0, 3000).Draw(t, "paid"))
		}
		p.owner.Bills = append(p.owner.Bills, b)
	}
	free = 0
	for range rapid.IntRange(0, 4).Draw(t, "spells") {
		from := free + rapid.IntRange(0, 3000).Draw(t, "enabled for")
		free = from + rapid.IntRange(0, 3000).Draw(t, "disabled for")
		p.app.Disabled = append(p.app.Disabled, account.Spell{From: p.hour(from), Until: p.hour(free)})
	}
	if n := len(p.app.Disabled); n > 0 && rapid.Bool().Draw(t, "still disabled") {
		p.app.Disabled[n-1].Until = time.Time{}
	}
	if rapid.IntRange(0, 5).Draw(t, "deleted at all") == 0 {
		p.app.Deleted = p.hour(rapid.IntRange(0, oracleHours).Draw(t, "deleted"))
	}
	return p
}

// lastEnd is the hour at which the last order that was in force ended.
func lastEnd(p *papers) (hour int) {
	for _, o := range p.app.Orders {
		end := o.End
		if !o.Refunded.IsZero() {
			end = o.Refunded
		}
		if end.After(o.Start) {
			hour = max(hour, int(end.Sub(p.begin).Hours()))
		}
	}
	return hour
}

// drawPlace draws a zone, and for how long data is kept.
func drawPlace(t *rapid.T, places []place) (*catalog.Snapshot, *clerk) {
	cat := rapid.SampledFrom(places).Draw(t, "place").cat
	return cat, &clerk{zone: cat.Zone(), kept: cat.Account().KeptDays, edition: "developer", since: make(map[account.SuspensionReason]time.Time)}
}

func somePlaces(t *testing.T) []place {
	var places []place
	for _, zone := range []string{"+08:00", "America/New_York", "America/Sao_Paulo", "-11:00"} {
		for _, kept := range []string{"kept_days: 90", "kept_days: 3"} {
			places = append(places, in(t, `"+08:00"`, `"`+zone+`"`, "kept_days: 90", kept))
		}
	}
	return places
}

func TestLifecycle_AsTheClerkSays(t *testing.T) {
	t.Parallel()
	places := somePlaces(t)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPapers(t)
		cat, c := drawPlace(t, places)
		c.app, c.owner = p.app, p.owner
		states := p.app.Lifecycle(p.owner, cat)
		for h := range oracleHours {
			now := p.hour(h)
			want, got := c.look(now), *states.At(now)
			from, until := got.From, got.Until
			got.From, got.Until = time.Time{}, time.Time{}
			if !sameState(&want, &got) {
				t.Fatalf("at %v (-want +got):\n%s", now.In(cat.Zone()), cmp.Diff(want, got))
			}
			if now.Before(from) || !until.IsZero() && !now.Before(until) {
				t.Fatalf("the state at %v is one from %v until %v", now, from, until)
			}
		}
	})
}

// sameState compares states, but for when they hold and the sequence of reasons
// that began together.
func sameState(a, b *account.State) bool {
	if a.Stage != b.Stage || a.Edition != b.Edition || a.Plan != b.Plan || len(a.Suspensions) != len(b.Suspensions) ||
		!a.PlanEnd.Equal(b.PlanEnd) || !a.GraceUntil.Equal(b.GraceUntil) || !a.Since.Equal(b.Since) || !a.ReclaimAt.Equal(b.ReclaimAt) {
		return false
	}
	since := make(map[account.SuspensionReason]time.Time)
	for _, s := range a.Suspensions {
		since[s.Reason] = s.Since
	}
	for _, s := range b.Suspensions {
		if at, ok := since[s.Reason]; !ok || !at.Equal(s.Since) {
			return false
		}
	}
	return true
}

// The states of an app follow each other from the beginning to the end of time,
// each holds from its first instant to its last, and their reasons stand in the
// sequence of their beginnings.
func TestLifecycle_HasNoGaps(t *testing.T) {
	t.Parallel()
	places := somePlaces(t)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPapers(t)
		cat, _ := drawPlace(t, places)
		states := p.app.Lifecycle(p.owner, cat)
		var end time.Time
		for i := range states {
			s := &states[i]
			if !s.From.Equal(end) {
				t.Fatalf("state %d is from %v, the one before until %v", i, s.From, end)
			}
			end = s.Until
			if end.IsZero() != (i == len(states)-1) || !end.IsZero() && !s.From.Before(end) {
				t.Fatalf("state %d of %d: from %v until %v", i, len(states), s.From, end)
			}
			if states.At(s.From) != s || !end.IsZero() && states.At(end.Add(-1)) != s {
				t.Fatalf("state %d is not the one at its beginning and before its end", i)
			}
			for k := 1; k < len(s.Suspensions); k++ {
				if s.Suspensions[k].Since.Before(s.Suspensions[k-1].Since) {
					t.Fatalf("state %d: reasons %+v", i, s.Suspensions)
				}
			}
			if i > 0 && states[i-1].Stage > s.Stage && states[i-1].IsGone() {
				t.Fatalf("state %d is %s after %s", i, stages[s.Stage], stages[states[i-1].Stage])
			}
		}
	})
}
