package catalog

// Policies are the readings that a catalog may choose (marked [R] in FACTS).
type Policies struct {
	// DissolveCounts: which dissolved groups lower the day's net (FACTS §2).
	DissolveCounts DissolveCounts
	// UsedValue: how the used value of a refund is measured (FACTS §7).
	UsedValue UsedValue
	// UsedTime: in what unit it is measured (FACTS §7).
	UsedTime UsedTime
	// FreeQuotaOfMonth: which edition's free quota holds in a month of several.
	FreeQuotaOfMonth FreeQuotaOfMonth
	// PurchaseOfSuspended: when a suspended app can buy a plan (FACTS §6).
	PurchaseOfSuspended Reading
	// UpgradeState: what an app must be in to be upgraded (FACTS §6).
	UpgradeState Reading
	// UpgradePrice: what an upgrade costs (FACTS §7).
	UpgradePrice Reading
	// RenewalState: what an app must be in to be renewed (FACTS §6).
	RenewalState Reading
	// RenewalAfterSuspension: from when a renewal counts then (FACTS §6).
	RenewalAfterSuspension Reading
	// RefundableAmount: what a refund starts from (FACTS §7).
	RefundableAmount Reading
}

// Reading is a policy that knows one reading. It has a name so that quotes can
// say how a rule was read, and a second reading can be added later.
type Reading string

// The readings.
const (
	PurchaseWithoutOrders Reading = "no_order_left"
	UpgradeInForce        Reading = "order_in_force"           // not in grace
	UpgradeRemaining      Reading = "remaining_service_months" // by the difference of the list prices
	RenewUntilReclaimed   Reading = "in_force_grace_or_ended"
	RenewFromPayment      Reading = "new_chain_at_payment"
	RefundCashAndCredit   Reading = "cash_and_credit_paid" // vouchers and discounts are not
)

// Named lists the policies by the names that the file has for them.
func (p Policies) Named() map[string]string {
	return map[string]string{
		"dissolve_counts":          string(p.DissolveCounts),
		"used_value":               string(p.UsedValue),
		"used_time":                string(p.UsedTime),
		"free_quota_of_month":      string(p.FreeQuotaOfMonth),
		"purchase_of_suspended":    string(p.PurchaseOfSuspended),
		"upgrade_state":            string(p.UpgradeState),
		"upgrade_price":            string(p.UpgradePrice),
		"renewal_state":            string(p.RenewalState),
		"renewal_after_suspension": string(p.RenewalAfterSuspension),
		"refundable_amount":        string(p.RefundableAmount),
	}
}

// DissolveCounts says which dissolved groups lower the day's net.
type DissolveCounts string

// The readings of "created − dissolved".
const (
	DissolveAnyAge  DissolveCounts = "any_age"
	DissolveSameDay DissolveCounts = "same_day" // only groups created that day
)

// UsedValue says how the used value of a refund is measured.
type UsedValue string

// The readings of "used value".
const (
	UsedServiceMonths UsedValue = "service_months"
	UsedCurrentMonth  UsedValue = "current_month" // the source to the letter
)

// UsedTime is the unit that a used value is measured in.
type UsedTime string

// The units.
const (
	UsedSeconds   UsedTime = "seconds"
	UsedWholeDays UsedTime = "whole_days"
)

// FreeQuotaOfMonth says which edition's free quota holds in a month of several.
type FreeQuotaOfMonth string

// FreeQuotaHighest gives the highest edition's free quota, in full.
const FreeQuotaHighest FreeQuotaOfMonth = "highest_edition"
