package server

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/shopspring/decimal"
)

// shown converts records as they stand now.
type shown struct {
	catalog  func() *catalog.Snapshot
	registry account.Registry
	now      func() time.Time
}

// app converts an app, whose account it reads.
func (s *shown) app(ctx context.Context, a *account.App) (*imquotav1.App, error) {
	out, err := s.load(ctx, a)
	if err != nil {
		return nil, toStatus(err)
	}
	return out, nil
}

func (s *shown) load(ctx context.Context, a *account.App) (*imquotav1.App, error) {
	owner, err := account.OwnerOf(ctx, s.registry, a)
	if err != nil {
		return nil, err
	}
	return s.fromApp(a, owner), nil
}

// changed is app for what a change came to: the app, or why it was not changed.
// What keeps one from being shown that was does not mean that nothing was changed.
func (s *shown) changed(ctx context.Context) func(*account.App, error) (*imquotav1.App, error) {
	return func(a *account.App, err error) (*imquotav1.App, error) {
		if err != nil {
			return nil, toStatus(err)
		}
		out, err := s.load(ctx, a)
		if err != nil {
			return nil, toStatus(&account.Fault{
				Reason: account.OutcomeUnknown, Err: err, RetryAfter: conflictRetryAfter,
				Detail: fmt.Sprintf("the change of app %d was made, but how the app stands could not be read: repeat it with the same request id", a.ID),
			})
		}
		return out, nil
	}
}

// fromApp converts an app of an account.
func (s *shown) fromApp(a *account.App, owner *account.Account) *imquotav1.App {
	cat := s.catalog()
	state := a.StateNow(s.now(), owner, cat)
	cat = a.RulesIn(cat)
	out := &imquotav1.App{
		AppId: a.ID, AccountId: a.Account, Name: a.Name, Region: a.Region, Edition: state.Edition,
		State: fromStage(state.Stage), GraceUntil: fromTime(state.GraceUntil), SuspendedSince: fromTime(state.Since),
		Suspensions: fromSuspensions(state.Suspensions), ReclaimTime: fromTime(state.ReclaimAt), ExpireTime: fromTime(state.PlanEnd),
		CreateTime: fromTime(a.Created), Revision: a.Version.Revision, SweepTime: fromTime(a.Swept),
		BillingMode: imquotav1.BillingMode_BILLING_MODE_PREPAID, MigrateTime: fromTime(a.Migrated),
	}
	if a.IsLegacy(s.catalog().Account()) {
		out.BillingMode, out.CatalogVersion = imquotav1.BillingMode_BILLING_MODE_LEGACY, a.Catalog
	}
	if len(a.Orders) > 0 {
		out.Renewal = fromRenewal(a.Renewal)
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
		if o := a.Overrides[key]; o.InForce(s.now()) {
			out.LimitOverrides = append(out.LimitOverrides, &imquotav1.LimitOverride{
				Quota: key, Limit: o.Limit.Max(), Unlimited: o.Limit.IsUnlimited(), EndTime: fromTime(o.Until),
			})
		}
	}
	for i := range a.Orders {
		out.Orders = append(out.Orders, fromOrder(&a.Orders[i], cat.Currency()))
	}
	return out
}

// suspensionReasons are the names of the domain's reasons on the wire.
var suspensionReasons = [...]imquotav1.SuspensionReason{
	account.Expired:  imquotav1.SuspensionReason_SUSPENSION_REASON_EXPIRED,
	account.Refunded: imquotav1.SuspensionReason_SUSPENSION_REASON_REFUNDED,
	account.Overdue:  imquotav1.SuspensionReason_SUSPENSION_REASON_OVERDUE,
	account.Disabled: imquotav1.SuspensionReason_SUSPENSION_REASON_DISABLED,
}

func fromSuspensions(suspensions []account.Suspension) (out []*imquotav1.Suspension) {
	for _, s := range suspensions {
		out = append(out, &imquotav1.Suspension{Reason: suspensionReasons[s.Reason], Since: fromTime(s.Since)})
	}
	return out
}

// renewalModes are the names of the domain's modes on the wire.
var renewalModes = map[imquotav1.RenewalMode]account.RenewalMode{
	imquotav1.RenewalMode_RENEWAL_MODE_MANUAL:    account.RenewByHand,
	imquotav1.RenewalMode_RENEWAL_MODE_AUTOMATIC: account.RenewAutomatically,
	imquotav1.RenewalMode_RENEWAL_MODE_NONE:      account.RenewNever,
}

func fromRenewalMode(m account.RenewalMode) imquotav1.RenewalMode {
	for wire, mode := range renewalModes {
		if mode == m {
			return wire
		}
	}
	return imquotav1.RenewalMode_RENEWAL_MODE_UNSPECIFIED
}

// fromOrder converts an order; its amounts are in the currency, unless it was paid
// in another.
func fromOrder(o *account.Order, currency string) *imquotav1.Order {
	currency = cmp.Or(o.Currency, currency)
	out := &imquotav1.Order{
		OrderId: o.ID, Edition: o.Edition, CurrentEdition: o.LastEdition(), StartTime: fromTime(o.Start), EndTime: fromTime(o.End),
		Months: int32(o.Months), Cash: fromAmount(o.Cash, currency), Credit: fromAmount(o.Credit, currency),
		NonRefundable: o.NonRefundable, RefundTime: fromTime(o.Refunded), QuoteId: o.Deal.Quote, OrderTime: fromTime(o.Ordered),
		ListAmount: fromOptional(o.List, currency), Discount: fromOptional(o.Discount, currency), Voucher: fromOptional(o.Voucher, currency),
	}
	for i := range o.Upgrades {
		u := &o.Upgrades[i]
		out.Upgrades = append(out.Upgrades, &imquotav1.OrderUpgrade{
			UpgradeTime: fromTime(u.At), Edition: u.Edition, Cash: fromAmount(u.Cash, currency), Credit: fromAmount(u.Credit, currency), QuoteId: u.Deal.Quote,
		})
	}
	if r := &o.Refund; !r.IsZero() {
		out.Refund = &imquotav1.OrderRefund{Cash: fromAmount(r.Cash, currency), Credit: fromAmount(r.Credit, currency), QuoteId: r.Deal.Quote}
	}
	if r := &o.Rejected; !r.IsZero() {
		out.ReturnRejection = &imquotav1.ReturnRejection{Reason: r.Reason, RejectTime: fromTime(r.At), Actor: r.Actor, QuoteId: r.Quote}
	}
	return out
}

// fromOptional is fromAmount for an amount that may be nothing.
func fromOptional(d decimal.Decimal, currency string) *imquotav1.Money {
	if d.IsZero() {
		return nil
	}
	return fromAmount(d, currency)
}

func fromAmount(d decimal.Decimal, currency string) *imquotav1.Money {
	return &imquotav1.Money{CurrencyCode: currency, Amount: d.StringFixed(2)}
}

// order validates an order and converts it.
func (v *invalidFields) order(o *imquotav1.Order, currency string) account.Order {
	v.printable("order_id", o.GetOrderId(), maxOrderID)
	v.key("edition", o.GetEdition())
	out := account.Order{
		ID: o.GetOrderId(), Edition: o.GetEdition(), Months: int(o.GetMonths()), NonRefundable: o.GetNonRefundable(), Currency: currency,
		Start:    v.second("start_time", v.time("start_time", o.GetStartTime())),
		End:      v.wholeSecond("end_time", v.time("end_time", o.GetEndTime())),
		Refunded: v.wholeSecond("refund_time", v.time("refund_time", o.GetRefundTime())),
		Cash:     v.money("cash", o.GetCash(), currency), Credit: v.money("credit", o.GetCredit(), currency),
		List: v.money("list_amount", o.GetListAmount(), currency), Discount: v.money("discount", o.GetDiscount(), currency),
		Voucher: v.money("voucher", o.GetVoucher(), currency),
	}
	if len(o.GetUpgrades()) > maxUpgrades {
		v.add("upgrades", "has %d upgrades; at most %d are allowed", len(o.GetUpgrades()), maxUpgrades)
		return out
	}
	for i, u := range o.GetUpgrades() {
		v.in("upgrades["+strconv.Itoa(i)+"]", func() {
			v.key("edition", u.GetEdition())
			out.Upgrades = append(out.Upgrades, account.Upgrade{
				At: v.second("upgrade_time", v.time("upgrade_time", u.GetUpgradeTime())), Edition: u.GetEdition(),
				Cash: v.money("cash", u.GetCash(), currency), Credit: v.money("credit", u.GetCredit(), currency),
			})
		})
	}
	return out
}

// second checks an instant that is exact to the second and must be given.
func (v *invalidFields) second(field string, t time.Time) time.Time {
	if t.IsZero() {
		v.add(field, "must be given")
	}
	return v.wholeSecond(field, t)
}

// wholeSecond is second for one that may be left out.
func (v *invalidFields) wholeSecond(field string, t time.Time) time.Time {
	if t.Nanosecond() != 0 {
		v.add(field, "must be a whole second")
	}
	return t
}

// maxAmountText bounds an amount's text.
const maxAmountText = 20

var numberPattern = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// number reads a decimal number as people write it.
func number(text string) (decimal.Decimal, bool) {
	if len(text) > maxAmountText || !numberPattern.MatchString(text) {
		return decimal.Zero, false
	}
	d, err := decimal.NewFromString(text)
	return d, err == nil
}

// money validates an amount of at most two decimals; nothing given is zero.
func (v *invalidFields) money(field string, m *imquotav1.Money, currency string) decimal.Decimal {
	if m == nil {
		return decimal.Zero
	}
	if m.GetCurrencyCode() != currency {
		v.add(field+".currency_code", "is %q; the catalog's currency is %s", m.GetCurrencyCode(), currency)
	}
	d, ok := number(m.GetAmount())
	switch {
	case !ok:
		v.add(field+".amount", "%.30q is not a decimal number of at most %d characters, such as 399.00", m.GetAmount(), maxAmountText)
		return decimal.Zero
	case d.Exponent() < -2:
		v.add(field+".amount", "%q has more than two decimals", m.GetAmount())
	case d.IsNegative():
		v.add(field+".amount", "is negative")
	}
	return d
}
