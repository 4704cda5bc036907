package quota_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
)

// TestUpgradeBeyondTheNext: the cheapest edition that would allow a request is not
// always the next one.
func TestUpgradeBeyondTheNext(t *testing.T) {
	t.Parallel()
	shipped := catalog.DefaultYAML()
	_, list, _ := bytes.Cut(shipped, []byte("&all_features\n"))
	list, _, _ = bytes.Cut(list, []byte("  - key: standard"))
	text := bytes.Replace(shipped, append([]byte("&all_features\n"), list...), []byte("[global_coverage]\n"), 1)
	text = bytes.Replace(text, []byte("group_members: 2000"), []byte("group_members: {limit: 100, by_group_type: {work: 2000}}"), 1)
	cat, err := catalog.Parse(bytes.Replace(text, []byte("*all_features\n"), append([]byte("\n"), list...), 1))
	if err != nil {
		t.Fatal(err)
	}
	m := &storetest.Instant{Model: storetest.NewModel()}
	e := quota.New(quota.Options{Catalog: cat, Store: m, Registry: m, Now: func() time.Time { return noon }})
	app := &account.App{ID: 7, Account: "a", Region: "sg", Edition: "developer", Created: noon, FanoutBits: 8}
	if err := m.CreateApp(t.Context(), app, account.Event{}, 1, false); err != nil {
		t.Fatal(err)
	}
	const standard, premium, none = "standard", "premium", ""
	community := &quota.CreateGroup{GroupID: "g", GroupType: "community"}
	for _, tt := range []struct {
		name    string
		used    int64 // of every counter
		request quota.Request
		want    string
	}{
		{"friends", 60, quota.Request{Action: &quota.AddFriend{UserID: "a", FriendID: "b"}}, standard},
		{"live groups", 60, quota.Request{Action: &quota.CreateGroup{GroupID: "g", GroupType: "live"}}, premium},
		{"members of a type of group", 500, quota.Request{Action: &quota.JoinGroup{GroupID: "g", GroupType: "work", UserID: "a"}}, premium},
		{"more friends than any", 3000, quota.Request{Action: &quota.AddFriend{UserID: "a", FriendID: "b"}}, none},
		{"users, and active ones that are billed", 20_000, quota.Request{Action: &quota.Login{UserID: "a"}}, standard},
		{"a feature", 0, quota.Request{Action: feature}, premium},
		{"a feature that a group needs", 0, quota.Request{Action: community}, premium},
		{"the same beyond limits that do not deny", 20_000, quota.Request{Action: community, Mode: quota.Adjust}, premium},
	} {
		m.Used = tt.used
		tt.request.App = 7
		d, err := e.Check(t.Context(), &tt.request)
		if err != nil || d.Allowed {
			t.Fatalf("%s: %+v, %v", tt.name, d, err)
		}
		got := none
		if d.Upgrade != nil {
			got = d.Upgrade.Key
		}
		if got != tt.want {
			t.Errorf("%s: upgrade %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestUnjudgedDenialKnowsNoUpgrade: where the store could not judge the rest of
// a denied action, no edition is said to allow it.
func TestUnjudgedDenialKnowsNoUpgrade(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := &account.App{ID: 8, Account: "a", Region: "sg", Edition: "standard", Created: noon, FanoutBits: 8}
	if err := f.store.CreateApp(t.Context(), app, account.Event{}, 2, false); err != nil {
		t.Fatal(err)
	}
	create := &quota.Request{App: 8, Action: &quota.CreateGroup{GroupID: "g", GroupType: "community"}}
	for _, tt := range []struct {
		name, upgrade string
		before        func()
	}{
		{"judged", "premium", func() {}},
		{"the group exists", "", func() {
			if _, err := f.Check(t.Context(), &quota.Request{App: 8, Action: &quota.CreateGroup{GroupID: "g", GroupType: "work"}}); err != nil {
				t.Fatal(err)
			}
		}},
		{"the store is away", "", func() {
			f.store.answer = func(quota.Txn) error { return &account.Fault{Reason: account.StoreUnavailable} }
		}},
	} {
		tt.before()
		d, err := f.Check(t.Context(), create)
		if err != nil || d.Allowed {
			t.Fatalf("%s: %+v, %v", tt.name, d, err)
		}
		got := ""
		if d.Upgrade != nil {
			got = d.Upgrade.Key
		}
		if got != tt.upgrade {
			t.Errorf("%s: upgrade %q, want %q", tt.name, got, tt.upgrade)
		}
	}
}
