package catalog_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/imquota/imquota/catalog"
)

func TestParseFile_Minimal(t *testing.T) {
	t.Parallel()
	s, err := catalog.ParseFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Version(); got != "minimal" {
		t.Errorf("version = %q", got)
	}
	if got := s.DefaultEdition().Key; got != "free" {
		t.Errorf("default edition = %q", got)
	}
}

func TestParseFile_Missing(t *testing.T) {
	t.Parallel()
	if _, err := catalog.ParseFile("testdata/nowhere.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v, want fs.ErrNotExist", err)
	}
}

// The minimal catalog is minimal: without any one of its lines it is broken.
func TestParse_MinimalNeedsEveryLine(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(string(read(t, "testdata/minimal.yaml")), "\n")
	for i, line := range lines {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		without := strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
		if _, err := catalog.Parse([]byte(without)); err == nil {
			t.Errorf("it parses without %q", line)
		}
	}
}

// A file from before there were rules of the lifecycle, or with some of them,
// has the shipped ones for the others.
func TestParse_RulesLeftOut(t *testing.T) {
	t.Parallel()
	minimal := string(read(t, "testdata/minimal.yaml"))
	for _, tc := range []struct {
		name, lines string
		change      func(*catalog.AccountRules)
	}{
		{"all", "", func(*catalog.AccountRules) {}},
		{"all but the longest order", "  max_order_months: 36\n", func(r *catalog.AccountRules) { r.MaxOrderMonths = 36 }},
		{"all but how long a plan renews for", "  auto_renewal_months: 3\n", func(r *catalog.AccountRules) { r.AutoRenewalMonths = 3 }},
		{"all but how long a quote holds", "  quote_lifetime: 1h\n", func(r *catalog.AccountRules) { r.QuoteLifetime = time.Hour }},
		{"all but when a bill is overdue", "  overdue_after: 72h\n", func(r *catalog.AccountRules) { r.OverdueAfter = 72 * time.Hour }},
		{"all but how long data is kept", "  kept_days: 30\n", func(r *catalog.AccountRules) { r.KeptDays = 30 }},
		{"all notices", "  notices: {}\n", func(*catalog.AccountRules) {}},
		{"all but one notice", "  notices: {expiry_days_before: 0}\n", func(r *catalog.AccountRules) { r.Notices.ExpiryDaysBefore = 0 }},
		{"all but the warnings, of which there are none", "  notices: {reclaim_days_before: []}\n", func(r *catalog.AccountRules) { r.Notices.ReclaimDaysBefore = []int{} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := parse(t, []byte(strings.Replace(minimal, "  max_apps: 1\n", "  max_apps: 1\n"+tc.lines, 1))).Account()
			want := catalog.Default().Account()
			want.MaxApps, want.LegacyBefore = got.MaxApps, got.LegacyBefore
			tc.change(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

// Files that are made to exhaust a parser give an error soon.
func TestParse_HostileFiles(t *testing.T) {
	t.Parallel()
	minimal := string(read(t, "testdata/minimal.yaml"))
	list := "[" + strings.Repeat("web,", 2000) + "web]"
	feature := "  - {key: f, title: F, conditions: {platforms: {allowed: *wide}}}\n"
	for _, tc := range []struct {
		name string
		data string
	}{
		{"lists in lists beyond the depth that YAML allows", strings.Repeat("[", 100_000)},
		{"lists in lists at a depth that YAML allows", "a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
		{"mappings in mappings", strings.Repeat("{a: ", 9000) + strings.Repeat("}", 9000)},
		{"a deep value where a number belongs", strings.Replace(minimal, "friends: 1", "friends: "+strings.Repeat("[", 9000)+strings.Repeat("]", 9000), 1)},
		{"one long list used many times", minimal + "features:\n" +
			"  - {key: first, title: F, conditions: {platforms: {allowed: &wide " + list + "}}}\n" + strings.Repeat(feature, 1000)},
		{"nothing but zero bytes", strings.Repeat("\x00", 1000)},
		{"half of a UTF-16 file", "\xff\xfea\x00:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := catalog.Parse([]byte(tc.data))
			if s != nil {
				t.Error("it gives a catalog")
			}
			if got := problems(t, err); len(got) == 0 {
				t.Error("it names no problem")
			}
		})
	}
}

// Lines are those of the key in question, however the file is laid out.
func TestParse_Lines(t *testing.T) {
	t.Parallel()
	minimal := string(read(t, "testdata/minimal.yaml"))
	for _, tc := range []struct {
		name     string
		old, new string
		want     []string
	}{
		{
			"value below its key", "currency: USD", "currency:\n  usd",
			[]string{`line 4: currency: "usd" is not three capital letters, such as USD`},
		},
		{
			"inside a limit that spans lines", "friends: 1", "friends:\n        limit: 1\n        on_exceed: warn",
			[]string{`line 35: editions.free.limits.friends.on_exceed: "warn" is none of deny, bill`},
		},
		{
			"entry of a list that is an alias", "regions: [sg]", "regions: [sg]\nadd_ons:\n  - &calls\n    key: calls\n    title: Calls\n    trial: 1h\n    editions: [free]\n  - *calls",
			[]string{"line 26: add_ons.calls: no feature is granted by it", "line 31: add_ons.1: calls is defined twice"},
		},
		{
			"value that is an alias", "platforms: {web: web}", "platforms: {web: web}\nfeatures:\n  - {key: a, title: A, conditions: &c {platforms: {allowed: [tv]}}}\n  - {key: b, title: B, conditions: *c}",
			[]string{
				`line 27: features.a.conditions.platforms.allowed: unknown platform "tv"`,
				`line 27: features.b.conditions.platforms.allowed: unknown platform "tv"`,
			},
		},
		{
			"problem of what an anchor names, once", "users: 1\n", "users: &few -1\n      rockets: *few\n",
			[]string{
				`line 31: editions.free.limits.users: "-1" is neither a whole number from 0 to 9007199254740991 nor the word unlimited`,
				`line 32: editions.free.limits.rockets: unknown quota`,
			},
		},
		{
			"carriage returns", "currency: USD\n", "currency: usd\r\n",
			[]string{`line 4: currency: "usd" is not three capital letters, such as USD`},
		},
		{
			"flow style, all on one line", "account:\n  max_apps: 1\n  grace: 24h\n  legacy_before: 2022-12-26\n", "account: {max_apps: 0, grace: 0h, legacy_before: 2022-12-26}\n",
			[]string{`line 7: account.grace: "0h" is not a duration above zero, such as 48h`, `line 7: account.max_apps: is 0; at least 1 is needed`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if n := strings.Count(minimal, tc.old); n != 1 {
				t.Fatalf("%q is there %d times", tc.old, n)
			}
			_, err := catalog.Parse([]byte(strings.Replace(minimal, tc.old, tc.new, 1)))
			if diff := cmp.Diff(tc.want, problems(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// Aliases stand for what they name, in limits too.
func TestParse_LimitsByAlias(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"      users: 1\n", "      users: &few 7\n",
		"      friends: 1\n", "      friends: *few\n",
		"      group_members: 1\n", "      group_members: {limit: *few, by_group_type: {work: *few}}\n",
	).Replace(string(read(t, "testdata/minimal.yaml")))
	s := parse(t, []byte(text))
	for _, key := range []string{catalog.Users, catalog.Friends, catalog.GroupMembers} {
		q, _ := s.Quota(key)
		if got := s.DefaultEdition().Limit(q).For("work").Max(); got != 7 {
			t.Errorf("%s = %d, want 7", key, got)
		}
	}
}

// The same file always gives the same error.
func TestParse_Deterministic(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/busted_many.yaml", "testdata/busted_upstream_codes_out_of_range.yaml"} {
		data := read(t, file)
		_, first := catalog.Parse(data)
		for range 20 {
			if _, err := catalog.Parse(data); err.Error() != first.Error() {
				t.Fatalf("%s: the error was\n%v\nand is\n%v", file, first, err)
			}
		}
	}
}

func TestParseError_Error(t *testing.T) {
	t.Parallel()
	err := &catalog.ParseError{Problems: []catalog.Problem{
		{Message: "the catalog is empty"},
		{Line: 3, Message: "unknown field"},
		{Line: 4, Path: "currency", Message: "is missing"},
	}}
	want := "the catalog is empty\nline 3: unknown field\nline 4: currency: is missing"
	if got := err.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Who changes the bytes of a file does not change those of others.
func TestDefaultYAML_IsACopy(t *testing.T) {
	t.Parallel()
	clear(catalog.DefaultYAML())
	clear(catalog.Schema())
	parse(t, catalog.DefaultYAML())
	if catalog.Schema()[0] != '{' {
		t.Error("the schema can be overwritten")
	}
}
