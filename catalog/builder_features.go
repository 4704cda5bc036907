package catalog

import (
	"maps"
	"slices"
)

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
