package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/imquota/imquota/catalog"
)

// printCatalog compares the plans, an edition a column. On a narrow terminal
// the keys have to do without their titles.
func printCatalog(w io.Writer, cat *catalog.Snapshot, width int) {
	zone, _ := time.Date(2024, 1, 1, 0, 0, 0, 0, cat.Zone()).Zone()
	_, _ = fmt.Fprintf(w, "catalog %s, prices in %s, days and months begin in %s\n\n", cat.Version(), cat.Currency(), zone)
	t := &table{right: make(map[int]bool)}
	row := func(title, key string, cell func(*catalog.Edition) string) {
		cells := []string{title, key}
		for _, e := range cat.Editions() {
			cells = append(cells, cell(e))
		}
		t.add(cells...)
	}
	heading := func(text string) {
		t.add("")
		t.add(text)
	}
	for i := range cat.Editions() {
		t.right[2+i] = true
	}
	row("PLAN", "plan", func(e *catalog.Edition) string { return strings.ToUpper(e.Key) })
	row("Price of a month", "monthly_price", priceOf)
	heading("LIMITS")
	for _, q := range cat.Quotas() {
		row(q.Title, q.Key, func(e *catalog.Edition) string { return ruleText(e.Limit(q)) })
	}
	heading("FEATURES")
	for _, f := range cat.Features() {
		if f.AddOn != nil {
			continue // an add-on grants its features together
		}
		row(f.Title, f.Key, func(e *catalog.Edition) string { return when(e.Has(f), "yes", "-") })
	}
	for _, a := range cat.AddOns() {
		row(a.Title, a.Key, func(e *catalog.Edition) string { return when(a.Editions[e.Key], "trial", "-") })
	}
	heading("BILLED BY USAGE")
	for _, m := range cat.Meters() {
		row(m.Title, m.Key, func(e *catalog.Edition) string {
			if price, ok := m.Prices[e.Key]; ok {
				return price.String()
			}
			return "not sold"
		})
	}
	if width > 0 && t.width() > width {
		t = t.withoutFirst()
	}
	t.write(w)
	printNotes(w, cat)
}

func priceOf(e *catalog.Edition) string {
	if e.IsFree() {
		return "free"
	}
	return e.MonthlyPrice.StringFixed(2)
}

func ruleText(r catalog.LimitRule) string {
	var text strings.Builder
	text.WriteString(r.Limit.String())
	if r.OnExceed == catalog.Bill {
		text.WriteString("+")
	}
	groupTypes := r.GroupTypes()
	for _, key := range slices.Sorted(maps.Keys(groupTypes)) {
		text.WriteString(", " + key + " " + groupTypes[key].String())
	}
	return text.String()
}

func when(holds bool, text, otherwise string) string {
	if holds {
		return text
	}
	return otherwise
}

func editionKeys(editions []*catalog.Edition) []string {
	keys := make([]string, len(editions))
	for i, e := range editions {
		keys[i] = e.Key
	}
	return keys
}

// printNotes says what the table has no room for.
func printNotes(w io.Writer, cat *catalog.Snapshot) {
	notes := &table{}
	for _, e := range cat.Editions() {
		if keys := editionKeys(e.Reachable); len(keys) > 0 {
			notes.add(e.Key, "can change to "+strings.Join(keys, " or "))
		}
	}
	for _, q := range cat.Quotas() {
		for _, e := range cat.Editions() {
			if e.Limit(q).OnExceed == catalog.Bill {
				notes.add(q.Key, "+ : more is allowed, and billed")
				break
			}
		}
	}
	for _, f := range cat.Features() {
		if text := f.Conditions(); text != "" && f.AddOn == nil {
			notes.add(f.Key, text)
		}
	}
	for _, t := range cat.GroupTypes() {
		if t.Requires != nil {
			notes.add(t.Key+" groups", "need the feature "+t.Requires.Key)
		}
	}
	for _, a := range cat.AddOns() {
		notes.add(a.Key, fmt.Sprintf("a trial of %s, once an app, from its activation: %d features", catalog.Span(a.Trial), len(a.Features)))
		if text := a.Features[0].Conditions(); text != "" {
			notes.add("", text)
		}
	}
	for _, m := range cat.Meters() {
		notes.add(m.Key, "per "+m.Unit)
		for _, p := range m.Promotions {
			notes.add(m.Key, fmt.Sprintf("%s (%s %%), from %s", p.Title, p.Percent, p.From.Format(time.DateOnly)))
		}
	}
	_, _ = fmt.Fprintln(w, "\n  NOTES")
	notes.write(w)
	printNames(w, cat)
}

// printNames lists the words that requests may use.
func printNames(w io.Writer, cat *catalog.Snapshot) {
	names := &table{}
	for _, t := range cat.GroupTypes() {
		var counted []string
		for _, q := range t.Counts {
			counted = append(counted, q.Key)
		}
		text := "counts on " + strings.Join(counted, ", ")
		if len(t.Aliases) > 0 {
			text = "also called " + strings.Join(t.Aliases, ", ") + "; " + text
		}
		names.add(t.Key+" groups", text)
	}
	names.add("regions", strings.Join(cat.Regions(), ", "))
	names.add("platforms", strings.Join(cat.PlatformNames(), ", "))
	for _, a := range cat.AddOns() {
		var keys []string
		for _, f := range a.Features {
			keys = append(keys, f.Key)
		}
		for i, line := range wrapped(keys, namesWidth) {
			names.add(when(i == 0, "features of "+a.Key, ""), line)
		}
	}
	_, _ = fmt.Fprintln(w, "\n  NAMES")
	names.write(w)
}

// namesWidth is how wide a list of names may grow, in characters.
const namesWidth = 72

// wrapped joins words by commas, in lines of at most width characters.
func wrapped(words []string, width int) (lines []string) {
	for _, word := range words {
		if n := len(lines); n > 0 && len(lines[n-1])+len(", ")+len(word) <= width {
			lines[n-1] += ", " + word
			continue
		}
		if n := len(lines); n > 0 {
			lines[n-1] += ","
		}
		lines = append(lines, word)
	}
	return lines
}
