package catalog

import (
	"maps"
	"slices"
)

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
