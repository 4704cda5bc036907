package ratings

import (
	"fmt"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/shopspring/decimal"
)

// Usage is what an app used in a month.
type Usage struct {
	Used       map[string]int64 // by the key of a quota that is counted by the month
	PeakOnline int64            // users at once
}

// BilledApp is an app and what it used.
type BilledApp struct {
	App     *account.App
	Owner   *account.Account
	Catalog *catalog.Snapshot
	Usage   Usage
}

// Month is a local month that is billed.
type Month struct {
	Name   string // such as 2024-06
	Window catalog.Window
}

// MonthOf returns the local month that an instant is in.
func MonthOf(at time.Time, zone *time.Location) Month {
	return Month{at.In(zone).Format(monthLayout), catalog.WindowAt(catalog.KindMonth, at, zone)}
}

const monthLayout = "2006-01"

// ParseMonth reads the name of a month.
func ParseMonth(name string, zone *time.Location) (Month, error) {
	day, err := time.Parse(monthLayout, name)
	if err != nil || day.Year() < firstYear || day.Year() > lastYear {
		return Month{}, &account.InvalidError{Field: "month", Description: fmt.Sprintf("%.20q is not a month, such as 2024-06", name)}
	}
	// Some instant of the month, whatever the clocks do at its beginning.
	const middle = 14
	return MonthOf(time.Date(day.Year(), day.Month(), middle, 0, 0, 0, 0, zone), zone), nil
}

// QuoteBill bills a month's usage beyond what plans include (FACTS §5, §6): of
// one app, or of all apps of an account, whose lines stand one after the other.
// cat is the catalog in force, whose currency all have.
func QuoteBill(month Month, at time.Time, cat *catalog.Snapshot, apps []BilledApp) (*Quote, error) {
	q := &Quote{
		Kind: Bill, Currency: cat.Currency(), AsOf: at.UTC(), Catalog: cat.Version(),
		Policies: (&Subject{Catalog: cat}).policies("free_quota_of_month"),
		Month:    month.Name, Final: !at.Before(month.Window.End),
	}
	for i := range apps {
		a := &apps[i]
		if a.Catalog.Currency() != q.Currency {
			return nil, &NotApplicableError{Why: fmt.Sprintf("app %d is billed in %s by catalog %q, and the catalog in force is in %s", a.App.ID, a.Catalog.Currency(), a.Catalog.Version(), q.Currency)}
		}
		if edition := a.bill(q, month, at); edition != nil && len(apps) == 1 {
			q.Edition = edition.Key
		}
	}
	return q, nil
}

// bill adds the lines of one app, and returns the edition that it is billed by.
func (a *BilledApp) bill(q *Quote, month Month, at time.Time) *catalog.Edition {
	until := month.Window.End
	if at.Before(until) {
		until = at.Add(time.Nanosecond) // the instant itself included
	}
	held := a.App.Held(a.App.Lifecycle(a.Owner, a.Catalog), a.Catalog, month.Window.Start, until)
	var by *catalog.Edition
	if len(held) > 0 {
		by = held[len(held)-1] // the highest, whose free quota holds in full
		for _, m := range a.Catalog.Meters() {
			if price, isSold := m.Prices[by.Key]; isSold {
				a.meter(q, month, m, by, price, until)
			}
		}
	}
	for _, add := range a.Catalog.AddOns() {
		if since, ok := a.App.AddOns[add.Key]; ok && len(add.Activates) > 0 && since.Before(until) {
			q.add(Line{
				App: a.App.ID, Kind: LineBilledElsewhere, Description: fmt.Sprintf("%s: what is used of %s is billed elsewhere", add.Title, strings.Join(add.Activates, ", ")),
				From: month.Window.Start, Until: month.Window.End,
			})
		}
	}
	return by
}

// meter adds the lines of one meter: the usage beyond what is free, and
// promotions.
func (a *BilledApp) meter(q *Quote, month Month, m *catalog.Meter, by *catalog.Edition, price decimal.Decimal, until time.Time) {
	line := Line{
		App: a.App.ID, Kind: LineOverage, Unit: m.Unit, UnitPrice: price, From: month.Window.Start, Until: month.Window.End,
	}
	billed := a.Usage.PeakOnline
	line.Description = fmt.Sprintf("%s: %d", m.Title, billed)
	if m.Quota != nil {
		usage := a.Usage.Used[m.Quota.Key]
		free := a.free(m.Quota, by, until)
		billed = free.Overage(usage)
		line.Description = fmt.Sprintf("%s: %d, of which %s are free in %s", m.Title, usage, free, by.Title)
	}
	quantity := decimal.NewFromInt(billed)
	line.Quantity, line.Amount = quantity.String(), quantity.Mul(price).Round(cents)
	q.add(line)
	left := line.Amount // promotions together take off no more than there is
	for _, p := range m.Promotions {
		if !p.From.Before(month.Window.End) || !p.Until.IsZero() && !p.Until.After(month.Window.Start) {
			continue
		}
		text := fmt.Sprintf("%s: %s (%s %%), from %s", m.Title, p.Title, p.Percent, p.From.In(a.Catalog.Zone()).Format(time.DateOnly))
		if !p.Until.IsZero() {
			text += " to before " + p.Until.In(a.Catalog.Zone()).Format(time.DateOnly)
		}
		off := decimal.Min(left, percentOf(line.Amount, p.Percent.Neg()))
		left = left.Sub(off)
		q.add(Line{App: a.App.ID, Kind: LinePromotion, Description: text, Amount: off.Neg(), From: month.Window.Start, Until: month.Window.End})
	}
}

// free is how much of a quota is included in a month: the edition's limit or, if
// the app has one of its own, the one that held when the month ended.
func (a *BilledApp) free(q *catalog.Quota, by *catalog.Edition, until time.Time) catalog.Limit {
	last := until.Add(-1)
	if o, ok := a.App.Overrides[q.Key]; ok && !o.From.After(last) && o.InForce(last) {
		return o.Limit
	}
	return by.Limit(q).Limit
}
