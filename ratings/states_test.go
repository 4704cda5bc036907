package ratings_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
)

// verdicts are what each quote is answered: "yes", the RPC to use instead, or
// "no" when there is none.
type verdicts struct{ buyStandard, buyPremium, renew, upgrade, refund, bill string }

func (s shop) verdicts(of ratings.Subject, owner *account.Account) verdicts {
	of.State = of.App.StateAt(of.At, owner, of.Catalog)
	verdict := func(q *ratings.Quote, err error) string {
		other := new(ratings.NotApplicableError)
		switch {
		case err == nil:
			s.sound(q)
			return "yes"
		case !errors.As(err, &other):
			return err.Error()
		case other.Why == "":
			s.Error("refused without a reason")
		case other.RPC == "":
			return "no"
		}
		return other.RPC
	}
	month := ratings.Terms{Months: 1}
	return verdicts{
		verdict(ratings.QuotePurchase(of, "standard", month, nil)), verdict(ratings.QuotePurchase(of, "premium", month, nil)),
		verdict(ratings.QuoteRenewal(of, month)), verdict(ratings.QuoteUpgrade(of, "premium")), verdict(ratings.QuoteRefund(of)),
		verdict(ratings.QuoteBill(ratings.MonthOf(of.At, of.Catalog.Zone()), of.At, of.Catalog, []ratings.BilledApp{{App: of.App, Owner: owner, Catalog: of.Catalog}})),
	}
}

// FACTS §6: which quotes an app is given by how its plan stands. That it is
// disabled, or its account overdue, changes nothing.
func TestStates(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const purchase, renewal, upgrade, refund = "QuotePurchase", "QuoteRenewal", "QuoteUpgrade", "QuoteRefund"
	order := func(id, edition, start string) account.Order { return s.order(id, edition, start, 1, "399", "") }
	returned := func(o account.Order, at string) account.Order {
		o.Refunded = s.at(at)
		return o
	}
	may, june, next := order("a", "standard", "2024-05-01"), order("b", "standard", "2024-06-01"), order("c", "standard", "2024-07-01")
	premium, august := order("p", "premium", "2024-06-01"), order("d", "standard", "2024-08-01")
	for _, tt := range []struct {
		name    string
		at      string
		edition string // of the app without orders
		orders  []account.Order
		want    verdicts
	}{
		{"no plan", "2024-06-15", "developer", nil, verdicts{"yes", "yes", purchase, purchase, purchase, "yes"}},
		{"an edition without an order", "2024-06-15", "premium", nil, verdicts{"edition: standard is not sold to an app of the premium edition that has no plan", "yes", purchase, purchase, purchase, "yes"}},
		{"an order to come", "2024-06-15", "developer", []account.Order{august}, verdicts{refund, refund, refund, refund, "yes", "yes"}},
		{"in force at its first second", "2024-06-01", "developer", []account.Order{june}, verdicts{renewal, upgrade, "yes", "yes", "yes", "yes"}},
		{"in force", "2024-06-15", "developer", []account.Order{june}, verdicts{renewal, upgrade, "yes", "yes", "yes", "yes"}},
		{"in force at its last second", "2024-06-30 23:59:59", "developer", []account.Order{june}, verdicts{renewal, upgrade, "yes", "yes", "yes", "yes"}},
		{"in force, and the next bought", "2024-06-15", "developer", []account.Order{june, next}, verdicts{renewal, upgrade, "yes", "yes", "yes", "yes"}},
		{"in force, and one to come after a gap", "2024-06-15", "developer", []account.Order{june, august}, verdicts{renewal, upgrade, "yes", "yes", "yes", "yes"}},
		{"the dearest in force", "2024-06-15", "developer", []account.Order{premium}, verdicts{refund, renewal, "yes", renewal, "yes", "yes"}},
		{"in grace at its first second", "2024-07-01", "developer", []account.Order{june}, verdicts{renewal, renewal, "yes", renewal, renewal, "yes"}},
		{"in grace at its last second", "2024-07-01 23:59:59", "developer", []account.Order{june}, verdicts{renewal, renewal, "yes", renewal, renewal, "yes"}},
		{"in grace, and one to come", "2024-07-01 12:00:00", "developer", []account.Order{june, august}, verdicts{renewal, renewal, "yes", renewal, "yes", "yes"}},
		{"in grace, and one to come soon", "2024-06-01 12:00:00", "developer", []account.Order{may, order("e", "standard", "2024-06-20")}, verdicts{renewal, renewal, refund, renewal, "yes", "yes"}},
		{"ended", "2024-07-02", "developer", []account.Order{june}, verdicts{"yes", "yes", "yes", purchase, renewal, "yes"}},
		{"ended, and one to come", "2024-06-03", "developer", []account.Order{may, august}, verdicts{refund, refund, "yes", refund, "yes", "yes"}},
		{"ended, and one to come soon", "2024-07-15", "developer", []account.Order{june, august}, verdicts{refund, refund, refund, refund, "yes", "yes"}},
		{"returned", "2024-06-15", "developer", []account.Order{returned(june, "2024-06-10")}, verdicts{"yes", "yes", "yes", purchase, purchase, "yes"}},
		{"returned this second", "2024-06-15", "developer", []account.Order{returned(june, "2024-06-15")}, verdicts{"yes", "yes", "yes", purchase, purchase, "yes"}},
		{"returned with the next", "2024-06-15", "developer", []account.Order{returned(june, "2024-06-10"), returned(next, "2024-06-10")}, verdicts{"yes", "yes", "yes", purchase, purchase, "yes"}},
		{"returned, and past its end", "2024-08-15", "developer", []account.Order{returned(june, "2024-06-10")}, verdicts{"yes", "yes", "yes", purchase, purchase, "yes"}},
		{"returned, and one to come", "2024-06-15", "developer", []account.Order{returned(june, "2024-06-10"), august}, verdicts{refund, refund, "yes", refund, "yes", "yes"}},
		{"returned, and bought again", "2024-06-15", "developer", []account.Order{returned(may, "2024-05-10"), june}, verdicts{renewal, upgrade, "yes", "yes", "yes", "yes"}},
		// Nobody had what was returned before it began: there is nothing to renew.
		{"returned before it began", "2024-06-15", "developer", []account.Order{returned(june, "2024-05-20")}, verdicts{"yes", "yes", purchase, purchase, purchase, "yes"}},
		{"returned as it began", "2024-06-15", "developer", []account.Order{returned(june, "2024-06-01")}, verdicts{"yes", "yes", purchase, purchase, purchase, "yes"}},
		{"returned before it began, and one to come", "2024-06-15", "developer", []account.Order{returned(june, "2024-05-20"), august}, verdicts{refund, refund, refund, refund, "yes", "yes"}},
	} {
		disabled := []account.Spell{{From: s.at("2024-05-15")}}
		overdue := &account.Account{ID: "acme", Bills: []account.Bill{{ID: "x", Pushed: s.at("2024-05-02")}}}
		for _, also := range []struct {
			name  string
			spell []account.Spell
			owner *account.Account
		}{{"", nil, nil}, {", disabled", disabled, nil}, {", overdue", nil, overdue}, {", disabled and overdue", disabled, overdue}} {
			t.Run(tt.name+also.name, func(t *testing.T) {
				t.Parallel()
				s := shop{t, s.cat}
				app := &account.App{ID: 7, Account: "acme", Edition: tt.edition, Created: s.at("2024-04-01"), Orders: tt.orders, Disabled: also.spell}
				got := s.verdicts(s.subjectOf(s.at(tt.at), app), also.owner)
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(verdicts{})); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

// What is renewed after a return is what the app had: an edition that it was never
// in has no price to renew at.
func TestQuoteRenewal_IsOfTheEditionThatWasHadLast(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june := s.order("a", "standard", "2024-06-01", 1, "399", "")
	june.Upgrades = []account.Upgrade{{At: s.at("2024-06-10"), Edition: "premium"}}
	for name, tt := range map[string]struct {
		at, returned, want string
	}{
		"in force":                   {"2024-06-20", "", "premium"},
		"in grace":                   {"2024-07-01", "", "premium"},
		"ended":                      {"2024-07-09", "", "premium"},
		"returned after its upgrade": {"2024-06-20", "2024-06-15", "premium"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := june
			if tt.returned != "" {
				o.Refunded = s.at(tt.returned)
			}
			q, err := ratings.QuoteRenewal(s.subject(tt.at, o), ratings.Terms{Months: 2})
			if err != nil {
				t.Fatal(err)
			}
			if q.Edition != tt.want || q.Orders[0].Edition != tt.want || !q.Total.Equal(money("1398")) {
				t.Errorf("%s, %s for %s; want %s", q.Edition, q.Orders[0].Edition, q.Total, tt.want)
			}
		})
	}
}

// One order that is not taken back refuses the return of all.
func TestQuoteRefund_OneOrderRefusesAll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june, next := s.order("a", "standard", "2024-06-01", 1, "399", ""), s.order("b", "standard", "2024-07-01", 1, "399", "")
	kept := next
	kept.NonRefundable = true
	rejected := next
	rejected.Rejected = account.Rejection{Reason: "abuse", At: s.at("2024-06-02"), Quote: "q"}
	for name, tt := range map[string]struct {
		at     string
		orders []account.Order
		want   error
	}{
		"not refundable":      {"2024-06-15", []account.Order{june, kept}, ratings.ErrNotRefundable},
		"rejected":            {"2024-06-15", []account.Order{june, rejected}, ratings.ErrReturnRejected},
		"all taken back":      {"2024-06-15", []account.Order{june, next}, nil},
		"not, but it is over": {"2024-08-15", []account.Order{kept, s.order("c", "standard", "2024-08-01", 1, "399", "")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := ratings.QuoteRefund(s.subject(tt.at, tt.orders...)); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// Every error of a field names it, in a purchase as in a renewal.
func TestTerms_ErrorsNameTheField(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june := s.order("a", "standard", "2024-06-01", 1, "399", "")
	for name, tt := range map[string]struct {
		terms ratings.Terms
		field string // empty: it is fine
		total string
	}{
		"no months":                     {ratings.Terms{}, "months", ""},
		"months below zero":             {ratings.Terms{Months: -1}, "months", ""},
		"25 months":                     {ratings.Terms{Months: 25}, "months", ""},
		"very many months":              {ratings.Terms{Months: 1 << 62}, "months", ""},
		"one month":                     {ratings.Terms{Months: 1}, "", "399"},
		"24 months":                     {ratings.Terms{Months: 24}, "", "9576"},
		"discount below zero":           {ratings.Terms{Months: 1, DiscountPercent: money("-1")}, "discount_percent", ""},
		"discount of nothing":           {ratings.Terms{Months: 1, DiscountPercent: money("0.0000")}, "", "399"},
		"the least discount":            {ratings.Terms{Months: 1, DiscountPercent: money("0.0001")}, "", "399"},
		"discount of half a cent":       {ratings.Terms{Months: 1, DiscountPercent: money("0.5")}, "", "397.00"},
		"and of one after an even cent": {ratings.Terms{Months: 1, DiscountPercent: money("1.5")}, "", "393.01"},
		"discount of a third":           {ratings.Terms{Months: 1, DiscountPercent: money("33.3333")}, "", "266.00"},
		"discount of all":               {ratings.Terms{Months: 3, DiscountPercent: money("100")}, "", "0"},
		"discount of more":              {ratings.Terms{Months: 1, DiscountPercent: money("100.0001")}, "discount_percent", ""},
		"discount too fine":             {ratings.Terms{Months: 1, DiscountPercent: money("33.33333")}, "discount_percent", ""},
		"voucher below zero":            {ratings.Terms{Months: 1, Voucher: money("-0.01")}, "voucher.amount", ""},
		"voucher of mills":              {ratings.Terms{Months: 1, Voucher: money("0.001")}, "voucher.amount", ""},
		"voucher of all":                {ratings.Terms{Months: 1, Voucher: money("399.00")}, "", "0"},
		"voucher of more":               {ratings.Terms{Months: 1, Voucher: money("399.01")}, "voucher.amount", ""},
		"both of all":                   {ratings.Terms{Months: 1, DiscountPercent: money("50"), Voucher: money("199.50")}, "", "0"},
		"both of more":                  {ratings.Terms{Months: 1, DiscountPercent: money("50"), Voucher: money("199.51")}, "voucher.amount", ""},
		"voucher of what is nil":        {ratings.Terms{Months: 1, DiscountPercent: money("100"), Voucher: money("0.01")}, "voucher.amount", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shop{t, s.cat}
			bought, err1 := ratings.QuotePurchase(s.subject("2024-06-15"), "standard", tt.terms, nil)
			renewed, err2 := ratings.QuoteRenewal(s.subject("2024-06-15", june), tt.terms)
			for _, err := range []error{err1, err2} {
				if bad := new(account.InvalidError); errors.As(err, &bad) != (tt.field != "") || bad.Field != tt.field || tt.field != "" && bad.Description == "" || (err != nil) != (tt.field != "") {
					t.Errorf("%v, want the field %q", err, tt.field)
				}
			}
			if tt.field != "" {
				return
			}
			for _, q := range []*ratings.Quote{bought, renewed} {
				s.sound(q)
				lines := 1
				for _, off := range []decimal.Decimal{tt.terms.DiscountPercent, tt.terms.Voucher} {
					if !off.IsZero() {
						lines++
					}
				}
				if !q.Total.Equal(money(tt.total)) || len(q.Lines) != lines {
					t.Errorf("%s in %d lines; want %s in %d", q.Total, len(q.Lines), tt.total, lines)
				}
			}
		})
	}
}

func TestQuotes_ErrorsNameTheEdition(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	june := s.order("a", "standard", "2024-06-01", 1, "399", "")
	for name, edition := range map[string]string{"unknown": "platinum", "free": "developer", "none": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err1 := ratings.QuotePurchase(s.subject("2024-06-15"), edition, ratings.Terms{Months: 1}, nil)
			_, err2 := ratings.QuoteUpgrade(s.subject("2024-06-15", june), edition)
			for _, err := range []error{err1, err2} {
				if bad := new(account.InvalidError); !errors.As(err, &bad) || bad.Field != "edition" || bad.Description == "" {
					t.Errorf("%v, want the field edition", err)
				}
			}
		})
	}
}

// An app in an edition that the catalog does not define has no price.
func TestQuotes_EditionThatTheCatalogLost(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	of := s.subject("2024-06-15", s.order("a", "basic", "2024-06-01", 1, "399", ""))
	_, err1 := ratings.QuotePurchase(of, "standard", ratings.Terms{Months: 1}, nil)
	_, err2 := ratings.QuoteRenewal(of, ratings.Terms{Months: 1})
	_, err3 := ratings.QuoteUpgrade(of, "premium")
	_, err4 := ratings.QuoteRefund(of)
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, account.ErrUnknownEdition) {
			t.Errorf("quote %d: %v", i, err)
		}
	}
}
