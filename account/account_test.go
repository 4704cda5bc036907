package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// place is a catalog in some time zone, and how instants are written there.
type place struct {
	testing.TB
	cat *catalog.Snapshot
}

// in returns the shipped catalog with changes: pairs of old and new text.
func in(tb testing.TB, changes ...string) place {
	tb.Helper()
	text := string(catalog.DefaultYAML())
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			tb.Fatalf("the shipped catalog does not say %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	cat, err := catalog.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return place{tb, cat}
}

// inZone returns the shipped catalog in another time zone.
func inZone(tb testing.TB, zone string) place {
	tb.Helper()
	return in(tb, `"+08:00"`, `"`+zone+`"`)
}

// at reads a local day or a local time, such as 2024-06-01 12:00:00.
func (p place) at(text string) time.Time {
	p.Helper()
	if text == "" {
		return time.Time{}
	}
	layout := time.DateTime
	if !strings.Contains(text, ":") {
		layout = time.DateOnly
	}
	at, err := time.ParseInLocation(layout, text, p.cat.Zone())
	if err != nil {
		p.Fatal(err)
	}
	return at
}

// text is what at reads.
func (p place) text(at time.Time) string {
	return strings.TrimSuffix(at.In(p.cat.Zone()).Format(time.DateTime), " 00:00:00")
}

// order is one of a month, unless it is said otherwise.
func (p place) order(edition, start, end string) account.Order {
	return account.Order{ID: edition + " " + start, Edition: edition, Start: p.at(start), End: p.at(end), Months: 1}
}

// returned is an order that was returned.
func (p place) returned(edition, start, end, refunded string) account.Order {
	o := p.order(edition, start, end)
	o.Refunded = p.at(refunded)
	return o
}

// bills are of an account: pairs of when they were pushed and paid; empty: not.
func (p place) bills(instants ...string) *account.Account {
	owner := &account.Account{ID: "acme"}
	for i := 0; i < len(instants); i += 2 {
		owner.Bills = append(owner.Bills, account.Bill{ID: instants[i], Pushed: p.at(instants[i]), Paid: p.at(instants[i+1])})
	}
	return owner
}

// disabled are spells: pairs of beginnings and ends; empty: not over.
func (p place) disabled(instants ...string) []account.Spell {
	var spells []account.Spell
	for i := 0; i < len(instants); i += 2 {
		spells = append(spells, account.Spell{From: p.at(instants[i]), Until: p.at(instants[i+1])})
	}
	return spells
}
