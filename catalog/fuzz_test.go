package catalog_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/imquota/imquota/catalog"
)

// Whatever the file, Parse answers; and what it accepts holds together.
func FuzzParse(f *testing.F) {
	f.Add(catalog.DefaultYAML())
	f.Add(read(f, "testdata/minimal.yaml"))
	for _, file := range bustedFiles(f) {
		f.Add(read(f, file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := catalog.Parse(data)
		if err != nil {
			checkRefusal(t, data, s, err)
			return
		}
		checkGeneral(t, s)
		checkQuotas(t, s)
		checkGroupTypes(t, s)
		checkFeatures(t, s)
		for i, e := range s.Editions() {
			if found, ok := s.Edition(e.Key); !ok || found != e || e.Index != i {
				t.Errorf("edition %s is found as %v", e.Key, found)
			}
			checkLimits(t, s, e)
			checkReach(t, s, e)
		}
		checkMeters(t, s)
	})
}

func checkRefusal(t *testing.T, data []byte, s *catalog.Snapshot, err error) {
	t.Helper()
	texts := problems(t, err)
	if s != nil || len(texts) == 0 || slices.Contains(texts, "") {
		t.Fatalf("catalog %v and problems %q", s, texts)
	}
	_, again := catalog.Parse(data)
	if again == nil || again.Error() != err.Error() {
		t.Errorf("the error was\n%v\nand is\n%v", err, again)
	}
	broken, _ := err.(*catalog.ParseError) //nolint:errorlint // problems saw that it is one
	byLine := func(a, b catalog.Problem) int { return cmp.Compare(a.Line, b.Line) }
	if !slices.IsSortedFunc(broken.Problems, byLine) {
		t.Errorf("problems are not in the order of lines: %v", broken.Problems)
	}
	// YAML has more kinds of line ends than \n, so that this is a loose bound.
	if last := broken.Problems[len(broken.Problems)-1].Line; last > len(data)+1 {
		t.Errorf("a problem on line %d of %d bytes", last, len(data))
	}
}

func checkGeneral(t *testing.T, s *catalog.Snapshot) {
	t.Helper()
	if s.Version() == "" || len(s.Version()) > 64 || len(s.Currency()) != 3 || s.Zone() == nil {
		t.Errorf("version %q, currency %q, zone %v", s.Version(), s.Currency(), s.Zone())
	}
	rules := s.Account()
	if rules.MaxApps < 1 || rules.Grace <= 0 {
		t.Errorf("account rules %+v", rules)
	}
	if e := s.DefaultEdition(); e == nil || !e.IsFree() || !slices.Contains(s.Editions(), e) {
		t.Errorf("default edition %v", e)
	}
	if len(s.Regions()) == 0 || !s.HasRegion(s.Regions()[0]) || len(s.Families()) == 0 {
		t.Errorf("regions %v, families %v", s.Regions(), s.Families())
	}
	at := time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)
	if w := catalog.WindowAt(catalog.KindDay, at, s.Zone()); at.Before(w.Start) || !at.Before(w.End) {
		t.Errorf("the day of %v is %v to %v", at, w.Start, w.End)
	}
}

func checkQuotas(t *testing.T, s *catalog.Snapshot) {
	t.Helper()
	for _, key := range []string{catalog.Users, catalog.FreeMAU, catalog.Friends, catalog.JoinedGroups, catalog.GroupMembers} {
		if q, ok := s.Quota(key); !ok || q.Direct {
			t.Errorf("%s is %v", key, q)
		}
	}
	for i, q := range s.Quotas() {
		if found, ok := s.Quota(q.Key); !ok || found != q || q.Index != i {
			t.Errorf("quota %s is found as %v", q.Key, found)
		}
		counted := func(g *catalog.GroupType) bool { return g.CountsOn(q) }
		if q.Direct && slices.ContainsFunc(s.GroupTypes(), counted) {
			t.Errorf("%s is direct and counted by groups", q.Key)
		}
		if q.Signed && (q.Scope != catalog.ScopeApp || q.Distinct || q.Direct) {
			t.Errorf("%s may fall below zero: %+v", q.Key, *q)
		}
		for _, role := range []string{"", catalog.RolePeer, catalog.RoleCreate} {
			checkCode(t, q.UpstreamCode(role))
		}
	}
}

func checkCode(t *testing.T, code int32) {
	t.Helper()
	if code < 0 || code > 999_999 {
		t.Errorf("upstream code %d", code)
	}
}

func checkGroupTypes(t *testing.T, s *catalog.Snapshot) {
	t.Helper()
	if len(s.GroupTypes()) == 0 {
		t.Error("there are no types of groups")
	}
	for i, g := range s.GroupTypes() {
		if found, ok := s.GroupTypeByCode(g.Code); !ok || found != g || g.Index != i {
			t.Errorf("group type %s is found as %v", g.Key, found)
		}
		for _, name := range append([]string{g.Key}, g.Aliases...) {
			for _, name := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
				if found, ok := s.GroupType(name); !ok || found != g {
					t.Errorf("group type %s is found as %v by %q", g.Key, found, name)
				}
			}
		}
		if !slices.IsSortedFunc(g.Counts, func(a, b *catalog.Quota) int { return cmp.Compare(a.Index, b.Index) }) {
			t.Errorf("group type %s counts out of order", g.Key)
		}
		for _, q := range g.Counts {
			if q.Scope != catalog.ScopeApp || q.Kind == catalog.KindStatic || q.Distinct {
				t.Errorf("group type %s counts on %+v", g.Key, *q)
			}
		}
	}
}

func checkFeatures(t *testing.T, s *catalog.Snapshot) {
	t.Helper()
	for i, f := range s.Features() {
		if found, ok := s.Feature(f.Key); !ok || found != f || f.Index != i {
			t.Errorf("feature %s is found as %v", f.Key, found)
		}
		checkCode(t, f.UpstreamCode)
		if f.AddOn == nil {
			continue
		}
		if found, ok := s.AddOn(f.AddOn.Key); !ok || found != f.AddOn || !slices.Contains(found.Features, f) {
			t.Errorf("feature %s is of the add-on %v", f.Key, found)
		}
		for _, e := range s.Editions() {
			if e.Has(f) {
				t.Errorf("%s has the add-on's feature %s", e.Key, f.Key)
			}
		}
	}
	for _, a := range s.AddOns() {
		if a.Trial <= 0 || len(a.Features) == 0 || len(a.Editions) == 0 {
			t.Errorf("add-on %+v", *a)
		}
	}
}

func checkLimits(t *testing.T, s *catalog.Snapshot, e *catalog.Edition) {
	t.Helper()
	for _, q := range s.Quotas() {
		rule := e.Limit(q)
		if rule.OnExceed != catalog.Deny && rule.OnExceed != catalog.Bill {
			t.Errorf("%s has no rule for %s: %+v", e.Key, q.Key, rule)
		}
		if rule.OnExceed == catalog.Bill && (rule.Limit.IsUnlimited() || q.Kind == catalog.KindStatic) {
			t.Errorf("%s bills %s, which nothing exceeds", e.Key, q.Key)
		}
		if len(rule.GroupTypes()) > 0 && q.Key != catalog.GroupMembers {
			t.Errorf("%s limits %s by group type", e.Key, q.Key)
		}
		for name, limit := range rule.GroupTypes() {
			if g, ok := s.GroupType(name); !ok || g.Key != name || rule.For(name) != limit {
				t.Errorf("%s limits %s of group type %s", e.Key, q.Key, name)
			}
		}
		var read catalog.Limit
		if err := read.UnmarshalText([]byte(rule.Limit.String())); err != nil || read != rule.Limit {
			t.Errorf("limit %v is read back as %v: %v", rule.Limit, read, err)
		}
	}
}

func checkReach(t *testing.T, s *catalog.Snapshot, e *catalog.Edition) {
	t.Helper()
	if e.MonthlyPrice.IsNegative() || !e.MonthlyPrice.Equal(e.MonthlyPrice.Round(2)) {
		t.Errorf("%s costs %v", e.Key, e.MonthlyPrice)
	}
	byPrice := func(a, b *catalog.Edition) int { return a.MonthlyPrice.Cmp(b.MonthlyPrice) }
	if !slices.IsSortedFunc(e.Reachable, byPrice) {
		t.Errorf("what %s reaches is not in the order of prices", e.Key)
	}
	for _, to := range s.Editions() {
		purchase, upgrade := e.CanPurchase(to.Key), e.CanUpgradeTo(to.Key)
		if got := slices.Contains(e.Reachable, to); got != (purchase || upgrade) {
			t.Errorf("%s reaches %s is %v; purchase %v, upgrade %v", e.Key, to.Key, got, purchase, upgrade)
		}
		if purchase && (to.IsFree() || to == e) {
			t.Errorf("%s can purchase %s", e.Key, to.Key)
		}
		if upgrade && (e.IsFree() || byPrice(e, to) >= 0) {
			t.Errorf("%s can be upgraded to %s", e.Key, to.Key)
		}
	}
}

func checkMeters(t *testing.T, s *catalog.Snapshot) {
	t.Helper()
	for _, m := range s.Meters() {
		for key, price := range m.Prices {
			e, ok := s.Edition(key)
			if !ok || price.IsNegative() || price.Exponent() > 0 || price.Exponent() < -20 {
				t.Errorf("%s costs %v in %s", m.Key, price, key)
			}
			if ok && m.Quota != nil && e.Limit(m.Quota).OnExceed != catalog.Bill {
				t.Errorf("%s has a price in %s, which does not bill it", m.Key, key)
			}
		}
		for _, p := range m.Promotions {
			if !p.Percent.IsNegative() || p.Percent.LessThan(decimal.NewFromInt(-100)) {
				t.Errorf("promotion of %v %%", p.Percent)
			}
			if !p.Until.IsZero() && !p.From.Before(p.Until) {
				t.Errorf("promotion from %v until %v", p.From, p.Until)
			}
		}
	}
}

// Versions come from outside with every request.
func FuzzParseSDKVersion(f *testing.F) {
	for _, text := range []string{"5.8.1668", "5.8 enhanced", "", "5..8", "+5", "5.8.1.2.3", "4294967295"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := catalog.ParseSDKVersion(text)
		if err != nil {
			return
		}
		if v.Less(v) {
			t.Errorf("%q is older than itself", text)
		}
		if again, err := catalog.ParseSDKVersion(v.String()); err != nil || again != v {
			t.Errorf("%q is read as %s and then as %s: %v", text, v, again, err)
		}
	})
}
