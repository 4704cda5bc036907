package server

import (
	"context"
	"maps"
	"slices"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (s *billingService) GetCatalog(_ context.Context, in *imquotav1.GetCatalogRequest) (*imquotav1.GetCatalogResponse, error) {
	v, cat := &invalidFields{}, s.shown.catalog()
	if version := in.GetVersion(); version != "" {
		other, ok := cat.Pinned(version)
		if !ok {
			v.add("version", "%.64q is not there; the catalog in force is %q", version, cat.Version())
			return nil, toStatus(v.err())
		}
		cat = other
	}
	return &imquotav1.GetCatalogResponse{Catalog: FromCatalog(cat)}, nil
}

// FromCatalog converts a catalog.
func FromCatalog(cat *catalog.Snapshot) *imquotav1.Catalog {
	rules := cat.Account()
	out := &imquotav1.Catalog{
		Version: cat.Version(), CurrencyCode: cat.Currency(), TimeZone: cat.Zone().String(), DefaultEdition: cat.DefaultEdition().Key,
		MaxOrderMonths: int32(rules.MaxOrderMonths), MaxApps: int32(rules.MaxApps), Grace: durationpb.New(rules.Grace),
		KeptDays: int32(rules.KeptDays), QuoteLifetime: durationpb.New(rules.QuoteLifetime), Regions: cat.Regions(),
		Policies: cat.Policies().Named(),
	}
	for _, e := range cat.Editions() {
		out.Editions = append(out.Editions, fromEdition(cat, e))
	}
	for _, q := range cat.Quotas() {
		out.Quotas = append(out.Quotas, &imquotav1.CatalogQuota{Quota: q.Key, Title: q.Title, Scope: string(q.Scope), Kind: string(q.Kind)})
	}
	for _, f := range cat.Features() {
		feature := &imquotav1.CatalogFeature{Feature: f.Key, Title: f.Title, Conditions: f.Conditions()}
		if f.AddOn != nil {
			feature.AddOn = f.AddOn.Key
		}
		out.Features = append(out.Features, feature)
	}
	for _, a := range cat.AddOns() {
		addOn := &imquotav1.CatalogAddOn{
			AddOn: a.Key, Title: a.Title, Trial: durationpb.New(a.Trial), Activates: a.Activates,
			Editions: keysIn(cat, func(e *catalog.Edition) bool { return a.Editions[e.Key] }),
		}
		for _, f := range a.Features {
			addOn.Features = append(addOn.Features, f.Key)
		}
		out.AddOns = append(out.AddOns, addOn)
	}
	for _, m := range cat.Meters() {
		out.Meters = append(out.Meters, fromMeter(m, cat.Currency()))
	}
	return out
}

// keysIn lists the editions for which something holds, in the catalog's order.
func keysIn(cat *catalog.Snapshot, holds func(*catalog.Edition) bool) (keys []string) {
	for _, e := range cat.Editions() {
		if holds(e) {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func fromEdition(cat *catalog.Snapshot, e *catalog.Edition) *imquotav1.CatalogEdition {
	out := &imquotav1.CatalogEdition{
		Edition: e.Key, Title: e.Title, MonthlyPrice: fromPrice(e.MonthlyPrice, cat.Currency()), Free: e.IsFree(),
		Purchases: keysIn(cat, func(to *catalog.Edition) bool { return e.CanPurchase(to.Key) }),
		Upgrades:  keysIn(cat, func(to *catalog.Edition) bool { return e.CanUpgradeTo(to.Key) }),
	}
	for _, q := range cat.Quotas() {
		rule := e.Limit(q)
		limit := func(groupType string, l catalog.Limit) {
			out.Limits = append(out.Limits, &imquotav1.CatalogLimit{
				Quota: q.Key, GroupType: groupType, Limit: l.Max(), Unlimited: l.IsUnlimited(), Billed: rule.OnExceed == catalog.Bill,
			})
		}
		limit("", rule.Limit)
		for _, t := range cat.GroupTypes() {
			if l, ok := rule.GroupTypes()[t.Key]; ok {
				limit(t.Key, l)
			}
		}
	}
	for _, f := range cat.Features() {
		if e.Has(f) {
			out.Features = append(out.Features, f.Key)
		}
	}
	return out
}

func fromMeter(m *catalog.Meter, currency string) *imquotav1.CatalogMeter {
	out := &imquotav1.CatalogMeter{Meter: m.Key, Title: m.Title, Unit: m.Unit}
	if m.Quota != nil {
		out.Quota = m.Quota.Key
	}
	for _, key := range slices.Sorted(maps.Keys(m.Prices)) {
		out.Prices = append(out.Prices, &imquotav1.CatalogMeterPrice{Edition: key, UnitPrice: fromPrice(m.Prices[key], currency)})
	}
	for _, p := range m.Promotions {
		out.Promotions = append(out.Promotions, &imquotav1.CatalogPromotion{
			Title: p.Title, Percent: p.Percent.String(), StartTime: fromTime(p.From), EndTime: fromTime(p.Until),
		})
	}
	return out
}
