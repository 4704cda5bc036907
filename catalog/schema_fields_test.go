package catalog

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// node is the part of a JSON Schema that says what fields there are.
type node struct {
	Ref         string           `json:"$ref"`
	Description string           `json:"description"`
	Type        any              `json:"type"`
	Enum        []string         `json:"enum"`
	Properties  map[string]*node `json:"properties"`
	Patterns    map[string]*node `json:"patternProperties"`
	Additional  *bool            `json:"additionalProperties"`
	Items       *node            `json:"items"`
	AnyOf       []*node          `json:"anyOf"`
	Defs        map[string]*node `json:"$defs"`
}

func schemaRoot(t *testing.T) *node {
	t.Helper()
	var root node
	if err := json.Unmarshal(schemaJSON, &root); err != nil {
		t.Fatal(err)
	}
	return &root
}

// The schema and the document have the same fields, at every level.
func TestSchema_FieldsOfDocument(t *testing.T) {
	t.Parallel()
	root := schemaRoot(t)
	sameFields(t, root, root, reflect.TypeFor[document](), "catalog")
}

func sameFields(t *testing.T, root, n *node, typ reflect.Type, path string) {
	t.Helper()
	if n == nil {
		t.Errorf("%s: not in the schema", path)
		return
	}
	if n.Ref != "" {
		name, ok := strings.CutPrefix(n.Ref, "#/$defs/")
		if !ok || root.Defs[name] == nil {
			t.Fatalf("%s: reference to %s, which is nowhere", path, n.Ref)
		}
		n = root.Defs[name]
	}
	switch {
	case typ == reflect.TypeFor[limitDoc]():
		// UnmarshalYAML reads it without tags; the last of its forms is a mapping.
		fields := n.AnyOf[len(n.AnyOf)-1].Properties
		if diff := cmp.Diff([]string{"by_group_type", "limit", "on_exceed"}, slices.Sorted(maps.Keys(fields))); diff != "" {
			t.Errorf("%s (-document +schema):\n%s", path, diff)
		}
	case typ.Kind() == reflect.Pointer:
		sameFields(t, root, n, typ.Elem(), path)
	case typ.Kind() == reflect.Slice:
		sameFields(t, root, n.Items, typ.Elem(), path+"[]")
	case typ.Kind() == reflect.Map && n.Patterns == nil:
		// A mapping whose keys are a fixed few: the roles of upstream codes.
		if diff := cmp.Diff([]string{RoleCreate, RolePeer}, slices.Sorted(maps.Keys(n.Properties))); diff != "" {
			t.Errorf("%s (-document +schema):\n%s", path, diff)
		}
	case typ.Kind() == reflect.Map:
		for pattern, value := range n.Patterns {
			sameFields(t, root, value, typ.Elem(), path+"."+pattern)
		}
	case typ.Kind() == reflect.Struct:
		var tags []string
		for f := range typ.Fields() {
			tag := f.Tag.Get("yaml")
			tags = append(tags, tag)
			sameFields(t, root, n.Properties[tag], f.Type, path+"."+tag)
		}
		slices.Sort(tags)
		if diff := cmp.Diff(tags, slices.Sorted(maps.Keys(n.Properties))); diff != "" {
			t.Errorf("%s (-document +schema):\n%s", path, diff)
		}
	}
}

// Words that a field admits are the same in the schema and in the code.
func TestSchema_Words(t *testing.T) {
	t.Parallel()
	root := schemaRoot(t)
	policies := root.Properties["policies"].Properties
	quota := root.Defs["quota"].Properties
	forms := root.Defs["limit"].AnyOf
	for _, tc := range []struct {
		name string
		node *node
		want []string
	}{
		{"dissolve_counts", policies["dissolve_counts"], words(DissolveAnyAge, DissolveSameDay)},
		{"used_value", policies["used_value"], words(UsedServiceMonths, UsedCurrentMonth)},
		{"used_time", policies["used_time"], words(UsedSeconds, UsedWholeDays)},
		{"free_quota_of_month", policies["free_quota_of_month"], words(FreeQuotaHighest)},
		{"purchase_of_suspended", policies["purchase_of_suspended"], words(PurchaseWithoutOrders)},
		{"upgrade_state", policies["upgrade_state"], words(UpgradeInForce)},
		{"upgrade_price", policies["upgrade_price"], words(UpgradeRemaining)},
		{"renewal_state", policies["renewal_state"], words(RenewUntilReclaimed)},
		{"renewal_after_suspension", policies["renewal_after_suspension"], words(RenewFromPayment)},
		{"refundable_amount", policies["refundable_amount"], words(RefundCashAndCredit)},
		{"scope", quota["scope"], words(ScopeApp, ScopeUser, ScopeGroup)},
		{"kind", quota["kind"], words(KindStock, KindDay, KindMonth, KindStatic)},
		{"on_exceed", forms[len(forms)-1].Properties["on_exceed"], words(Deny, Bill)},
	} {
		if diff := cmp.Diff(tc.want, tc.node.Enum); diff != "" {
			t.Errorf("%s (-code +schema):\n%s", tc.name, diff)
		}
	}
}

func words[T ~string](constants ...T) []string {
	texts := make([]string, len(constants))
	for i, c := range constants {
		texts[i] = string(c)
	}
	return texts
}

// Every mapping refuses what it does not know, and every field is described.
func TestSchema_ClosedAndDescribed(t *testing.T) {
	t.Parallel()
	root := schemaRoot(t)
	visit(t, root, "catalog")
	for name, n := range root.Defs {
		visit(t, n, name)
	}
}

func visit(t *testing.T, n *node, path string) {
	t.Helper()
	if n.Type == "object" && (n.Additional == nil || *n.Additional) {
		t.Errorf("%s admits unknown fields", path)
	}
	if (n.Type == "object" || n.Type == "array") && n.Description == "" {
		t.Errorf("%s is not described", path)
	}
	for name, p := range n.Properties {
		if p.Description == "" {
			t.Errorf("%s.%s is not described", path, name)
		}
		visit(t, p, path+"."+name)
	}
	for pattern, p := range n.Patterns {
		visit(t, p, path+"."+pattern)
	}
	for _, form := range n.AnyOf {
		visit(t, form, path)
	}
	if n.Items != nil {
		visit(t, n.Items, path+"[]")
	}
}
