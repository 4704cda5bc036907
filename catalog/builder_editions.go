package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

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
