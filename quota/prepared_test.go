package quota_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
)

// sameDecision compares decisions by what they say.
var sameDecision = cmp.Options{
	cmpopts.IgnoreUnexported(quota.Decision{}),
	cmp.Comparer(func(a, b *catalog.Edition) bool { return (a == nil) == (b == nil) && (a == nil || a.Key == b.Key) }),
	cmp.Comparer(func(a, b catalog.Limit) bool { return a == b }),
}

// another is the shipped catalog with other features and conditions.
func another(t *testing.T) *catalog.Snapshot {
	t.Helper()
	text := catalog.DefaultYAML()
	for before, after := range map[string]string{
		`version: "2023-09-19"`: `version: "another"`,
		"active_after: 48h":     "active_after: 24h",
		"trial: 1440h":          "trial: 720h",
		"      - user_status\n": "",
		"    members: false ":   "    requires: live_group_ban\n    members: false ",
	} {
		if !bytes.Contains(text, []byte(before)) {
			t.Fatalf("the catalog has no %q", before)
		}
		text = bytes.ReplaceAll(text, []byte(before), []byte(after))
	}
	cat, err := catalog.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// TestPreparedAnswers: an Enforcer that has answered before, by other records, in
// another catalog, at another time and to other clients, answers as one that never
// did.
func TestPreparedAnswers(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	w := &preparedWorld{T: t, Rand: rand.New(rand.NewPCG(seed, 1)), store: storetest.NewModel(), now: noon, said: make(map[*quota.Decision]string)}
	w.catalogs = []*catalog.Snapshot{catalog.Default(), another(t)}
	w.old = w.enforcer(w.catalogs[0])
	w.old.Confirmed(time.Now().Add(time.Hour))
	for id, region := range []string{1: "sg", 2: "de", 3: "sg"} {
		if id == 0 {
			continue
		}
		app := &account.App{ID: uint32(id), Account: "a", Region: region, Edition: "developer", Created: noon, FanoutBits: 8}
		if err := w.store.CreateApp(t.Context(), app, account.Event{}, 9, false); err != nil {
			t.Fatal(err)
		}
	}
	denied, shared := 0, 0
	for range 20_000 {
		switch n := w.IntN(100); {
		case n < 3:
			w.change()
		case n < 5:
			w.old.SetCatalog(w.catalogs[w.IntN(2)])
		case n < 10:
			w.now = noon.Add(time.Duration(w.IntN(24*100)-24*20) * time.Hour)
		default:
			got, want := w.ask()
			if want != nil && !want.Allowed {
				denied++
				if got == w.last {
					shared++
				}
			}
			w.last = got
			if got != nil {
				w.said[got] = fmt.Sprintf("%+v", *got)
			}
		}
		if t.Failed() {
			return
		}
	}
	for d, said := range w.said {
		if now := fmt.Sprintf("%+v", *d); now != said {
			t.Errorf("an answer was changed after it was given:\n%s\n%s", said, now)
		}
	}
	if denied < 1000 || shared == 0 {
		t.Errorf("%d denials, %d of them one answer for two requests: what is prepared was not tried", denied, shared)
	}
}

type preparedWorld struct {
	*testing.T
	*rand.Rand

	store    *storetest.Model
	catalogs []*catalog.Snapshot
	old      *quota.Enforcer
	now      time.Time
	last     *quota.Decision
	said     map[*quota.Decision]string // when it was said
}

func (w *preparedWorld) enforcer(cat *catalog.Snapshot) *quota.Enforcer {
	return quota.New(quota.Options{Catalog: cat, Store: w.store, Registry: w.store, Now: func() time.Time { return w.now }})
}

// ask asks both for the same.
func (w *preparedWorld) ask() (got, want *quota.Decision) {
	w.Helper()
	r := &quota.Request{App: uint32(1 + w.IntN(4)), Basic: w.IntN(2) == 0, Mode: quota.CheckOnly}
	r.Client.Platform = []string{"", "", "web", "ios", "windows"}[w.IntN(5)]
	if sdk := []string{"", "", "2.0", "5.9", "99"}[w.IntN(5)]; sdk != "" {
		r.Client.SDK, _ = catalog.ParseSDKVersion(sdk)
		r.Client.HasSDK = true
	}
	features := w.catalogs[0].Features()
	switch w.IntN(10) {
	case 0:
		r.Action = &quota.CreateGroup{GroupID: []string{"g", "h"}[w.IntN(2)], GroupType: []string{"community", "live"}[w.IntN(2)], MemberIDs: []string{"u"}}
	case 1:
		r.Action = &quota.AddFriend{UserID: "u", FriendID: "v"}
	case 2:
		r.Action = &quota.DeleteUsers{UserIDs: []string{"u"}}
	default:
		key := features[w.IntN(len(features))].Key
		if w.IntN(3) == 0 {
			key = []string{"push_all", "av_call", "user_status", "community"}[w.IntN(4)]
		}
		r.Action = &quota.UseFeature{Feature: key, GroupType: []string{"", "", "live", "work", "no such"}[w.IntN(5)], GroupID: []string{"", "g"}[w.IntN(2)]}
	}
	got, gotErr := w.old.Check(w.Context(), r)
	want, wantErr := w.enforcer(w.old.Catalog()).Check(w.Context(), r)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		w.Errorf("%+v: %v, want %v", r.Action, gotErr, wantErr)
	}
	if diff := cmp.Diff(want, got, sameDecision); diff != "" {
		w.Errorf("%+v at %v (-want +got):\n%s", r, w.now, diff)
	}
	if r.Basic && got != nil && (got.Upgrade != nil || got.Edition != "" || got.Quotas != nil || got.Lifecycle != nil) {
		w.Errorf("%+v: details that were not asked for: %+v", r.Action, got)
	}
	return got, want
}

// change changes a record, and says so.
func (w *preparedWorld) change() {
	w.Helper()
	id := uint32(1 + w.IntN(3))
	current, err := w.store.App(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	app, at := current.Clone(), noon.Add(time.Duration(w.IntN(24*80)-24*40)*time.Hour)
	switch w.IntN(7) {
	case 0:
		app.Approvals = map[string]time.Time{"push_all": at}
	case 1:
		app.Approvals = nil
	case 2:
		app.AddOns = map[string]time.Time{"av_call": at}
	case 3:
		edition := []string{"standard", "premium"}[w.IntN(2)]
		app.Orders = []account.Order{{ID: "o", Edition: edition, Months: 1, Start: at, End: at.AddDate(0, 1, 0)}}
	case 4:
		app.Disabled = []account.Spell{{From: at, Until: at.AddDate(0, 0, 10)}}
	case 5:
		app.Reclaimed = at
		if w.IntN(2) == 0 {
			app.Reclaimed = time.Time{}
		}
	case 6:
		app.Overrides = map[string]account.Override{"friends": {Limit: catalog.Max(int64(w.IntN(2))), Until: at}}
	}
	if err := w.store.UpdateApp(w.Context(), app, account.Event{}); err != nil {
		w.Fatal(err)
	}
	w.old.Announced(account.Subject{App: id}, time.Time{})
}

// TestSharedAnswers: who gets the same answer gets it made once, and in every view
// and from every source the one that is right for it.
func TestSharedAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	made := 0
	form := func(r *quota.Request) string {
		t.Helper()
		d, err := f.Check(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		made = 0
		text, _ := d.Form(func(d *quota.Decision) any {
			made++
			return fmt.Sprintf("%v %d %s %d", d.Allowed, d.ViolationCount, d.Edition, d.Source)
		}).(string)
		return text
	}
	platform := &quota.Request{App: 7, Action: &quota.UseFeature{Feature: "local_search"}, Client: quota.Client{Platform: "web"}}
	trial := &quota.Request{App: 7, Action: &quota.UseFeature{Feature: "av_call"}}
	for _, tt := range []struct {
		name     string
		request  quota.Request
		want     string
		isShared bool
	}{
		{"allowed", quota.Request{App: 7, Action: feature}, "true 0 premium 2", true},
		{"allowed, in short", quota.Request{App: 7, Action: feature, Basic: true}, "true 0  2", true},
		{"another feature", quota.Request{App: 7, Action: &quota.UseFeature{Feature: "push_all"}}, "false 1 premium 2", true},
		{"denied, in short", quota.Request{App: 7, Action: trial.Action, Basic: true}, "false 1  2", true},
		{"denied", *trial, "false 1 premium 2", true},
		{"denied to this device", *platform, "false 1 premium 2", false},
		{"counted", quota.Request{App: 7, Action: &quota.Login{UserID: "a"}}, "true 0 premium 1", false},
		{"counted, in short, and then found given back", quota.Request{App: 7, Basic: true, Action: &quota.RemoveFriend{UserID: "x", FriendID: "y"}}, "true 0  1", false},
	} {
		for i := range 3 {
			if got := form(&tt.request); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
			if isMade := made == 1; isMade != (i == 0 || !tt.isShared) {
				t.Errorf("%s, time %d: made %d times", tt.name, i, made)
			}
		}
	}
	f.leave()
	for range 2 {
		if got := form(trial); got != "false 1 premium 3" {
			t.Errorf("denied while the store is away: %s", got)
		}
		if got := form(&quota.Request{App: 7, Action: feature}); got != "true 0 premium 3" {
			t.Errorf("allowed while the store is away: %s", got)
		}
	}
}

// TestAppsShareAnswers: what all apps in service of an edition are told is made once,
// and nobody else is told it: not those of another edition, nor those in grace, nor
// those that go by another catalog.
func TestAppsShareAnswers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	with, err := catalog.Default().With(another(t))
	if err != nil {
		t.Fatal(err)
	}
	f.SetCatalog(with)
	ending := account.Order{ID: "o", Edition: "premium", Months: 1, Start: noon.AddDate(0, -1, 0), End: noon.Add(-time.Hour)}
	for _, app := range []*account.App{
		{ID: 8, Edition: "premium"},
		{ID: 9, Edition: "standard"},
		{ID: 10, Edition: "developer", Orders: []account.Order{ending}},
		{ID: 11, Edition: "premium", Catalog: "another"},
	} {
		app.Account, app.Region, app.Created, app.FanoutBits = "a", "de", noon.AddDate(0, -1, 0), 8
		if app.Catalog != "" {
			app.Created = time.Date(2022, 12, 1, 0, 0, 0, 0, time.UTC)
		}
		if err := f.store.CreateApp(t.Context(), app, account.Event{}, 9, false); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(app uint32) *quota.Decision {
		t.Helper()
		d, err := f.Check(t.Context(), &quota.Request{App: app, Action: &quota.UseFeature{Feature: "local_search"}})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := ask(7)
	if ask(8) != first {
		t.Error("another app of the edition is told something of its own")
	}
	if d := ask(9); d == first || d.Edition != "standard" {
		t.Errorf("an app of another edition: %+v", d)
	}
	if d := ask(10); d == first || d.Lifecycle.Stage != account.Grace || d.Lifecycle.GraceUntil.IsZero() {
		t.Errorf("an app in grace: %+v", d)
	}
	if d := ask(11); d == first || d.CatalogVersion != "another" {
		t.Errorf("an app of another catalog: %+v", d)
	}
	f.SetCatalog(another(t))
	if d := ask(8); d == first || d.CatalogVersion != "another" {
		t.Errorf("after a change of the catalog: %+v", d)
	}
}

// TestNobodyIsAllowedAfterTheChange: once a change is made and was announced, and
// currency was confirmed after that, no check that begins then decides by what was
// before. Many look and are told at once.
func TestNobodyIsAllowedAfterTheChange(t *testing.T) {
	t.Parallel()
	m := storetest.NewModel()
	e := quota.New(quota.Options{Catalog: catalog.Default(), Store: m, Registry: m, Now: func() time.Time { return noon }})
	app := &account.App{ID: 7, Account: "a", Region: "sg", Edition: "premium", Created: noon, FanoutBits: 8}
	if err := m.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	var (
		mu        sync.Mutex
		isAllowed = true // by the last change that was confirmed
		changes   int    // rises before each change, and after it was confirmed
	)
	now := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		return changes, isAllowed
	}
	stop := make(chan struct{})
	var looking sync.WaitGroup
	for range 4 {
		looking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before, want := now()
				d, err := e.Check(t.Context(), &quota.Request{App: 7, Action: feature})
				after, _ := now()
				if err != nil {
					t.Error(err)
					return
				}
				if before == after && before%2 == 0 && d.Allowed != want {
					t.Errorf("allowed: %v, and the record says %v", d.Allowed, want)
					return
				}
			}
		})
	}
	for i := range 2000 {
		mu.Lock()
		changes++
		mu.Unlock()
		current, err := m.App(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		changed := current.Clone()
		changed.Disabled = nil
		if i%2 == 0 {
			changed.Disabled = []account.Spell{{From: noon}}
		}
		if err := m.UpdateApp(t.Context(), changed, account.Event{}); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			e.Missed()
		} else {
			e.Announced(account.Subject{App: 7}, time.Time{})
		}
		e.Confirmed(time.Now().Add(time.Hour))
		mu.Lock()
		changes, isAllowed = changes+1, i%2 == 1
		mu.Unlock()
	}
	close(stop)
	looking.Wait()
}
