package quota_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// What an app used is told by the month, newest first, also when it is gone.
func TestHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	apps := &account.Apps{Registry: f.store, Catalog: f.Catalog, Now: func() time.Time { return f.now }}
	login := func(user string) {
		t.Helper()
		if d, err := f.Check(t.Context(), &quota.Request{App: 7, Action: &quota.Login{UserID: user}}); err != nil || !d.Allowed {
			t.Fatal(d, err)
		}
	}
	report := func(users int64) {
		t.Helper()
		if _, err := f.ReportOnline(t.Context(), 7, "g", users, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	type month struct {
		Month     string
		MAU, Peak int64
		Editions  string
		Final     bool
	}
	history := func(months int) (got []month) {
		t.Helper()
		past, err := f.History(t.Context(), 7, months)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range past {
			editions := ""
			for _, e := range m.Editions {
				editions += e.Key
			}
			got = append(got, month{m.Window.Start.Format("2006-01"), m.Used["free_mau"], m.PeakOnline, editions, m.Final})
		}
		return got
	}
	login("alice")
	login("bob")
	report(500)
	june := catalog.WindowAt(catalog.KindMonth, f.now, f.Catalog().Zone())
	f.now = june.End.Add(-time.Minute)
	report(3)
	f.now = june.End.Add(time.Minute) // when nobody has reported yet
	login("alice")
	want := []month{{"2024-07", 1, 3, "premium", false}, {"2024-06", 2, 500, "premium", true}, {"2024-05", 0, 0, "", true}}
	if diff := cmp.Diff(want, history(3)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if _, err := apps.Disable(t.Context(), 7, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	gone, err := apps.Delete(t.Context(), 7, account.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&quota.Sweeper{Store: f.store, Apps: apps}).Remove(t.Context(), gone, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, history(3)); diff != "" {
		t.Errorf("history of what is gone (-want +got):\n%s", diff)
	}
	if got := history(catalog.MonthsKept); len(got) != 13 || got[12].Month != "2023-07" {
		t.Errorf("the last months: %+v", got)
	}
	if _, err := f.ReportOnline(t.Context(), 7, "g", 1, time.Minute); !errors.Is(err, account.ErrAppNotFound) {
		t.Errorf("a report for what is gone: %v", err)
	}
	if _, err := f.History(t.Context(), 8, 1); !errors.Is(err, account.ErrAppNotFound) {
		t.Errorf("of what never was: %v", err)
	}
}

// Totals of many apps are read together, and again for those that were changed
// meanwhile.
func TestTotals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app, err := f.store.App(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.UpdateApp(t.Context(), app.Clone(), account.Event{}); err != nil { // app is outdated by then
		t.Fatal(err)
	}
	if _, err := f.Check(t.Context(), &quota.Request{App: 7, Action: &quota.Login{UserID: "alice"}}); err != nil {
		t.Fatal(err)
	}
	f.store.applies = 0
	june := catalog.WindowAt(catalog.KindMonth, f.now, f.Catalog().Zone())
	totals, err := f.Totals(t.Context(), []*account.App{app, app}, []catalog.Window{june})
	if err != nil || len(totals) != 2 || totals[0][0].Used["free_mau"] != 1 || totals[1][0].Final || f.store.applies != 2 {
		t.Errorf("%+v in %d steps, %v", totals, f.store.applies, err)
	}
}
