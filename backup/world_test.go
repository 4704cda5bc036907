package backup_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/backup"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/boltstore"
	"github.com/imquota/imquota/quota/redisstore"
	"github.com/imquota/imquota/quota/redisstore/redistest"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
)

// testCatalog is the default one with counters of every scope and window.
var testCatalog = sync.OnceValue(func() *catalog.Snapshot {
	text := string(catalog.DefaultYAML())
	text = strings.Replace(text, "  - key: history_days\n", `  - key: stickers
    title: Stickers
    scope: user
    kind: day
    direct: true
  - key: calls
    title: Calls
    scope: group
    kind: month
    direct: true
  - key: storage
    title: Storage
    scope: app
    kind: month
    direct: true
  - key: history_days
`, 1)
	text = strings.ReplaceAll(text, "      history_days:", "      stickers: 50\n      calls: 70\n      storage: 900\n      history_days:")
	cat, err := catalog.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	return cat
})

// world is a store and all that works on it, at an instant that the test sets.
type world struct {
	testing.TB
	store    backup.Store
	now      time.Time
	enforcer *quota.Enforcer
	apps     *account.Apps
	accounts *account.Accounts
	ledger   *ratings.Ledger
}

func newWorld(t testing.TB, store backup.Store) *world {
	w := &world{TB: t, store: store, now: at("2026-10-20T12:00:00+08:00")}
	clock := func() time.Time { return w.now }
	w.enforcer = quota.New(quota.Options{Catalog: testCatalog(), Store: store, Registry: store, Now: clock})
	w.apps = &account.Apps{Registry: store, Catalog: testCatalog, Now: clock}
	w.accounts = &account.Accounts{Registry: store, Catalog: testCatalog, Now: clock}
	w.ledger = &ratings.Ledger{Apps: w.apps, Totals: noTotals{}}
	return w
}

func at(rfc3339 string) time.Time {
	instant, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		panic(err)
	}
	return instant
}

type noTotals struct{}

// MonthUsage implements ratings.Totals.
func (noTotals) MonthUsage(_ context.Context, apps []*account.App, _ ratings.Month) ([]ratings.Usage, error) {
	return make([]ratings.Usage, len(apps)), nil
}

// stores open an empty store of each kind.
var stores = map[string]func(t testing.TB) backup.Store{
	"bolt": func(t testing.TB) backup.Store {
		t.Helper()
		return openBolt(t, filepath.Join(t.TempDir(), "test.db"))
	},
	"redis": func(t testing.TB) backup.Store {
		t.Helper()
		return openRedis(t, "redis://"+redistest.Standalone(t).Addr)
	},
}

func openBolt(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openRedis(t testing.TB, url string) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(t.Context(), url, redisstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, _, err := s.Init(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	return s
}

// ok fails the test at an error.
func (w *world) ok(errs ...error) {
	w.Helper()
	if err := errors.Join(errs...); err != nil {
		w.Fatal(err)
	}
}

// do has an action counted, which must be allowed.
func (w *world) do(app uint32, actions ...quota.Action) {
	w.Helper()
	for _, action := range actions {
		d, err := w.enforcer.Check(w.Context(), &quota.Request{App: app, Action: action})
		if err != nil || !d.Allowed {
			w.Fatalf("app %d, %+v: %+v, %v", app, action, d, err)
		}
	}
}

// create makes an app.
func (w *world) create(n account.NewApp) {
	w.Helper()
	if n.ExpectedUsers == 0 {
		n.ExpectedUsers = 1
	}
	_, err := w.apps.Create(w.Context(), n, account.Origin{Actor: "ann"})
	w.ok(err)
}

func ids(n int, pattern string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(pattern, i)
	}
	return all
}

// populate counts something of every kind, in two months, for apps in every state.
func (w *world) populate() {
	w.Helper()
	ctx, by := w.Context(), account.Origin{Actor: "ann"}
	month := func(id string, months int, start string) account.Order {
		return account.Order{ID: id, Edition: "standard", Months: months, Start: at(start), End: at(start).AddDate(0, months, 0), Cash: decimal.NewFromInt(399)}
	}
	w.create(account.NewApp{ID: 1, Account: "acme"})
	w.create(account.NewApp{ID: 2, Account: "acme", Orders: []account.Order{month("o1", 3, "2026-10-01T00:00:00+08:00")}})
	w.create(account.NewApp{ID: 3, Account: "acme", Created: at("2026-01-01T00:00:00+08:00"), Orders: []account.Order{month("o2", 1, "2026-07-01T00:00:00+08:00")}}) // long suspended
	for id := uint32(4); id <= 6; id++ {
		w.create(account.NewApp{ID: id, Account: "umbrella.corp"})
	}
	w.do(1, &quota.RegisterUsers{UserIDs: ids(50, "user %d")}, &quota.Login{UserID: "user 1"}, &quota.Login{UserID: "user 2"}, &quota.Login{UserID: "left"})
	w.do(2, &quota.RegisterUsers{UserIDs: ids(300, "Ünï\n\"%d\"")}, &quota.Login{UserID: "paul"})
	w.do(4, &quota.Login{UserID: "gone"}, &quota.UseQuota{Quota: "storage", Amount: 8})
	w.do(5, &quota.Login{UserID: "later gone"})
	for _, n := range []int64{7, 3} {
		_, err := w.enforcer.ReportOnline(ctx, 1, "gateway", n, time.Minute)
		w.ok(err)
	}
	w.now = at("2026-11-15T11:59:00+08:00")
	w.do(1,
		&quota.Login{UserID: "user 1"}, &quota.Login{UserID: "user 3"}, &quota.Login{UserID: "came and left"},
		&quota.AddFriend{UserID: "user 1", FriendID: "user 2"}, &quota.AddFriend{UserID: "user 1", FriendID: "stranger", OneWay: true},
		&quota.CreateGroup{GroupID: "work", GroupType: "work", OwnerID: "user 1", MemberIDs: []string{"user 2", "user 3"}},
		&quota.CreateGroup{GroupID: "live", GroupType: "live", OwnerID: "user 1"},
		&quota.CreateGroup{GroupID: "dissolved", GroupType: "public", OwnerID: "user 2"},
		&quota.JoinGroup{GroupID: "old", GroupType: "work", UserID: "user 4"},
		&quota.DissolveGroup{GroupID: "dissolved"},
		&quota.UseQuota{Quota: "stickers", Subject: "user 1", Amount: 5}, &quota.UseQuota{Quota: "calls", Subject: "work", Amount: 6},
		&quota.UseQuota{Quota: "storage", Amount: 9},
		&quota.DeleteUsers{UserIDs: []string{"came and left", "left", "user 49"}},
	)
	_, err := w.enforcer.ReportOnline(ctx, 1, "gateway", 11, time.Minute)
	w.ok(err)
	_, err = w.apps.Override(ctx, 1, "friends", &account.Override{Limit: catalog.Max(33), Until: at("2027-01-01T00:00:00+08:00")}, by)
	w.ok(err)
	_, err = w.apps.Approve(ctx, 1, "push_all", at("2026-11-01T00:00:00+08:00"), by)
	w.ok(err)
	q, err := w.ledger.Upgrade(ctx, ratings.Of{App: 2}, "premium")
	w.ok(err)
	_, _, err = w.ledger.Accept(ctx, q.ID, &ratings.Tender{Cash: q.Total}, account.Origin{Change: account.Change{RequestID: "r1", Fingerprint: 9}})
	w.ok(err)
	for _, id := range []uint32{4, 5, 6} {
		_, err = w.apps.Disable(ctx, id, by)
		w.ok(err)
	}
	sweeper := &quota.Sweeper{Store: w.store, Apps: w.apps}
	for _, id := range []uint32{4, 5} {
		app, err := w.apps.Delete(ctx, id, by)
		w.ok(err)
		if id == 4 {
			_, err = sweeper.Remove(ctx, app, by)
			w.ok(err)
		}
	}
	_, err = w.accounts.RecordBill(ctx, "umbrella.corp", account.NewBill{ID: "2026-10", Month: "2026-10", Amount: decimal.RequireFromString("12.30")}, by)
	w.ok(err)
	owner := &account.Account{ID: "no.apps.left", Bills: []account.Bill{{ID: "b", Amount: decimal.NewFromInt(3), Pushed: w.now.UTC()}}}
	w.ok(w.store.UpdateAccount(ctx, owner))
	w.now = at("2026-11-15T12:00:00+08:00")
}

var allApps = []uint32{1, 2, 3, 4, 5, 6}

// seen is all that callers can see of a world.
func (w *world) seen() string {
	w.Helper()
	var b bytes.Buffer
	write := func(what string, v any, err error) {
		text, broken := json.MarshalIndent(v, "", " ")
		w.ok(broken)
		fmt.Fprintf(&b, "%s: %s %v\n", what, text, err)
	}
	ctx := w.Context()
	for _, id := range allApps {
		app, err := w.apps.App(ctx, id)
		w.ok(err)
		record, err := account.EncodeApp(app)
		w.ok(err)
		fmt.Fprintf(&b, "app %d: %s\n", id, record)
		events, err := w.store.Events(ctx, id, 0, 1000)
		w.ok(err)
		for _, e := range events {
			if e.Action != "RestoreApp" {
				write(fmt.Sprint("event ", e.Revision), e, nil)
			}
		}
		history, err := w.enforcer.History(ctx, id, 13)
		for _, m := range history {
			write("month "+m.Window.Start.Format(time.DateOnly), []any{m.Used, m.PeakOnline, m.Final, len(m.Editions)}, err)
		}
		for _, q := range []quota.UsageQuery{
			{App: id}, {App: id, UserID: "user 1"}, {App: id, UserID: "stranger"}, {App: id, GroupID: "work"}, {App: id, GroupID: "old"}, {App: id, GroupID: "dissolved"},
		} {
			usage, err := w.enforcer.Usage(ctx, q)
			if usage != nil {
				write(fmt.Sprintf("usage %+v", q), usage.States, err)
			} else {
				write(fmt.Sprintf("usage %+v", q), nil, err)
			}
		}
		for _, action := range []quota.Action{
			&quota.Login{UserID: "user 1"}, &quota.Login{UserID: "user 2"}, &quota.Login{UserID: "came and left"}, &quota.Login{UserID: "left"}, &quota.Login{UserID: "new"},
			&quota.AddFriend{UserID: "user 1", FriendID: "user 2"}, &quota.UseFeature{Feature: "push_all"}, &quota.UseFeature{Feature: "community"},
			&quota.JoinGroup{GroupID: "dissolved", GroupType: "public", UserID: "user 1"}, &quota.JoinGroup{GroupID: "old", GroupType: "work", UserID: "user 1"},
			&quota.AddGroupMembers{GroupID: "work", GroupType: "work", UserIDs: ids(40, "m%d")},
			&quota.DissolveGroup{GroupID: "work"}, &quota.DissolveGroup{GroupID: "dissolved"},
			&quota.UseQuota{Quota: "stickers", Subject: "user 1", Amount: 46}, &quota.UseQuota{Quota: "calls", Subject: "work", Amount: 64},
		} {
			d, err := w.enforcer.Check(ctx, &quota.Request{App: id, Action: action, Mode: quota.CheckOnly})
			write(fmt.Sprintf("check %+v", action), d, err)
		}
		for _, edition := range []string{"standard", "premium"} {
			for _, quote := range []func(context.Context, ratings.Of, string) (*ratings.Quote, error){
				w.ledger.Upgrade,
				func(ctx context.Context, of ratings.Of, edition string) (*ratings.Quote, error) {
					return w.ledger.Purchase(ctx, of, edition, ratings.Terms{Months: 2}, nil)
				},
			} {
				q, err := quote(ctx, ratings.Of{App: id, AsOf: w.now}, edition)
				if q != nil {
					q.AppVersion = account.Version{}
				}
				write("quote of "+edition, q, err)
			}
		}
	}
	for _, name := range []string{"acme", "umbrella.corp", "no.apps.left", "nobody"} {
		owner := w.store.Accounts(ctx, []string{name})[0]
		w.ok(owner.Err)
		record, err := account.EncodeAccount(owner.Account)
		w.ok(err)
		fmt.Fprintf(&b, "account %s: %d apps, %d deleted, %d\n", record, owner.Account.Apps, owner.Account.Deleted, min(1, owner.Account.Version.Revision))
		for _, deleted := range []bool{false, true} {
			apps, err := w.store.Apps(ctx, name, 0, 100, deleted)
			w.ok(err)
			for _, l := range apps {
				fmt.Fprintf(&b, "  %d %v\n", l.ID, deleted)
			}
		}
	}
	return b.String()
}

// dump makes a backup.
func (w *world) dump() []byte {
	w.Helper()
	text, notices := w.dumpNoting()
	if len(notices) > 0 {
		w.Fatalf("notices %+v", notices)
	}
	return text
}

func (w *world) dumpNoting() (text []byte, notices []backup.Notice) {
	w.Helper()
	var b bytes.Buffer
	d := &backup.Dump{
		Store: w.store, Catalog: testCatalog(), Now: func() time.Time { return w.now },
		Tell: func(n backup.Notice) { notices = append(notices, n) },
	}
	_, err := d.Write(w.Context(), &b, d.NewHeader("test", "1.2.3"))
	w.ok(err)
	return b.Bytes(), notices
}

// restoring restores into a world.
func (w *world) restoring() *backup.Restoring {
	return &backup.Restoring{Store: w.store, Catalog: testCatalog(), Now: func() time.Time { return w.now }, Actor: "bob"}
}

// tryRestore restores a backup.
func (w *world) tryRestore(ctx context.Context, text []byte, apps ...uint32) (*backup.Restored, error) {
	w.Helper()
	checked, err := backup.Check(bytes.NewReader(text), apps...)
	w.ok(err)
	return w.restoring().Run(ctx, checked)
}

func (w *world) restore(text []byte, apps ...uint32) *backup.Restored {
	w.Helper()
	restored, err := w.tryRestore(w.Context(), text, apps...)
	w.ok(err)
	return restored
}

// entries are what a store exports of an app.
func (w *world) entries(id uint32) (entries []quota.Entry) {
	w.Helper()
	app, err := w.store.App(w.Context(), id)
	w.ok(err)
	e := quota.Export{App: id, FanoutBits: app.FanoutBits, Version: app.Version, Counters: quota.CountersOf(testCatalog(), w.now), Limit: 1000}
	for {
		out, err := w.store.Export(w.Context(), e)
		w.ok(err)
		entries = append(entries, out.Entries...)
		if e.From = out.Next; e.From == "" {
			return entries
		}
	}
}

// agree checks that the totals of an app are as many as its users.
func (w *world) agree(id uint32, running string) {
	w.Helper()
	start := at(running)
	month := catalog.Month(start, testCatalog().Zone())
	var registered, active, users, mau int64
	for _, e := range w.entries(id) {
		switch {
		case e.Kind == quota.EntryUser && e.Registered:
			registered++
		case e.Kind == quota.EntryCounter && e.Counter.Quota == catalog.Users:
			users = e.Used
		case e.Kind == quota.EntryCounter && e.Counter.Quota == catalog.FreeMAU && e.Counter.Window.Start.Equal(start):
			mau = e.Used
		}
		if e.Kind == quota.EntryUser && e.Month == month {
			active++
		}
	}
	if registered != users || active != mau {
		w.Errorf("app %d: %d users are registered and %d counted; %d were active and %d counted", id, registered, users, active, mau)
	}
}
