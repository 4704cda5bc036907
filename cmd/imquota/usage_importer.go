package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// importer imports the rows of a file.
type importer struct {
	cmd     *usageImportCmd
	conn    *connection
	journal *journal
	rows    int64    // in the file
	rejects *rejects // nil: they are not kept
	show    func(done, total int64)

	*streams
	shown int // lines about rows that were refused
}

// part is rows that go together, and their lines.
type part struct {
	rows  []*imquotav1.UsageRow
	lines []int
}

// all imports what the journal says is left.
func (im *importer) all(ctx context.Context, reader rowReader) error {
	for range im.journal.Done {
		if _, _, err := reader.read(); err != nil {
			return err
		}
	}
	if err := im.checkDoubt(); err != nil {
		return err
	}
	for im.journal.Done < im.rows {
		var p part
		for most := im.partSize(); len(p.rows) < most; {
			row, line, err := reader.read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			p.rows, p.lines = append(p.rows, row), append(p.lines, line)
		}
		if err := im.one(ctx, &p); err != nil {
			return err
		}
	}
	return nil
}

// partSize is how many rows go next: as many as went before, if it is not known
// what became of those.
func (im *importer) partSize() int {
	if im.journal.SentRows > 0 {
		return im.journal.SentRows
	}
	return importRows
}

// checkDoubt refuses to go on where rows might count twice.
func (im *importer) checkDoubt() error {
	j := im.journal
	if j.Sent.IsZero() || im.cmd.Again || time.Since(j.Sent) < inDoubtFor {
		return nil
	}
	return fmt.Errorf("the answer about rows %d to %d, sent %s, was lost, and too long ago to tell whether they count: "+
		"look at their counters, then go on with --again, or take the rows that count out of the file and remove %s",
		j.Done+1, j.Done+int64(j.SentRows), j.Sent.UTC().Format(time.RFC3339), j.path)
}

// one imports a part.
func (im *importer) one(ctx context.Context, p *part) error {
	if len(p.rows) == 0 {
		return errors.New("the file became shorter meanwhile")
	}
	isFirst := im.journal.Sent.IsZero()
	if err := im.journal.send(len(p.rows), time.Now()); err != nil {
		return fmt.Errorf("--journal: %w", err)
	}
	out, attempts, err := im.patiently(ctx, &imquotav1.ImportUsageRequest{
		AppId: im.cmd.App, RequestId: im.journal.requestID(), Rows: p.rows, DryRun: im.cmd.DryRun,
	})
	if err != nil {
		if isFirst && attempts == 1 && refusesAll(err) {
			if err := im.journal.takeBack(); err != nil {
				return fmt.Errorf("--journal: %w", err)
			}
		}
		return &callError{flags: &im.cmd.clientFlags, err: err}
	}
	if len(out.GetResults()) != len(p.rows) {
		return fmt.Errorf("the server answered about %d of %d rows", len(out.GetResults()), len(p.rows))
	}
	for i, result := range out.GetResults() {
		if err := im.note(p.rows[i], p.lines[i], result); err != nil {
			return err
		}
	}
	if err := im.rejects.flush(); err != nil {
		return err
	}
	im.journal.finished(len(p.rows))
	if im.show != nil {
		im.show(im.journal.Done, im.rows)
	}
	if err := im.journal.save(); err != nil {
		return fmt.Errorf("--journal: %w", err)
	}
	return nil
}

// firstPause and longestPause are between attempts.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 3 * time.Second
)

// refusesAll reports whether an error says that nothing of a call took effect:
// there is no such app, or the server does not do this.
func refusesAll(err error) bool {
	return slices.Contains([]codes.Code{
		codes.NotFound, codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated,
	}, status.Code(err))
}

// patiently calls until the server can take it. Each row takes effect once, for
// the call has an id.
func (im *importer) patiently(ctx context.Context, in *imquotav1.ImportUsageRequest) (out *imquotav1.ImportUsageResponse, attempts int, err error) {
	began := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		attempts++
		out, err = im.conn.apps.ImportUsage(ctx, in)
		code := status.Code(err)
		if code != codes.Unavailable && code != codes.DeadlineExceeded || time.Since(began)+pause > im.cmd.Patience {
			return out, attempts, err
		}
		select {
		case <-ctx.Done():
			return nil, attempts, err
		case <-time.After(pause):
		}
	}
}

// note adds up a row's result, and shows it if it is one to be seen.
func (im *importer) note(row *imquotav1.UsageRow, line int, result *imquotav1.UsageRowResult) error {
	name := row.GetQuota()
	if result.GetError() != nil {
		name = im.journal.Totals.nameRefused(name)
	}
	totals := im.journal.Totals.of(name)
	totals.Rows++
	if isDistinct(name) && row.GetUsed() == 1 {
		totals.Members++
	}
	if e := result.GetError(); e != nil {
		totals.Refused++
		if im.shown++; im.shown <= shownErrors {
			_, _ = fmt.Fprintf(im.err, "%sline %d: %s: %s\n", wipe(im.err), line, name, e.GetMessage())
		}
		if im.rejects != nil {
			return im.rejects.rows.write(row)
		}
		return nil
	}
	difference := result.GetAfter() - result.GetBefore()
	if result.GetReplayed() {
		totals.Replayed++
	}
	if difference == 0 {
		return nil
	}
	totals.Changed++
	totals.Difference += difference
	if !im.cmd.DryRun {
		return nil
	}
	if im.cmd.Output == outputJSON {
		return json.NewEncoder(im.out).Encode(driftJSON{line, row.GetQuota(), row.GetSubject(), result.GetBefore(), result.GetAfter()})
	}
	_, err := fmt.Fprintf(im.out, "%s %d → %d\n", counterName(&imquotav1.QuotaState{Quota: row.GetQuota(), Subject: row.GetSubject()}), result.GetBefore(), result.GetAfter())
	return err
}

// driftJSON is a row that differs from what is counted.
type driftJSON struct {
	Line    int    `json:"line"`
	Quota   string `json:"quota"`
	Subject string `json:"subject,omitempty"`
	Before  int64  `json:"before"`
	After   int64  `json:"after"`
}
