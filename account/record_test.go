package account_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 28, 12, 0, 0, 0, time.UTC)
	app := &account.App{
		ID: 7, Account: "acme", Name: "Chat", Region: "eu", Edition: "standard", Created: at, FanoutBits: 14,
		Approvals: map[string]time.Time{"push": at}, AddOns: map[string]time.Time{"plus": at},
		Overrides: map[string]catalog.Limit{"friends": catalog.Max(7), "groups": catalog.Unlimited()},
		Orders:    []account.Order{{ID: "o1", Start: at, End: at.AddDate(0, 0, 28)}},
		Changes:   []account.Change{{RequestID: "r", Fingerprint: 1<<63 + 1}},
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

func TestRecordThatCannotBeRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, record string
		want         account.FaultReason
		says         string
	}{
		{"of a newer imquota", `{"format":2,"id":7,"account":"acme","frozen":true}`, account.RecordNewer, "has format 2; this version of imquota knows format 1"},
		{"without a format", `{"id":7,"account":"acme"}`, account.UsageUnknown, "app 7 is damaged"},
		{"of another app", `{"format":1,"id":8,"account":"acme"}`, account.UsageUnknown, "app 7 is damaged"},
		{"that is no JSON", `{`, account.UsageUnknown, "app 7 is damaged"},
		{"that is empty", ``, account.UsageUnknown, "app 7 is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := account.DecodeApp(7, []byte(tt.record), account.Version{Revision: 1})
			var f *account.Fault
			if !errors.As(err, &f) || f.Reason != tt.want || !strings.Contains(f.Detail, tt.says) {
				t.Errorf("got %v, want %s: %s", err, tt.want, tt.says)
			}
		})
	}
}
