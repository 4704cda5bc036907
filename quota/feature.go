package quota

import (
	"fmt"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// feature denies what the edition, the app or the client does not have.
// t is the type of the group concerned; nil: unknown, which denies nothing.
func (p *planner) feature(f *catalog.Feature, t *catalog.GroupType) {
	p.violations = judgeFeature(p.violations, featureCase{
		catalog: p.catalog, app: p.app, edition: p.edition,
		client: p.client, groupType: t, now: p.now,
	}, f)
}

// featureCase is what a feature is judged for.
type featureCase struct {
	catalog   *catalog.Snapshot
	app       *account.App
	edition   *catalog.Edition
	client    Client
	groupType *catalog.GroupType
	now       time.Time
}

// judgeFeature appends why a feature may not be used, in the order of reasons:
// none when it may. What the client did not tell denies nothing.
func judgeFeature(vs []Violation, c featureCase, f *catalog.Feature) []Violation {
	deny := func(r Reason, code int32, since time.Time, format string, args ...any) {
		vs = append(vs, Violation{
			Reason: r, Feature: f.Key, UpstreamCode: code, Since: since,
			Message: f.Key + " " + fmt.Sprintf(format, args...),
		})
	}

	if f.AddOn == nil && !c.edition.Has(f) || f.AddOn != nil && !f.AddOn.Editions[c.edition.Key] {
		deny(FeatureNotInEdition, f.UpstreamCode, time.Time{}, "is not part of the %s edition", c.edition.Key)
	}
	if a := f.Approval; a != nil {
		if approved, ok := c.app.Approvals[f.Key]; !ok {
			deny(ApprovalMissing, a.UpstreamCode, time.Time{}, "needs an approval")
		} else if active := approved.Add(a.ActiveAfter); c.now.Before(active) {
			deny(ApprovalPending, a.UpstreamCode, approved, "was approved and becomes active at %s", active.In(c.catalog.Zone()).Format(time.RFC3339))
		}
	}
	if r := f.Regions; r != nil && r.Excluded[c.app.Region] {
		deny(RegionExcluded, r.UpstreamCode, time.Time{}, "is not offered in the data centre %s", c.app.Region)
	}
	if pl := f.Platforms; pl != nil && c.client.Platform != "" && !pl.Allowed[c.client.Platform] {
		deny(PlatformUnsupported, pl.UpstreamCode, time.Time{}, "is offered on %s, not on %s", strings.Join(pl.Names, ", "), c.client.Platform)
	}
	if s := f.SDK; s != nil && c.client.HasSDK {
		if family, least, ok := c.leastSDK(s); ok && c.client.SDK.Less(least) {
			deny(SDKTooOld, s.UpstreamCode, time.Time{}, "needs SDK %s (%s) or later, not %s", least, family, c.client.SDK)
		}
	}
	if g := f.GroupTypes; g != nil && c.groupType != nil && !g.Allowed[c.groupType.Key] {
		deny(GroupTypeUnsupported, g.UpstreamCode, time.Time{}, "is offered in %s groups, not in %s", strings.Join(g.Names, ", "), c.groupType.Key)
	}
	if a := f.AddOn; a != nil {
		if activated, ok := c.app.AddOns[a.Key]; !ok {
			deny(TrialNotStarted, 0, time.Time{}, "needs the trial of %s, which was not activated", a.Key)
		} else if end := activated.Add(a.Trial); !c.now.Before(end) {
			deny(TrialEnded, 0, end, "had its trial until %s", end.In(c.catalog.Zone()).Format(time.RFC3339))
		}
	}
	return vs
}

// leastSDK returns the version that the client's family of platform needs.
// Without a platform the client is taken for the family that needs least, so
// that nothing is denied that might be allowed.
func (c featureCase) leastSDK(s *catalog.SDKCondition) (string, catalog.SDKVersion, bool) {
	if c.client.Platform != "" {
		family, _ := c.catalog.Family(c.client.Platform)
		least, ok := s.Min[family]
		return family, least, ok
	}
	for _, family := range c.catalog.Families() {
		if _, ok := s.Min[family]; !ok {
			return "", catalog.SDKVersion{}, false
		}
	}
	var leastFamily string
	var least catalog.SDKVersion
	for _, family := range c.catalog.Families() {
		if v := s.Min[family]; leastFamily == "" || v.Less(least) {
			leastFamily, least = family, v
		}
	}
	return leastFamily, least, leastFamily != ""
}

// judgeGroup judges the conditions of a feature that the group's record
// decides: its type, when the request did not tell, and its size.
func judgeGroup(vs []Violation, c featureCase, f *catalog.Feature, id string, g GroupRecord) []Violation {
	if !g.Found {
		return vs
	}
	if types := f.GroupTypes; types != nil && c.groupType == nil {
		if t, ok := c.catalog.GroupTypeByCode(g.Type); ok && !types.Allowed[t.Key] {
			vs = append(vs, Violation{
				Reason: GroupTypeUnsupported, Feature: f.Key, Subject: id, UpstreamCode: types.UpstreamCode,
				Message: fmt.Sprintf("%s is offered in %s groups, not in %s", f.Key, strings.Join(types.Names, ", "), t.Key),
			})
		}
	}
	if size := f.GroupSize; size != nil && g.Members > size.MaxMembers {
		vs = append(vs, Violation{
			Reason: GroupTooLarge, Feature: f.Key, Subject: id, UpstreamCode: size.UpstreamCode,
			Limit: size.MaxMembers, Used: g.Members,
			Message: fmt.Sprintf("%s is offered in groups of at most %d members, not of %d", f.Key, size.MaxMembers, g.Members),
		})
	}
	return vs
}
