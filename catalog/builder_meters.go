package catalog

import (
	"fmt"
	"maps"
	"slices"

	"github.com/shopspring/decimal"
)

func (b *builder) meters() {
	for i, d := range b.doc.Meters {
		path := b.key("meters", i, d.Key, d.Title)
		m := &Meter{Key: d.Key, Title: d.Title, Unit: d.Unit, Prices: make(map[string]decimal.Decimal)}
		if d.Unit == "" {
			b.addf(path+".unit", "is missing")
		}
		if d.Quota != "" {
			q, ok := b.s.quotaByKey[d.Quota]
			if !ok {
				b.addf(path+".quota", "unknown quota %q", d.Quota)
			}
			m.Quota = q
		}
		for _, key := range slices.Sorted(maps.Keys(d.Prices)) {
			b.meterPrice(path+".prices."+key, m, key, d.Prices[key])
		}
		for i, p := range d.Promotions {
			m.Promotions = append(m.Promotions, b.promotion(fmt.Sprintf("%s.promotions.%d", path, i), p))
		}
		b.s.meters = append(b.s.meters, m)
	}
}

func (b *builder) meterPrice(path string, m *Meter, edition, text string) {
	e, ok := b.s.editionByKey[edition]
	if !ok {
		b.addf(path, "unknown edition %q", edition)
		return
	}
	// A limit that is missing or unreadable says neither deny nor bill.
	if m.Quota != nil && e.Limit(m.Quota).OnExceed == Deny {
		b.addf(path, "the %s edition does not bill %s beyond its limit", edition, m.Quota.Key)
	}
	d, ok := number(text)
	if !ok || d.IsNegative() {
		b.addf(path, "%q is not a price, such as \"0.015\"", text)
		return
	}
	m.Prices[edition] = d
}

func (b *builder) promotion(path string, d promotionDoc) Promotion {
	p := Promotion{Title: d.Title, From: b.date(path+".from", d.From, true), Until: b.date(path+".until", d.Until, false)}
	percent, ok := number(d.Percent)
	if !ok || !percent.IsNegative() || percent.LessThan(decimal.NewFromInt(-100)) {
		b.addf(path+".percent", "%q is not from -100 to below 0", d.Percent)
	}
	p.Percent = percent
	if d.Title == "" {
		b.addf(path+".title", "is missing")
	}
	if !p.From.IsZero() && !p.Until.IsZero() && !p.From.Before(p.Until) {
		b.addf(path+".until", "is not after from")
	}
	return p
}
