package server

import (
	"cmp"
	"time"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/ratings"
	"github.com/shopspring/decimal"
)

// quoteKinds are the names of the domain's kinds on the wire.
var quoteKinds = map[ratings.Kind]imquotav1.QuoteKind{
	ratings.Purchase: imquotav1.QuoteKind_QUOTE_KIND_PURCHASE,
	ratings.Renewal:  imquotav1.QuoteKind_QUOTE_KIND_RENEWAL,
	ratings.Upgrade:  imquotav1.QuoteKind_QUOTE_KIND_UPGRADE,
	ratings.Refund:   imquotav1.QuoteKind_QUOTE_KIND_REFUND,
	ratings.Bill:     imquotav1.QuoteKind_QUOTE_KIND_BILL,
}

var lineKinds = map[ratings.LineKind]imquotav1.QuoteLineKind{
	ratings.LinePlan:            imquotav1.QuoteLineKind_QUOTE_LINE_KIND_PLAN,
	ratings.LineDiscount:        imquotav1.QuoteLineKind_QUOTE_LINE_KIND_DISCOUNT,
	ratings.LineVoucher:         imquotav1.QuoteLineKind_QUOTE_LINE_KIND_VOUCHER,
	ratings.LineUpgrade:         imquotav1.QuoteLineKind_QUOTE_LINE_KIND_UPGRADE,
	ratings.LinePaid:            imquotav1.QuoteLineKind_QUOTE_LINE_KIND_PAID,
	ratings.LineUsed:            imquotav1.QuoteLineKind_QUOTE_LINE_KIND_USED,
	ratings.LineFloor:           imquotav1.QuoteLineKind_QUOTE_LINE_KIND_FLOOR,
	ratings.LineOverage:         imquotav1.QuoteLineKind_QUOTE_LINE_KIND_OVERAGE,
	ratings.LinePromotion:       imquotav1.QuoteLineKind_QUOTE_LINE_KIND_PROMOTION,
	ratings.LineBilledElsewhere: imquotav1.QuoteLineKind_QUOTE_LINE_KIND_BILLED_ELSEWHERE,
}

var fates = [...]imquotav1.QuoteState{
	ratings.Open:     imquotav1.QuoteState_QUOTE_STATE_OPEN,
	ratings.Accepted: imquotav1.QuoteState_QUOTE_STATE_ACCEPTED,
	ratings.Expired:  imquotav1.QuoteState_QUOTE_STATE_EXPIRED,
	ratings.Outdated: imquotav1.QuoteState_QUOTE_STATE_OUTDATED,
	ratings.Rejected: imquotav1.QuoteState_QUOTE_STATE_REJECTED,
}

// fromQuote converts a quote that was just made: it is open, unless it is a
// what-if.
func fromQuote(q *ratings.Quote) *imquotav1.Quote {
	if q.ID == "" {
		return fromFate(q, nil)
	}
	return fromFate(q, &ratings.Fate{})
}

// fromFate converts a quote and what has become of it; nil: it is a what-if.
func fromFate(q *ratings.Quote, fate *ratings.Fate) *imquotav1.Quote {
	out := &imquotav1.Quote{
		QuoteId: q.ID, Kind: quoteKinds[q.Kind], AppId: q.App, AccountId: q.Account, Edition: q.Edition,
		Total: fromAmount(q.Total, q.Currency), AsOf: fromTime(q.AsOf), ExpireTime: fromTime(q.Expires),
		CatalogVersion: q.Catalog, AppVersion: q.AppVersion.Revision, Policies: q.Policies, Month: q.Month, Final: q.Final,
	}
	for i := range q.Lines {
		out.Lines = append(out.Lines, fromLine(&q.Lines[i], q.Currency))
	}
	for i := range q.Legs {
		l := &q.Legs[i]
		out.Legs = append(out.Legs, &imquotav1.RefundLeg{
			OrderId: l.Order, Cash: fromAmount(l.Cash, q.Currency), Credit: fromAmount(l.Credit, q.Currency),
			Voucher: fromAmount(l.Voucher, q.Currency), Paid: fromAmount(l.Paid, q.Currency), Used: fromAmount(l.Used, q.Currency),
		})
	}
	for i := range q.Orders {
		out.Orders = append(out.Orders, fromOrder(&q.Orders[i], q.Currency))
	}
	if q.Renewal != nil {
		out.Renewal = fromRenewal(*q.Renewal)
	}
	if fate != nil {
		out.State, out.AcceptTime, out.RejectReason = fates[fate.State], fromTime(fate.Accepted), fate.Reason
	}
	return out
}

func fromLine(l *ratings.Line, currency string) *imquotav1.QuoteLine {
	out := &imquotav1.QuoteLine{
		Description: l.Description, Quantity: l.Quantity, Amount: fromAmount(l.Amount, currency), Kind: lineKinds[l.Kind],
		Unit: l.Unit, OrderId: l.Order, AppId: l.App, Period: &imquotav1.Period{StartTime: fromTime(l.From), EndTime: fromTime(l.Until)},
	}
	if l.Quantity != "" {
		out.UnitPrice = fromPrice(l.UnitPrice, currency)
	}
	return out
}

// fromPrice converts the price of a unit, which may be less than a cent.
func fromPrice(d decimal.Decimal, currency string) *imquotav1.Money {
	if d.Equal(d.Truncate(2)) {
		return fromAmount(d, currency)
	}
	return &imquotav1.Money{CurrencyCode: currency, Amount: d.String()}
}

func fromRenewal(r account.Renewal) *imquotav1.Renewal {
	return &imquotav1.Renewal{Mode: fromRenewalMode(r.Mode), Months: int32(r.Months)}
}

// of validates whom a quote is for.
func (s *billingService) of(v *invalidFields, app uint32, sub *imquotav1.Subscription, asOf time.Time) ratings.Of {
	of := ratings.Of{App: app, AsOf: asOf}
	switch {
	case sub != nil && app != 0:
		v.add("subscription", "and an app are both given; at most one may be")
	case sub != nil:
		of.Imagined = s.subscription(v, sub)
	case app == 0:
		v.add("app_id", "must be given, greater than zero, or a subscription instead")
	}
	return of
}

// subscription validates and converts an app that need not exist.
func (s *billingService) subscription(v *invalidFields, in *imquotav1.Subscription) *account.NewApp {
	n := &account.NewApp{}
	v.in("subscription", func() {
		v.appImport(&imquotav1.AppImport{
			Edition: in.GetEdition(), Orders: in.GetOrders(), AddOns: in.GetAddOns(), CreateTime: in.GetCreateTime(),
		}, s.shown.catalog(), n)
	})
	return n
}

// terms converts how months are bought. The domain knows their bounds.
func (s *billingService) terms(v *invalidFields, months int32, percent string, voucher *imquotav1.Money, nonRefundable bool) ratings.Terms {
	return ratings.Terms{
		Months: int(months), DiscountPercent: v.percent("discount_percent", percent),
		Voucher: v.money("voucher", voucher, s.shown.catalog().Currency()), NonRefundable: nonRefundable,
	}
}

// percent validates a percentage; empty: none.
func (v *invalidFields) percent(field, text string) decimal.Decimal {
	d, ok := number(cmp.Or(text, "0"))
	if !ok {
		v.add(field, "%.30q is not a decimal number of at most %d characters, such as 12.5", text, maxAmountText)
		return decimal.Zero
	}
	return d
}
