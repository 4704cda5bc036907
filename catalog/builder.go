package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
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

var (
	keyPattern      = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
	offsetPattern   = regexp.MustCompile(`^([+-])(\d\d):(\d\d)$`)
)

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

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// oneOf reports a word that is none of those allowed.
func oneOf[T ~string](b *builder, path string, got T, allowed ...T) bool {
	if slices.Contains(allowed, got) {
		return true
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	b.addf(path, "%q is none of %s", got, strings.Join(words, ", "))
	return false
}

const maxUpstreamCode = 999_999

func (b *builder) code(path string, code int32) int32 {
	if code < 0 || code > maxUpstreamCode {
		b.addf(path, "%d is not a code from 0 to %d", code, maxUpstreamCode)
	}
	return code
}

// zone reads an offset or a name of the time zone database.
func (b *builder) zone(text string) *time.Location {
	if m := offsetPattern.FindStringSubmatch(text); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi(m[3])
		if hours <= 14 && minutes < 60 {
			seconds := hours*3600 + minutes*60
			if m[1] == "-" {
				seconds = -seconds
			}
			return time.FixedZone("UTC"+text, seconds)
		}
	} else if text != "" && text != "Local" {
		if zone, err := time.LoadLocation(text); err == nil {
			return zone
		}
	}
	b.addf("time_zone", "%q is neither an offset, such as +08:00, nor a name, such as Asia/Shanghai", text)
	return time.UTC
}

func (b *builder) duration(path, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		b.addf(path, "%q is not a duration above zero, such as 48h", text)
	}
	return d
}

// date reads a local calendar day; none is allowed when it is optional.
func (b *builder) date(path, text string, required bool) time.Time {
	if text == "" && !required {
		return time.Time{}
	}
	t, err := time.ParseInLocation(time.DateOnly, text, b.s.zone)
	if err != nil {
		b.addf(path, "%q is not a day, such as 2022-12-26", text)
	}
	return t
}

// entry is the path of an entry of a list: by key, or by index when it has none
// or an earlier entry has the same.
func (b *builder) entry(section string, i int, key string) string {
	path := section + "." + key
	first, ok := b.first[path]
	if !ok {
		b.first[path] = i
		first = i
	}
	if key == "" || first != i {
		return section + "." + strconv.Itoa(i)
	}
	return path
}

// key checks a key and its title, and that it is the first of its kind.
func (b *builder) key(section string, i int, key, title string) string {
	path := b.entry(section, i, key)
	switch {
	case key == "":
		b.addf(path+".key", "is missing")
	case !keyPattern.MatchString(key):
		b.addf(path, "a key is a lower-case letter followed by at most 63 letters, digits, '_' or '.'")
	case path != section+"."+key:
		b.addf(path, "%s is defined twice", key)
	}
	if title == "" {
		b.addf(path+".title", "is missing")
	}
	return path
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

// builtinQuotas are what actions rely on.
var builtinQuotas = []struct {
	key      string
	scope    Scope
	kind     Kind
	distinct bool
}{
	{Users, ScopeApp, KindStock, true},
	{FreeMAU, ScopeApp, KindMonth, true},
	{Friends, ScopeUser, KindStock, false},
	{JoinedGroups, ScopeUser, KindStock, false},
	{GroupMembers, ScopeGroup, KindStock, false},
}

func isBuiltin(key string) bool {
	for _, q := range builtinQuotas {
		if q.key == key {
			return true
		}
	}
	return false
}

func (b *builder) quotas() {
	b.s.quotaByKey = make(map[string]*Quota)
	for i, d := range b.doc.Quotas {
		path := b.key("quotas", i, d.Key, d.Title)
		q := &Quota{
			Key: d.Key, Title: d.Title, Scope: d.Scope, Kind: d.Kind, Index: i,
			Distinct: d.Distinct, Signed: d.Signed, Direct: d.Direct,
			codes: map[string]int32{"": b.code(path+".upstream_code", d.UpstreamCode)},
		}
		scoped := oneOf(b, path+".scope", d.Scope, ScopeApp, ScopeUser, ScopeGroup)
		kinded := oneOf(b, path+".kind", d.Kind, KindStock, KindDay, KindMonth, KindStatic)
		b.unclear[q] = !scoped || !kinded
		for _, role := range slices.Sorted(maps.Keys(d.UpstreamCodes)) {
			oneOf(b, path+".upstream_codes."+role, role, RolePeer, RoleCreate)
			q.codes[role] = b.code(path+".upstream_codes."+role, d.UpstreamCodes[role])
		}
		b.quotaRules(path, q)
		b.s.quotas = append(b.s.quotas, q)
		b.s.quotaByKey[d.Key] = q
	}
	for _, want := range builtinQuotas {
		q, ok := b.s.quotaByKey[want.key]
		switch {
		case !ok:
			b.addf("quotas", "%s is missing: actions count it", want.key)
		case !b.unclear[q] && (q.Scope != want.scope || q.Kind != want.kind || q.Distinct != want.distinct):
			b.addf("quotas."+want.key, "must have scope %s, kind %s, distinct %v: actions rely on it", want.scope, want.kind, want.distinct)
		}
	}
}

// quotaRules checks that the marks of a quota fit together.
func (b *builder) quotaRules(path string, q *Quota) {
	windowed := q.Kind == KindDay || q.Kind == KindMonth
	switch {
	case q.Direct && (isBuiltin(q.Key) || q.Distinct || q.Signed || q.Kind == KindStatic):
		b.addf(path+".direct", "a direct quota is a plain stock, day or month that no action counts")
	case q.Distinct && !isBuiltin(q.Key):
		b.addf(path+".distinct", "only %s and %s count distinct users", Users, FreeMAU)
	case q.Signed && !b.unclear[q] && (q.Scope != ScopeApp || !windowed):
		b.addf(path+".signed", "only a day or month of the app may fall below zero")
	}
}

func (b *builder) addOns() {
	b.s.addOnByKey = make(map[string]*AddOn)
	for i, d := range b.doc.AddOns {
		path := b.key("add_ons", i, d.Key, d.Title)
		a := &AddOn{
			Key: d.Key, Title: d.Title, Activates: d.Activates, Editions: make(map[string]bool),
			Trial: b.duration(path+".trial", d.Trial),
		}
		b.s.addOns = append(b.s.addOns, a)
		if b.s.addOnByKey[d.Key] == nil {
			b.s.addOnByKey[d.Key] = a
		}
	}
}

func (b *builder) features() {
	b.s.featureByKey = make(map[string]*Feature)
	for i, d := range b.doc.Features {
		path := b.key("features", i, d.Key, d.Title)
		f := &Feature{Key: d.Key, Title: d.Title, Index: i, UpstreamCode: b.code(path+".upstream_code", d.UpstreamCode)}
		if d.AddOn != "" {
			a, ok := b.s.addOnByKey[d.AddOn]
			if !ok {
				b.addf(path+".add_on", "unknown add-on %q", d.AddOn)
				a = &AddOn{Key: d.AddOn}
			}
			f.AddOn = a
			a.Features = append(a.Features, f)
		}
		if d.Conditions != nil {
			b.conditions(path+".conditions", f, d.Conditions)
		}
		b.s.features = append(b.s.features, f)
		b.s.featureByKey[d.Key] = f
	}
}

func (b *builder) conditions(path string, f *Feature, d *conditionDoc) {
	if *d == (conditionDoc{}) {
		b.addf(path, "is empty")
	}
	if c := d.Approval; c != nil {
		f.Approval = &ApprovalCondition{
			ActiveAfter:  b.duration(path+".approval.active_after", c.ActiveAfter),
			UpstreamCode: b.code(path+".approval.upstream_code", c.UpstreamCode),
		}
	}
	if c := d.Regions; c != nil {
		f.Regions = &RegionCondition{
			Excluded:     b.set(path+".regions.excluded", "region", c.Excluded, b.s.HasRegion),
			UpstreamCode: b.code(path+".regions.upstream_code", c.UpstreamCode),
		}
	}
	if c := d.Platforms; c != nil {
		f.Platforms = &PlatformCondition{
			Allowed: b.set(path+".platforms.allowed", "platform", c.Allowed, func(p string) bool { return b.s.platforms[p] != "" }),
			Names:   c.Allowed, UpstreamCode: b.code(path+".platforms.upstream_code", c.UpstreamCode),
		}
	}
	if c := d.SDK; c != nil {
		f.SDK = &SDKCondition{Min: make(map[string]SDKVersion), UpstreamCode: b.code(path+".sdk.upstream_code", c.UpstreamCode)}
		if len(c.Min) == 0 {
			b.addf(path+".sdk.min", "must name at least one family")
		}
		for _, family := range slices.Sorted(maps.Keys(c.Min)) {
			if !b.families[family] {
				b.addf(path+".sdk.min."+family, "no platform is of the family %q", family)
			}
			v, err := ParseSDKVersion(c.Min[family])
			if err != nil {
				b.addf(path+".sdk.min."+family, "%v", err)
			}
			f.SDK.Min[family] = v
		}
	}
	if c := d.GroupSize; c != nil {
		if c.MaxMembers < 1 {
			b.addf(path+".group_size.max_members", "is %d; at least 1 is needed", c.MaxMembers)
		}
		f.GroupSize = &GroupSizeCondition{MaxMembers: c.MaxMembers, UpstreamCode: b.code(path+".group_size.upstream_code", c.UpstreamCode)}
	}
}

// set makes a set of a list of known names.
func (b *builder) set(path, what string, names []string, known func(string) bool) map[string]bool {
	if len(names) == 0 {
		b.addf(path, "must name at least one %s", what)
	}
	set := make(map[string]bool, len(names))
	for _, n := range names {
		if !known(n) {
			b.addf(path, "unknown %s %q", what, n)
		}
		set[n] = true
	}
	return set
}

// featureGroupTypes fills in the condition that needs the types of groups,
// which may themselves require features.
func (b *builder) featureGroupTypes() {
	for i, d := range b.doc.Features {
		if d.Conditions == nil || d.Conditions.GroupTypes == nil {
			continue
		}
		path := b.entry("features", i, d.Key) + ".conditions.group_types"
		c := d.Conditions.GroupTypes
		condition := &GroupTypeCondition{
			Allowed: make(map[string]bool), UpstreamCode: b.code(path+".upstream_code", c.UpstreamCode),
		}
		b.set(path+".allowed", "group type", c.Allowed, func(n string) bool { _, ok := b.s.GroupType(n); return ok })
		for _, n := range c.Allowed {
			if t, ok := b.s.GroupType(n); ok {
				condition.Allowed[t.Key] = true
				condition.Names = append(condition.Names, t.Key)
			}
		}
		b.s.features[i].GroupTypes = condition
	}
}

func (b *builder) groupTypes() {
	b.s.groupTypeByKey = make(map[string]*GroupType)
	codes := make(map[string]string)
	for i, d := range b.doc.GroupTypes {
		path := b.key("group_types", i, d.Key, d.Title)
		t := &GroupType{Key: d.Key, Title: d.Title, Aliases: d.Aliases, Index: i}
		if other := b.s.groupTypeByKey[d.Key]; other != nil && other.Key != d.Key {
			b.addf(path, "%q is an alias of %s already", d.Key, other.Key)
		}
		switch {
		case len(d.Code) != 1 || d.Code[0] < 'a' || d.Code[0] > 'z':
			b.addf(path+".code", "%q is not one letter from a to z", d.Code)
		case codes[d.Code] != "":
			b.addf(path+".code", "%q is the code of %s already", d.Code, codes[d.Code])
		default:
			t.Code = d.Code[0]
			codes[d.Code] = d.Key
		}
		if d.Members == nil {
			b.addf(path+".members", "is missing: true or false")
		} else {
			t.HasMembers = *d.Members
		}
		if d.Requires != "" {
			f, ok := b.s.featureByKey[d.Requires]
			if !ok {
				b.addf(path+".requires", "unknown feature %q", d.Requires)
			}
			t.Requires = f
		}
		b.counts(path+".counts", t, d.Counts)
		b.s.groupTypes = append(b.s.groupTypes, t)
		b.s.groupTypeByKey[d.Key] = t
		for _, alias := range d.Aliases {
			lower := strings.ToLower(alias)
			if other := b.s.groupTypeByKey[lower]; lower == "" || !isPrintable(alias) || other != nil && lower != d.Key {
				b.addf(path+".aliases", "%q is not printable, or stands for another type", alias)
				continue
			}
			b.s.groupTypeByKey[lower] = t
		}
	}
	if len(b.doc.GroupTypes) == 0 {
		b.addf("group_types", "at least one type of group is needed")
	}
}

// counts resolves the quotas that a group of the type charges.
func (b *builder) counts(path string, t *GroupType, keys []string) {
	for _, key := range keys {
		q, ok := b.s.quotaByKey[key]
		switch {
		case !ok:
			b.addf(path, "unknown quota %q", key)
		case b.unclear[q]:
		case q.Scope != ScopeApp || q.Kind == KindStatic || q.Distinct || q.Direct:
			b.addf(path, "%s is not an app quota that groups can count on", key)
		case slices.Contains(t.Counts, q):
			b.addf(path, "%s is there twice", key)
		default:
			t.Counts = append(t.Counts, q)
		}
	}
	slices.SortFunc(t.Counts, func(a, c *Quota) int { return cmp.Compare(a.Index, c.Index) })
}

func (b *builder) editions() {
	b.s.editionByKey = make(map[string]*Edition)
	for i, d := range b.doc.Editions {
		path := b.key("editions", i, d.Key, d.Title)
		e := &Edition{
			Key: d.Key, Title: d.Title, Index: i, MayDeleteUsers: d.DeleteUsers,
			upgrades: make(map[string]bool), purchases: make(map[string]bool),
			limits:   make([]LimitRule, len(b.s.quotas)),
			features: make([]bool, len(b.s.features)),
		}
		e.MonthlyPrice, b.unpriced[e] = b.price(path+".monthly_price", d.MonthlyPrice)
		b.limits(path+".limits", e, d.Limits)
		for _, key := range d.Features {
			f, ok := b.s.featureByKey[key]
			switch {
			case !ok:
				b.addf(path+".features", "unknown feature %q", key)
			case f.AddOn != nil:
				b.addf(path+".features", "%s is granted by the add-on %s, not by an edition", key, f.AddOn.Key)
			case e.features[f.Index]:
				b.addf(path+".features", "%s is there twice", key)
			default:
				e.features[f.Index] = true
			}
		}
		b.s.editions = append(b.s.editions, e)
		if b.s.editionByKey[d.Key] == nil {
			b.s.editionByKey[d.Key] = e
		}
	}
	e, ok := b.s.editionByKey[b.doc.DefaultEdition]
	switch {
	case !ok:
		b.addf("default_edition", "unknown edition %q", b.doc.DefaultEdition)
	case !e.IsFree():
		b.addf("default_edition", "%s is not free", e.Key)
	}
	b.s.defaultEdition = e
}

// price reads the price of a plan: free, or whole cents.
func (b *builder) price(path, text string) (price decimal.Decimal, bad bool) {
	if text == "free" {
		return decimal.Zero, false
	}
	d, ok := number(text)
	if !ok || !d.IsPositive() || d.Exponent() < -2 {
		b.addf(path, "%q is neither free nor a price above zero in whole cents, such as \"399\"", text)
		return decimal.Zero, true
	}
	return d, false
}

// number reads a decimal number. It refuses exponents that would make a short
// text a number of a billion digits, as soon as somebody computes with it.
func number(text string) (decimal.Decimal, bool) {
	const longest = 20
	if len(text) > longest {
		return decimal.Zero, false
	}
	d, err := decimal.NewFromString(text)
	return d, err == nil && d.Exponent() <= 0 && d.Exponent() >= -longest
}

func (b *builder) limits(path string, e *Edition, limits map[string]limitDoc) {
	for _, q := range b.s.quotas {
		d, ok := limits[q.Key]
		if !ok && q.Key == "" {
			continue // it has no name to limit it by
		}
		if !ok {
			b.addf(path, "%s is missing: an edition limits every quota", q.Key)
			continue
		}
		e.limits[q.Index] = b.limit(path+"."+q.Key, q, &d)
	}
	for _, key := range slices.Sorted(maps.Keys(limits)) {
		if b.s.quotaByKey[key] == nil {
			b.addf(path+"."+key, "unknown quota")
		}
	}
}

func (b *builder) limit(path string, q *Quota, d *limitDoc) LimitRule {
	for _, problem := range d.problems {
		b.addf(path+problem.Path, "%s", problem.Message)
	}
	rule := LimitRule{Limit: d.limit, OnExceed: Deny}
	if d.onExceed != nil {
		rule.OnExceed = OnExceed(*d.onExceed)
		oneOf(b, path+".on_exceed", rule.OnExceed, Deny, Bill)
	}
	if rule.OnExceed == Bill && (d.limit.IsUnlimited() || q.Kind == KindStatic) {
		b.addf(path+".on_exceed", "nothing exceeds this quota: it cannot be billed")
	}
	if d.byGroupType == nil {
		return rule
	}
	if q.Key != GroupMembers {
		b.addf(path+".by_group_type", "only %s differs by type of group", GroupMembers)
	}
	rule.byGroupType = make(map[string]Limit)
	for _, name := range slices.Sorted(maps.Keys(d.byGroupType)) {
		t, ok := b.s.GroupType(name)
		if !ok {
			b.addf(path+".by_group_type."+name, "unknown group type")
			continue
		}
		if _, twice := rule.byGroupType[t.Key]; twice {
			b.addf(path+".by_group_type."+name, "%s is there twice", t.Key)
		}
		rule.byGroupType[t.Key] = d.byGroupType[name]
	}
	return rule
}

// reach links editions with those that they can change to.
func (b *builder) reach() {
	for i, d := range b.doc.Editions {
		from := b.s.editions[i]
		link := func(path string, keys []string, set map[string]bool, refuse func(to *Edition) string) {
			for _, key := range keys {
				to, ok := b.s.editionByKey[key]
				if !ok {
					b.addf(path, "unknown edition %q", key)
					continue
				}
				if why := refuse(to); why != "" {
					b.addf(path, "%s", why)
					continue
				}
				set[key] = true
				if !slices.Contains(from.Reachable, to) {
					from.Reachable = append(from.Reachable, to)
				}
			}
		}
		path := b.entry("editions", i, d.Key)
		link(path+".purchase", d.Purchase, from.purchases, func(to *Edition) string {
			if to == from || to.IsFree() && !b.unpriced[to] {
				return fmt.Sprintf("%s is free, or the edition itself: it cannot be purchased", to.Key)
			}
			return ""
		})
		link(path+".upgrade", d.Upgrade, from.upgrades, func(to *Edition) string {
			if b.unpriced[from] || b.unpriced[to] {
				return ""
			}
			if from.IsFree() || !to.MonthlyPrice.GreaterThan(from.MonthlyPrice) {
				return fmt.Sprintf("an upgrade leads from a paid edition to a dearer one, not to %s", to.Key)
			}
			return ""
		})
		slices.SortStableFunc(from.Reachable, func(a, c *Edition) int {
			return cmp.Or(a.MonthlyPrice.Cmp(c.MonthlyPrice), cmp.Compare(a.Index, c.Index))
		})
	}
}

func (b *builder) addOnEditions() {
	for i, d := range b.doc.AddOns {
		path := b.entry("add_ons", i, d.Key)
		a := b.s.addOns[i]
		a.Editions = b.set(path+".editions", "edition", d.Editions, func(k string) bool { return b.s.editionByKey[k] != nil })
		if len(a.Features) == 0 && a == b.s.addOnByKey[d.Key] {
			b.addf(path, "no feature is granted by it")
		}
	}
}

func (b *builder) meters() {
	for i, d := range b.doc.Meters {
		path := b.key("meters", i, d.Key, d.Title)
		m := &Meter{Key: d.Key, Title: d.Title, Unit: d.Unit, Prices: make(map[string]decimal.Decimal)}
		if d.Unit == "" {
			b.addf(path+".unit", "is missing")
		}
		if d.Quota != "" {
			q, ok := b.s.quotaByKey[d.Quota]
			if !ok {
				b.addf(path+".quota", "unknown quota %q", d.Quota)
			}
			m.Quota = q
		}
		for _, key := range slices.Sorted(maps.Keys(d.Prices)) {
			b.meterPrice(path+".prices."+key, m, key, d.Prices[key])
		}
		for i, p := range d.Promotions {
			m.Promotions = append(m.Promotions, b.promotion(fmt.Sprintf("%s.promotions.%d", path, i), p))
		}
		b.s.meters = append(b.s.meters, m)
	}
}

func (b *builder) meterPrice(path string, m *Meter, edition, text string) {
	e, ok := b.s.editionByKey[edition]
	if !ok {
		b.addf(path, "unknown edition %q", edition)
		return
	}
	// A limit that is missing or unreadable says neither deny nor bill.
	if m.Quota != nil && e.Limit(m.Quota).OnExceed == Deny {
		b.addf(path, "the %s edition does not bill %s beyond its limit", edition, m.Quota.Key)
	}
	d, ok := number(text)
	if !ok || d.IsNegative() {
		b.addf(path, "%q is not a price, such as \"0.015\"", text)
		return
	}
	m.Prices[edition] = d
}

func (b *builder) promotion(path string, d promotionDoc) Promotion {
	p := Promotion{Title: d.Title, From: b.date(path+".from", d.From, true), Until: b.date(path+".until", d.Until, false)}
	percent, ok := number(d.Percent)
	if !ok || !percent.IsNegative() || percent.LessThan(decimal.NewFromInt(-100)) {
		b.addf(path+".percent", "%q is not from -100 to below 0", d.Percent)
	}
	p.Percent = percent
	if d.Title == "" {
		b.addf(path+".title", "is missing")
	}
	if !p.From.IsZero() && !p.Until.IsZero() && !p.From.Before(p.Until) {
		b.addf(path+".until", "is not after from")
	}
	return p
}

// unused reports quotas that nothing would ever count.
func (b *builder) unused() {
	for _, q := range b.s.quotas {
		counted := q.Key == "" || b.unclear[q] || q.Direct || q.Kind == KindStatic || isBuiltin(q.Key)
		for _, t := range b.s.groupTypes {
			counted = counted || t.CountsOn(q)
		}
		if !counted {
			b.addf("quotas."+q.Key, "nothing counts it: no action, no group type, and it is not direct")
		}
	}
}
