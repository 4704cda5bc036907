package ratings_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
)

// shop is a catalog, and what is quoted by it.
type shop struct {
	testing.TB
	cat *catalog.Snapshot
}

// newShop has the shipped catalog with some of its text replaced: pairs of old
// and new.
func newShop(t testing.TB, changes ...string) shop {
	t.Helper()
	text := string(catalog.DefaultYAML())
	for i := 0; i < len(changes); i += 2 {
		if strings.Count(text, changes[i]) != 1 {
			t.Fatalf("%q is not there once", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	cat, err := catalog.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return shop{t, cat}
}

// literal is the catalog that reads the used value by the words of the source.
func literal(t testing.TB) shop {
	return newShop(t, "used_value: service_months ", "used_value: current_month ")
}

func (s shop) at(text string) time.Time {
	s.Helper()
	layout := time.DateTime
	if !strings.Contains(text, ":") {
		layout = time.DateOnly
	}
	at, err := time.ParseInLocation(layout, text, s.cat.Zone())
	if err != nil {
		s.Fatal(err)
	}
	return at
}

// order is one that was paid for: so many months from a day on.
func (s shop) order(id, edition, start string, months int, cash, credit string) account.Order {
	s.Helper()
	from := s.at(start)
	return account.Order{
		ID: id, Edition: edition, Start: from, End: account.AddMonths(from, months, s.cat.Zone()), Months: months,
		Cash: money(cash), Credit: money(credit),
	}
}

func money(text string) decimal.Decimal {
	if text == "" {
		return decimal.Zero
	}
	return decimal.RequireFromString(text)
}

// subject is an app with these orders, at an instant.
func (s shop) subject(at string, orders ...account.Order) ratings.Subject {
	s.Helper()
	return s.subjectOf(s.at(at), &account.App{ID: 7, Account: "acme", Edition: s.cat.DefaultEdition().Key, Orders: orders})
}

func (s shop) subjectOf(at time.Time, app *account.App) ratings.Subject {
	return ratings.Subject{App: app, State: app.StateAt(at, nil, s.cat), Catalog: s.cat, At: at}
}

// upgrade has the app of a subject upgraded, and pays in cash.
func (s shop) upgrade(of ratings.Subject, edition string) (total string, orders []account.Order) {
	s.Helper()
	q, err := ratings.QuoteUpgrade(of, edition)
	if err != nil {
		s.Fatal(err)
	}
	s.sound(q)
	orders = of.App.Clone().Orders
	for i := range q.Orders {
		o := &q.Orders[i]
		o.Upgrades[len(o.Upgrades)-1].Cash = q.Lines[i].Amount
		for k := range orders {
			if orders[k].ID == o.ID {
				orders[k] = *o
			}
		}
	}
	return q.Total.StringFixed(2), orders
}

func (s shop) refund(of ratings.Subject) *ratings.Quote {
	s.Helper()
	q, err := ratings.QuoteRefund(of)
	if err != nil {
		s.Fatal(err)
	}
	s.sound(q)
	return q
}

// sound checks what holds for every quote.
func (s shop) sound(q *ratings.Quote) {
	s.Helper()
	for _, flaw := range flaws(q) {
		s.Error(flaw)
	}
}

// flaws lists what is wrong with a quote whatever it is about.
func flaws(q *ratings.Quote) (flaws []string) {
	add := func(format string, args ...any) { flaws = append(flaws, fmt.Sprintf(format, args...)) }
	sum := decimal.Zero
	for _, l := range q.Lines {
		sum = sum.Add(l.Amount)
		if l.Description == "" || !l.Amount.Equal(l.Amount.Truncate(2)) || l.From.IsZero() || !l.From.Before(l.Until) {
			add("line %+v", l)
		}
	}
	if !sum.Equal(q.Total) || q.Total.IsNegative() {
		add("lines come to %s, the total is %s", sum, q.Total)
	}
	if q.Kind == ratings.Refund {
		legs := decimal.Zero
		for _, l := range q.Legs {
			legs = legs.Add(l.Cash).Add(l.Credit)
			if l.Cash.IsNegative() || l.Credit.IsNegative() || l.Cash.Add(l.Credit).GreaterThan(l.Paid) {
				add("leg %+v", l)
			}
		}
		if !legs.Equal(q.Total) {
			add("legs come to %s, the total is %s", legs, q.Total)
		}
	}
	return flaws
}

// used is what the orders of a refund were used for, as text.
func used(q *ratings.Quote) string {
	sum := decimal.Zero
	for _, l := range q.Lines {
		if l.Kind == ratings.LineUsed {
			sum = sum.Sub(l.Amount)
		}
	}
	return sum.StringFixed(2)
}

// legs shows the legs of a refund: order, cash, credit.
func legs(q *ratings.Quote) string {
	var all []string
	for _, l := range q.Legs {
		all = append(all, l.Order+" "+l.Cash.StringFixed(2)+" + "+l.Credit.StringFixed(2))
	}
	return strings.Join(all, ", ")
}
