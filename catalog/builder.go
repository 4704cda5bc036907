package catalog

import (
	"fmt"
	"maps"
	"slices"

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
	b.s.policies = Policies(d.Policies)
	oneOf(b, "policies.dissolve_counts", d.Policies.DissolveCounts, DissolveAnyAge, DissolveSameDay)
	oneOf(b, "policies.used_value", d.Policies.UsedValue, UsedServiceMonths, UsedCurrentMonth)
	oneOf(b, "policies.used_time", d.Policies.UsedTime, UsedSeconds, UsedWholeDays)
	oneOf(b, "policies.free_quota_of_month", d.Policies.FreeQuotaOfMonth, FreeQuotaHighest)
	b.s.codes = Codes(d.UpstreamCodes)
	b.code("upstream_codes.app_not_found", d.UpstreamCodes.AppNotFound)
	b.code("upstream_codes.suspended_expired", d.UpstreamCodes.SuspendedExpired)
	b.code("upstream_codes.suspended", d.UpstreamCodes.Suspended)
	b.code("upstream_codes.live_invite", d.UpstreamCodes.LiveInvite)
	b.code("upstream_codes.delete_users", d.UpstreamCodes.DeleteUsers)
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
}
