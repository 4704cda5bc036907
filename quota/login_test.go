package quota_test

import (
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// TestLoginIsAskedOfTheStore: that a user has logged in this month already is no
// reason not to ask. Each time something has happened meanwhile of which this
// process was not told, and that makes the login count.
func TestLoginIsAskedOfTheStore(t *testing.T) {
	t.Parallel()
	login := &quota.Login{UserID: "alice"}
	for _, tt := range []struct {
		name    string
		happens func(t *testing.T, f *fixture, other *quota.Enforcer)
		quota   string
		used    int64
	}{
		{"the user was deleted through another sidecar", func(t *testing.T, _ *fixture, other *quota.Enforcer) {
			t.Helper()
			if d, err := other.Check(t.Context(), &quota.Request{App: 7, Action: &quota.DeleteUsers{UserIDs: []string{"alice"}}}); err != nil || !d.Allowed {
				t.Fatal(d, err)
			}
		}, catalog.Users, 1},
		{"another sidecar's clock is in the next month", func(t *testing.T, f *fixture, other *quota.Enforcer) {
			t.Helper()
			f.now = noon.AddDate(0, 1, 0)
			if _, err := other.Check(t.Context(), &quota.Request{App: 7, Action: &quota.Login{UserID: "bob"}}); err != nil {
				t.Fatal(err)
			}
			f.now = noon
		}, catalog.FreeMAU, 2},
		{"the store lost what it had acknowledged", func(t *testing.T, f *fixture, _ *quota.Enforcer) {
			t.Helper()
			app, err := f.store.App(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.store.Sweep(t.Context(), quota.Sweep{App: 7, Version: app.Version}); err != nil {
				t.Fatal(err)
			}
		}, catalog.Users, 1},
		{"the app was disabled, and nobody was told yet", func(t *testing.T, f *fixture, _ *quota.Enforcer) {
			t.Helper()
			apps := &account.Apps{Registry: f.store, Catalog: f.Catalog, Now: func() time.Time { return noon }}
			if _, err := apps.Disable(t.Context(), 7, account.Origin{}); err != nil {
				t.Fatal(err)
			}
		}, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.edition("developer")
			other := quota.New(quota.Options{Catalog: catalog.Default(), Store: f.store, Registry: f.store, Now: func() time.Time { return f.now }})
			for range 2 {
				if d := f.check(login); !d.Allowed {
					t.Fatalf("denied: %+v", d)
				}
			}
			tt.happens(t, f, other)
			d := f.check(login)
			if d.Source != quota.SourceStore || d.Allowed != (tt.quota != "") {
				t.Errorf("the login after it: %+v", d)
			}
			for _, s := range d.Quotas {
				if s.Quota == tt.quota && (s.Used != tt.used || s.Change != 1) {
					t.Errorf("%+v, want it counted: %d", s, tt.used)
				}
			}
		})
	}
}
