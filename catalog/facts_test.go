package catalog_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/imquota/imquota/catalog"
)

// The tests of this file are FACTS §1 to §5, row by row, asked of the catalog
// that ships with imquota.

var editions = []string{"developer", "standard", "premium"}

func TestFacts_Limits(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for _, row := range []struct {
		quota    string
		scope    catalog.Scope
		kind     catalog.Kind
		distinct bool
		signed   bool
		limits   [3]string // developer, standard, premium
	}{
		{"users", "app", "stock", true, false, [3]string{"100", "unlimited", "unlimited"}},
		{"free_mau", "app", "month", true, false, [3]string{"100", "10000", "10000"}},
		{"friends", "user", "stock", false, false, [3]string{"20", "3000", "3000"}},
		{"groups", "app", "stock", false, false, [3]string{"100", "unlimited", "unlimited"}},
		{"live_groups", "app", "stock", false, false, [3]string{"10", "50", "unlimited"}},
		{"joined_groups", "user", "stock", false, false, [3]string{"50", "500", "1000"}},
		{"group_members", "group", "stock", false, false, [3]string{"20", "200", "2000"}},
		{"daily_net_broadcast_groups", "app", "day", false, true, [3]string{"5", "5", "5"}},
		{"daily_net_groups", "app", "day", false, true, [3]string{"100", "10000", "10000"}},
		{"history_days", "app", "static", false, false, [3]string{"7", "7", "30"}},
	} {
		t.Run(row.quota, func(t *testing.T) {
			t.Parallel()
			q, ok := s.Quota(row.quota)
			if !ok {
				t.Fatal("there is no such quota")
			}
			if q.Scope != row.scope || q.Kind != row.kind || q.Distinct != row.distinct || q.Signed != row.signed || q.Direct {
				t.Errorf("it is %+v", *q)
			}
			for i, key := range editions {
				e := edition(t, s, key)
				rule := e.Limit(q)
				if got := rule.Limit.String(); got != row.limits[i] {
					t.Errorf("%s: limit = %s, want %s", key, got, row.limits[i])
				}
				if got, want := rule.Limit.IsUnlimited(), row.limits[i] == "unlimited"; got != want {
					t.Errorf("%s: unlimited = %v, want %v", key, got, want)
				}
				// §1: only monthly active users are billed, and not to developers.
				want := catalog.Deny
				if row.quota == "free_mau" && key != "developer" {
					want = catalog.Bill
				}
				if rule.OnExceed != want {
					t.Errorf("%s: on exceed = %s, want %s", key, rule.OnExceed, want)
				}
				// §2: the row holds for every type of group by default.
				if len(rule.GroupTypes()) != 0 {
					t.Errorf("%s: limits by group type = %v, want none", key, rule.GroupTypes())
				}
			}
		})
	}
}

// §4: the order of denials when several apply.
func TestFacts_QuotaOrder(t *testing.T) {
	t.Parallel()
	var got []string
	for i, q := range catalog.Default().Quotas() {
		if q.Index != i {
			t.Errorf("%s: index %d at %d", q.Key, q.Index, i)
		}
		got = append(got, q.Key)
	}
	want := []string{
		"users", "free_mau", "friends", "groups", "live_groups", "joined_groups", "group_members",
		"daily_net_broadcast_groups", "daily_net_groups", "history_days",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestFacts_Features(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	everywhere := map[string]bool{"developer": true, "standard": true, "premium": true}
	notStandard := map[string]bool{"developer": true, "standard": false, "premium": true}
	addOn := map[string]bool{"developer": false, "standard": false, "premium": false}
	want := map[string]map[string]bool{
		"global_coverage":           everywhere,
		"push_all":                  notStandard,
		"multi_device_login":        notStandard,
		"local_search":              notStandard,
		"live_group_history":        notStandard,
		"community":                 notStandard,
		"group_read_receipt":        notStandard,
		"targeted_group_message":    notStandard,
		"live_group_online_members": notStandard,
		"live_group_broadcast":      notStandard,
		"user_status":               notStandard,
		"conversation_mark":         notStandard,
		"conversation_group":        notStandard,
		"live_group_ban":            notStandard,
	}
	for _, key := range avCall {
		want[key] = addOn
	}
	got := make(map[string]map[string]bool)
	for _, f := range s.Features() {
		got[f.Key] = make(map[string]bool)
		for _, key := range editions {
			got[f.Key][key] = edition(t, s, key).Has(f)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("features by edition (-want +got):\n%s", diff)
	}
}

// conditions is what FACTS §1 asks of a feature, in words.
type conditions struct {
	ActiveAfter time.Duration
	Excluded    []string
	Platforms   []string
	SDK         map[string]string
	GroupTypes  []string
	MaxMembers  int64
	Codes       map[string]int32 // of conditions, where the vendor has one
}

func TestFacts_Conditions(t *testing.T) {
	t.Parallel()
	want := map[string]conditions{
		"local_search": {Platforms: []string{"android", "ios"}},
		"push_all":     {ActiveAfter: 48 * time.Hour, Codes: map[string]int32{"approval": 90045}},
		"community": {
			Excluded: []string{"de", "kr"},
			SDK:      map[string]string{"native": "5.8.1668", "web": "2.17"},
			Codes:    map[string]int32{"regions": 11000, "sdk": 11000},
		},
		"group_read_receipt": {
			SDK:        map[string]string{"native": "6.1.2155"},
			GroupTypes: []string{"meeting", "public", "work"},
			MaxMembers: 200,
			Codes:      map[string]int32{"group_size": 10060},
		},
	}
	for _, key := range avCall {
		want[key] = conditions{Platforms: []string{"android", "ios", "web"}}
	}
	got := make(map[string]conditions)
	for _, f := range catalog.Default().Features() {
		if c := conditionsOf(f); !cmp.Equal(c, conditions{}) {
			got[f.Key] = c
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func conditionsOf(f *catalog.Feature) conditions {
	var c conditions
	code := func(condition string, code int32) {
		if code != 0 {
			if c.Codes == nil {
				c.Codes = make(map[string]int32)
			}
			c.Codes[condition] = code
		}
	}
	if f.Approval != nil {
		c.ActiveAfter = f.Approval.ActiveAfter
		code("approval", f.Approval.UpstreamCode)
	}
	if f.Regions != nil {
		c.Excluded = slices.Sorted(maps.Keys(f.Regions.Excluded))
		code("regions", f.Regions.UpstreamCode)
	}
	if f.Platforms != nil {
		c.Platforms = slices.Sorted(maps.Keys(f.Platforms.Allowed))
		code("platforms", f.Platforms.UpstreamCode)
	}
	if f.SDK != nil {
		c.SDK = make(map[string]string)
		for family, v := range f.SDK.Min {
			c.SDK[family] = v.String()
		}
		code("sdk", f.SDK.UpstreamCode)
	}
	if f.GroupTypes != nil {
		c.GroupTypes = slices.Sorted(maps.Keys(f.GroupTypes.Allowed))
		code("group_types", f.GroupTypes.UpstreamCode)
	}
	if f.GroupSize != nil {
		c.MaxMembers = f.GroupSize.MaxMembers
		code("group_size", f.GroupSize.UpstreamCode)
	}
	return c
}

// avCall is the add-on's own feature and what its trial grants.
var avCall = []string{
	"av_call", "av_call.chat_ui", "av_call.status", "av_call.notification", "av_call.floating_window",
	"av_call.ringtone", "av_call.call_control", "av_call.group_call", "av_call.group_call_join",
	"av_call.multi_login", "av_call.switch_to_audio", "av_call.noise_reduction", "av_call.outdoor_optimization",
}

func TestFacts_AddOn(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	if len(s.AddOns()) != 1 {
		t.Fatalf("%d add-ons, want 1", len(s.AddOns()))
	}
	a, ok := s.AddOn("av_call")
	if !ok {
		t.Fatal("there is no av_call")
	}
	if want := 60 * 24 * time.Hour; a.Trial != want {
		t.Errorf("trial = %v, want %v", a.Trial, want)
	}
	var features []string
	for _, f := range a.Features {
		if f.AddOn != a {
			t.Errorf("%s is of the add-on %v", f.Key, f.AddOn)
		}
		features = append(features, f.Key)
	}
	if len(features) != 13 {
		t.Errorf("%d features, want 13", len(features))
	}
	if diff := cmp.Diff(avCall, features); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"rtc_service", "rtc_app"}, a.Activates); diff != "" {
		t.Errorf("activates (-want +got):\n%s", diff)
	}
	// §5: the trial is there in every edition.
	if diff := cmp.Diff(map[string]bool{"developer": true, "standard": true, "premium": true}, a.Editions); diff != "" {
		t.Errorf("editions (-want +got):\n%s", diff)
	}
}

func TestFacts_GroupTypes(t *testing.T) {
	t.Parallel()
	type row struct {
		Code     string
		Aliases  []string
		Counts   []string
		Requires string
		Members  bool
	}
	want := map[string]row{
		"work":      {"w", []string{"Private"}, []string{"groups", "daily_net_groups"}, "", true},
		"public":    {"p", nil, []string{"groups", "daily_net_groups"}, "", true},
		"meeting":   {"m", []string{"ChatRoom"}, []string{"groups", "daily_net_groups"}, "", true},
		"live":      {"l", []string{"AVChatRoom"}, []string{"live_groups", "daily_net_groups"}, "", false},
		"community": {"c", nil, []string{"groups", "daily_net_groups"}, "community", true},
		"broadcast": {"b", []string{"BChatRoom"}, []string{"groups", "daily_net_broadcast_groups", "daily_net_groups"}, "", true},
	}
	got := make(map[string]row)
	for _, g := range catalog.Default().GroupTypes() {
		r := row{Code: string(g.Code), Aliases: g.Aliases, Members: g.HasMembers}
		for _, q := range g.Counts {
			r.Counts = append(r.Counts, q.Key)
		}
		if g.Requires != nil {
			r.Requires = g.Requires.Key
		}
		got[g.Key] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("group types (-want +got):\n%s", diff)
	}
}

func TestFacts_UpstreamCodesOfQuotas(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	for _, row := range []struct {
		condition string
		quota     string
		role      string
		code      int32
	}{
		{"own friend limit", "friends", "", 30010},
		{"the other side's friend limit", "friends", catalog.RolePeer, 30014},
		{"users", "users", "", 70398},
		{"free MAU exceeded", "free_mau", "", 72000},
		{"groups", "groups", "", 10058},
		{"live groups", "live_groups", "", 10036},
		{"daily net increase", "daily_net_groups", "", 10006},
		{"broadcast rooms", "daily_net_broadcast_groups", "", 10006},
		{"joined groups", "joined_groups", "", 10037},
		{"joined groups of the owner of a new group", "joined_groups", catalog.RoleCreate, 10037},
		{"group full on join", "group_members", "", 10014},
		{"initial member list too long", "group_members", catalog.RoleCreate, 10038},
		{"nothing counts the history", "history_days", "", 0},
	} {
		q, ok := s.Quota(row.quota)
		if !ok {
			t.Errorf("%s: there is no %s", row.condition, row.quota)
			continue
		}
		if got := q.UpstreamCode(row.role); got != row.code {
			t.Errorf("%s: code = %d, want %d", row.condition, got, row.code)
		}
	}
}

func TestFacts_UpstreamCodes(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	want := catalog.Codes{AppNotFound: 70020, SuspendedExpired: 60020, Suspended: 60016, LiveInvite: 10007, DeleteUsers: 71000}
	if diff := cmp.Diff(want, s.Codes()); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	for _, f := range s.Features() {
		code := int32(10059) // not in the edition
		switch {
		case f.Key == "local_search":
			code = 7013
		case f.AddOn != nil:
			code = 0 // not granted by editions
		}
		if f.UpstreamCode != code {
			t.Errorf("%s: code = %d, want %d", f.Key, f.UpstreamCode, code)
		}
	}
}

func TestFacts_Editions(t *testing.T) {
	t.Parallel()
	type row struct {
		Price       string
		Free        bool
		DeleteUsers bool
		Purchase    []string
		Upgrade     []string
		Reachable   []string
	}
	want := map[string]row{
		"developer": {"0", true, true, []string{"standard", "premium"}, nil, []string{"standard", "premium"}},
		"standard":  {"399", false, false, nil, []string{"premium"}, []string{"premium"}},
		"premium":   {"699", false, false, nil, nil, nil},
	}
	s := catalog.Default()
	got := make(map[string]row)
	var order []string
	for _, e := range s.Editions() {
		order = append(order, e.Key)
		r := row{Price: e.MonthlyPrice.String(), Free: e.IsFree(), DeleteUsers: e.MayDeleteUsers}
		for _, key := range editions {
			if e.CanPurchase(key) {
				r.Purchase = append(r.Purchase, key)
			}
			if e.CanUpgradeTo(key) {
				r.Upgrade = append(r.Upgrade, key)
			}
		}
		for _, to := range e.Reachable {
			r.Reachable = append(r.Reachable, to.Key)
		}
		got[e.Key] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("editions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(editions, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if got := s.DefaultEdition().Key; got != "developer" {
		t.Errorf("default edition = %s, want developer", got)
	}
}

func TestFacts_Meters(t *testing.T) {
	t.Parallel()
	type row struct {
		Unit       string
		Quota      string
		Prices     map[string]string
		Promotions []string
	}
	want := map[string]row{
		"mau": {"user and month", "free_mau", map[string]string{"standard": "0.015", "premium": "0.015"}, nil},
		"pcc": {"user and month", "", map[string]string{"standard": "0.2", "premium": "0.2"}, []string{"free for a limited time: -100 %, no end"}},
	}
	s := catalog.Default()
	got := make(map[string]row)
	for _, m := range s.Meters() {
		r := row{Unit: m.Unit, Prices: make(map[string]string)}
		if m.Quota != nil {
			r.Quota = m.Quota.Key
		}
		for key, price := range m.Prices {
			r.Prices[key] = price.String()
		}
		for _, p := range m.Promotions {
			text := p.Title + ": " + p.Percent.String() + " %"
			if p.Until.IsZero() {
				text += ", no end"
			}
			r.Promotions = append(r.Promotions, text)
			if !p.Percent.Equal(decimal.NewFromInt(-100)) {
				t.Errorf("%s: percent = %v", m.Key, p.Percent)
			}
		}
		got[m.Key] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("meters (-want +got):\n%s", diff)
	}
	if got := s.Currency(); got != "USD" {
		t.Errorf("currency = %s, want USD", got)
	}
}

func TestFacts_Account(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	rules := s.Account()
	if rules.MaxApps != 300 {
		t.Errorf("apps of an account = %d, want 300", rules.MaxApps)
	}
	if rules.Grace != 24*time.Hour {
		t.Errorf("grace = %v, want 24h", rules.Grace)
	}
	// §6: 1 to 24 months; overdue 24 h after the push; data kept 90 days; notices
	// from seven days before expiry, its day included, and one day after.
	if rules.AutoRenewalMonths != 1 || rules.QuoteLifetime != 15*time.Minute {
		t.Errorf("renewals of %d months, quotes for %v; want 1 and 15m", rules.AutoRenewalMonths, rules.QuoteLifetime)
	}
	if rules.MaxOrderMonths != 24 || rules.OverdueAfter != 24*time.Hour || rules.KeptDays != 90 {
		t.Errorf("orders of %d months, overdue after %v, kept for %d days; want 24, 24h, 90", rules.MaxOrderMonths, rules.OverdueAfter, rules.KeptDays)
	}
	notices := catalog.NoticeRules{ExpiryDaysBefore: 6, ExpiryDaysAfter: 1, RenewalDaysBefore: 1, BillDays: 7, ReclaimDaysBefore: []int{30, 7, 1}}
	if diff := cmp.Diff(notices, rules.Notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
	// §5, in the zone of §2: 2022-12-26 in Beijing began on the 25th in UTC.
	if want := time.Date(2022, 12, 25, 16, 0, 0, 0, time.UTC); !rules.LegacyBefore.Equal(want) {
		t.Errorf("legacy before %v, want %v", rules.LegacyBefore, want)
	}
	name, offset := time.Unix(0, 0).In(s.Zone()).Zone()
	if name != "UTC+08:00" || offset != 8*3600 {
		t.Errorf("zone = %s, %d s east; want UTC+08:00", name, offset)
	}
}

func TestFacts_Policies(t *testing.T) {
	t.Parallel()
	want := catalog.Policies{
		DissolveCounts:   catalog.DissolveAnyAge,
		UsedValue:        catalog.UsedServiceMonths,
		UsedTime:         catalog.UsedSeconds,
		FreeQuotaOfMonth: catalog.FreeQuotaHighest,

		PurchaseOfSuspended:    catalog.PurchaseWithoutOrders,
		UpgradeState:           catalog.UpgradeInForce,
		UpgradePrice:           catalog.UpgradeRemaining,
		RenewalState:           catalog.RenewUntilReclaimed,
		RenewalAfterSuspension: catalog.RenewFromPayment,
		RefundableAmount:       catalog.RefundCashAndCredit,
	}
	if diff := cmp.Diff(want, catalog.Default().Policies()); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}

// §3.
func TestFacts_RegionsAndPlatforms(t *testing.T) {
	t.Parallel()
	s := catalog.Default()
	regions := slices.Sorted(slices.Values(s.Regions()))
	if diff := cmp.Diff([]string{"cn", "de", "id", "in", "jp", "kr", "sg", "us"}, regions); diff != "" {
		t.Errorf("regions (-want +got):\n%s", diff)
	}
	families := map[string]string{
		"android": "native", "ios": "native", "windows": "native", "mac": "native", "linux": "native", "web": "web",
	}
	for platform, want := range families {
		if got, ok := s.Family(platform); !ok || got != want {
			t.Errorf("family of %s = %q, want %q", platform, got, want)
		}
	}
	if diff := cmp.Diff([]string{"native", "web"}, s.Families()); diff != "" {
		t.Errorf("families (-want +got):\n%s", diff)
	}
}

func edition(tb testing.TB, s *catalog.Snapshot, key string) *catalog.Edition {
	tb.Helper()
	e, ok := s.Edition(key)
	if !ok {
		tb.Fatalf("there is no edition %q", key)
	}
	return e
}
