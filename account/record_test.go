package account_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

func TestAppRecord_RoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	app := &account.App{
		ID: 7, Account: "acme", Name: "Chat", Region: "eu", Edition: "standard", Created: at, FanoutBits: 14,
		Approvals: map[string]time.Time{"push": at}, AddOns: map[string]time.Time{"plus": at},
		Overrides: map[string]account.Override{"friends": {Limit: catalog.Max(7)}, "groups": {Limit: catalog.Unlimited(), Until: at}},
		Orders: []account.Order{
			{ID: "o1", Edition: "standard", Start: at, End: at.AddDate(0, 0, 28), Months: 1, Cash: decimal.RequireFromString("399.00"), Credit: decimal.RequireFromString("0.5"), NonRefundable: true, Refunded: at},
			{
				ID: "o2", Edition: "standard", Start: at, End: at.AddDate(0, 0, 28), Months: 1, Cash: decimal.RequireFromString("300.00"), Credit: decimal.Zero,
				List: decimal.NewFromInt(399), Discount: decimal.RequireFromString("59.00"), Voucher: decimal.NewFromInt(40), Currency: "USD", Ordered: at,
				Deal:     account.Deal{Quote: "q1", Accepted: at, Request: account.Change{RequestID: "r1", Fingerprint: 7}},
				Upgrades: []account.Upgrade{{At: at, Edition: "premium", Cash: decimal.NewFromInt(300), Credit: decimal.Zero, Deal: account.Deal{Quote: "q2", Accepted: at}}},
				Refunded: at, Refund: account.Refund{Cash: decimal.NewFromInt(5), Credit: decimal.Zero, Deal: account.Deal{Quote: "q3", Accepted: at}},
				Rejected: account.Rejection{Reason: "again", At: at, Actor: "ann", Quote: "q4"},
			},
		},
		Renewal:  account.Renewal{Mode: account.RenewAutomatically, Months: 3},
		Disabled: []account.Spell{{From: at, Until: at.Add(time.Second)}, {From: at.Add(time.Minute)}},
		Deleted:  at, Reclaimed: at.Add(1), Swept: at.Add(2), Migrated: at.Add(3),
		Creation: account.Change{RequestID: "c", Fingerprint: 9},
		Changes:  []account.Change{{RequestID: "r", Fingerprint: 1<<63 + 1}},
	}
	record, err := account.EncodeApp(app)
	if err != nil {
		t.Fatal(err)
	}
	app.Version = account.Version{Epoch: 3, Revision: 4}
	got, err := account.DecodeApp(7, record, app.Version)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(app, got, cmp.AllowUnexported(catalog.Limit{})); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// Records of format 1 have limits where those of format 2 have overrides, and
// nothing of what format 2 added.
func TestAppRecord_Format1(t *testing.T) {
	t.Parallel()
	const record = `{"format":1,"id":7,"account":"acme","region":"sg","edition":"premium","created":"2024-06-01T00:00:00Z","fanoutBits":14,
		"overrides":{"friends":"7","groups":"unlimited"},
		"orders":[{"id":"o1","edition":"premium","start":"2024-06-01T00:00:00Z","end":"2024-07-01T00:00:00Z","months":1,"cash":"699","credit":"0"}],
		"creation":{"requestId":"c","fingerprint":9}}`
	got, err := account.DecodeApp(7, []byte(record), account.Version{})
	if err != nil {
		t.Fatal(err)
	}
	created := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	want := &account.App{
		ID: 7, Account: "acme", Region: "sg", Edition: "premium", Created: created, FanoutBits: 14,
		Overrides: map[string]account.Override{"friends": {Limit: catalog.Max(7)}, "groups": {Limit: catalog.Unlimited()}},
		Orders:    []account.Order{{ID: "o1", Edition: "premium", Start: created, End: created.AddDate(0, 1, 0), Months: 1, Cash: decimal.NewFromInt(699), Credit: decimal.Zero}},
		Creation:  account.Change{RequestID: "c", Fingerprint: 9},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(catalog.Limit{})); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	again, err := account.EncodeApp(got)
	if err != nil || !strings.HasPrefix(string(again), `{"format":3,`) || !strings.Contains(string(again), `"friends":{"limit":"7"}`) {
		t.Errorf("it is written as %s, %v", again, err)
	}
}

func TestAppRecord_CannotBeRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, record string
		want         account.FaultReason
		says         string
	}{
		{"of a newer imquota", `{"format":4,"id":7,"account":"acme","frozen":true}`, account.RecordNewer, "has format 4; this version of imquota knows formats up to 3"},
		{"of a newer imquota, with values of other types", `{"format":4,"id":7,"orders":"none","overrides":{"friends":7}}`, account.RecordNewer, "has format 4; this version of imquota knows formats up to 3"},
		{"with values of other types", `{"format":2,"id":7,"orders":"none"}`, account.UsageUnknown, "app 7 is damaged"},
		{"with an override that is none", `{"format":2,"id":7,"overrides":{"friends":7}}`, account.UsageUnknown, "app 7 is damaged"},
		{"with a limit that is none", `{"format":1,"id":7,"overrides":{"friends":"-7"}}`, account.UsageUnknown, "app 7 is damaged"},
		{"without a format", `{"id":7,"account":"acme"}`, account.UsageUnknown, "app 7 is damaged"},
		{"of a format before the first", `{"format":-1,"id":7,"account":"acme"}`, account.UsageUnknown, "app 7 is damaged"},
		{"of another app", `{"format":1,"id":8,"account":"acme"}`, account.UsageUnknown, "app 7 is damaged"},
		{"that is null", `null`, account.UsageUnknown, "app 7 is damaged"},
		{"that is cut off", `{"format":4,"id":7,"acc`, account.UsageUnknown, "app 7 is damaged"},
		{"that is no JSON", `{`, account.UsageUnknown, "app 7 is damaged"},
		{"that is empty", ``, account.UsageUnknown, "app 7 is damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := account.DecodeApp(7, []byte(tt.record), account.Version{Revision: 1})
			wantFault(t, err, tt.want, tt.says)
		})
	}
}

func TestAccountRecord_RoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	owner := &account.Account{
		ID: "acme",
		Bills: []account.Bill{
			{ID: "b1", Month: "2026-01", Amount: decimal.RequireFromString("12.30"), Pushed: at, Paid: at.Add(time.Hour)},
			{ID: "b2", Amount: decimal.RequireFromString("0.01"), Pushed: at},
		},
		Changes: []account.Change{{RequestID: "r", Fingerprint: 1<<63 + 1}},
	}
	stored := owner.Clone()
	stored.Apps, stored.Deleted = 3, 4 // the registry counts them
	record, err := account.EncodeAccount(stored)
	if err != nil {
		t.Fatal(err)
	}
	owner.Version = account.Version{Epoch: 3, Revision: 4}
	got, err := account.DecodeAccount("acme", record, owner.Version)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(owner, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestAccountRecord_CannotBeRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, record string
		want         account.FaultReason
		says         string
	}{
		{"of a newer imquota", `{"format":2,"id":"acme"}`, account.RecordNewer, "account acme has format 2; this version of imquota knows formats up to 1"},
		{"of a newer imquota, with values of other types", `{"format":2,"id":["acme"]}`, account.RecordNewer, "account acme has format 2"},
		{"with values of other types", `{"format":1,"id":"acme","bills":{}}`, account.UsageUnknown, "account acme is damaged"},
		{"without a format", `{"id":"acme"}`, account.UsageUnknown, "account acme is damaged"},
		{"of another account", `{"format":1,"id":"other"}`, account.UsageUnknown, "account acme is damaged"},
		{"that is empty", ``, account.UsageUnknown, "account acme is damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := account.DecodeAccount("acme", []byte(tt.record), account.Version{Revision: 1})
			wantFault(t, err, tt.want, tt.says)
		})
	}
}

func wantFault(t *testing.T, err error, want account.FaultReason, says string) {
	t.Helper()
	var f *account.Fault
	if !errors.As(err, &f) || f.Reason != want || !strings.Contains(f.Detail, says) {
		t.Errorf("got %v, want %s: %s", err, want, says)
	}
	if err != nil && !account.IsOfRecord(err) {
		t.Error("it is not of the record alone")
	}
}
