package quota

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// feature denies what the edition, the app or the client does not have.
// t is the type of the group concerned; nil: unknown, which denies nothing.
func (p *planner) feature(f *catalog.Feature, t *catalog.GroupType) {
	c := featureCase{
		catalog: p.catalog, app: p.app, edition: p.edition,
		client: p.client, groupType: t, now: p.now,
	}
	why := c.judge(f)
	switch {
	case why == 0:
	case p.edition != p.stretch.edition:
		p.violations = unexplained
	case why&ofClient == 0:
		p.refusal = p.stretch.refuse(&c, f, why)
		p.violations = p.refusal.violations
	default:
		p.violations = c.explain(p.violations, f, why)
	}
}

// unexplained is why another edition than the app's would deny an action: nobody
// is told.
var unexplained = []Violation{{}}

// featureCase is what a feature is judged for.
type featureCase struct {
	catalog   *catalog.Snapshot
	app       *account.App
	edition   *catalog.Edition
	client    Client
	groupType *catalog.GroupType
	now       time.Time
}

// reasons is a set of reasons.
type reasons uint32

// ofClient are those that depend on who asks, and for what.
const ofClient reasons = 1<<PlatformUnsupported | 1<<SDKTooOld | 1<<GroupTypeUnsupported

// judge finds out why a feature may not be used; no reason: it may. What the
// client did not tell denies nothing.
func (c *featureCase) judge(f *catalog.Feature) (why reasons) {
	if f.AddOn == nil && !c.edition.Has(f) || f.AddOn != nil && !f.AddOn.Editions[c.edition.Key] {
		why |= 1 << FeatureNotInEdition
	}
	if a := f.Approval; a != nil {
		if approved, ok := c.app.Approvals[f.Key]; !ok {
			why |= 1 << ApprovalMissing
		} else if c.now.Before(approved.Add(a.ActiveAfter)) {
			why |= 1 << ApprovalPending
		}
	}
	if r := f.Regions; r != nil && r.Excluded[c.app.Region] {
		why |= 1 << RegionExcluded
	}
	if pl := f.Platforms; pl != nil && c.client.Platform != "" && !pl.Allowed[c.client.Platform] {
		why |= 1 << PlatformUnsupported
	}
	if s := f.SDK; s != nil && c.client.HasSDK {
		if _, least, ok := c.leastSDK(s); ok && c.client.SDK.Less(least) {
			why |= 1 << SDKTooOld
		}
	}
	if g := f.GroupTypes; g != nil && c.groupType != nil && !g.Allowed[c.groupType.Key] {
		why |= 1 << GroupTypeUnsupported
	}
	if a := f.AddOn; a != nil {
		if activated, ok := c.app.AddOns[a.Key]; !ok {
			why |= 1 << TrialNotStarted
		} else if !c.now.Before(activated.Add(a.Trial)) {
			why |= 1 << TrialEnded
		}
	}
	return why
}

// explain appends a violation for each reason, in their order.
func (c *featureCase) explain(vs []Violation, f *catalog.Feature, why reasons) []Violation {
	for ; why != 0; why &= why - 1 {
		vs = append(vs, c.violation(f, Reason(bits.TrailingZeros32(uint32(why)))))
	}
	return vs
}

// violation says in full why a feature may not be used.
func (c *featureCase) violation(f *catalog.Feature, r Reason) Violation {
	v := Violation{Reason: r, Feature: f.Key}
	text := ""
	switch r {
	case FeatureNotInEdition:
		v.UpstreamCode, text = f.UpstreamCode, "is not part of the "+c.edition.Key+" edition"
	case ApprovalMissing:
		v.UpstreamCode, text = f.Approval.UpstreamCode, "needs an approval"
	case ApprovalPending:
		v.UpstreamCode, v.Since = f.Approval.UpstreamCode, c.app.Approvals[f.Key]
		text = "was approved and becomes active at " + c.local(v.Since.Add(f.Approval.ActiveAfter))
	case RegionExcluded:
		v.UpstreamCode, text = f.Regions.UpstreamCode, "is not offered in the data centre "+c.app.Region
	case PlatformUnsupported:
		v.UpstreamCode = f.Platforms.UpstreamCode
		text = "is offered on " + strings.Join(f.Platforms.Names, ", ") + ", not on " + c.client.Platform
	case SDKTooOld:
		family, least, _ := c.leastSDK(f.SDK)
		v.UpstreamCode = f.SDK.UpstreamCode
		text = fmt.Sprintf("needs SDK %s (%s) or later, not %s", least, family, c.client.SDK)
	case GroupTypeUnsupported:
		v.UpstreamCode, text = f.GroupTypes.UpstreamCode, offeredIn(f.GroupTypes, c.groupType)
	case TrialNotStarted:
		text = "needs the trial of " + f.AddOn.Key + ", which was not activated"
	case TrialEnded:
		v.Since = c.app.AddOns[f.AddOn.Key].Add(f.AddOn.Trial)
		text = "had its trial until " + c.local(v.Since)
	case AppNotFound, AppSuspended, GroupTooLarge, OperationNotAllowed, LimitExceeded: // no feature's
	}
	v.Message = f.Key + " " + text
	return v
}

// local shows an instant as the catalog's people read it.
func (c *featureCase) local(at time.Time) string {
	return at.In(c.catalog.Zone()).Format(time.RFC3339)
}

func offeredIn(g *catalog.GroupTypeCondition, t *catalog.GroupType) string {
	return "is offered in " + strings.Join(g.Names, ", ") + " groups, not in " + t.Key
}

// leastSDK returns the version that the client's family of platform needs.
// Without a platform the client is taken for the family that needs least, so
// that nothing is denied that might be allowed.
func (c *featureCase) leastSDK(s *catalog.SDKCondition) (string, catalog.SDKVersion, bool) {
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
func (c *featureCase) judgeGroup(vs []Violation, f *catalog.Feature, id string, g GroupRecord) []Violation {
	if !g.Found {
		return vs
	}
	if types := f.GroupTypes; types != nil && c.groupType == nil {
		if t, ok := c.catalog.GroupTypeByCode(g.Type); ok && !types.Allowed[t.Key] {
			vs = append(vs, Violation{
				Reason: GroupTypeUnsupported, Feature: f.Key, Subject: id, UpstreamCode: types.UpstreamCode,
				Message: f.Key + " " + offeredIn(types, t),
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
