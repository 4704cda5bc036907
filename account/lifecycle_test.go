package account_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
)

var (
	stages  = []string{"active", "grace", "suspended", "reclaimed", "deleted"}
	reasons = []string{"expired", "refunded", "overdue", "disabled"}
)

// show writes a state in one line, but for how long it holds.
func (p place) show(s *account.State) string {
	var b strings.Builder
	b.WriteString(stages[s.Stage] + " " + s.Edition)
	if !s.PlanEnd.IsZero() {
		b.WriteString(" to " + p.text(s.PlanEnd))
	}
	if !s.GraceUntil.IsZero() {
		b.WriteString(", until " + p.text(s.GraceUntil))
	}
	for _, r := range s.Suspensions {
		fmt.Fprintf(&b, ", %s %s", reasons[r.Reason], p.text(r.Since))
	}
	if !s.Since.IsZero() {
		b.WriteString(", since " + p.text(s.Since))
	}
	if !s.ReclaimAt.IsZero() {
		b.WriteString(", gone " + p.text(s.ReclaimAt))
	}
	return b.String()
}

// life is how an app stands from instants on: pairs of them and states.
type life []string

// wantLife checks every state of an app a second before, at and after its
// beginning, and that there are no others.
func (p place) wantLife(app *account.App, owner *account.Account, want life) {
	p.Helper()
	if app.Edition == "" {
		app.Edition = "developer"
	}
	var got life
	for _, s := range app.Lifecycle(owner, p.cat) {
		from := ""
		if !s.From.IsZero() {
			from = p.text(s.From)
		}
		if shown := p.show(&s); len(got) == 0 || got[len(got)-1] != shown {
			got = append(got, from, shown)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.Errorf("states (-want +got):\n%s", diff)
		return
	}
	for i := 2; i < len(want); i += 2 {
		at := p.at(want[i])
		for _, edge := range []struct {
			at   time.Time
			want string
		}{
			{at.Add(-time.Second), want[i-1]},
			{at.Add(-1), want[i-1]},
			{at, want[i+1]},
			{at.Add(time.Second), want[i+1]},
		} {
			if got := p.show(app.StateAt(edge.at, owner, p.cat)); got != edge.want {
				p.Errorf("at %v:\n got %s\nwant %s", edge.at, got, edge.want)
			}
		}
	}
}

func TestLifecycle_Orders(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	for _, tt := range []struct {
		name   string
		orders []account.Order
		want   life
	}{
		{"none: it never expires", nil, life{"", "active developer"}},
		{"one", []account.Order{p.order("standard", "2024-06-01", "2024-07-01")}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
		{"to the second", []account.Order{p.order("standard", "2024-06-01 12:34:56", "2024-07-01 12:34:56")}, life{
			"", "active developer",
			"2024-06-01 12:34:56", "active standard to 2024-07-01 12:34:56",
			"2024-07-01 12:34:56", "grace standard to 2024-07-01 12:34:56, until 2024-07-02 12:34:56",
			"2024-07-02 12:34:56", "suspended standard to 2024-07-01 12:34:56, expired 2024-07-02 12:34:56, since 2024-07-02 12:34:56, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
		{"expired on the last second of a leap day", []account.Order{p.order("standard", "2024-01-29", "2024-02-28 23:59:59")}, life{
			"", "active developer",
			"2024-01-29", "active standard to 2024-02-28 23:59:59",
			"2024-02-28 23:59:59", "grace standard to 2024-02-28 23:59:59, until 2024-02-29 23:59:59",
			"2024-02-29 23:59:59", "suspended standard to 2024-02-28 23:59:59, expired 2024-02-29 23:59:59, since 2024-02-29 23:59:59, gone 2024-05-29",
			"2024-05-29", "reclaimed standard, since 2024-05-29",
		}},
		{"expired at the first second of the day after", []account.Order{p.order("standard", "2024-01-29", "2024-02-29")}, life{
			"", "active developer",
			"2024-01-29", "active standard to 2024-02-29",
			"2024-02-29", "grace standard to 2024-02-29, until 2024-03-01",
			"2024-03-01", "suspended standard to 2024-02-29, expired 2024-03-01, since 2024-03-01, gone 2024-05-30",
			"2024-05-30", "reclaimed standard, since 2024-05-30",
		}},
		{"expired at the end of a year", []account.Order{p.order("premium", "2022-12-01", "2022-12-31")}, life{
			"", "active developer",
			"2022-12-01", "active premium to 2022-12-31",
			"2022-12-31", "grace premium to 2022-12-31, until 2023-01-01",
			"2023-01-01", "suspended premium to 2022-12-31, expired 2023-01-01, since 2023-01-01, gone 2023-04-01",
			"2023-04-01", "reclaimed premium, since 2023-04-01",
		}},
		{"that follow each other", []account.Order{
			p.order("standard", "2024-01-31", "2024-02-29"), p.order("standard", "2024-02-29", "2024-03-31"),
		}, life{
			"", "active developer",
			"2024-01-31", "active standard to 2024-03-31",
			"2024-03-31", "grace standard to 2024-03-31, until 2024-04-01",
			"2024-04-01", "suspended standard to 2024-03-31, expired 2024-04-01, since 2024-04-01, gone 2024-06-30",
			"2024-06-30", "reclaimed standard, since 2024-06-30",
		}},
		{"of several editions", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.order("premium", "2024-07-01", "2024-08-01"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-08-01",
			"2024-07-01", "active premium to 2024-08-01",
			"2024-08-01", "grace premium to 2024-08-01, until 2024-08-02",
			"2024-08-02", "suspended premium to 2024-08-01, expired 2024-08-02, since 2024-08-02, gone 2024-10-31",
			"2024-10-31", "reclaimed premium, since 2024-10-31",
		}},
		{"one that cures within the grace", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.order("premium", "2024-07-01 23:59:59", "2030-01-01"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-01 23:59:59", "active premium to 2030-01-01",
			"2030-01-01", "grace premium to 2030-01-01, until 2030-01-02",
			"2030-01-02", "suspended premium to 2030-01-01, expired 2030-01-02, since 2030-01-02, gone 2030-04-02",
			"2030-04-02", "reclaimed premium, since 2030-04-02",
		}},
		{"one that cures as the grace ends", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.order("standard", "2024-07-02", "2024-08-02"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "active standard to 2024-08-02",
			"2024-08-02", "grace standard to 2024-08-02, until 2024-08-03",
			"2024-08-03", "suspended standard to 2024-08-02, expired 2024-08-03, since 2024-08-03, gone 2024-11-01",
			"2024-11-01", "reclaimed standard, since 2024-11-01",
		}},
		{"one a second before data is reclaimed", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.order("standard", "2024-09-29 23:59:58", "2024-10-29 23:59:58"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-29 23:59:58", "active standard to 2024-10-29 23:59:58",
			"2024-10-29 23:59:58", "grace standard to 2024-10-29 23:59:58, until 2024-10-30 23:59:58",
			"2024-10-30 23:59:58", "suspended standard to 2024-10-29 23:59:58, expired 2024-10-30 23:59:58, since 2024-10-30 23:59:58, gone 2025-01-28",
			"2025-01-28", "reclaimed standard, since 2025-01-28",
		}},
		{"one after data was reclaimed", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.order("standard", "2024-09-30 00:00:01", "2024-10-30"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			place{t, p.cat}.wantLife(&account.App{Orders: tt.orders}, nil, tt.want)
		})
	}
}

func TestLifecycle_Returns(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	for _, tt := range []struct {
		name   string
		orders []account.Order
		want   life
	}{
		{"in force: at once", []account.Order{p.returned("standard", "2024-06-01", "2024-07-01", "2024-06-16 12:00:00")}, life{
			"", "active developer",
			"2024-06-01", "active standard",
			"2024-06-16 12:00:00", "suspended standard, refunded 2024-06-16 12:00:00, since 2024-06-16 12:00:00, gone 2024-09-14",
			"2024-09-14", "reclaimed standard, since 2024-09-14",
		}},
		{"with a future order of another edition, that never began", []account.Order{
			p.returned("standard", "2024-06-01", "2024-07-01", "2024-06-16"), p.returned("premium", "2024-07-01", "2024-08-01", "2024-06-16"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard",
			"2024-06-16", "suspended standard, refunded 2024-06-16, since 2024-06-16, gone 2024-09-14",
			"2024-09-14", "reclaimed standard, since 2024-09-14",
		}},
		{"of a future order alone: the one in force stays", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.returned("standard", "2024-07-01", "2024-08-01", "2024-06-16"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
		{"of the only order, that never began", []account.Order{p.returned("standard", "2024-07-01", "2024-08-01", "2024-06-16")}, life{
			"", "active developer",
			"2024-06-16", "suspended developer, refunded 2024-06-16, since 2024-06-16, gone 2024-09-14",
			"2024-09-14", "reclaimed developer, since 2024-09-14",
		}},
		{"in the second in which it began", []account.Order{p.returned("standard", "2024-06-01", "2024-07-01", "2024-06-01")}, life{
			"", "active developer",
			"2024-06-01", "suspended developer, refunded 2024-06-01, since 2024-06-01, gone 2024-08-30",
			"2024-08-30", "reclaimed developer, since 2024-08-30",
		}},
		{"of a future order in the grace", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.returned("standard", "2024-08-01", "2024-09-01", "2024-07-01 12:00:00"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-01 12:00:00", "suspended standard, refunded 2024-07-01 12:00:00, since 2024-07-01 12:00:00, gone 2024-09-29",
			"2024-07-02", "suspended standard, refunded 2024-07-01 12:00:00, expired 2024-07-02, since 2024-07-01 12:00:00, gone 2024-09-29",
			"2024-09-29", "reclaimed standard, since 2024-09-29",
		}},
		{"of a future order when another has expired lifts no reason", []account.Order{
			p.order("standard", "2024-06-01", "2024-07-01"), p.returned("standard", "2024-08-01", "2024-09-01", "2024-07-10"),
		}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-07-10", "suspended standard, expired 2024-07-02, refunded 2024-07-10, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
		{"cured by an order, which begins anew", []account.Order{
			p.returned("premium", "2024-06-01", "2024-07-01", "2024-06-16"), p.order("standard", "2024-06-20", "2024-07-20"),
		}, life{
			"", "active developer",
			"2024-06-01", "active premium",
			"2024-06-16", "suspended premium, refunded 2024-06-16, since 2024-06-16, gone 2024-09-14",
			"2024-06-20", "active standard to 2024-07-20",
			"2024-07-20", "grace standard to 2024-07-20, until 2024-07-21",
			"2024-07-21", "suspended standard to 2024-07-20, expired 2024-07-21, since 2024-07-21, gone 2024-10-19",
			"2024-10-19", "reclaimed standard, since 2024-10-19",
		}},
		{"of an order that came after another", []account.Order{
			p.order("standard", "2024-01-01", "2024-02-01"), p.returned("premium", "2024-04-01", "2024-05-01", "2024-04-16"),
		}, life{
			"", "active developer",
			"2024-01-01", "active standard to 2024-02-01",
			"2024-02-01", "grace standard to 2024-02-01, until 2024-02-02",
			"2024-02-02", "suspended standard to 2024-02-01, expired 2024-02-02, since 2024-02-02, gone 2024-05-02",
			"2024-04-01", "active premium",
			"2024-04-16", "suspended premium, refunded 2024-04-16, since 2024-04-16, gone 2024-07-15",
			"2024-07-15", "reclaimed premium, since 2024-07-15",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			place{t, p.cat}.wantLife(&account.App{Orders: tt.orders}, nil, tt.want)
		})
	}
}

func TestLifecycle_Bills(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	for _, tt := range []struct {
		name  string
		bills []string
		want  life
	}{
		{"open", []string{"2024-06-02 09:30:00", ""}, life{
			"", "active developer",
			"2024-06-03 09:30:00", "suspended developer, overdue 2024-06-03 09:30:00, since 2024-06-03 09:30:00, gone 2024-09-01",
			"2024-09-01", "reclaimed developer, since 2024-09-01",
		}},
		{"paid in time", []string{"2024-06-02", "2024-06-02 23:59:59"}, life{"", "active developer"}},
		{"paid when it would be overdue", []string{"2024-06-02", "2024-06-03"}, life{"", "active developer"}},
		{"paid a second late", []string{"2024-06-02", "2024-06-03 00:00:02"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-06-03 00:00:02", "active developer",
		}},
		{"two that overlap: one of them paid is not enough", []string{"2024-06-02", "2024-07-10", "2024-07-02", "2024-08-10"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-08-10", "active developer",
		}},
		{"two, the later one paid before", []string{"2024-06-02", "2024-08-10", "2024-07-02", "2024-07-10"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-08-10", "active developer",
		}},
		{"one overdue as another is paid", []string{"2024-06-02", "2024-07-03", "2024-07-02", "2024-07-10"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-07-10", "active developer",
		}},
		{"two with time between them", []string{"2024-06-02", "2024-06-10", "2024-07-02", ""}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-06-10", "active developer",
			"2024-07-03", "suspended developer, overdue 2024-07-03, since 2024-07-03, gone 2024-10-01",
			"2024-10-01", "reclaimed developer, since 2024-10-01",
		}},
		{"one for ever, and another", []string{"2024-06-02", "", "2024-07-02", "2024-08-10"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-09-01", "reclaimed developer, since 2024-09-01",
		}},
		{"paid when data is reclaimed: not any more suspended then", []string{"2024-06-02", "2024-09-01"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-09-01", "active developer",
		}},
		{"paid too late", []string{"2024-06-02", "2024-09-01 00:00:01"}, life{
			"", "active developer",
			"2024-06-03", "suspended developer, overdue 2024-06-03, since 2024-06-03, gone 2024-09-01",
			"2024-09-01", "reclaimed developer, since 2024-09-01",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			place{t, p.cat}.wantLife(new(account.App), p.bills(tt.bills...), tt.want)
		})
	}
}

// An app that is made while its account is overdue is out of service from its
// beginning: its data is kept as long as any other's.
func TestLifecycle_MadeWhileOverdue(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	owner := p.bills("2024-01-02", "")
	p.wantLife(&account.App{Created: p.at("2024-06-20 15:00:00")}, owner, life{
		"", "active developer",
		"2024-06-20 15:00:00", "suspended developer, overdue 2024-06-20 15:00:00, since 2024-06-20 15:00:00, gone 2024-09-18",
		"2024-09-18", "reclaimed developer, since 2024-09-18",
	})
	p.wantLife(&account.App{Created: p.at("2024-06-20")}, p.bills("2024-01-02", "2024-06-20"), life{"", "active developer"})
}

func TestLifecycle_Disabled(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	p.wantLife(&account.App{Disabled: p.disabled("2024-06-05 10:00:00", "2024-12-05 10:00:00", "2025-01-01", "")}, nil, life{
		"", "active developer",
		"2024-06-05 10:00:00", "suspended developer, disabled 2024-06-05 10:00:00, since 2024-06-05 10:00:00",
		"2024-12-05 10:00:00", "active developer",
		"2025-01-01", "suspended developer, disabled 2025-01-01, since 2025-01-01",
	})
	p.wantLife(&account.App{Disabled: p.disabled("2024-06-05", "2024-06-05")}, nil, life{"", "active developer"})
}

// Curing one reason does not lift another; each has its own beginning, and the
// clock runs as long as there is one that lets it.
func TestLifecycle_TwoReasons(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	june := p.order("standard", "2024-06-01", "2024-07-01")
	cured := p.order("standard", "2024-07-20", "2030-01-01")
	returned := p.returned("standard", "2024-06-01", "2024-07-01", "2024-06-16")
	forEver := p.order("standard", "2024-06-01", "2030-01-01")
	const before, inJune, inGrace = "active developer", "active standard to 2024-07-01", "grace standard to 2024-07-01, until 2024-07-02"
	const restored = "active standard to 2030-01-01"
	for _, tt := range []struct {
		name     string
		orders   []account.Order
		bills    []string
		disabled []string
		until    string // of what is looked at
		want     life
	}{
		{"expired and overdue, renewed first", []account.Order{june, cured}, []string{"2024-07-03", "2024-07-25"}, nil, "2024-08-01", life{
			"", before, "2024-06-01", inJune, "2024-07-01", inGrace,
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-07-04", "suspended standard to 2024-07-01, expired 2024-07-02, overdue 2024-07-04, since 2024-07-02, gone 2024-09-30",
			"2024-07-20", "suspended standard to 2030-01-01, overdue 2024-07-04, since 2024-07-02, gone 2024-09-30",
			"2024-07-25", restored,
		}},
		{"expired and overdue, paid first", []account.Order{june, cured}, []string{"2024-07-03", "2024-07-10"}, nil, "2024-08-01", life{
			"", before, "2024-06-01", inJune, "2024-07-01", inGrace,
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-07-04", "suspended standard to 2024-07-01, expired 2024-07-02, overdue 2024-07-04, since 2024-07-02, gone 2024-09-30",
			"2024-07-10", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-07-20", restored,
		}},
		{"overdue in the grace, before it expires", []account.Order{june, cured}, []string{"2024-06-30 12:00:00", "2024-07-10"}, nil, "2024-08-01", life{
			"", before, "2024-06-01", inJune, "2024-07-01", inGrace,
			"2024-07-01 12:00:00", "suspended standard to 2024-07-01, overdue 2024-07-01 12:00:00, since 2024-07-01 12:00:00, gone 2024-09-29",
			"2024-07-02", "suspended standard to 2024-07-01, overdue 2024-07-01 12:00:00, expired 2024-07-02, since 2024-07-01 12:00:00, gone 2024-09-29",
			"2024-07-10", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-01 12:00:00, gone 2024-09-29",
			"2024-07-20", restored,
		}},
		{"overdue and paid within the grace", []account.Order{june, cured}, []string{"2024-06-30 06:00:00", "2024-07-01 12:00:00"}, nil, "2024-07-10", life{
			"", before, "2024-06-01", inJune, "2024-07-01", inGrace,
			"2024-07-01 06:00:00", "suspended standard to 2024-07-01, overdue 2024-07-01 06:00:00, since 2024-07-01 06:00:00, gone 2024-09-29",
			"2024-07-01 12:00:00", inGrace,
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
		}},
		{"refunded and disabled, enabled first", []account.Order{returned, cured}, nil, []string{"2024-06-20", "2024-07-01"}, "2024-08-01", life{
			"", before, "2024-06-01", "active standard",
			"2024-06-16", "suspended standard, refunded 2024-06-16, since 2024-06-16, gone 2024-09-14",
			"2024-06-20", "suspended standard, refunded 2024-06-16, disabled 2024-06-20, since 2024-06-16, gone 2024-09-14",
			"2024-07-01", "suspended standard, refunded 2024-06-16, since 2024-06-16, gone 2024-09-14",
			"2024-07-20", restored,
		}},
		{"refunded and disabled, bought first: the clock stops", []account.Order{returned, cured}, nil, []string{"2024-06-20", "2024-07-25"}, "2024-08-01", life{
			"", before, "2024-06-01", "active standard",
			"2024-06-16", "suspended standard, refunded 2024-06-16, since 2024-06-16, gone 2024-09-14",
			"2024-06-20", "suspended standard, refunded 2024-06-16, disabled 2024-06-20, since 2024-06-16, gone 2024-09-14",
			"2024-07-20", "suspended standard to 2030-01-01, disabled 2024-06-20, since 2024-06-16",
			"2024-07-25", restored,
		}},
		{"disabled, then expired: the clock runs from there", []account.Order{june, cured}, nil, []string{"2024-06-20", "2024-07-10"}, "2024-08-01", life{
			"", before, "2024-06-01", inJune,
			"2024-06-20", "suspended standard to 2024-07-01, disabled 2024-06-20, since 2024-06-20",
			"2024-07-02", "suspended standard to 2024-07-01, disabled 2024-06-20, expired 2024-07-02, since 2024-06-20, gone 2024-09-30",
			"2024-07-10", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-06-20, gone 2024-09-30",
			"2024-07-20", restored,
		}},
		{"overdue and disabled, paid first, and overdue again", []account.Order{forEver}, []string{"2024-06-05", "2024-06-20", "2024-07-03", "2024-07-10"}, []string{"2024-06-10", "2024-07-25"}, "2024-08-01", life{
			"", before, "2024-06-01", restored,
			"2024-06-06", "suspended standard to 2030-01-01, overdue 2024-06-06, since 2024-06-06, gone 2024-09-04",
			"2024-06-10", "suspended standard to 2030-01-01, overdue 2024-06-06, disabled 2024-06-10, since 2024-06-06, gone 2024-09-04",
			"2024-06-20", "suspended standard to 2030-01-01, disabled 2024-06-10, since 2024-06-06",
			"2024-07-04", "suspended standard to 2030-01-01, disabled 2024-06-10, overdue 2024-07-04, since 2024-06-06, gone 2024-10-02",
			"2024-07-10", "suspended standard to 2030-01-01, disabled 2024-06-10, since 2024-06-06",
			"2024-07-25", restored,
		}},
		{"overdue and disabled, enabled first", []account.Order{forEver}, []string{"2024-06-09", "2024-06-25"}, []string{"2024-06-05", "2024-06-20"}, "2024-08-01", life{
			"", before, "2024-06-01", restored,
			"2024-06-05", "suspended standard to 2030-01-01, disabled 2024-06-05, since 2024-06-05",
			"2024-06-10", "suspended standard to 2030-01-01, disabled 2024-06-05, overdue 2024-06-10, since 2024-06-05, gone 2024-09-08",
			"2024-06-20", "suspended standard to 2030-01-01, overdue 2024-06-10, since 2024-06-05, gone 2024-09-08",
			"2024-06-25", restored,
		}},
		{"one begins as the other ends: one suspension, one clock", []account.Order{june, cured}, []string{"2024-07-19", "2024-07-25"}, nil, "2024-08-01", life{
			"", before, "2024-06-01", inJune, "2024-07-01", inGrace,
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-07-20", "suspended standard to 2030-01-01, overdue 2024-07-20, since 2024-07-02, gone 2024-09-30",
			"2024-07-25", restored,
		}},
		{"one ends a second before the other begins: two", []account.Order{june, cured}, []string{"2024-07-19 00:00:02", "2024-07-25"}, nil, "2024-08-01", life{
			"", before, "2024-06-01", inJune, "2024-07-01", inGrace,
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-07-20", restored,
			"2024-07-20 00:00:02", "suspended standard to 2030-01-01, overdue 2024-07-20 00:00:02, since 2024-07-20 00:00:02, gone 2024-10-18",
			"2024-07-25", restored,
		}},
		{"three, in turns, longer than data is kept", []account.Order{june, cured}, []string{"2024-07-03", ""}, []string{"2024-06-20", ""}, "2025-01-01", life{
			"", before, "2024-06-01", inJune,
			"2024-06-20", "suspended standard to 2024-07-01, disabled 2024-06-20, since 2024-06-20",
			"2024-07-02", "suspended standard to 2024-07-01, disabled 2024-06-20, expired 2024-07-02, since 2024-06-20, gone 2024-09-30",
			"2024-07-04", "suspended standard to 2024-07-01, disabled 2024-06-20, expired 2024-07-02, overdue 2024-07-04, since 2024-06-20, gone 2024-09-30",
			"2024-07-20", "suspended standard to 2030-01-01, disabled 2024-06-20, overdue 2024-07-04, since 2024-06-20, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// What is of no interest is cut off by deleting the app.
			app := &account.App{Orders: tt.orders, Disabled: p.disabled(tt.disabled...), Deleted: p.at(tt.until)}
			place{t, p.cat}.wantLife(app, p.bills(tt.bills...), append(tt.want, tt.until, "deleted standard, since "+tt.until))
		})
	}
}

func TestLifecycle_Ends(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	june, later := p.order("standard", "2024-06-01", "2024-07-01"), p.order("premium", "2024-12-01", "2030-01-01")
	for _, tt := range []struct {
		name string
		app  account.App
		want life
	}{
		{"reclaimed stays so, whatever is bought", account.App{Orders: []account.Order{june, later}, Reclaimed: p.at("2024-09-30")}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
			"2024-12-01", "reclaimed premium, since 2024-09-30",
		}},
		{"reclaimed stays so, whatever is said later to have been paid", account.App{Reclaimed: p.at("2024-09-30")}, life{
			"", "active developer",
			"2024-09-30", "reclaimed developer, since 2024-09-30",
		}},
		{"deleted while reclaimed", account.App{Orders: []account.Order{june}, Disabled: p.disabled("2024-10-01", ""), Deleted: p.at("2024-10-02")}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
			"2024-10-02", "deleted standard, since 2024-10-02",
		}},
		{"deleted before it would be reclaimed", account.App{Orders: []account.Order{june}, Disabled: p.disabled("2024-06-05", ""), Deleted: p.at("2024-06-06")}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-06-05", "suspended standard to 2024-07-01, disabled 2024-06-05, since 2024-06-05",
			"2024-06-06", "deleted standard, since 2024-06-06",
		}},
		{"deleted in the instant in which it is reclaimed", account.App{Orders: []account.Order{june}, Reclaimed: p.at("2024-09-30"), Deleted: p.at("2024-09-30")}, life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01",
			"2024-07-01", "grace standard to 2024-07-01, until 2024-07-02",
			"2024-07-02", "suspended standard to 2024-07-01, expired 2024-07-02, since 2024-07-02, gone 2024-09-30",
			"2024-09-30", "deleted standard, since 2024-09-30",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			place{t, p.cat}.wantLife(&tt.app, nil, tt.want)
		})
	}
}

// Data is reclaimed when the local day begins, whatever the clocks do.
func TestLifecycle_ClocksChange(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, zone string
		start, end string
		want       life
	}{
		{"the grace is 24 hours, also when a day has 23", "America/New_York", "2024-02-09 12:00:00", "2024-03-09 12:00:00", life{
			"", "active developer",
			"2024-02-09 12:00:00", "active standard to 2024-03-09 12:00:00",
			"2024-03-09 12:00:00", "grace standard to 2024-03-09 12:00:00, until 2024-03-10 13:00:00",
			"2024-03-10 13:00:00", "suspended standard to 2024-03-09 12:00:00, expired 2024-03-10 13:00:00, since 2024-03-10 13:00:00, gone 2024-06-08",
			"2024-06-08", "reclaimed standard, since 2024-06-08",
		}},
		{"the clocks are put back meanwhile", "America/New_York", "2024-07-31 20:00:00", "2024-08-31 20:00:00", life{
			"", "active developer",
			"2024-07-31 20:00:00", "active standard to 2024-08-31 20:00:00",
			"2024-08-31 20:00:00", "grace standard to 2024-08-31 20:00:00, until 2024-09-01 20:00:00",
			"2024-09-01 20:00:00", "suspended standard to 2024-08-31 20:00:00, expired 2024-09-01 20:00:00, since 2024-09-01 20:00:00, gone 2024-11-30",
			"2024-11-30", "reclaimed standard, since 2024-11-30",
		}},
		{"there is no midnight on that day", "America/Sao_Paulo", "2018-07-05 10:00:00", "2018-08-05 10:00:00", life{
			"", "active developer",
			"2018-07-05 10:00:00", "active standard to 2018-08-05 10:00:00",
			"2018-08-05 10:00:00", "grace standard to 2018-08-05 10:00:00, until 2018-08-06 10:00:00",
			"2018-08-06 10:00:00", "suspended standard to 2018-08-05 10:00:00, expired 2018-08-06 10:00:00, since 2018-08-06 10:00:00, gone 2018-11-04 01:00:00",
			"2018-11-04 01:00:00", "reclaimed standard, since 2018-11-04 01:00:00",
		}},
		{"it is another day elsewhere", "-11:00", "2024-06-01", "2024-07-01 23:59:59", life{
			"", "active developer",
			"2024-06-01", "active standard to 2024-07-01 23:59:59",
			"2024-07-01 23:59:59", "grace standard to 2024-07-01 23:59:59, until 2024-07-02 23:59:59",
			"2024-07-02 23:59:59", "suspended standard to 2024-07-01 23:59:59, expired 2024-07-02 23:59:59, since 2024-07-02 23:59:59, gone 2024-09-30",
			"2024-09-30", "reclaimed standard, since 2024-09-30",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := inZone(t, tt.zone)
			p.wantLife(&account.App{Orders: []account.Order{p.order("standard", tt.start, tt.end)}}, nil, tt.want)
		})
	}
}

func TestState_IsOnly(t *testing.T) {
	t.Parallel()
	expired, overdue := account.Suspension{Reason: account.Expired}, account.Suspension{Reason: account.Overdue}
	for _, tt := range []struct {
		name    string
		reasons []account.Suspension
		want    bool
	}{
		{"none", nil, false},
		{"it alone", []account.Suspension{expired}, true},
		{"another", []account.Suspension{overdue}, false},
		{"it and another", []account.Suspension{expired, overdue}, false},
	} {
		s := account.State{Suspensions: tt.reasons}
		if got := s.IsOnly(account.Expired); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
