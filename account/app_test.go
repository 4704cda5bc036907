package account_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

func TestFanoutBitsFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		users int64
		want  uint8
	}{
		{0, 14}, {-1, 14}, {1, 8}, {256 * 64, 8}, {256*64 + 1, 9}, {1 << 20, 14}, {1<<20 + 1, 15}, {1 << 40, 20},
	} {
		if got := account.FanoutBitsFor(tt.users); got != tt.want {
			t.Errorf("FanoutBitsFor(%d) = %d, want %d", tt.users, got, tt.want)
		}
	}
}

func TestApp_Remembered(t *testing.T) {
	t.Parallel()
	app := account.App{
		Creation: account.Change{RequestID: "made", Fingerprint: 1},
		Changes:  []account.Change{{RequestID: "a", Fingerprint: 1}, {RequestID: "b", Fingerprint: 2}},
	}
	for _, tt := range []struct {
		name   string
		change account.Change
		known  bool
		err    error
	}{
		{"without an id", account.Change{Fingerprint: 1}, false, nil},
		{"never heard of", account.Change{RequestID: "c", Fingerprint: 1}, false, nil},
		{"known", account.Change{RequestID: "b", Fingerprint: 2}, true, nil},
		{"another of the same id", account.Change{RequestID: "b", Fingerprint: 1}, false, account.ErrRequestReused},
		{"that made the app", account.Change{RequestID: "made", Fingerprint: 1}, true, nil},
		{"another of the id that made it", account.Change{RequestID: "made", Fingerprint: 2}, false, account.ErrRequestReused},
	} {
		known, err := app.Remembered(tt.change)
		if known != tt.known || err != tt.err { //nolint:errorlint // it is the very one
			t.Errorf("%s: %v, %v", tt.name, known, err)
		}
	}
	if known, err := new(account.App).Remembered(account.Change{}); known || err != nil {
		t.Errorf("of an app without requests: %v, %v", known, err)
	}
}

// TestApp_RemembersRequests: those of ten minutes, but no more than 256, and the
// newest 16 in any case.
func TestApp_RemembersRequests(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		requests    int
		apart       time.Duration
		first, last int // of those that are known
	}{
		"a few at once":        {20, time.Second, 0, 19},
		"many at once":         {300, time.Second, 300 - 256, 299},
		"over days":            {20, time.Hour, 4, 19},
		"ten minutes of them":  {40, time.Minute, 40 - 16, 39},
		"twenty seconds apart": {40, 20 * time.Second, 40 - 31, 39},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if _, err := w.apps.Create(t.Context(), account.NewApp{ID: 7, Account: "acme"}, by("made")); err != nil {
				t.Fatal(err)
			}
			for i := range tt.requests {
				w.now = w.now.Add(tt.apart)
				if _, err := w.apps.Disable(t.Context(), 7, by(fmt.Sprint("r", i))); err != nil {
					t.Fatal(err)
				}
			}
			app := w.app(7)
			for i := range tt.requests {
				want := i >= tt.first && i <= tt.last
				if known, err := app.Remembered(by(fmt.Sprint("r", i)).Change); known != want || err != nil {
					t.Errorf("request %d: %v, %v", i, known, err)
				}
			}
			if known, err := app.Remembered(by("made").Change); !known || err != nil {
				t.Errorf("the creation: %v, %v", known, err)
			}
		})
	}
}

func TestOverride_InForce(t *testing.T) {
	t.Parallel()
	end := time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	limited, forEver := account.Override{Limit: catalog.Max(5), Until: end}, account.Override{Limit: catalog.Max(5)}
	for _, tt := range []struct {
		name     string
		override account.Override
		at       time.Time
		want     bool
	}{
		{"a second before its end", limited, end.Add(-time.Second), true},
		{"just before its end", limited, end.Add(-1), true},
		{"at its end", limited, end, false},
		{"at its end, told in another zone", limited, end.In(time.FixedZone("", 8*3600)), false},
		{"after its end", limited, end.Add(time.Second), false},
		{"without an end", forEver, end.AddDate(100, 0, 0), true},
	} {
		if got := tt.override.InForce(tt.at); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// What is changed in a clone is not changed in the record that it is of.
func TestApp_Clone(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	record := func() *account.App {
		return &account.App{
			Approvals: map[string]time.Time{"f": at}, AddOns: map[string]time.Time{"a": at}, Overrides: map[string]account.Override{"q": {Until: at}},
			Orders: []account.Order{{ID: "o"}}, Disabled: []account.Spell{{From: at}}, Changes: []account.Change{{RequestID: "r"}},
		}
	}
	app := record()
	c := app.Clone()
	c.Approvals["f"], c.AddOns["a"], c.Overrides["q"] = at.Add(1), at.Add(1), account.Override{}
	c.Orders[0].ID, c.Disabled[0].Until, c.Changes[0].RequestID = "other", at, "other"
	if diff := cmp.Diff(record(), app, cmp.AllowUnexported(catalog.Limit{})); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}
