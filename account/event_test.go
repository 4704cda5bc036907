package account_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

func TestEvents_OfCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := account.NewApp{ID: 7, Account: "acme", Orders: []account.Order{w.order("standard", "2024-06-01", "2024-07-01")}}
	n.Orders[0].ID = "o1"
	if _, err := w.apps.Create(t.Context(), n, by("r")); err != nil {
		t.Fatal(err)
	}
	events, err := w.Events(t.Context(), 7, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []account.Event{{
		Revision: 1, At: w.now, Action: "CreateApp", Actor: "ann", Certified: true, RequestID: "r",
		Changes: []account.FieldChange{
			{Field: "account", After: "acme"},
			{Field: "created", After: "2024-06-15T04:00:00Z"},
			{Field: "edition", After: "developer"},
			{Field: "fanoutBits", After: "14"},
			{Field: "id", After: "7"},
			{Field: "orders.o1.cash", After: "0"},
			{Field: "orders.o1.credit", After: "0"},
			{Field: "orders.o1.edition", After: "standard"},
			{Field: "orders.o1.end", After: "2024-06-30T16:00:00Z"},
			{Field: "orders.o1.id", After: "o1"},
			{Field: "orders.o1.months", After: "1"},
			{Field: "orders.o1.start", After: "2024-05-31T16:00:00Z"},
			{Field: "region", After: w.cat.Regions()[0]},
		},
	}}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// An order has one name in the log, whichever come before it: only what an
// operation changed is in its event.
func TestEvents_NameOrdersByID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := account.NewApp{ID: 7, Account: "acme", Created: w.at("2024-01-01"), Orders: []account.Order{
		w.order("standard", "2024-05-01", "2024-06-01"), w.order("standard", "2024-06-01", "2024-07-01"),
	}}
	n.Orders[0].ID, n.Orders[1].ID = "9", "0" // as if they were indexes
	w.create(n)
	// The first is gone, the second returned, and a third before it.
	third := w.order("premium", "2024-01-01", "2024-02-01")
	third.ID = "1"
	before := w.app(7)
	after := before.Clone()
	after.Orders = []account.Order{third, after.Orders[1]}
	after.Orders[1].Refunded = w.now
	event, err := by("r").Event("Test", w.now, before, after)
	if err != nil {
		t.Fatal(err)
	}
	want := []account.FieldChange{
		{Field: "orders.0.refunded", After: noon},
		{Field: "orders.1.cash", After: "0"},
		{Field: "orders.1.credit", After: "0"},
		{Field: "orders.1.edition", After: "premium"},
		{Field: "orders.1.end", After: "2024-02-01T00:00:00+08:00"},
		{Field: "orders.1.id", After: "1"},
		{Field: "orders.1.months", After: "1"},
		{Field: "orders.1.start", After: "2024-01-01T00:00:00+08:00"},
		{Field: "orders.9.cash", Before: "0"},
		{Field: "orders.9.credit", Before: "0"},
		{Field: "orders.9.edition", Before: "standard"},
		{Field: "orders.9.end", Before: "2024-05-31T16:00:00Z"},
		{Field: "orders.9.id", Before: "9"},
		{Field: "orders.9.months", Before: "1"},
		{Field: "orders.9.start", Before: "2024-04-30T16:00:00Z"},
	}
	if diff := cmp.Diff(want, event.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// Large numbers are written as they are stored.
func TestEvents_WriteNumbersInFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(account.NewApp{ID: 4_294_967_295, Account: "acme"})
	o := &account.Override{Limit: catalog.Max(catalog.MaxLimit)}
	if _, err := w.apps.Override(t.Context(), 4_294_967_295, "friends", o, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	events, err := w.Events(t.Context(), 4_294_967_295, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []account.FieldChange{
		{Field: "overrides.friends.from", After: "2024-06-15T12:00:00+08:00"},
		{Field: "overrides.friends.limit", After: "9007199254740991"},
	}
	if diff := cmp.Diff(want, events[0].Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if events[1].Changes[4] != (account.FieldChange{Field: "id", After: "4294967295"}) {
		t.Errorf("id: %+v", events[1].Changes[4])
	}
	if events[0].Actor != "" || events[0].RequestID != "" || events[0].Certified {
		t.Errorf("asked for by nobody: %+v", events[0])
	}
}
