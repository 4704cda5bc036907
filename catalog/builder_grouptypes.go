package catalog

import (
	"cmp"
	"slices"
	"strings"
)

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
