package account_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/shopspring/decimal"
)

func usd(amount string) decimal.Decimal { return decimal.RequireFromString(amount) }

// owing is a world with an account that has an app.
func owing(t *testing.T) *world {
	w := newWorld(t)
	w.create(account.NewApp{ID: 7, Account: "acme", Created: w.at("2024-01-01")})
	return w
}

// owes are the bills of an account, one text each.
func (w *world) owes() []string {
	w.Helper()
	owner, err := w.accounts.Account(w.Context(), "acme")
	if err != nil {
		w.Fatal(err)
	}
	owes := []string{}
	for _, b := range owner.Bills {
		text := fmt.Sprintf("%s %s pushed %s", b.ID, b.Amount, w.text(b.Pushed))
		if !b.IsOpen() {
			text += " paid " + w.text(b.Paid)
		}
		owes = append(owes, text)
	}
	return owes
}

func (w *world) wantOwes(want ...string) {
	w.Helper()
	if diff := cmp.Diff(want, w.owes()); diff != "" {
		w.Errorf("bills (-want +got):\n%s", diff)
	}
}

func TestAccounts_RecordBill(t *testing.T) {
	t.Parallel()
	w := owing(t)
	w.now = w.at("2024-06-02 10:00:00")
	bill := account.NewBill{ID: "b2", Month: "2024-05", Amount: usd("12.30")}
	owner, err := w.accounts.RecordBill(t.Context(), "acme", bill, by("r"))
	if err != nil || owner.Version.Revision != 1 || owner.Apps != 1 {
		t.Fatalf("%+v, %v", owner, err)
	}
	if diff := cmp.Diff(account.Bill{ID: "b2", Month: "2024-05", Amount: usd("12.30"), Pushed: w.now, RecordedBy: "ann"}, owner.Bills[0]); diff != "" {
		t.Errorf("bill (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		name   string
		change func(*account.NewBill)
		by     account.Origin
		want   error
	}{
		{"the same, repeated", func(*account.NewBill) {}, by("r"), nil},
		{"another request of the same id", func(*account.NewBill) {}, other("r"), account.ErrRequestReused},
		{"the same, by nobody", func(*account.NewBill) {}, account.Origin{}, nil},
		{"the same amount in other digits", func(b *account.NewBill) { b.Amount = usd("12.3") }, account.Origin{}, nil},
		{"the same push in another zone", func(b *account.NewBill) { b.Pushed = w.at("2024-06-02 10:00:00").UTC() }, account.Origin{}, nil},
		{"another amount", func(b *account.NewBill) { b.Amount = usd("12.31") }, account.Origin{}, account.ErrBillExists},
		{"another month", func(b *account.NewBill) { b.Month = "2024-04" }, account.Origin{}, account.ErrBillExists},
		{"another push", func(b *account.NewBill) { b.Pushed = w.at("2024-06-02 09:59:59") }, by("r2"), account.ErrBillExists},
	} {
		w.now = w.at("2024-06-03 09:00:00")
		b := bill
		tt.change(&b)
		owner, err := w.accounts.RecordBill(t.Context(), "acme", b, tt.by)
		w.wantErr(err, tt.want)
		if tt.want == nil && owner.Version.Revision != 1 {
			t.Errorf("%s: revision %d", tt.name, owner.Version.Revision)
		}
		w.wantOwes("b2 12.3 pushed 2024-06-02 10:00:00")
	}
	w.bill("acme", "b1", "1")
	if _, err := w.accounts.RecordBill(t.Context(), "acme", account.NewBill{ID: "b0", Amount: usd("2"), Pushed: w.at("2024-06-02 10:00:00")}, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	w.wantOwes("b0 2 pushed 2024-06-02 10:00:00", "b2 12.3 pushed 2024-06-02 10:00:00", "b1 1 pushed 2024-06-03 09:00:00")
	_, err = w.accounts.RecordBill(t.Context(), "acme", account.NewBill{ID: "b3", Pushed: w.now.Add(time.Second)}, account.Origin{})
	w.wantInvalid(err, "push_time")
}

// TestAccounts_RecordBillOfLongAgo: a bill that would have data reclaimed at once
// is a slip; one that leaves a day is not.
func TestAccounts_RecordBillOfLongAgo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pushed string // suspended a day later, which is the first of 90
		isSlip bool
	}{
		{"2024-03-17 23:59:59", false}, {"2024-03-17 00:00:00", false}, {"2024-03-16 23:59:59", true}, {"2014-06-15 00:00:00", true},
	} {
		w := owing(t)
		w.now = w.at("2024-06-15 12:00:00")
		for amount, isSlip := range map[string]bool{"1": tt.isSlip, "0": false} {
			_, err := w.accounts.RecordBill(t.Context(), "acme", account.NewBill{ID: amount, Amount: usd(amount), Pushed: w.at(tt.pushed)}, account.Origin{})
			if isSlip {
				w.wantInvalid(err, "push_time")
			} else {
				w.wantErr(err, nil)
			}
		}
		if got := w.stands(7); strings.HasPrefix(got, "reclaimed") {
			t.Errorf("pushed at %s: %s", tt.pushed, got)
		}
	}
}

// TestAccounts_RecordBillBesideAnother: what counts is for how long the account
// would have been overdue without a gap.
func TestAccounts_RecordBillBesideAnother(t *testing.T) {
	t.Parallel()
	w := owing(t)
	w.now = w.at("2024-06-15 12:00:00")
	first := account.NewBill{ID: "b1", Amount: usd("1"), Pushed: w.now.AddDate(0, 0, -89)}
	if _, err := w.accounts.RecordBill(t.Context(), "acme", first, account.Origin{}); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.AddDate(0, 0, 1)
	if _, err := w.accounts.RecordPayment(t.Context(), "acme", "b1", w.now.AddDate(0, 0, -40), account.Origin{}); err != nil {
		t.Fatal(err)
	}
	second := account.NewBill{ID: "b2", Amount: usd("1"), Pushed: w.now.AddDate(0, 0, -45)}
	w.now = w.now.AddDate(0, 0, 5)
	_, err := w.accounts.RecordBill(t.Context(), "acme", second, account.Origin{})
	w.wantInvalid(err, "push_time")
	second.Pushed = w.now.AddDate(0, 0, -44) // a day after the first was paid
	if _, err := w.accounts.RecordBill(t.Context(), "acme", second, account.Origin{}); err != nil {
		t.Errorf("with a gap between them: %v", err)
	}
}

func TestAccounts_RecordBillOfNothing(t *testing.T) {
	t.Parallel()
	w := owing(t)
	w.bill("acme", "b1", "0.00")
	w.wantOwes("b1 0 pushed 2024-06-15 12:00:00 paid 2024-06-15 12:00:00")
	w.now = w.now.AddDate(1, 0, 0)
	if got := w.stands(7); got != "active developer" {
		t.Errorf("it is %s", got)
	}
}

func TestAccounts_RecordPayment(t *testing.T) {
	t.Parallel()
	w := owing(t)
	w.now = w.at("2024-06-02 10:00:00")
	w.bill("acme", "b1", "12.30")
	w.bill("acme", "b2", "1")
	pay := func(bill, at string, by account.Origin) error {
		_, err := w.accounts.RecordPayment(t.Context(), "acme", bill, w.at(at), by)
		return err
	}
	w.now = w.at("2024-06-05 10:00:00")
	w.wantErr(pay("b3", "", account.Origin{}), account.ErrBillNotFound)
	w.wantInvalid(pay("b1", "2024-06-05 10:00:01", account.Origin{}), "pay_time")
	w.wantInvalid(pay("b1", "2024-06-02 09:59:59", account.Origin{}), "pay_time")
	w.wantOwes("b1 12.3 pushed 2024-06-02 10:00:00", "b2 1 pushed 2024-06-02 10:00:00")
	if got, want := w.stands(7), "suspended developer, overdue 2024-06-03 10:00:00, since 2024-06-03 10:00:00, gone 2024-09-01"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := pay("b1", "2024-06-02 10:00:00", by("r")); err != nil {
		t.Fatal(err)
	}
	w.now = w.at("2024-06-06 10:00:00")
	w.wantErr(pay("b1", "2024-06-02 10:00:00", by("r")), nil)
	w.wantErr(pay("b2", "2024-06-02 10:00:00", other("r")), account.ErrRequestReused)
	w.wantErr(pay("b1", "2024-06-04 10:00:00", account.Origin{}), nil) // the first holds
	w.wantOwes("b1 12.3 pushed 2024-06-02 10:00:00 paid 2024-06-02 10:00:00", "b2 1 pushed 2024-06-02 10:00:00")
	if got, want := w.stands(7), "suspended developer, overdue 2024-06-03 10:00:00, since 2024-06-03 10:00:00, gone 2024-09-01"; got != want {
		t.Errorf("with one bill paid: got %s, want %s", got, want)
	}
	w.wantErr(pay("b2", "", account.Origin{}), nil)
	w.wantOwes("b1 12.3 pushed 2024-06-02 10:00:00 paid 2024-06-02 10:00:00", "b2 1 pushed 2024-06-02 10:00:00 paid 2024-06-06 10:00:00")
	if got := w.stands(7); got != "active developer" {
		t.Errorf("it is %s", got)
	}
}

func TestAccounts_UnknownAccounts(t *testing.T) {
	t.Parallel()
	w := owing(t)
	_, err := w.accounts.Account(t.Context(), "nobody")
	w.wantErr(err, account.ErrAccountNotFound)
	_, err = w.accounts.RecordBill(t.Context(), "nobody", account.NewBill{ID: "b1"}, by("r"))
	w.wantErr(err, account.ErrAccountNotFound)
	_, err = w.accounts.RecordPayment(t.Context(), "nobody", "b1", time.Time{}, by("r"))
	w.wantErr(err, account.ErrAccountNotFound)
	// One whose apps are deleted still owes for them.
	w.delete(7)
	if owner := w.bill("acme", "b1", "1"); owner.Apps != 0 || owner.Deleted != 1 || len(owner.Bills) != 1 {
		t.Errorf("%+v", owner)
	}
}

// TestAccounts_BillsAreBounded: those that were paid more than 13 months ago make
// room, the oldest first, and no others.
func TestAccounts_BillsAreBounded(t *testing.T) {
	t.Parallel()
	w := owing(t)
	const most = 600
	id := func(i int) string { return fmt.Sprintf("b%03d", i) }
	record := func(i int) error {
		_, err := w.accounts.RecordBill(t.Context(), "acme", account.NewBill{ID: id(i), Month: "2024-05", Amount: usd("1")}, account.Origin{})
		return err
	}
	pay := func(i int) {
		t.Helper()
		if _, err := w.accounts.RecordPayment(t.Context(), "acme", id(i), time.Time{}, account.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range most {
		if err := record(i); err != nil {
			t.Fatal(err)
		}
		pay(i)
		w.now = w.now.Add(24 * time.Hour)
	}
	w.now = w.now.AddDate(0, 0, -200) // bill 0 was paid 400 days ago
	w.wantErr(record(most), account.ErrTooManyBills)
	w.wantErr(record(most-1), nil) // it is recorded
	w.now = w.now.Add(time.Second)
	if err := record(most); err != nil {
		t.Fatal(err)
	}
	owner, err := w.accounts.Account(t.Context(), "acme")
	if err != nil || len(owner.Bills) != most || owner.Bill(id(0)) != nil || owner.Bill(id(1)) == nil || owner.Bill(id(most)) == nil {
		t.Fatalf("%d bills, %v", len(owner.Bills), err)
	}
	w.wantErr(record(most+1), account.ErrTooManyBills)
}

// TestAccounts_RecordBillThatBridges: a bill that joins an overdue spell to one
// that an app was cured of long ago suspends it since then.
func TestAccounts_RecordBillThatBridges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := func(n int) time.Time { return w.now.AddDate(0, 0, n) }
	w.create(account.NewApp{ID: 7, Account: "acme", Created: day(-400), Orders: []account.Order{
		{ID: "a", Edition: "standard", Months: 1, Start: day(-150), End: day(-120)},
		{ID: "b", Edition: "standard", Months: 1, Start: day(-80), End: day(300)},
	}})
	bill := func(id string, pushed int) error {
		_, err := w.accounts.RecordBill(t.Context(), "acme", account.NewBill{ID: id, Amount: usd("1"), Pushed: day(pushed)}, account.Origin{})
		return err
	}
	w.wantInvalid(bill("bridge", -85), "push_time")
	w.wantErr(bill("apart", -79), nil)
	if got := w.stands(7); !strings.HasPrefix(got, "suspended") {
		t.Errorf("it is %s", got)
	}
	// What is gone anyway does not keep a bill from being recorded.
	w.now = day(200)
	w.wantErr(bill("late", -150), nil)
}

func TestAccount_OverdueSince(t *testing.T) {
	t.Parallel()
	p := inZone(t, "+08:00")
	rules := p.cat.Account()
	owner := p.bills("2024-06-02", "2024-07-10", "2024-07-02", "2024-08-10", "2024-09-02", "2024-09-02 12:00:00", "2024-10-02", "")
	for _, tt := range []struct{ at, want string }{
		{"2024-06-02 23:59:59", ""},
		{"2024-06-03", "2024-06-03"},
		{"2024-07-20", "2024-06-03"},
		{"2024-08-09 23:59:59", "2024-06-03"},
		{"2024-08-10", ""},
		{"2024-09-10", ""},
		{"2024-10-02 23:59:59", ""},
		{"2030-01-01", "2024-10-03"},
	} {
		if got := owner.OverdueSince(p.at(tt.at), rules); !got.Equal(p.at(tt.want)) {
			t.Errorf("%s: since %v, want %q", tt.at, got, tt.want)
		}
	}
	if got := (*account.Account)(nil).OverdueSince(p.at("2024-06-02"), rules); !got.IsZero() {
		t.Errorf("of no account: since %v", got)
	}
}

func TestAccounts_LoseNoChangeOfOthers(t *testing.T) {
	t.Parallel()
	w := owing(t)
	n := 0
	others := *w.accounts
	w.accounts.Registry = &racing{w.Model, 3, func() {
		n++
		if _, err := others.RecordBill(t.Context(), "acme", account.NewBill{ID: fmt.Sprint("other", n), Amount: usd("1")}, account.Origin{}); err != nil {
			t.Error(err)
		}
	}}
	w.bill("acme", "b1", "1")
	if owner, err := w.accounts.Account(t.Context(), "acme"); err != nil || len(owner.Bills) != 4 {
		t.Errorf("%+v, %v", owner, err)
	}
}
