package main

import (
	"fmt"
	"io"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// withApp is an answer that carries an app.
type withApp interface{ GetApp() *imquotav1.App }

func appTable[T withApp](w io.Writer, out T) { printApp(w, out.GetApp()) }

func printApp(w io.Writer, a *imquotav1.App) {
	_, _ = fmt.Fprintf(w, "app %d\n", a.GetAppId())
	t := &table{}
	field := func(name, value string) {
		if value != "" {
			t.add(name, value)
		}
	}
	field("account", a.GetAccountId())
	field("name", a.GetName())
	field("region", a.GetRegion())
	field("edition", a.GetEdition())
	field("state", stateText(a))
	for _, s := range a.GetSuspensions() {
		field("reason", suspensionText(s)+", until "+cures[s.GetReason()])
	}
	field("counters", countersText(a))
	field("created", timeText(a.GetCreateTime()))
	field("plan end", timeText(a.GetExpireTime()))
	field("renewal", renewalText(a.GetRenewal()))
	field("billing", billingText(a))
	for _, v := range a.GetApprovals() {
		field("approved", v.GetFeature()+" at "+timeText(v.GetApproveTime())+", active from "+timeText(v.GetActiveTime()))
	}
	for _, v := range a.GetAddOns() {
		text := v.GetAddOn() + " from " + timeText(v.GetActivateTime()) + ", trial until " + timeText(v.GetEndTime())
		if with := v.GetActivates(); len(with) > 0 {
			text += ", with " + strings.Join(with, ", ") + " (billed elsewhere)"
		}
		field("add-on", text)
	}
	for _, v := range a.GetLimitOverrides() {
		field("override", overrideText(v))
	}
	for _, o := range a.GetOrders() {
		field("order", orderText(o))
	}
	t.write(w)
}

func stateText(a *imquotav1.App) string {
	state := lower(a.GetState(), "APP_STATE_")
	if until := a.GetGraceUntil(); until != nil {
		state += ", served until " + instant(until)
	}
	if since := a.GetSuspendedSince(); since != nil {
		state += " since " + instant(since)
	}
	return state
}

// suspensionText is one reason of several, and since when it holds.
func suspensionText(s *imquotav1.Suspension) string {
	return lower(s.GetReason(), "SUSPENSION_REASON_") + " since " + instant(s.GetSince())
}

// cures are what ends each reason to be suspended.
var cures = map[imquotav1.SuspensionReason]string{
	imquotav1.SuspensionReason_SUSPENSION_REASON_EXPIRED:  "an order is in force",
	imquotav1.SuspensionReason_SUSPENSION_REASON_REFUNDED: "an order is in force",
	imquotav1.SuspensionReason_SUSPENSION_REASON_OVERDUE:  "all bills that are overdue are paid",
	imquotav1.SuspensionReason_SUSPENSION_REASON_DISABLED: "it is enabled",
}

// countersText says what becomes of what an app counted that is out of service.
func countersText(a *imquotav1.App) string {
	switch {
	case a.GetReclaimTime() != nil:
		return "kept until " + instant(a.GetReclaimTime()) + ", then gone for good unless it is in service again"
	case a.GetSweepTime() != nil:
		return "removed at " + instant(a.GetSweepTime())
	case a.GetState() == imquotav1.AppState_APP_STATE_SUSPENDED:
		return "kept"
	case a.GetSuspendedSince() != nil: // reclaimed or deleted
		return "being removed"
	}
	return ""
}

func renewalText(r *imquotav1.Renewal) string {
	if r == nil {
		return ""
	}
	text := lower(r.GetMode(), "RENEWAL_MODE_")
	if r.GetMonths() > 0 {
		text += ", " + months(r.GetMonths())
	}
	return text
}

// billingText is empty for an app that always had prepaid plans.
func billingText(a *imquotav1.App) string {
	switch {
	case a.GetBillingMode() == imquotav1.BillingMode_BILLING_MODE_LEGACY:
		text := "legacy"
		if version := a.GetCatalogVersion(); version != "" {
			text += ", by catalog " + version
		}
		return text
	case a.GetMigrateTime() != nil:
		return "prepaid, migrated at " + instant(a.GetMigrateTime())
	}
	return ""
}

func overrideText(v *imquotav1.LimitOverride) string {
	text := fmt.Sprint(v.GetLimit())
	if v.GetUnlimited() {
		text = "unlimited"
	}
	if v.GetEndTime() != nil {
		text += " until " + instant(v.GetEndTime())
	}
	return v.GetQuota() + " " + text
}

func orderText(o *imquotav1.Order) string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "%s: %s, %s, %s to %s, %s %s cash, %s credit", o.GetOrderId(), o.GetEdition(), months(o.GetMonths()),
		timeText(o.GetStartTime()), timeText(o.GetEndTime()), o.GetCash().GetAmount(), o.GetCash().GetCurrencyCode(), o.GetCredit().GetAmount())
	for _, u := range o.GetUpgrades() {
		_, _ = fmt.Fprintf(&text, ", %s from %s for %s cash, %s credit", u.GetEdition(), timeText(u.GetUpgradeTime()), u.GetCash().GetAmount(), u.GetCredit().GetAmount())
	}
	if o.GetNonRefundable() {
		text.WriteString(", not refundable")
	}
	if o.GetRefundTime() != nil {
		text.WriteString(", returned at " + instant(o.GetRefundTime()))
	}
	if r := o.GetRefund(); r != nil {
		_, _ = fmt.Fprintf(&text, " for %s cash, %s credit", r.GetCash().GetAmount(), r.GetCredit().GetAmount())
	}
	if r := o.GetReturnRejection(); r != nil {
		text.WriteString(", a return was rejected at " + timeText(r.GetRejectTime()))
	}
	return text.String()
}

func months(n int32) string {
	if n == 1 {
		return "1 month"
	}
	return fmt.Sprintf("%d months", n)
}
