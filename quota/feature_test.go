package quota_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota"
)

// TestSDKWithoutPlatform: a version alone denies only what is too old on every
// family of platforms.
func TestSDKWithoutPlatform(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, tt := range []struct {
		feature, platform, version string
		want                       bool
	}{
		{"community", "", "2.16.9", false},
		{"community", "", "2.17.0", true}, // it may be a web client
		{"community", "", "5.8.1667", true},
		{"community", "ios", "5.8.1667", false},
		{"community", "ios", "5.8.1668", true},
		{"community", "ios", "5.10", true},
		{"community", "web", "2.16.99999", false},
		{"community", "web", "2.17", true},
		{"group_read_receipt", "", "1.0", true}, // no minimum on the web
		{"group_read_receipt", "web", "1.0", true},
		{"group_read_receipt", "linux", "6.1.2154", false},
		{"group_read_receipt", "linux", "6.1.2155", true},
	} {
		version, err := catalog.ParseSDKVersion(tt.version)
		if err != nil {
			t.Fatal(err)
		}
		d, err := f.Check(t.Context(), &quota.Request{
			App: 7, Action: &quota.UseFeature{Feature: tt.feature},
			Client: quota.Client{Platform: tt.platform, SDK: version, HasSDK: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		if d.Allowed != tt.want || !tt.want && d.Violations[0].Reason != quota.SDKTooOld {
			t.Errorf("%+v: %+v", tt, d)
		}
	}
}

// TestEditionThatTheCatalogLost: an app whose edition is not in the catalog in
// force is a fault that names both, never a denial.
func TestEditionThatTheCatalogLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other, err := catalog.Parse([]byte(strings.ReplaceAll(string(catalog.DefaultYAML()), "premium", "platinum")))
	if err != nil {
		t.Fatal(err)
	}
	f.SetCatalog(other)
	_, checked := f.Check(t.Context(), &quota.Request{App: 7, Action: &quota.Login{UserID: "a"}})
	_, read := f.Usage(t.Context(), quota.UsageQuery{App: 7})
	_, listed := f.Entitlements(t.Context(), 7, quota.Client{})
	for _, err := range []error{checked, read, listed} {
		if !errors.Is(err, account.ErrUnknownEdition) || !strings.Contains(err.Error(), `"premium"`) {
			t.Errorf("error %v", err)
		}
	}
	f.SetCatalog(catalog.Default())
	if d := f.check(&quota.Login{UserID: "a"}); !d.Allowed {
		t.Errorf("with the edition back: %+v", d)
	}
}
