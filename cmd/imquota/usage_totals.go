package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// importTotals adds up what became of rows, by the quota's key.
type importTotals map[string]*quotaTotals

type quotaTotals struct {
	Rows       int64 `json:"rows"`
	Changed    int64 `json:"changed"`
	Difference int64 `json:"difference"` // of all that were changed together
	Refused    int64 `json:"refused,omitempty"`
	Replayed   int64 `json:"replayed,omitempty"` // had taken effect before; what they changed is not known
	// Members are those of a distinct quota that the file names, and Unnamed how
	// many count and are not named.
	Members int64  `json:"members,omitempty"`
	Unnamed *int64 `json:"unnamed,omitempty"`
}

func (t *importTotals) of(quota string) *quotaTotals {
	if *t == nil {
		*t = make(importTotals)
	}
	if (*t)[quota] == nil {
		(*t)[quota] = &quotaTotals{}
	}
	return (*t)[quota]
}

// otherQuotas stands for what rows name that were refused, where there is more than
// is worth a line, as where columns are mixed up, or what could not be shown.
const otherQuotas = "(others)"

// mostRefused is how many quotas the totals have before one that only refused rows
// name is told apart no more.
const mostRefused = 20

// nameRefused is what a refused row adds to: the totals are written with every
// part, and no longer than the catalog.
func (t *importTotals) nameRefused(quota string) string {
	if (*t)[quota] != nil || len(*t) < mostRefused && isName(quota) {
		return quota
	}
	return otherQuotas
}

// isName reports whether a text can stand in a line of a terminal.
func isName(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return text != "" && len(text) <= 64
}

// isDistinct reports whether a quota's members are what counts.
func isDistinct(quota string) bool { return quota == catalog.Users || quota == catalog.FreeMAU }

// report says what the import changed.
func (im *importer) report(ctx context.Context) error {
	totals := im.journal.Totals
	if err := im.countUnnamed(ctx); err != nil {
		return err
	}
	var sum quotaTotals
	for _, t := range totals {
		sum.Rows, sum.Changed, sum.Refused = sum.Rows+t.Rows, sum.Changed+t.Changed, sum.Refused+t.Refused
	}
	var err error
	if im.cmd.Output == outputJSON {
		err = json.NewEncoder(im.out).Encode(struct {
			App     uint32       `json:"appId"`
			DryRun  bool         `json:"dryRun"`
			Rows    int64        `json:"rows"`
			Changed int64        `json:"changed"`
			Refused int64        `json:"refused"`
			Quotas  importTotals `json:"quotas"`
		}{im.cmd.App, im.cmd.DryRun, sum.Rows, sum.Changed, sum.Refused, totals})
	} else {
		im.table(&sum)
	}
	if err == nil && sum.Refused > 0 {
		return fmt.Errorf("%d of %d rows were refused%s", sum.Refused, sum.Rows, when(im.cmd.Rejects != "", ": see "+im.cmd.Rejects, ""))
	}
	return err
}

// countUnnamed finds how many members of distinct quotas the file does not name.
func (im *importer) countUnnamed(ctx context.Context) error {
	for _, quota := range []string{catalog.Users, catalog.FreeMAU} {
		t := im.journal.Totals[quota]
		if t == nil || t.Members == 0 {
			continue
		}
		out, err := im.conn.quotas.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: im.cmd.App, Quotas: []string{quota}})
		if err != nil {
			return &callError{flags: &im.cmd.clientFlags, err: err}
		}
		unnamed := out.GetQuotas()[0].GetUsed() - t.Members
		if im.cmd.DryRun {
			unnamed += t.Difference
		}
		unnamed = max(0, unnamed)
		t.Unnamed = &unnamed
	}
	return nil
}

func (im *importer) table(sum *quotaTotals) {
	t := &table{right: map[int]bool{1: true, 2: true, 3: true, 4: true}}
	verb := when(im.cmd.DryRun, "DIFFER", "CHANGED")
	t.add("QUOTA", "ROWS", verb, "BY", "REFUSED", "")
	for _, quota := range slices.Sorted(maps.Keys(im.journal.Totals)) {
		q := im.journal.Totals[quota]
		var notes []string
		if q.Unnamed != nil && *q.Unnamed > 0 {
			notes = append(notes, fmt.Sprintf("%d more count and are not in the file", *q.Unnamed))
		}
		if q.Replayed > 0 {
			notes = append(notes, fmt.Sprintf("%d had taken effect before", q.Replayed))
		}
		t.add(quota, fmt.Sprint(q.Rows), fmt.Sprint(q.Changed), fmt.Sprintf("%+d", q.Difference), fmt.Sprint(q.Refused), strings.Join(notes, "; "))
	}
	t.write(im.out)
	if im.cmd.DryRun {
		_, _ = fmt.Fprintf(im.out, "%d of %d rows differ: a dry run, nothing was changed\n", sum.Changed, sum.Rows)
		return
	}
	_, _ = fmt.Fprintf(im.out, "%s imported, %d of which changed something\n", number(sum.Rows-sum.Refused, "row"), sum.Changed)
}
