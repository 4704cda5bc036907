package quota

import (
	"context"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
)

// Entitlements is what an app may do now, as far as the plan and its state
// decide.
type Entitlements struct {
	Edition   string
	Lifecycle *account.State
	Features  []FeatureEntitlement
	Limits    []LimitEntitlement
	Catalog   string // version
	Source    Source // SourceCache or SourceDegraded
}

// FeatureEntitlement says why a feature may not be used; no violation: it may.
type FeatureEntitlement struct {
	Feature    string
	Violations []Violation
}

// LimitEntitlement is a limit in force.
type LimitEntitlement struct {
	Quota      string
	GroupType  string // the limit is for groups of this type alone
	Limit      catalog.Limit
	Billed     bool
	Overridden bool
}

// Entitlements lists every feature and limit of an app, for a client as far
// as it is known. Errors: account.ErrAppNotFound, an *account.Fault.
func (e *Enforcer) Entitlements(ctx context.Context, id uint32, client Client) (*Entitlements, error) {
	now := e.now()
	s := e.standing(ctx, id, e.catalog.Load())
	st, err := s.living(now)
	if err != nil {
		return nil, err
	}
	app, cat, edition := s.app.record, s.outlook.catalog, st.edition
	out := &Entitlements{Edition: edition.Key, Lifecycle: &st.state, Catalog: cat.Version(), Source: SourceCache}
	if s.away != nil {
		out.Source = SourceDegraded
	}
	c := featureCase{catalog: cat, app: app, edition: edition, client: client, now: now}
	for _, f := range cat.Features() {
		out.Features = append(out.Features, FeatureEntitlement{f.Key, c.explain(st.violations(), f, c.judge(f))})
	}
	for _, q := range cat.Quotas() {
		override, overridden := app.Overrides[q.Key]
		overridden = overridden && override.InForce(now)
		limit, billed := limitOf(app, edition, q, "", now)
		out.Limits = append(out.Limits, LimitEntitlement{Quota: q.Key, Limit: limit, Billed: billed, Overridden: overridden})
		if overridden {
			continue
		}
		for _, t := range cat.GroupTypes() {
			if l, ok := edition.Limit(q).GroupTypes()[t.Key]; ok {
				out.Limits = append(out.Limits, LimitEntitlement{Quota: q.Key, GroupType: t.Key, Limit: l, Billed: billed})
			}
		}
	}
	return out, nil
}
