package server_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A legacy app goes by the catalog that it pins, whichever is in force, until it
// is migrated (FACTS §5).
func TestLegacyAppsPinTheirCatalog(t *testing.T) {
	t.Parallel()
	old := edited(t, `version: "2023-09-19"`, `version: "2022-01-01"`, "      friends: 20\n", "      friends: 2\n", `monthly_price: "399"`, `monthly_price: "99"`)
	with, err := catalog.Default().With(old)
	if err != nil {
		t.Fatal(err)
	}
	onStores(t, func(t *testing.T, s stores) {
		clock := newClock("2024-06-15T12:00:00+08:00")
		sidecar := start(t, s.first, clock, with)
		create := func(app uint32, created, version string) error {
			_, err := sidecar.apps.CreateApp(t.Context(), &imquotav1.CreateAppRequest{
				AppId: app, AccountId: "test", Import: &imquotav1.AppImport{CatalogVersion: version, CreateTime: instant(t, created)},
			})
			return err
		}
		for app, version := range map[uint32]string{1: "2022-01-01", 2: ""} {
			if err := create(app, "2022-12-25T23:59:59+08:00", version); err != nil {
				t.Fatal(err)
			}
		}
		if fields := wantFault(t, create(3, "2022-12-26T00:00:00+08:00", "2022-01-01"), codes.InvalidArgument, "INVALID_FIELD"); !cmp.Equal(fields, []string{"import.catalog_version"}) {
			t.Errorf("of an app that is not legacy: %v", fields)
		}
		if fields := wantFault(t, create(3, "2022-12-25T00:00:00+08:00", "2021"), codes.InvalidArgument, "INVALID_FIELD"); !cmp.Equal(fields, []string{"import.catalog_version"}) {
			t.Errorf("a catalog that is not there: %v", fields)
		}
		goesBy := func(app uint32, version string, friends int64, month string) {
			t.Helper()
			d := sidecar.allow(&imquotav1.CheckQuotaRequest{AppId: app, Mode: imquotav1.Mode_MODE_CHECK_ONLY, Action: befriend("alice", "bob")})
			if d.GetCatalogVersion() != version || d.GetQuotas()[0].GetLimit() != friends {
				t.Errorf("app %d: catalog %s, %d friends; want %s, %d", app, d.GetCatalogVersion(), d.GetQuotas()[0].GetLimit(), version, friends)
			}
			usage, err := sidecar.GetUsage(t.Context(), &imquotav1.GetUsageRequest{AppId: app, UserId: "alice", Quotas: []string{"friends"}})
			if err != nil || usage.GetCatalogVersion() != version || usage.GetQuotas()[0].GetLimit() != friends {
				t.Errorf("app %d: usage %v, %v", app, usage, err)
			}
			granted, err := sidecar.GetEntitlements(t.Context(), &imquotav1.GetEntitlementsRequest{AppId: app})
			if err != nil || granted.GetCatalogVersion() != version {
				t.Errorf("app %d: entitlements by %s, %v", app, granted.GetCatalogVersion(), err)
			}
			q, err := sidecar.billing.QuotePurchase(t.Context(), &imquotav1.QuotePurchaseRequest{
				Subject: &imquotav1.QuotePurchaseRequest_AppId{AppId: app}, Edition: "standard", Months: 1,
			})
			if err != nil || q.GetQuote().GetTotal().GetAmount() != month || q.GetQuote().GetCatalogVersion() != version {
				t.Errorf("app %d: %v, %v; want %s", app, q, err, month)
			}
		}
		goesBy(1, "2022-01-01", 2, "99.00")
		goesBy(2, "2023-09-19", 20, "399.00")

		// Another sidecar, of a later catalog and without the files of before.
		later := edited(t, `version: "2023-09-19"`, `version: "2025"`)
		sidecar = start(t, s.another(), clock, later)
		for _, app := range []uint32{1, 2} {
			_, err := sidecar.CheckQuota(t.Context(), &imquotav1.CheckQuotaRequest{AppId: app, Action: befriend("alice", "bob")})
			wantFault(t, err, codes.FailedPrecondition, "UNKNOWN_CATALOG")
			if shown, err := sidecar.apps.GetApp(t.Context(), &imquotav1.GetAppRequest{AppId: app}); err != nil || shown.GetApp().GetCatalogVersion() == "" {
				t.Errorf("app %d: %v, %v", app, shown, err)
			}
			if _, err := sidecar.apps.MigrateBilling(t.Context(), &imquotav1.MigrateBillingRequest{AppId: app}); err != nil {
				t.Fatal(err)
			}
			goesBy(app, "2025", 20, "399.00")
		}
	})
}

func befriend(user, friend string) *imquotav1.CheckQuotaRequest_AddFriend {
	return &imquotav1.CheckQuotaRequest_AddFriend{AddFriend: &imquotav1.AddFriend{UserId: user, FriendId: friend}}
}

func instant(t *testing.T, rfc3339 string) *timestamppb.Timestamp {
	t.Helper()
	return timestamppb.New(newClock(rfc3339).Now())
}

// The catalog over the wire has everything that a page of plans shows.
func TestGetCatalog(t *testing.T) {
	t.Parallel()
	old := edited(t, `version: "2023-09-19"`, `version: "2022-01-01"`, `monthly_price: "399"`, `monthly_price: "99"`)
	with, err := catalog.Default().With(old)
	if err != nil {
		t.Fatal(err)
	}
	onStores(t, func(t *testing.T, s stores) {
		sidecar := start(t, s.first, newClock("2024-06-15T12:00:00+08:00"), with)
		get := func(version string) *imquotav1.Catalog {
			t.Helper()
			out, err := sidecar.billing.GetCatalog(t.Context(), &imquotav1.GetCatalogRequest{Version: version})
			if err != nil {
				t.Fatal(err)
			}
			return out.GetCatalog()
		}
		c := get("")
		standard := c.GetEditions()[1]
		if standard.GetMonthlyPrice().GetAmount() != "399.00" || !cmp.Equal(standard.GetUpgrades(), []string{"premium"}) || len(standard.GetFeatures()) != 1 || len(standard.GetLimits()) != len(c.GetQuotas()) {
			t.Errorf("standard: %v", standard)
		}
		if d := c.GetEditions()[0]; !d.GetFree() || !cmp.Equal(d.GetPurchases(), []string{"standard", "premium"}) {
			t.Errorf("developer: %v", d)
		}
		want := &imquotav1.CatalogLimit{Quota: "free_mau", Limit: 10000, Billed: true}
		if diff := cmp.Diff(want, standard.GetLimits()[1], protocmp.Transform()); diff != "" {
			t.Errorf("limit (-want +got):\n%s", diff)
		}
		wantMeter := &imquotav1.CatalogMeter{
			Meter: "pcc", Title: "Peak concurrent users of the month", Unit: "user and month",
			Prices: []*imquotav1.CatalogMeterPrice{
				{Edition: "premium", UnitPrice: &imquotav1.Money{CurrencyCode: "USD", Amount: "0.20"}},
				{Edition: "standard", UnitPrice: &imquotav1.Money{CurrencyCode: "USD", Amount: "0.20"}},
			},
			Promotions: []*imquotav1.CatalogPromotion{{Title: "free for a limited time", Percent: "-100", StartTime: instant(t, "2022-12-26T00:00:00+08:00")}},
		}
		if diff := cmp.Diff(wantMeter, c.GetMeters()[1], protocmp.Transform()); diff != "" || c.GetMeters()[0].GetPrices()[0].GetUnitPrice().GetAmount() != "0.015" {
			t.Errorf("meters (-want +got):\n%s", diff)
		}
		if c.GetVersion() != "2023-09-19" || c.GetTimeZone() != "UTC+08:00" || c.GetQuoteLifetime().GetSeconds() != 900 || c.GetPolicies()["used_value"] != "service_months" {
			t.Errorf("%v", c)
		}
		if f := c.GetFeatures()[3]; f.GetConditions() != "on android, ios" || c.GetAddOns()[0].GetTrial().GetSeconds() != 60*86400 {
			t.Errorf("%v, %v", f, c.GetAddOns())
		}
		if got := get("2022-01-01").GetEditions()[1].GetMonthlyPrice().GetAmount(); got != "99.00" {
			t.Errorf("of before: %s", got)
		}
		_, err := sidecar.billing.GetCatalog(t.Context(), &imquotav1.GetCatalogRequest{Version: "2021"})
		wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD")
	})
}
