package ratings_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	"github.com/imquota/imquota/quota/storetest"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
)

// desk has a ledger on a registry in memory, and a clock that is set.
type desk struct {
	shop
	*storetest.Model
	now    time.Time
	apps   *account.Apps
	ledger *ratings.Ledger
	usage  map[uint32]ratings.Usage
}

func newDesk(t *testing.T) *desk {
	o := &desk{shop: newShop(t), Model: storetest.NewModel(), usage: make(map[uint32]ratings.Usage)}
	o.now = o.at("2024-06-01 12:00:00")
	o.apps = &account.Apps{Registry: o.Model, Catalog: func() *catalog.Snapshot { return o.cat }, Now: func() time.Time { return o.now }}
	o.ledger = &ratings.Ledger{Apps: o.apps, Totals: o}
	return o
}

// MonthUsage implements ratings.Totals.
func (o *desk) MonthUsage(_ context.Context, apps []*account.App, _ ratings.Month) ([]ratings.Usage, error) {
	used := make([]ratings.Usage, len(apps))
	for i, app := range apps {
		used[i] = o.usage[app.ID]
	}
	return used, nil
}

func (o *desk) create(n account.NewApp) *account.App {
	o.Helper()
	n.Account = "acme"
	app, err := o.apps.Create(o.Context(), n, account.Origin{})
	if err != nil {
		o.Fatal(err)
	}
	return app
}

// sold returns a quote that must be given.
func (o *desk) sold(q *ratings.Quote, err error) *ratings.Quote {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
	o.sound(q)
	return q
}

func (o *desk) purchase(app uint32, edition string, months int) *ratings.Quote {
	o.Helper()
	return o.sold(o.ledger.Purchase(o.Context(), ratings.Of{App: app}, edition, ratings.Terms{Months: months}, nil))
}

// pay accepts a quote in cash.
func (o *desk) pay(q *ratings.Quote) *account.App {
	o.Helper()
	var tender *ratings.Tender
	if q.Kind != ratings.Refund {
		tender = &ratings.Tender{Cash: q.Total}
	}
	_, app, err := o.ledger.Accept(o.Context(), q.ID, tender, account.Origin{})
	if err != nil {
		o.Fatal(err)
	}
	return app
}

func (o *desk) record(id uint32) *account.App {
	o.Helper()
	app, err := o.apps.App(o.Context(), id)
	if err != nil {
		o.Fatal(err)
	}
	return app
}

// fate is what has become of a quote.
func (o *desk) fate(id string) ratings.Fate {
	o.Helper()
	_, fate, err := o.ledger.Quote(o.Context(), id)
	if err != nil {
		o.Fatal(err)
	}
	return *fate
}

func request(id string) account.Origin {
	return account.Origin{Change: account.Change{RequestID: id, Fingerprint: 1}, Actor: "ann"}
}

// A plan from its purchase to its return and the next: each step is what was
// quoted, to the second and the cent.
func TestLedger_LifeOfAPlan(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	renewal := &account.Renewal{Mode: account.RenewAutomatically, Months: 2}
	q := o.sold(o.ledger.Purchase(t.Context(), ratings.Of{App: 7}, "standard", ratings.Terms{Months: 1, DiscountPercent: money("10")}, renewal))
	o.now = o.now.Add(14*time.Minute + 59*time.Second)
	_, app, err := o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: money("300"), Credit: money("59.10")}, request("r1"))
	if err != nil {
		t.Fatal(err)
	}
	want := account.Order{
		ID: q.ID, Edition: "standard", Start: o.at("2024-06-01 12:00:00").UTC(), End: o.at("2024-07-01 12:00:00"), Months: 1,
		Cash: money("300"), Credit: money("59.10"), List: money("399"), Discount: money("39.9"), Currency: "USD",
		Ordered: o.at("2024-06-01 12:00:00").UTC(),
		Deal:    account.Deal{Quote: q.ID, Accepted: o.now.UTC(), Request: request("r1").Change},
	}
	if diff := cmp.Diff(want, app.Orders[0]); diff != "" || app.Renewal != *renewal {
		t.Errorf("order (-want +got), renewal %+v:\n%s", app.Renewal, diff)
	}
	state := app.StateAt(o.now, nil, o.cat)
	if state.Edition != "standard" || !state.PlanEnd.Equal(want.End) {
		t.Errorf("state %+v", state)
	}

	// Renewed in force, upgraded with the months to come, in cash and credit.
	o.now = o.at("2024-06-10 12:00:00")
	o.pay(o.sold(o.ledger.Renewal(t.Context(), ratings.Of{App: 7}, ratings.Terms{Months: 2})))
	o.now = o.at("2024-06-16 12:00:00")
	up := o.sold(o.ledger.Upgrade(t.Context(), ratings.Of{App: 7}, "premium"))
	if _, app, err = o.ledger.Accept(t.Context(), up.ID, &ratings.Tender{Cash: money("100.01"), Credit: up.Total.Sub(money("100.01"))}, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, order := range app.Orders {
		u := order.Upgrades[0]
		parts = append(parts, u.Edition+" "+u.Cash.StringFixed(2)+" "+u.Credit.StringFixed(2))
	}
	// 150 and 600 in the proportion of 100.01 to 649.99.
	if diff := cmp.Diff([]string{"premium 20.00 130.00", "premium 80.01 519.99"}, parts); diff != "" || up.Total.String() != "750" {
		t.Errorf("parts of %s (-want +got):\n%s", up.Total, diff)
	}
	if state := app.StateAt(o.now, nil, o.cat); state.Edition != "premium" || !state.PlanEnd.Equal(o.at("2024-09-01 12:00:00")) {
		t.Errorf("state %+v", state)
	}

	// Returned, and bought again.
	o.now = o.at("2024-07-16 12:00:00")
	back := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))
	app = o.pay(back)
	last := app.Orders[1]
	if len(back.Legs) != 1 || !last.Refund.Cash.Add(last.Refund.Credit).Equal(back.Total) || !last.Refunded.Equal(o.now) {
		t.Errorf("returned %+v for %s", last, back.Total)
	}
	if state := app.StateAt(o.now, nil, o.cat); state.Stage != account.Suspended || !state.IsOnly(account.Refunded) {
		t.Errorf("state after the return %+v", state)
	}
	o.now = o.at("2024-07-20 12:00:00")
	app = o.pay(o.purchase(7, "standard", 1))
	if state := app.StateAt(o.now, nil, o.cat); state.Stage != account.Active || state.Edition != "standard" {
		t.Errorf("state after the next purchase %+v", state)
	}
	events, err := o.Events(t.Context(), 7, 0, 1)
	if err != nil || events[0].Action != "AcceptQuote" {
		t.Errorf("log: %+v, %v", events, err)
	}
}

// What is refused changes nothing.
func TestLedger_Refuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		do     func(*desk, *ratings.Quote) *ratings.Tender // and how it is paid
		want   error
		field  string
		becoms ratings.FateState
	}{
		{"after its time", func(o *desk, q *ratings.Quote) *ratings.Tender {
			o.now = o.now.Add(15 * time.Minute)
			return &ratings.Tender{Cash: q.Total}
		}, ratings.ErrQuoteExpired, "", ratings.Expired},
		{"of an app that was changed since", func(o *desk, q *ratings.Quote) *ratings.Tender {
			if _, err := o.apps.Approve(o.Context(), 7, "push_all", time.Time{}, account.Origin{}); err != nil {
				o.Fatal(err)
			}
			return &ratings.Tender{Cash: q.Total}
		}, ratings.ErrQuoteOutdated, "", ratings.Outdated},
		{"when another was accepted", func(o *desk, q *ratings.Quote) *ratings.Tender {
			o.pay(o.purchase(7, "premium", 1))
			return &ratings.Tender{Cash: q.Total}
		}, ratings.ErrQuoteOutdated, "", ratings.Outdated},
		{"for less", func(_ *desk, q *ratings.Quote) *ratings.Tender {
			return &ratings.Tender{Cash: q.Total.Sub(money("0.01"))}
		}, nil, "tender", ratings.Open},
		{"for more", func(_ *desk, q *ratings.Quote) *ratings.Tender {
			return &ratings.Tender{Cash: q.Total, Credit: money("0.01")}
		}, nil, "tender", ratings.Open},
		{"for nothing", func(*desk, *ratings.Quote) *ratings.Tender { return nil }, nil, "tender", ratings.Open},
		{"with less than nothing in cash", func(_ *desk, q *ratings.Quote) *ratings.Tender {
			return &ratings.Tender{Cash: money("-1"), Credit: q.Total.Add(money("1"))}
		}, nil, "tender.cash.amount", ratings.Open},
		{"with parts of a cent", func(_ *desk, q *ratings.Quote) *ratings.Tender {
			return &ratings.Tender{Cash: money("0.005"), Credit: q.Total.Sub(money("0.005"))}
		}, nil, "tender.cash.amount", ratings.Open},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := newDesk(t)
			o.create(account.NewApp{ID: 7})
			q := o.purchase(7, "standard", 1)
			tender := tt.do(o, q)
			before := o.record(7)
			_, _, err := o.ledger.Accept(t.Context(), q.ID, tender, request("r"))
			var invalid *account.InvalidError
			if tt.field != "" && (!errors.As(err, &invalid) || invalid.Field != tt.field) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v %s", err, tt.want, tt.field)
			}
			if diff := cmp.Diff(before, o.record(7), cmp.AllowUnexported(catalog.Limit{})); diff != "" {
				t.Errorf("it was changed (-before +after):\n%s", diff)
			}
			if fate := o.fate(q.ID); fate.State != tt.becoms {
				t.Errorf("the quote is %d, want %d", fate.State, tt.becoms)
			}
		})
	}
}

// Of many that accept a quote at once one does, and whoever repeats that request
// gets the same answer, however much later.
func TestLedger_AcceptsOnce(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	q := o.purchase(7, "standard", 1)
	const callers = 16
	errs := make([]error, callers)
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() {
			_, _, errs[i] = o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: q.Total}, request(string(rune('a'+i/2))))
		})
	}
	running.Wait()
	winner := slices.Index(errs, nil)
	if winner < 0 {
		t.Fatal(errs)
	}
	for i, err := range errs {
		if i/2 == winner/2 && err != nil || i/2 != winner/2 && !errors.Is(err, ratings.ErrQuoteAccepted) {
			t.Errorf("caller %d: %v, caller %d was first", i, err, winner)
		}
	}
	first := o.record(7)
	if len(first.Orders) != 1 {
		t.Fatalf("orders %+v", first.Orders)
	}
	// Long after requests are forgotten.
	o.now = o.now.Add(time.Hour)
	for range 300 {
		if _, err := o.apps.SetRenewal(t.Context(), 7, account.Renewal{}, request(decimal.NewFromInt(int64(o.now.Second())).String()+o.now.String())); err != nil {
			t.Fatal(err)
		}
		o.now = o.now.Add(time.Minute)
	}
	by := request(string(rune('a' + winner/2)))
	again, app, err := o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: q.Total}, by)
	if err != nil || again.ID != q.ID || !cmp.Equal(app.Orders, first.Orders) {
		t.Errorf("again: %+v, %v", app, err)
	}
	by.Fingerprint++
	if _, _, err := o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: q.Total}, by); !errors.Is(err, account.ErrRequestReused) {
		t.Errorf("another request of the id: %v", err)
	}
	if _, _, err := o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: q.Total}, account.Origin{}); !errors.Is(err, ratings.ErrQuoteAccepted) {
		t.Errorf("without an id: %v", err)
	}
}

// A quote holds no longer than the state of the app that it was made in.
func TestLedger_QuoteEndsWithTheState(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	order := o.order("o", "standard", "2024-05-01", 1, "399", "")
	order.End = o.at("2024-06-01 12:10:00")
	o.create(account.NewApp{ID: 7, Orders: []account.Order{order}, Created: order.Start})
	q := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))
	if !q.Expires.Equal(order.End) {
		t.Errorf("it expires at %v, the plan ends at %v", q.Expires, order.End)
	}
	o.now = order.End
	if _, _, err := o.ledger.Accept(t.Context(), q.ID, nil, account.Origin{}); !errors.Is(err, ratings.ErrQuoteExpired) {
		t.Errorf("accepted in grace: %v", err)
	}
}

// A quote of the second in which the app's state changed holds beyond it.
func TestLedger_QuoteOfTheSecondOfAChange(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	o.now = o.now.Add(300 * time.Millisecond)
	if _, err := o.apps.Disable(t.Context(), 7, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	o.now = o.now.Add(300 * time.Millisecond)
	q := o.purchase(7, "standard", 1)
	if want := o.at("2024-06-01 12:15:00"); !q.Expires.Equal(want) {
		t.Errorf("it expires at %v, want %v", q.Expires, want)
	}
	o.pay(q)
}

// What was returned before it began is not renewed, least of all for nothing.
func TestLedger_RenewsNothingFree(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	o.pay(o.purchase(7, "standard", 1))
	o.pay(o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))) // in the same second
	_, err := o.ledger.Renewal(t.Context(), ratings.Of{App: 7}, ratings.Terms{Months: 24})
	var other *ratings.NotApplicableError
	if !errors.As(err, &other) || other.RPC != "QuotePurchase" {
		t.Errorf("%v", err)
	}
	o.pay(o.purchase(7, "premium", 1))
}

// What a clock that is ahead quoted is in effect by every clock once it is
// accepted.
func TestLedger_ClocksThatDiffer(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	ahead := func(quote func() *ratings.Quote) *account.App {
		t.Helper()
		o.now = o.now.Add(time.Hour)
		o.now = o.now.Add(30 * time.Second)
		q := quote()
		o.now = o.now.Add(-30 * time.Second)
		return o.pay(q)
	}
	stands := func(app *account.App) account.State { return *app.StateNow(o.now, &account.Account{}, o.cat) }
	if s := stands(ahead(func() *ratings.Quote { return o.purchase(7, "standard", 1) })); s.Plan != account.PlanInForce {
		t.Errorf("purchased: %+v", s)
	}
	if s := stands(ahead(func() *ratings.Quote { return o.sold(o.ledger.Upgrade(t.Context(), ratings.Of{App: 7}, "premium")) })); s.Edition != "premium" {
		t.Errorf("upgraded: %+v", s)
	}
	if s := stands(ahead(func() *ratings.Quote { return o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7})) })); s.Stage != account.Suspended {
		t.Errorf("returned: %+v", s)
	}
}

// A quote is paid in its own currency, whichever catalog is in force by then.
func TestLedger_CurrencyOfTheQuote(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	q := o.purchase(7, "standard", 1)
	o.cat = newShop(t, "currency: USD", "currency: EUR").cat
	if _, _, err := o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: q.Total, CashCurrency: "EUR"}, account.Origin{}); !isInvalid(err, "tender.cash.currency_code") {
		t.Errorf("in euros: %v", err)
	}
	if _, _, err := o.ledger.Accept(t.Context(), q.ID, &ratings.Tender{Cash: q.Total, CashCurrency: "USD"}, account.Origin{}); err != nil {
		t.Error(err)
	}
	var other *ratings.NotApplicableError
	if _, err := o.ledger.Refund(t.Context(), ratings.Of{App: 7}); !errors.As(err, &other) {
		t.Errorf("a return in euros of what was paid in dollars: %v", err)
	}
}

// An app that has as many orders as are kept can still be upgraded and returned.
func TestLedger_ManyOrders(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	n := account.NewApp{ID: 7, Created: o.at("2000-01-01")}
	for i := range 1000 {
		order := o.order("o"+decimal.NewFromInt(int64(i)).String(), "standard", "2000-01-01", 1, "1", "")
		order.Start = order.Start.AddDate(0, 0, i)
		order.End = order.Start.AddDate(0, 0, 1)
		n.Orders = append(n.Orders, order)
	}
	n.Orders[999].End = o.at("2024-06-30")
	o.create(n)
	if _, err := o.ledger.Renewal(t.Context(), ratings.Of{App: 7}, ratings.Terms{Months: 1}); !errors.Is(err, ratings.ErrTooManyOrders) {
		t.Errorf("one more: %v", err)
	}
	o.pay(o.sold(o.ledger.Upgrade(t.Context(), ratings.Of{App: 7}, "premium")))
	o.pay(o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7})))
}

// It is too late to reject what was returned by another quote.
func TestLedger_RejectTooLate(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	o.pay(o.purchase(7, "standard", 1))
	first := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))
	second := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))
	o.pay(first)
	if _, _, err := o.ledger.Reject(t.Context(), second.ID, "again", false, account.Origin{}); !errors.Is(err, ratings.ErrQuoteAccepted) {
		t.Errorf("%v", err)
	}
}

// An imagined app was there in the month that is billed, unless that is said.
func TestLedger_BillOfAnImaginedApp(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	bill := func(n account.NewApp) (*ratings.Quote, error) {
		usage := ratings.Usage{Used: map[string]int64{"free_mau": 25000}}
		return o.ledger.Bill(t.Context(), ratings.OfBill{Of: ratings.Of{Imagined: &n}, Usage: usage}, "2022-03")
	}
	if q := o.sold(bill(account.NewApp{Edition: "premium"})); q.Total.StringFixed(2) != "225.00" {
		t.Errorf("%+v", q)
	}
	if _, err := bill(account.NewApp{Edition: "premium", Created: o.at("2022-04-01")}); !isInvalid(err, "month") {
		t.Errorf("it was not there: %v", err)
	}
}

// A month in which an app was disabled is billed as it was, also when the app is
// enabled later.
func TestLedger_BillOfADisabledMonth(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7, Edition: "premium"})
	o.usage[7] = ratings.Usage{PeakOnline: 500}
	if _, err := o.apps.Disable(t.Context(), 7, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	o.now = o.at("2024-08-10")
	july := func() *ratings.Quote {
		t.Helper()
		return o.sold(o.ledger.Bill(t.Context(), ratings.OfBill{Of: ratings.Of{App: 7}}, "2024-07"))
	}
	before := july()
	if _, err := o.apps.Enable(t.Context(), 7, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	if after := july(); len(before.Lines) != 0 || len(after.Lines) != 0 {
		t.Errorf("%+v before it was enabled, %+v after", before.Lines, after.Lines)
	}
}

// A catalog that comes later changes no quote.
func TestLedger_QuotesOutlastTheCatalog(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	q := o.purchase(7, "standard", 2)
	o.cat = newShop(t, `monthly_price: "399"`, `monthly_price: "450"`, "quote_lifetime: 15m", "quote_lifetime: 1m").cat
	o.now = o.now.Add(10 * time.Minute)
	kept, _, err := o.ledger.Quote(t.Context(), q.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, kept); diff != "" {
		t.Errorf("quote (-made +kept):\n%s", diff)
	}
	if app := o.pay(q); !app.Orders[0].Cash.Equal(money("798")) {
		t.Errorf("paid %s", app.Orders[0].Cash)
	}
}

// A return that is rejected is not accepted, nor another of the same orders,
// until that is withdrawn. The next order is another one.
func TestLedger_Reject(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	bought := o.purchase(7, "standard", 1)
	o.pay(bought)
	q := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))
	if _, _, err := o.ledger.Reject(t.Context(), bought.ID, "no", false, account.Origin{}); !isInvalid(err, "quote_id") {
		t.Errorf("a purchase was rejected: %v", err)
	}
	_, app, err := o.ledger.Reject(t.Context(), q.ID, "again and again", false, request("r"))
	if err != nil || app.Orders[0].Rejected != (account.Rejection{Reason: "again and again", At: o.now.UTC(), Actor: "ann", Quote: q.ID}) {
		t.Fatalf("%+v, %v", app, err)
	}
	if fate := o.fate(q.ID); fate.State != ratings.Rejected || fate.Reason != "again and again" {
		t.Errorf("the quote is %+v", fate)
	}
	if _, _, err := o.ledger.Accept(t.Context(), q.ID, nil, account.Origin{}); !errors.Is(err, ratings.ErrReturnRejected) {
		t.Errorf("accepted: %v", err)
	}
	if _, err := o.ledger.Refund(t.Context(), ratings.Of{App: 7}); !errors.Is(err, ratings.ErrReturnRejected) {
		t.Errorf("quoted again: %v", err)
	}
	if _, _, err := o.ledger.Reject(t.Context(), q.ID, "", true, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	back := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7}))
	o.pay(back)
	if _, _, err := o.ledger.Reject(t.Context(), back.ID, "too late", false, account.Origin{}); !errors.Is(err, ratings.ErrQuoteAccepted) {
		t.Errorf("rejected after it was accepted: %v", err)
	}
}

func isInvalid(err error, field string) bool {
	var invalid *account.InvalidError
	return errors.As(err, &invalid) && invalid.Field == field
}

// What-ifs are of the app as it was, are not kept, and not before it was there.
func TestLedger_WhatIf(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	o.pay(o.purchase(7, "standard", 1))
	o.now = o.at("2024-06-10 12:00:00")
	o.pay(o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7})))
	before := o.record(7)
	q := o.sold(o.ledger.Refund(t.Context(), ratings.Of{App: 7, AsOf: o.at("2024-06-05 12:00:00")}))
	if q.ID != "" || !q.Expires.IsZero() || q.Total.StringFixed(2) != "345.80" { // 399 less 4 of 30 days
		t.Errorf("%+v", q)
	}
	if _, err := o.ledger.Refund(t.Context(), ratings.Of{App: 7, AsOf: o.at("2024-06-01 11:59:59")}); !isInvalid(err, "as_of") {
		t.Errorf("before it was there: %v", err)
	}
	imagined := &account.NewApp{Orders: []account.Order{o.order("a", "standard", "2024-06-01", 1, "399", "")}}
	q = o.sold(o.ledger.Refund(t.Context(), ratings.Of{Imagined: imagined, AsOf: o.at("2024-06-16")}))
	if q.ID != "" || q.Total.StringFixed(2) != "199.50" {
		t.Errorf("imagined: %+v", q)
	}
	if after := o.record(7); after.Version != before.Version {
		t.Errorf("revision %d after what-ifs, %d before", after.Version.Revision, before.Version.Revision)
	}
}

// Each app of several has a quote or an error of its own.
func TestLedger_Renewals(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	o.create(account.NewApp{ID: 7})
	o.create(account.NewApp{ID: 8})
	o.pay(o.purchase(8, "premium", 1))
	results := o.ledger.Renewals(t.Context(), []uint32{7, 8, 9}, time.Time{}, ratings.Terms{Months: 3})
	var other *ratings.NotApplicableError
	if !errors.As(results[0].Err, &other) || other.RPC != "QuotePurchase" {
		t.Errorf("without a plan: %+v", results[0])
	}
	if q := results[1].Quote; q == nil || q.Total.String() != "2097" || !q.Orders[0].Start.Equal(o.at("2024-07-01 12:00:00")) {
		t.Errorf("with a plan: %+v", results[1])
	}
	if !errors.Is(results[2].Err, account.ErrAppNotFound) {
		t.Errorf("unknown: %+v", results[2])
	}
	o.pay(results[1].Quote)
}

// The bill of an account is that of its apps, deleted ones too.
func TestLedger_Bill(t *testing.T) {
	t.Parallel()
	o := newDesk(t)
	for id, users := range map[uint32]int64{7: 10003, 8: 25000, 9: 10001} {
		o.create(account.NewApp{ID: id, Edition: "premium", Created: o.at("2024-03-01")})
		o.usage[id] = ratings.Usage{Used: map[string]int64{"free_mau": users}}
	}
	if _, err := o.apps.Disable(t.Context(), 9, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.apps.Delete(t.Context(), 9, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	o.now = o.at("2024-07-01")
	bill := func(of ratings.OfBill, month string) (*ratings.Quote, error) {
		return o.ledger.Bill(t.Context(), of, month)
	}
	sum := decimal.Zero
	for id, want := range map[uint32]string{7: "0.05", 8: "225.00", 9: "0.02"} {
		q := o.sold(bill(ratings.OfBill{Of: ratings.Of{App: id}}, "2024-06"))
		if q.Total.StringFixed(2) != want || q.App != id || q.Edition != "premium" || !q.Final || q.ID != "" {
			t.Errorf("app %d: %+v", id, q)
		}
		sum = sum.Add(q.Total)
	}
	all := o.sold(bill(ratings.OfBill{Account: "acme"}, "2024-06"))
	if !all.Total.Equal(sum) || all.App != 0 || all.Account != "acme" {
		t.Errorf("account: %+v, want %s", all, sum)
	}
	if q := o.sold(bill(ratings.OfBill{Account: "acme"}, "")); q.Month != "2024-07" || q.Final || len(q.Lines) != 6 {
		t.Errorf("the running month, without the deleted app: %+v", q)
	}
	for month, of := range map[string]ratings.OfBill{
		"2024-08": {Account: "acme"}, "2023-06": {Account: "acme"}, "June": {Account: "acme"}, "2024-02": {Of: ratings.Of{App: 7}},
	} {
		if _, err := bill(of, month); !isInvalid(err, "month") {
			t.Errorf("%s: %v", month, err)
		}
	}
	if _, err := bill(ratings.OfBill{Account: "nobody"}, ""); !errors.Is(err, account.ErrAccountNotFound) {
		t.Errorf("nobody: %v", err)
	}
}
