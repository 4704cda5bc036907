package account_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota/storetest"
	"pgregory.net/rapid"
)

var noticeKinds = []string{"expires", "expired", "renew", "bill", "reclaim"}

// told are the notices of an instant, one text each: kind, what the id ends on,
// and since when it is due.
func (p place) told(notices []account.Notice) []string {
	told := []string{}
	for _, n := range notices {
		told = append(told, fmt.Sprintf("%s %s at %s", noticeKinds[n.Kind], n.ID[strings.LastIndexByte(n.ID, '/')+1:], p.text(n.At)))
	}
	return told
}

func TestAppNotices_Expiry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, zone, end string
		want            []string // pairs of an instant and what is told then
	}{
		{"at noon", "+08:00", "2024-07-10 12:00:00", []string{
			"2024-07-03 23:59:59", "",
			"2024-07-04", "expires -6 at 2024-07-04",
			"2024-07-04 23:59:59", "expires -6 at 2024-07-04",
			"2024-07-05", "expires -5 at 2024-07-05",
			"2024-07-06 08:00:00", "expires -4 at 2024-07-06",
			"2024-07-07", "expires -3 at 2024-07-07",
			"2024-07-08", "expires -2 at 2024-07-08",
			"2024-07-09 23:59:59", "expires -1 at 2024-07-09",
			"2024-07-10", "expires 0 at 2024-07-10",
			"2024-07-10 12:00:00", "expires 0 at 2024-07-10", // in grace
			"2024-07-11", "expired 1 at 2024-07-11",
			"2024-07-11 23:59:59", "expired 1 at 2024-07-11", // suspended
			"2024-07-12", "",
		}},
		{"as a day begins", "+08:00", "2024-03-01", []string{
			"2024-02-23 23:59:59", "",
			"2024-02-24", "expires -6 at 2024-02-24",
			"2024-02-29 23:59:59", "expires -1 at 2024-02-29",
			"2024-03-01", "expires 0 at 2024-03-01",
			"2024-03-02", "expired 1 at 2024-03-02",
			"2024-03-02 23:59:59", "expired 1 at 2024-03-02",
			"2024-03-03", "",
		}},
		{"as a day ends", "+08:00", "2024-12-31 23:59:59", []string{
			"2024-12-24 23:59:59", "",
			"2024-12-25", "expires -6 at 2024-12-25",
			"2025-01-01", "expired 1 at 2025-01-01",
			"2025-01-02", "",
		}},
		{"where the clocks change", "America/Sao_Paulo", "2018-11-05 00:30:00", []string{
			"2018-10-29 23:59:59", "",
			"2018-10-30", "expires -6 at 2018-10-30",
			"2018-11-03 23:59:59", "expires -2 at 2018-11-03",
			"2018-11-04 01:00:00", "expires -1 at 2018-11-04 01:00:00",
			"2018-11-06 23:59:59", "expired 1 at 2018-11-06",
			"2018-11-07", "",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := inZone(t, tt.zone)
			app := &account.App{ID: 7, Account: "acme", Orders: []account.Order{p.order("standard", "2018-01-01", tt.end)}}
			for i := 0; i < len(tt.want); i += 2 {
				got := account.AppNotices(app, nil, p.cat, p.at(tt.want[i]))
				if told := strings.Join(p.told(got), ", "); told != tt.want[i+1] {
					t.Errorf("%s: told %q, want %q", tt.want[i], told, tt.want[i+1])
				}
			}
		})
	}
}

func TestAppNotices_Text(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	app := &account.App{
		ID: 7, Account: "acme", Renewal: account.Renewal{Mode: account.RenewAutomatically, Months: 3},
		Orders: []account.Order{p.order("standard", "2024-01-31", "2024-02-29"), p.order("premium", "2024-02-29", "2024-03-31")},
	}
	zoned := func(s string) time.Time { return p.at(s).In(p.cat.Zone()) }
	end := zoned("2024-03-31")
	for _, tt := range []struct {
		at   string
		want []account.Notice
	}{
		{"2024-03-30 10:00:00", []account.Notice{
			{
				ID: "plan/7/1711814400/-1", Kind: account.PlanExpires, Account: "acme", App: 7, At: zoned("2024-03-30"), Due: end,
				Message: "the premium plan of app 7 ends at 2024-03-31T00:00:00+08:00; without a renewal the app is suspended at 2024-04-01T00:00:00+08:00",
			},
			{
				ID: "renewal/7/1711814400", Kind: account.RenewalDue, Account: "acme", App: 7, At: zoned("2024-03-30"), Due: end, Months: 3,
				Message: "the premium plan of app 7 is to be renewed automatically: 3 month(s) from 2024-03-31T00:00:00+08:00 to 2024-06-30T00:00:00+08:00",
			},
		}},
		{"2024-04-01 10:00:00", []account.Notice{
			{
				ID: "plan/7/1711814400/1", Kind: account.PlanExpired, Account: "acme", App: 7, At: zoned("2024-04-01"), Due: end,
				Message: "the premium plan of app 7 ended at 2024-03-31T00:00:00+08:00; without a renewal the app is suspended at 2024-04-01T00:00:00+08:00",
			},
		}},
		{"2024-06-01 10:00:00", []account.Notice{
			{
				ID: "reclaim/7/1719676800/30", Kind: account.ReclaimSoon, Account: "acme", App: 7, At: zoned("2024-05-31"), Due: zoned("2024-06-30"),
				Message: "app 7 is suspended: its data is reclaimed at 2024-06-30T00:00:00+08:00, and cannot be recovered then",
			},
		}},
	} {
		if diff := cmp.Diff(tt.want, account.AppNotices(app, nil, p.cat, p.at(tt.at))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.at, diff)
		}
	}
}

func TestAppNotices_None(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	const start, end = "2024-06-01", "2024-07-01"
	automatic := account.Renewal{Mode: account.RenewAutomatically, Months: 1}
	for _, tt := range []struct {
		name string
		app  account.App
		at   string
		want []string
	}{
		{"of an app without a plan", account.App{Renewal: automatic}, "2024-06-30", []string{}},
		{"of a plan that was returned", account.App{Renewal: automatic, Orders: []account.Order{p.returned("standard", start, end, "2024-06-28")}}, "2024-06-30", []string{}},
		{"of a plan that was returned since", account.App{Renewal: automatic, Orders: []account.Order{p.returned("standard", start, end, "2024-06-30")}}, "2024-06-29", []string{}},
		{"of a deleted app", account.App{Renewal: automatic, Orders: []account.Order{p.order("standard", start, end)}, Deleted: p.at("2024-06-30")}, "2024-06-30", []string{}},
		{"of a reclaimed app", account.App{Renewal: automatic, Orders: []account.Order{p.order("standard", start, end)}, Reclaimed: p.at("2024-06-30")}, "2024-06-30", []string{}},
		{"of one that was reclaimed by itself", account.App{Orders: []account.Order{p.order("standard", start, end)}}, "2024-09-30", []string{}},
		{"but of a disabled app", account.App{Renewal: automatic, Orders: []account.Order{p.order("standard", start, end)}, Disabled: p.disabled("2024-06-02", "")}, "2024-06-30", []string{
			"expires -1 at 2024-06-30", "renew 1719763200 at 2024-06-30",
		}},
		{"of an end that a renewal has moved", account.App{Orders: []account.Order{p.order("standard", start, end), p.order("standard", end, "2024-08-01")}}, "2024-06-30", []string{}},
		{"but of the new end", account.App{Orders: []account.Order{p.order("standard", start, end), p.order("standard", end, "2024-08-01")}}, "2024-07-31", []string{"expires -1 at 2024-07-31"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.app.ID = 7
			if diff := cmp.Diff(tt.want, p.told(account.AppNotices(&tt.app, nil, p.cat, p.at(tt.at)))); diff != "" {
				t.Errorf("notices (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAppNotices_Renewal(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	for _, tt := range []struct {
		at   string
		mode account.RenewalMode
		want bool
	}{
		{"2024-07-08 23:59:59", account.RenewAutomatically, false},
		{"2024-07-09", account.RenewAutomatically, true},
		{"2024-07-10 12:00:00", account.RenewAutomatically, true},
		{"2024-07-11 11:59:59", account.RenewAutomatically, true}, // in grace
		{"2024-07-11 12:00:00", account.RenewAutomatically, false},
		{"2024-07-10 12:00:00", account.RenewByHand, false},
		{"2024-07-10 12:00:00", account.RenewNever, false},
	} {
		app := &account.App{ID: 7, Renewal: account.Renewal{Mode: tt.mode, Months: 1}, Orders: []account.Order{p.order("standard", "2024-06-10", "2024-07-10 12:00:00")}}
		var ids []string
		for _, n := range account.AppNotices(app, nil, p.cat, p.at(tt.at)) {
			if n.Kind == account.RenewalDue {
				ids = append(ids, n.ID+" "+p.text(n.At))
			}
		}
		want := []string(nil)
		if tt.want {
			want = []string{"renewal/7/1720584000 2024-07-09"}
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("%s, mode %q (-want +got):\n%s", tt.at, tt.mode, diff)
		}
	}
}

func TestAppNotices_Reclaim(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	// Suspended on 07-02, reclaimed on 09-30.
	app := &account.App{ID: 7, Orders: []account.Order{p.order("standard", "2024-06-01", "2024-07-01")}}
	for _, tt := range []struct{ at, want string }{
		{"2024-08-30 23:59:59", ""},
		{"2024-08-31", "reclaim 30 at 2024-08-31"},
		{"2024-09-22 23:59:59", "reclaim 30 at 2024-08-31"},
		{"2024-09-23", "reclaim 7 at 2024-09-23"},
		{"2024-09-28 23:59:59", "reclaim 7 at 2024-09-23"},
		{"2024-09-29", "reclaim 1 at 2024-09-29"},
		{"2024-09-29 23:59:59", "reclaim 1 at 2024-09-29"},
		{"2024-09-30", ""},
	} {
		if told := strings.Join(p.told(account.AppNotices(app, nil, p.cat, p.at(tt.at))), ", "); told != tt.want {
			t.Errorf("%s: told %q, want %q", tt.at, told, tt.want)
		}
	}
	// Overdue too, and first: the clock is the suspension's, not the reason's.
	told := p.told(account.AppNotices(app, p.bills("2024-06-20", ""), p.cat, p.at("2024-09-12")))
	if diff := cmp.Diff([]string{"reclaim 7 at 2024-09-12"}, told); diff != "" {
		t.Errorf("overdue (-want +got):\n%s", diff)
	}
	disabled := &account.App{ID: 7, Disabled: p.disabled("2024-01-01", "")}
	if told := p.told(account.AppNotices(disabled, nil, p.cat, p.at("2024-03-29"))); len(told) > 0 {
		t.Errorf("disabled alone: %q", told)
	}
}

func TestBillNotices(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	for _, tt := range []struct {
		name, pushed, paid, at string
		want                   string
	}{
		{"before the push", "2024-07-02 15:00:00", "", "2024-07-02 14:59:59", ""},
		{"at the push", "2024-07-02 15:00:00", "", "2024-07-02 15:00:00", "bill 0 at 2024-07-02 15:00:00"},
		{"later that day", "2024-07-02 15:00:00", "", "2024-07-02 23:59:59", "bill 0 at 2024-07-02 15:00:00"},
		{"the next day", "2024-07-02 15:00:00", "", "2024-07-03", "bill 1 at 2024-07-03"},
		{"overdue", "2024-07-02 15:00:00", "", "2024-07-03 15:00:00", "bill 1 at 2024-07-03"},
		{"on the last day", "2024-07-02 15:00:00", "", "2024-07-08 23:59:59", "bill 6 at 2024-07-08"},
		{"after it", "2024-07-02 15:00:00", "", "2024-07-09", ""},
		{"paid", "2024-07-02 15:00:00", "2024-07-03", "2024-07-04", ""},
		{"paid by now", "2024-07-02 15:00:00", "2024-07-05", "2024-07-04", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			owner := p.bills(tt.pushed, tt.paid)
			notices := account.BillNotices(owner, p.cat, p.at(tt.at))
			if told := strings.Join(p.told(notices), ", "); told != tt.want {
				t.Errorf("told %q, want %q", told, tt.want)
			}
			for _, n := range notices {
				if n.App != 0 || n.Account != "acme" || n.Bill == nil || n.Bill.ID != owner.Bills[0].ID || p.text(n.Due) != "2024-07-03 15:00:00" ||
					n.Message != "bill 2024-07-02 15:00:00 of account acme is not paid: all apps of the account are suspended from 2024-07-03T15:00:00+08:00 on until it is" {
					t.Errorf("notice %+v", n)
				}
			}
		})
	}
}

// However often and whenever it is asked, no two notices have one id, and who
// sends each id once sends no plan's end more than eight times.
func TestNotices_HaveStableIDs(t *testing.T) {
	t.Parallel()
	places := somePlaces(t)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPapers(t)
		cat, _ := drawPlace(t, places)
		p.app.Renewal = account.Renewal{Mode: account.RenewAutomatically, Months: rapid.IntRange(1, 24).Draw(t, "months")}
		told := make(map[string]account.Notice)
		ask := func(at time.Time) {
			notices := slices.Concat(account.AppNotices(p.app, p.owner, cat, at), account.BillNotices(p.owner, cat, at))
			for _, n := range notices {
				if n.At.After(at) {
					t.Fatalf("%s is due to be told at %v, and told at %v", n.ID, n.At, at)
				}
				if before, ok := told[n.ID]; ok && !cmp.Equal(before, n) {
					t.Fatalf("two notices, the second asked for at %v:\n%s", at, cmp.Diff(before, n))
				}
				told[n.ID] = n
			}
		}
		for _, o := range p.app.Orders { // every two hours or so around each end
			step := time.Duration(rapid.IntRange(30, 300).Draw(t, "minutes")) * time.Minute
			for at := o.End.AddDate(0, 0, -8); at.Before(o.End.AddDate(0, 0, 4)); at = at.Add(step) {
				ask(at)
			}
		}
		for range 200 {
			ask(p.hour(rapid.IntRange(0, oracleHours).Draw(t, "asked")))
		}
		mails := make(map[time.Time]int)
		for _, n := range told {
			if n.Kind != account.PlanExpires && n.Kind != account.PlanExpired {
				continue
			}
			if mails[n.Due]++; mails[n.Due] > 8 {
				t.Fatalf("the end at %v is told of %d times", n.Due, mails[n.Due])
			}
			if days := catalog.Day(n.At, cat.Zone()) - catalog.Day(n.Due, cat.Zone()); days < -6 || days > 1 {
				t.Fatalf("%s is told %d days after the end", n.ID, days)
			}
		}
	})
}

// lossy is a registry some of whose records cannot be read.
type lossy struct {
	*storetest.Model
	app   uint32
	owner string
}

func (l lossy) Load(c ctx, ids []uint32) []account.Loaded {
	loaded := l.Model.Load(c, ids)
	for i, id := range ids {
		if id == l.app {
			loaded[i] = account.Loaded{Err: account.DamagedRecord(id)}
		}
	}
	return loaded
}

func (l lossy) Accounts(c ctx, names []string) []account.LoadedAccount {
	loaded := l.Model.Accounts(c, names)
	for i, name := range names {
		if name == l.owner {
			loaded[i] = account.LoadedAccount{Err: account.DamagedAccount(name)}
		}
	}
	return loaded
}

func TestAccounts_Notices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = w.at("2024-07-09 12:00:00")
	want := make(map[string]bool)
	for i := range 250 {
		id, owner := uint32(1+i), fmt.Sprintf("acct%d", i%3)
		w.create(account.NewApp{ID: id, Account: owner, Created: w.at("2024-01-01"), Orders: []account.Order{w.order("standard", "2024-06-10", "2024-07-10")}})
		want[fmt.Sprintf("plan/%d/1720540800/-1", id)] = true
	}
	w.create(account.NewApp{ID: 1000, Account: "acct0"}) // a developer's
	w.delete(3)
	delete(want, "plan/3/1720540800/-1")
	for _, owner := range []string{"acct0", "acct1"} {
		w.bill(owner, "b1", "12.30")
		want["bill/"+owner+"/b1/0"] = true
	}
	ids := func(notices []account.Notice) map[string]bool {
		got := make(map[string]bool)
		for i, n := range notices {
			if got[n.ID] {
				t.Errorf("%s is listed twice", n.ID)
			}
			got[n.ID] = true
			if i > 0 && n.At.Before(notices[i-1].At) {
				t.Errorf("%s stands after a later one", n.ID)
			}
		}
		return got
	}
	only := func(keep func(id string) bool) map[string]bool {
		some := maps.Clone(want)
		maps.DeleteFunc(some, func(id string, _ bool) bool { return !keep(id) })
		return some
	}
	for _, tt := range []struct {
		name  string
		query account.NoticeQuery
		want  map[string]bool
	}{
		{"of an app, without its account's bills", account.NoticeQuery{App: 4}, only(func(id string) bool { return strings.HasPrefix(id, "plan/4/") })},
		{"of a deleted app", account.NoticeQuery{App: 3}, map[string]bool{}},
		{"of an app at another time", account.NoticeQuery{App: 4, At: w.at("2024-06-20")}, map[string]bool{}},
		{"of an account", account.NoticeQuery{Account: "acct1"}, only(func(id string) bool {
			var app int
			_, err := fmt.Sscanf(id, "plan/%d/", &app)
			return id == "bill/acct1/b1/0" || err == nil && app%3 == 2
		})},
	} {
		notices, next, err := w.accounts.Notices(t.Context(), tt.query)
		if err != nil || next != "" {
			t.Errorf("%s: next %q, %v", tt.name, next, err)
		}
		if diff := cmp.Diff(tt.want, ids(notices)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	walk := func(accounts *account.Accounts) (all map[string]bool, pages int) {
		all = make(map[string]bool)
		for cursor := ""; ; {
			notices, next, err := accounts.Notices(t.Context(), account.NoticeQuery{Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(all, ids(notices))
			pages++
			if cursor = next; cursor == "" {
				return all, pages
			}
		}
	}
	all, pages := walk(w.accounts)
	if diff := cmp.Diff(want, all); diff != "" || pages != 3 {
		t.Errorf("of all, in %d pages (-want +got):\n%s", pages, diff)
	}

	// What cannot be read is not in the way of all others.
	damaged := *w.accounts
	damaged.Registry = lossy{w.Model, 4, "acct1"}
	all, _ = walk(&damaged)
	rest := only(func(id string) bool {
		var app int
		_, err := fmt.Sscanf(id, "plan/%d/", &app)
		return id == "bill/acct0/b1/0" || err == nil && app != 4 && app%3 != 2
	})
	if diff := cmp.Diff(rest, all); diff != "" {
		t.Errorf("of those that can be read (-want +got):\n%s", diff)
	}
	if _, _, err := damaged.Notices(t.Context(), account.NoticeQuery{Account: "acct1"}); !account.IsOfRecord(err) {
		t.Errorf("of an account that cannot be read: %v", err)
	}
	if _, _, err := damaged.Notices(t.Context(), account.NoticeQuery{App: 2}); !account.IsOfRecord(err) {
		t.Errorf("of an app whose account cannot be read: %v", err)
	}
	_, _, err := w.accounts.Notices(t.Context(), account.NoticeQuery{App: 99999})
	w.wantErr(err, account.ErrAppNotFound)
	_, _, err = w.accounts.Notices(t.Context(), account.NoticeQuery{Account: "nobody"})
	w.wantErr(err, account.ErrAccountNotFound)
}
