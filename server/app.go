package server

import (
	"maps"
	"slices"
	"time"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/shopspring/decimal"
)

// fromApp converts a record, in its state of now.
func (s *appService) fromApp(a *account.App) *imquotav1.App {
	cat := s.enforcer.Catalog()
	state := a.StateAt(s.now(), cat.Account().Grace)
	out := &imquotav1.App{
		AppId: a.ID, AccountId: a.Account, Name: a.Name, Region: a.Region, Edition: a.Edition,
		State: fromStage(state.Stage), GraceUntil: fromTime(state.GraceUntil), SuspendedSince: fromTime(state.Since),
		CreateTime: fromTime(a.Created), Revision: a.Version.Revision,
	}
	for _, key := range slices.Sorted(maps.Keys(a.Approvals)) {
		approval := &imquotav1.Approval{Feature: key, ApproveTime: fromTime(a.Approvals[key])}
		if f, ok := cat.Feature(key); ok && f.Approval != nil {
			approval.ActiveTime = fromTime(a.Approvals[key].Add(f.Approval.ActiveAfter))
		}
		out.Approvals = append(out.Approvals, approval)
	}
	for _, key := range slices.Sorted(maps.Keys(a.AddOns)) {
		activation := &imquotav1.AddOnActivation{AddOn: key, ActivateTime: fromTime(a.AddOns[key])}
		if sold, ok := cat.AddOn(key); ok {
			activation.EndTime = fromTime(a.AddOns[key].Add(sold.Trial))
			activation.Activates = sold.Activates
		}
		out.AddOns = append(out.AddOns, activation)
	}
	for _, key := range slices.Sorted(maps.Keys(a.Overrides)) {
		l := a.Overrides[key]
		out.LimitOverrides = append(out.LimitOverrides, &imquotav1.LimitOverride{Quota: key, Limit: l.Max(), Unlimited: l.IsUnlimited()})
	}
	for i := range a.Orders {
		out.Orders = append(out.Orders, fromOrder(&a.Orders[i], cat.Currency()))
	}
	return out
}

func fromOrder(o *account.Order, currency string) *imquotav1.Order {
	return &imquotav1.Order{
		OrderId: o.ID, Edition: o.Edition, StartTime: fromTime(o.Start), EndTime: fromTime(o.End),
		Months: int32(o.Months), Cash: fromAmount(o.Cash, currency), Credit: fromAmount(o.Credit, currency),
		NonRefundable: o.NonRefundable,
	}
}

func fromAmount(d decimal.Decimal, currency string) *imquotav1.Money {
	return &imquotav1.Money{CurrencyCode: currency, Amount: d.StringFixed(2)}
}

// order validates an order and converts it.
func (v *invalidFields) order(o *imquotav1.Order, currency string) account.Order {
	v.printable("order_id", o.GetOrderId(), maxOrderID)
	v.key("edition", o.GetEdition())
	return account.Order{
		ID: o.GetOrderId(), Edition: o.GetEdition(), Months: int(o.GetMonths()), NonRefundable: o.GetNonRefundable(),
		Start: v.second("start_time", v.time("start_time", o.GetStartTime())),
		End:   v.second("end_time", v.time("end_time", o.GetEndTime())),
		Cash:  v.money("cash", o.GetCash(), currency), Credit: v.money("credit", o.GetCredit(), currency),
	}
}

// second checks an instant that is exact to the second.
func (v *invalidFields) second(field string, t time.Time) time.Time {
	if t.IsZero() {
		v.add(field, "must be given")
	} else if t.Nanosecond() != 0 {
		v.add(field, "must be a whole second")
	}
	return t
}

// maxAmountText bounds an amount's text: a decimal exponent must not be able
// to ask for a number of a billion digits.
const maxAmountText = 20

// money validates an amount of at most two decimals; nothing given is zero.
func (v *invalidFields) money(field string, m *imquotav1.Money, currency string) decimal.Decimal {
	if m == nil {
		return decimal.Zero
	}
	if m.GetCurrencyCode() != currency {
		v.add(field+".currency_code", "is %q; the catalog's currency is %s", m.GetCurrencyCode(), currency)
	}
	d, err := decimal.NewFromString(m.GetAmount())
	switch {
	case err != nil || len(m.GetAmount()) > maxAmountText || d.Exponent() > 0:
		v.add(field+".amount", "%.30q is not a decimal number, such as 399.00", m.GetAmount())
		return decimal.Zero
	case d.Exponent() < -2:
		v.add(field+".amount", "%q has more than two decimals", m.GetAmount())
	case d.IsNegative():
		v.add(field+".amount", "is negative")
	}
	return d
}
