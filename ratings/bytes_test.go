package ratings_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"pgregory.net/rapid"
)

// relocated is an app with all of its times said in another zone.
func relocated(app *account.App, zone *time.Location) *account.App {
	app = app.Clone()
	app.Created = app.Created.In(zone)
	for i := range app.Orders {
		o := &app.Orders[i]
		o.Start, o.End, o.Ordered = o.Start.In(zone), o.End.In(zone), o.Ordered.In(zone)
		o.Deal.Accepted, o.Deal.Request.At = o.Deal.Accepted.In(zone), o.Deal.Request.At.In(zone)
		if !o.Refunded.IsZero() {
			o.Refunded = o.Refunded.In(zone)
		}
		for k := range o.Upgrades {
			u := &o.Upgrades[k]
			u.At, u.Deal.Accepted, u.Deal.Request.At = u.At.In(zone), u.Deal.Accepted.In(zone), u.Deal.Request.At.In(zone)
		}
	}
	return app
}

// answers are all quotes of an app at an instant, said in a zone, with the errors
// of those that there are none.
func (l *life) answers(zone *time.Location) []string {
	app := relocated(l.app, zone)
	s := l.shop.subjectOf(l.now.In(zone), app)
	var all []string
	add := func(q any, err error) {
		text := []byte{}
		if err == nil {
			text, err = json.Marshal(q)
		}
		if err != nil {
			text = []byte(err.Error())
		}
		all = append(all, string(text))
	}
	terms := ratings.Terms{Months: 5, DiscountPercent: money("12.5"), Voucher: money("0.01")}
	add(ratings.QuotePurchase(s, "premium", terms, nil))
	add(ratings.QuoteRenewal(s, terms))
	add(ratings.QuoteUpgrade(s, "premium"))
	add(ratings.QuoteUpgrade(s, "gold"))
	add(ratings.QuoteRefund(s))
	usage := ratings.Usage{Used: map[string]int64{"free_mau": 12345}, PeakOnline: 77}
	month := ratings.MonthOf(l.now.In(zone), l.zone)
	q, err := ratings.QuoteBill(month, l.now.In(zone), l.shop.cat, []ratings.BilledApp{{App: app, Catalog: l.shop.cat, Usage: usage}})
	add(q, err)
	return append(all, q.Month)
}

// drawNoted draws a life of which it is known when orders were made.
func drawNoted(t *rapid.T, branches []branch) *life {
	l := drawLife(t, branches)
	l.drawUpgrades()
	l.app.Created = l.app.Orders[0].Start.Add(-time.Hour)
	for i := range l.app.Orders {
		o := &l.app.Orders[i]
		o.Ordered = l.app.Orders[0].Start
		o.Deal = account.Deal{Quote: "q", Accepted: o.Ordered, Request: account.Change{At: o.Ordered}}
		for k := range o.Upgrades {
			o.Upgrades[k].Deal = account.Deal{Quote: "u", Accepted: o.Upgrades[k].At, Request: account.Change{At: o.Upgrades[k].At}}
		}
	}
	return l
}

func TestProperty_SameBytesInWhateverZoneTimesAreSaid(t *testing.T) {
	t.Parallel()
	var places []*time.Location
	for _, name := range []string{"Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati"} {
		place, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place)
	}
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			branches := append(newBranches(t, zone, reading{}), newBranch(t, zone, reading{true, true}, "399", "699", "999"))
			rapid.Check(t, func(t *rapid.T) {
				l := drawNoted(t, branches)
				for _, l.now = range l.drawInstants(3) {
					want := l.answers(time.UTC)
					for _, place := range slices.Concat(places, []*time.Location{l.zone}) {
						if diff := cmp.Diff(want, l.answers(place)); diff != "" {
							t.Fatalf("said in %s (-in UTC +there):\n%s\n%s", place, diff, l.story())
						}
					}
				}
			})
		})
	}
}

// answersFile is the variable that names the file which another process writes
// its answers to.
const answersFile = "IMQUOTA_TEST_ANSWERS"

// A process that has another zone of its own gives the same bytes.
func TestProperty_SameBytesInWhateverZoneTheProcessIs(t *testing.T) {
	t.Parallel()
	branches := make([]branch, 0, len(zones))
	for _, zone := range zones {
		branches = append(branches, newBranch(t, zone, reading{}, "19.99", "33.33", "100.01"))
	}
	lives := rapid.Custom(func(t *rapid.T) []string {
		l := drawNoted(t, branches)
		var all []string
		for _, l.now = range l.drawInstants(4) {
			all = append(all, l.answers(time.Local)...) //nolint:gosmopolitan // that of the process is what is tested
		}
		return all
	})
	var all []string
	for seed := range 100 {
		all = append(all, lives.Example(seed)...)
	}
	answers, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if file := os.Getenv(answersFile); file != "" {
		if err := os.WriteFile(file, answers, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(all) < 500 {
		t.Fatalf("only %d answers", len(all))
	}
	for _, zone := range []string{"UTC", "America/St_Johns", "Pacific/Kiritimati", "Asia/Shanghai"} {
		file := filepath.Join(t.TempDir(), "answers.json")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "TZ="+zone, answersFile+"="+file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", zone, err, out)
		}
		there, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(answers), string(there)); diff != "" {
			t.Errorf("in %s (-here +there):\n%s", zone, diff)
		}
	}
}
