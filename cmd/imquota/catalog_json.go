package main

import (
	"io"

	"github.com/imquota/imquota/catalog"
)

// The plans as JSON. Unlimited is a mark of its own, never a number.
type catalogJSON struct {
	Version  string        `json:"version"`
	Currency string        `json:"currency"`
	Editions []editionJSON `json:"editions"`
}

// problemJSON is a catalog.Problem.
type problemJSON struct {
	Line    int    `json:"line"`
	Path    string `json:"path"`
	Message string `json:"message"`
}

type editionJSON struct {
	Key          string      `json:"key"`
	Title        string      `json:"title"`
	MonthlyPrice string      `json:"monthlyPrice"`
	ChangeTo     []string    `json:"changeTo"`
	Limits       []limitJSON `json:"limits"`
	Features     []string    `json:"features"`
}

type limitJSON struct {
	Quota       string                   `json:"quota"`
	Limit       int64                    `json:"limit"`
	Unlimited   bool                     `json:"unlimited"`
	Billed      bool                     `json:"billed"`
	ByGroupType map[string]catalog.Limit `json:"byGroupType,omitempty"`
}

func printCatalogJSON(w io.Writer, cat *catalog.Snapshot) error {
	out := catalogJSON{Version: cat.Version(), Currency: cat.Currency()}
	for _, e := range cat.Editions() {
		edition := editionJSON{
			Key: e.Key, Title: e.Title, MonthlyPrice: e.MonthlyPrice.StringFixed(2),
			ChangeTo: editionKeys(e.Reachable), Features: []string{},
		}
		for _, q := range cat.Quotas() {
			r := e.Limit(q)
			edition.Limits = append(edition.Limits, limitJSON{
				Quota: q.Key, Limit: r.Limit.Max(), Unlimited: r.Limit.IsUnlimited(),
				Billed: r.OnExceed == catalog.Bill, ByGroupType: r.GroupTypes(),
			})
		}
		for _, f := range cat.Features() {
			if e.Has(f) {
				edition.Features = append(edition.Features, f.Key)
			}
		}
		out.Editions = append(out.Editions, edition)
	}
	return writeJSON(w, out)
}
