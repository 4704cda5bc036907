package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"
)

// builder turns a document into a Snapshot and collects what is wrong with it.
// Each step uses only what earlier ones found right, so that one mistake is
// reported once.
type builder struct {
	root     *yaml.Node
	doc      document
	s        Snapshot
	families map[string]bool
	problems []Problem

	misread  map[int]bool      // lines whose values are of the wrong type
	first    map[string]int    // section and key -> index of the first entry
	unclear  map[*Quota]bool   // no scope or kind to judge by
	unpriced map[*Edition]bool // no price to judge by
}

func newBuilder(root *yaml.Node) *builder {
	return &builder{
		root: root, misread: make(map[int]bool), first: make(map[string]int),
		unclear: make(map[*Quota]bool), unpriced: make(map[*Edition]bool),
	}
}

// addf reports a problem, unless the value at the path could not even be read:
// that has been reported, and whatever else is wrong with it follows from it.
func (b *builder) addf(path, format string, args ...any) {
	at := find(b.root, path)
	if at.empty || b.misread[at.line] || b.misread[at.keyLine] {
		return
	}
	b.problems = append(b.problems, Problem{Line: at.keyLine, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) build() *Snapshot {
	b.general()
	b.regionsAndPlatforms()
	b.quotas()
	b.addOns()
	b.features()
	b.groupTypes()
	b.featureGroupTypes()
	b.editions()
	b.reach()
	b.addOnEditions()
	b.meters()
	b.unused()
	b.s.nameAll()
	b.s.last = new(atomic.Pointer[Date])
	return &b.s
}

func (b *builder) general() {
	d := &b.doc
	if d.Version == "" || len(d.Version) > 64 || !isPrintable(d.Version) {
		b.addf("version", "must be 1 to 64 printable characters")
	}
	b.s.version = d.Version
	if !currencyPattern.MatchString(d.Currency) {
		b.addf("currency", "%q is not three capital letters, such as USD", d.Currency)
	}
	b.s.currency = d.Currency
	b.s.zone = b.zone(d.TimeZone)
	b.s.account = AccountRules{
		MaxApps:      d.Account.MaxApps,
		Grace:        b.duration("account.grace", d.Account.Grace),
		LegacyBefore: b.date("account.legacy_before", d.Account.LegacyBefore, true),
	}
	if d.Account.MaxApps < 1 {
		b.addf("account.max_apps", "is %d; at least 1 is needed", d.Account.MaxApps)
	}
	b.lifecycle(&d.Account)
	b.policies(&d.Policies)
	b.s.codes = Codes(d.UpstreamCodes)
	b.code("upstream_codes.app_not_found", d.UpstreamCodes.AppNotFound)
	b.code("upstream_codes.suspended_expired", d.UpstreamCodes.SuspendedExpired)
	b.code("upstream_codes.suspended", d.UpstreamCodes.Suspended)
	b.code("upstream_codes.live_invite", d.UpstreamCodes.LiveInvite)
	b.code("upstream_codes.delete_users", d.UpstreamCodes.DeleteUsers)
}

// shipped is the catalog that ships with imquota: what holds for a file that was
// written before there was such a rule.
var shipped = sync.OnceValue(func() *document {
	var d document
	_ = yaml.Unmarshal(defaultYAML, &d) // Default proves that it is sound
	return &d
})

// policies reads how rules that leave room are read. A file may leave out those
// that it may be older than.
func (b *builder) policies(d *policiesDoc) {
	usual := &shipped().Policies
	b.s.policies = Policies{
		DissolveCounts: d.DissolveCounts, UsedValue: d.UsedValue, UsedTime: d.UsedTime, FreeQuotaOfMonth: d.FreeQuotaOfMonth,
		PurchaseOfSuspended:    *cmp.Or(d.PurchaseOfSuspended, usual.PurchaseOfSuspended),
		UpgradeState:           *cmp.Or(d.UpgradeState, usual.UpgradeState),
		UpgradePrice:           *cmp.Or(d.UpgradePrice, usual.UpgradePrice),
		RenewalState:           *cmp.Or(d.RenewalState, usual.RenewalState),
		RenewalAfterSuspension: *cmp.Or(d.RenewalAfterSuspension, usual.RenewalAfterSuspension),
		RefundableAmount:       *cmp.Or(d.RefundableAmount, usual.RefundableAmount),
	}
	p := &b.s.policies
	oneOf(b, "policies.dissolve_counts", p.DissolveCounts, DissolveAnyAge, DissolveSameDay)
	oneOf(b, "policies.used_value", p.UsedValue, UsedServiceMonths, UsedCurrentMonth)
	oneOf(b, "policies.used_time", p.UsedTime, UsedSeconds, UsedWholeDays)
	oneOf(b, "policies.free_quota_of_month", p.FreeQuotaOfMonth, FreeQuotaHighest)
	oneOf(b, "policies.purchase_of_suspended", p.PurchaseOfSuspended, PurchaseWithoutOrders)
	oneOf(b, "policies.upgrade_state", p.UpgradeState, UpgradeInForce)
	oneOf(b, "policies.upgrade_price", p.UpgradePrice, UpgradeRemaining)
	oneOf(b, "policies.renewal_state", p.RenewalState, RenewUntilReclaimed)
	oneOf(b, "policies.renewal_after_suspension", p.RenewalAfterSuspension, RenewFromPayment)
	oneOf(b, "policies.refundable_amount", p.RefundableAmount, RefundCashAndCredit)
}

// lifecycle reads the rules of an account that a file may leave out, one by one.
func (b *builder) lifecycle(d *accountDoc) {
	shipped := &shipped().Account
	months := *cmp.Or(d.MaxOrderMonths, shipped.MaxOrderMonths)
	if months < 1 || months > maxMonths {
		b.addf("account.max_order_months", "is %d; it must be from 1 to %d", months, maxMonths)
	}
	b.s.account.MaxOrderMonths = months
	b.s.account.AutoRenewalMonths = *cmp.Or(d.AutoRenewal, shipped.AutoRenewal)
	if n := b.s.account.AutoRenewalMonths; n < 1 || n > months && months > 0 {
		b.addf("account.auto_renewal_months", "is %d; it must be from 1 to max_order_months, %d", n, months)
	}
	b.s.account.QuoteLifetime = b.duration("account.quote_lifetime", *cmp.Or(d.QuoteLifetime, shipped.QuoteLifetime))
	if b.s.account.QuoteLifetime > maxQuoteLifetime {
		b.addf("account.quote_lifetime", "is longer than a day: prices would be bound for too long")
	}
	b.s.account.OverdueAfter = b.duration("account.overdue_after", *cmp.Or(d.OverdueAfter, shipped.OverdueAfter))
	b.s.account.KeptDays = b.days("account.kept_days", *cmp.Or(d.KeptDays, shipped.KeptDays), 1)
	n, usual := cmp.Or(d.Notices, &noticesDoc{}), shipped.Notices
	warnings := *cmp.Or(n.ReclaimDaysBefore, usual.ReclaimDaysBefore)
	b.s.account.Notices = NoticeRules{
		ExpiryDaysBefore:  b.days("account.notices.expiry_days_before", *cmp.Or(n.ExpiryDaysBefore, usual.ExpiryDaysBefore), 0),
		ExpiryDaysAfter:   b.days("account.notices.expiry_days_after", *cmp.Or(n.ExpiryDaysAfter, usual.ExpiryDaysAfter), 0),
		RenewalDaysBefore: b.days("account.notices.renewal_days_before", *cmp.Or(n.RenewalDaysBefore, usual.RenewalDaysBefore), 0),
		BillDays:          b.days("account.notices.bill_days", *cmp.Or(n.BillDays, usual.BillDays), 0),
		ReclaimDaysBefore: warnings,
	}
	for i, days := range warnings {
		const path = "account.notices.reclaim_days_before"
		b.days(path, days, 1)
		if i > 0 && days >= warnings[i-1] {
			b.addf(path, "%d stands after %d: each is less than the one before", days, warnings[i-1])
		}
	}
}

// Bounds of what is counted in days and months: more is a mistake.
const (
	maxDays   = 3650
	maxMonths = 120

	// A quote that nobody accepts is kept for as long.
	maxQuoteLifetime = 24 * time.Hour
)

// days checks a number of days.
func (b *builder) days(path string, n, least int) int {
	if n < least || n > maxDays {
		b.addf(path, "is %d; it must be from %d to %d days", n, least, maxDays)
	}
	return n
}

func (b *builder) regionsAndPlatforms() {
	b.s.regions = b.doc.Regions
	b.s.regionSet = make(map[string]bool)
	if len(b.doc.Regions) == 0 {
		b.addf("regions", "at least one region is needed")
	}
	for _, r := range b.doc.Regions {
		if !keyPattern.MatchString(r) || b.s.regionSet[r] {
			b.addf("regions", "%q is not a key, or is there twice", r)
		}
		b.s.regionSet[r] = true
	}
	b.s.platforms = b.doc.Platforms
	b.families = make(map[string]bool)
	if len(b.doc.Platforms) == 0 {
		b.addf("platforms", "at least one platform is needed")
	}
	for _, name := range slices.Sorted(maps.Keys(b.doc.Platforms)) {
		family := b.doc.Platforms[name]
		if !keyPattern.MatchString(name) || !keyPattern.MatchString(family) {
			b.addf("platforms."+name, "a platform and its family are keys")
		}
		b.families[family] = true
	}
	b.s.families = slices.Sorted(maps.Keys(b.families))
}
