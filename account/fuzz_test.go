package account_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// FuzzRecord reads whatever is stored as an app's record, and an account's: it is
// a fault, or a record that stays as it is when it is written, and whose state
// can be told.
func FuzzRecord(f *testing.F) {
	for _, record := range []string{
		`{"format":3,"id":1,"account":"acme","edition":"standard","created":"2024-06-01T00:00:00Z"}`,
		`{"format":1,"id":1}`, `{"format":4,"id":1}`, `{"format":3,"id":2}`, `{"format":3,"id":1,"orders":[{}]}`, `null`, `{}`, ``, `{"format":1,"id":"acme","bills":[{"id":"b"}]}`,
	} {
		f.Add([]byte(record))
	}
	for _, app := range []*account.App{
		{
			ID: 1, Account: "acme", Edition: "standard", Created: noonOfRecords, FanoutBits: 14,
			Orders:    []account.Order{{ID: "o", Edition: "standard", Months: 3, Start: noonOfRecords, End: noonOfRecords.AddDate(0, 3, 0), Cash: decimal.RequireFromString("1197.00")}},
			Overrides: map[string]account.Override{"friends": {Limit: catalog.Max(7)}, "groups": {Limit: catalog.Unlimited()}},
		},
		{ID: 1, Account: "acme", Edition: "developer", Created: noonOfRecords, Deleted: noonOfRecords},
	} {
		record, err := account.EncodeApp(app)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		v := account.Version{Epoch: 1, Revision: 2}
		if app, err := account.DecodeApp(1, record, v); isRecord(t, err) {
			again, err := account.EncodeApp(app)
			if err != nil {
				t.Fatal(err)
			}
			other, err := account.DecodeApp(1, again, v)
			if err != nil {
				t.Fatalf("%s: %v", again, err)
			}
			once, err := account.EncodeApp(other)
			if err != nil || string(once) != string(again) {
				t.Errorf("%v (-once +again):\n%s", err, cmp.Diff(string(again), string(once)))
			}
			app.StateAt(noonOfRecords, nil, catalog.Default())
		}
		if owner, err := account.DecodeAccount("acme", record, v); isRecord(t, err) {
			again, err := account.EncodeAccount(owner)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := account.DecodeAccount("acme", again, v); err != nil {
				t.Errorf("%s: %v", again, err)
			}
			(&account.App{ID: 1, Edition: "standard", Created: noonOfRecords}).StateAt(noonOfRecords, owner, catalog.Default())
		}
	})
}

var noonOfRecords = time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)

// isRecord expects a record, or a fault that says why there is none.
func isRecord(t *testing.T, err error) bool {
	t.Helper()
	if f, ok := errors.AsType[*account.Fault](err); err != nil && (!ok || f.Reason != account.UsageUnknown && f.Reason != account.RecordNewer) {
		t.Errorf("error %v", err)
	}
	return err == nil
}
