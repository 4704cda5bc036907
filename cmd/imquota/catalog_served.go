package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

type catalogServedCmd struct {
	clientFlags
	CatalogVersion string `help:"The version, of those that the server has; the one in force when it is not given." placeholder:"VERSION"`
}

// Run carries the command out.
func (c *catalogServedCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetCatalogResponse, error) {
			return conn.billing.GetCatalog(ctx, &imquotav1.GetCatalogRequest{Version: c.CatalogVersion})
		},
		func(w io.Writer, out *imquotav1.GetCatalogResponse) { printServedCatalog(w, out.GetCatalog()) })
	return err
}

// printServedCatalog compares the plans, an edition a column.
func printServedCatalog(w io.Writer, cat *imquotav1.Catalog) {
	_, _ = fmt.Fprintf(w, "catalog %s, prices in %s, days and months begin in %s; orders of 1 to %d months, quotes hold for %s\n\n",
		cat.GetVersion(), cat.GetCurrencyCode(), cat.GetTimeZone(), cat.GetMaxOrderMonths(), cat.GetQuoteLifetime().AsDuration())
	t := &table{right: make(map[int]bool)}
	row := func(title string, cell func(*imquotav1.CatalogEdition) string) {
		cells := []string{title}
		for _, e := range cat.GetEditions() {
			cells = append(cells, cell(e))
		}
		t.add(cells...)
	}
	for i := range cat.GetEditions() {
		t.right[1+i] = true
	}
	row("PLAN", func(e *imquotav1.CatalogEdition) string { return strings.ToUpper(e.GetEdition()) })
	row("Price of a month", func(e *imquotav1.CatalogEdition) string {
		return when(e.GetFree(), "free", e.GetMonthlyPrice().GetAmount())
	})
	row("Can change to", func(e *imquotav1.CatalogEdition) string {
		keys := strings.Join(append(slices.Clone(e.GetPurchases()), e.GetUpgrades()...), ", ")
		return when(keys != "", keys, "-")
	})
	for _, q := range cat.GetQuotas() {
		row(q.GetTitle(), func(e *imquotav1.CatalogEdition) string { return servedLimit(e, q.GetQuota()) })
	}
	for _, f := range cat.GetFeatures() {
		if f.GetAddOn() == "" {
			row(f.GetTitle(), func(e *imquotav1.CatalogEdition) string {
				return when(slices.Contains(e.GetFeatures(), f.GetFeature()), "yes", "-")
			})
		}
	}
	for _, a := range cat.GetAddOns() {
		row(a.GetTitle(), func(e *imquotav1.CatalogEdition) string {
			return when(slices.Contains(a.GetEditions(), e.GetEdition()), "trial", "-")
		})
	}
	for _, m := range cat.GetMeters() {
		row(m.GetTitle(), func(e *imquotav1.CatalogEdition) string {
			for _, p := range m.GetPrices() {
				if p.GetEdition() == e.GetEdition() {
					return p.GetUnitPrice().GetAmount()
				}
			}
			return "not sold"
		})
	}
	t.write(w)
	for _, m := range cat.GetMeters() {
		for _, p := range m.GetPromotions() {
			_, _ = fmt.Fprintf(w, "  %s: %s, %s %% from %s\n", m.GetTitle(), p.GetTitle(), p.GetPercent(), timeText(p.GetStartTime()))
		}
	}
}

// servedLimit shows an edition's limit of a quota; + means that more is billed.
func servedLimit(e *imquotav1.CatalogEdition, quota string) string {
	var texts []string
	for _, l := range e.GetLimits() {
		if l.GetQuota() != quota {
			continue
		}
		text := when(l.GetUnlimited(), "unlimited", fmt.Sprint(l.GetLimit())) + when(l.GetBilled(), "+", "")
		if l.GetGroupType() != "" {
			text = l.GetGroupType() + " " + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}
