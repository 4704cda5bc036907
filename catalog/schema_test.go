package catalog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/imquota/imquota/catalog"
)

func TestSchema_AcceptsWhatParses(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	for _, file := range []string{"default.yaml", "testdata/minimal.yaml"} {
		if err := schema.Validate(plain(t, read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A schema sees one value at a time. What it cannot see are names that must be
// found elsewhere, and entries that do not fit together.
var beyondSchema = []string{
	"account_auto_renewal_months_too_many", "account_quote_lifetime_too_long",
	"add_on_edition_unknown", "add_on_twice", "add_on_without_feature",
	"by_group_type_alias_twice", "by_group_type_of_friends", "by_group_type_twice", "by_group_type_unknown",
	"condition_group_type_unknown", "condition_platform_unknown", "condition_region_unknown",
	"default_edition_not_free", "default_edition_unknown",
	"edition_feature_of_add_on", "edition_feature_unknown", "edition_twice",
	"feature_add_on_unknown", "feature_line_of_dotted_key", "feature_twice", "field_twice",
	"group_type_alias_taken", "group_type_code_taken", "group_type_counts_not_countable",
	"group_type_counts_unknown", "group_type_key_is_alias", "group_type_requires_unknown", "group_type_twice",
	"limit_field_twice", "limit_missing", "limit_of_unknown_quota",
	"meter_limit_missing_reported_once", "meter_price_not_billed", "meter_price_of_unknown_edition",
	"meter_quota_unknown", "meter_twice",
	"notices_reclaim_days_before_rising",
	"on_exceed_bill_of_static", "on_exceed_bill_of_unlimited",
	"promotion_until_before_from", "purchase_of_free", "purchase_of_itself", "purchase_unknown",
	"quota_builtin_changed", "quota_builtin_direct", "quota_builtin_not_distinct",
	"quota_direct_distinct", "quota_direct_signed", "quota_direct_static", "quota_distinct",
	"quota_signed_of_user", "quota_signed_stock", "quota_twice", "quota_unused",
	"sdk_family_unknown", "time_zone_unknown",
	"upgrade_from_free", "upgrade_to_same_price", "upgrade_unknown",
}

// notOneValue are the files that no schema gets to see: they are not YAML, more
// than one document, or too large once their aliases are followed.
var notOneValue = []string{
	"file_alias_bomb", "file_anchor_in_itself", "file_anchor_unknown", "file_not_utf8", "file_syntax", "file_two_documents",
}

func TestSchema_RefusesBustedFiles(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	for _, file := range bustedFiles(t) {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "busted_"), ".yaml")
		if slices.Contains(notOneValue, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := schema.Validate(plain(t, read(t, file)))
			switch {
			case slices.Contains(beyondSchema, name) && err != nil:
				t.Errorf("the schema sees it now; take it off the list: %v", err)
			case !slices.Contains(beyondSchema, name) && err == nil:
				t.Error("the schema accepts it")
			}
		})
	}
}

// Where a file may hold either of two forms, both are accepted by the schema
// and by Parse.
func TestSchema_AcceptsEveryForm(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	minimal := string(read(t, "testdata/minimal.yaml"))
	for _, tc := range []struct {
		name     string
		old, new string
	}{
		{"version that is a number", "version: minimal", "version: 2.0"},
		{"zone by name", `"+00:00"`, "America/Argentina/Buenos_Aires"},
		{"zone with a sign in its name", `"+00:00"`, "Etc/GMT+8"},
		{"duration in parts", "24h", "1h30m"},
		{"quoted day", "2022-12-26", `"2022-12-26"`},
		{"unlimited", "users: 1\n", "users: unlimited\n"},
		{"largest limit", "users: 1\n", "users: 9007199254740991\n"},
		{"limit of zero", "users: 1\n", "users: 0\n"},
		{"billed limit", "free_mau: 1\n", "free_mau: {limit: 1, on_exceed: bill}\n"},
		{"limit by alias of a group type", "group_members: 1\n", "group_members: {limit: 1, by_group_type: {WORK: unlimited}}\n"},
		{"unquoted price", "editions:\n", "editions:\n  - {key: paid, title: Paid, monthly_price: 9.99, limits: {users: 1, free_mau: 1, friends: 1, joined_groups: 1, group_members: 1}}\n"},
		{"quoted price", "editions:\n", "editions:\n  - {key: paid, title: Paid, monthly_price: \"9.90\", limits: {users: 1, free_mau: 1, friends: 1, joined_groups: 1, group_members: 1}}\n"},
		{"unquoted price of a meter", "editions:\n", "meters: [{key: pcc, title: Peak, unit: user, prices: {free: 0.2}, promotions: [{title: sale, percent: -50.5, from: 2022-12-26, until: 2022-12-27}]}]\neditions:\n"},
		{"unquoted SDK version", "editions:\n", "features: [{key: f, title: F, conditions: {sdk: {min: {web: 5.10}}}}]\neditions:\n"},
		{"rules of accounts", "max_apps: 1\n", "max_apps: 1\n  max_order_months: 120\n  overdue_after: 1h30m\n  kept_days: 3650\n  auto_renewal_months: 2\n  quote_lifetime: 24h\n"},
		{"notices, some of them", "max_apps: 1\n", "max_apps: 1\n  notices: {bill_days: 0, reclaim_days_before: []}\n"},
		{"no notices of its own", "max_apps: 1\n", "max_apps: 1\n  notices: {}\n"},
		{"empty lists", "editions:\n", "features: []\nadd_ons: []\nmeters: []\neditions:\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if n := strings.Count(minimal, tc.old); n != 1 {
				t.Fatalf("%q is there %d times", tc.old, n)
			}
			data := []byte(strings.Replace(minimal, tc.old, tc.new, 1))
			parse(t, data)
			if err := schema.Validate(plain(t, data)); err != nil {
				t.Error(err)
			}
		})
	}
}

func compiledSchema(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(catalog.Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		tb.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return schema
}

// plain makes of YAML what an editor's schema check makes of it: values as in
// JSON, so that a day is a string.
func plain(tb testing.TB, data []byte) any {
	tb.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		tb.Fatal(err)
	}
	if len(root.Content) == 0 {
		return nil
	}
	v, err := plainNode(root.Content[0])
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func plainNode(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.AliasNode:
		return plainNode(n.Alias)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := plainNode(c)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case yaml.MappingNode:
		object := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := plainNode(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			object[n.Content[i].Value] = v
		}
		return object, nil
	case yaml.ScalarNode:
		return plainScalar(n)
	default:
		return nil, fmt.Errorf("line %d: a node of kind %d", n.Line, n.Kind)
	}
}

func plainScalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		return strconv.ParseBool(n.Value)
	case "!!int":
		return json.Number(n.Value), nil
	case "!!float":
		if _, err := strconv.ParseFloat(n.Value, 64); err != nil {
			return n.Value, nil //nolint:nilerr // .inf, which JSON does not have
		}
		return json.Number(n.Value), nil
	default:
		return n.Value, nil
	}
}
