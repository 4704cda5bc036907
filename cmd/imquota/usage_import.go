package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type usageImportCmd struct {
	appFlag
	clientFlags
	File     string        `arg:"" help:"The file to read, or - for the standard input."`
	Format   string        `help:"csv or ndjson; by the file's name when it is not given." enum:"csv,ndjson," default:"" placeholder:"FORMAT"`
	DryRun   bool          `help:"Show each row that differs from what is counted; change nothing."`
	Journal  string        `help:"Where to note how far the import is, or none. FILE.import when it is not given; none for the standard input." placeholder:"FILE"`
	Rejects  string        `help:"Write the rows that were refused to this file, to be mended and imported." placeholder:"FILE"`
	Patience time.Duration `help:"For how long to repeat a part that the server cannot take." default:"1m"`
	Again    bool          `help:"Send a part again whose answer was lost so long ago that it may count twice; see above."`
}

// Help is printed below the summary.
func (*usageImportCmd) Help() string {
	return `Sets counters to what is known from elsewhere, and says who the members of users
and free_mau are, beside live traffic. What the file does not name stays.

A CSV file begins with the names of its columns; NDJSON has an object a line:
  quota       the quota's key
  subject     the user or group, by the quota's scope; of users and
              free_mau a user
  used        the counter's value; of users and free_mau 1, or of users 0:
              not a user
  observed    the counter that was seen when used was measured: what was
              counted since is kept. Without it the counter becomes used.
  group_type  of a group whose members are counted and that is not known yet
  window      the day or month that was measured: if it is over, the row is
              refused

All of the file is read before anything is imported: a line that is no row stops it.
A row that the server refuses does not stop the others; the exit code is 1 then.

Stopped or broken off, the same command goes on where it was: how far it is stands in
FILE.import. A part whose answer was lost is sent again and takes effect once, for 9
minutes; after that rows with observed might count twice, and the command asks for
--again, or for the rows that count to be taken out of the file. Once it has come to
the end, the same command begins anew, and rows with observed count once more.`
}

// Validate refuses what cannot be.
func (c *usageImportCmd) Validate() error {
	if err := c.clientFlags.Validate(); err != nil {
		return err
	}
	if c.Patience < 0 {
		return fmt.Errorf("--patience: %v is not a time to wait", c.Patience)
	}
	return nil
}

// noJournal is --journal for none.
const noJournal = "none"

// importRows is how many rows go in one call.
const importRows = 1000

// Run carries the command out.
func (c *usageImportCmd) Run(ctx context.Context, s *streams) error {
	file, format, err := c.open()
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	sum, rows, err := survey(ctx, file, format, s.err)
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was imported", c.File, err)
	}
	j, err := openJournal(c.journalPath(), c.App, sum)
	if err != nil {
		return err
	}
	if j.isBegun() {
		_, _ = fmt.Fprintf(s.err, "going on after row %d of %d\n", j.Done, rows)
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.close()
	im := &importer{cmd: c, conn: conn, journal: j, rows: rows, streams: s, show: progress(s.err, func(n int64) string { return fmt.Sprint(n) })}
	if c.Rejects != "" && !c.DryRun {
		if im.rejects, err = openRejects(c.Rejects, format, j); err != nil {
			return fmt.Errorf("--rejects: %w", err)
		}
		defer im.rejects.close()
	}
	reader, err := rewound(file, format)
	if err != nil {
		return err
	}
	if err := im.all(ctx, reader); err != nil {
		_, _ = io.WriteString(s.err, wipe(s.err))
		if c.journalPath() != "" && j.isBegun() {
			_, _ = fmt.Fprintf(s.err, "stopped after row %d of %d; the same command goes on there\n", j.Done, rows)
		}
		return err
	}
	if err := im.rejects.flush(); err != nil {
		return err
	}
	if err := j.remove(); err != nil {
		return err
	}
	return im.report(ctx)
}

func (c *usageImportCmd) journalPath() string {
	switch {
	case c.DryRun || c.Journal == noJournal || c.File == "-" && c.Journal == "":
		return ""
	case c.Journal != "":
		return c.Journal
	}
	return c.File + ".import"
}

// open opens the file. What comes from the standard input is kept first: it is
// read twice.
func (c *usageImportCmd) open() (*os.File, string, error) {
	path := c.File
	if path == "-" && c.Format == "" {
		return nil, "", errors.New("--format: say which format the standard input has")
	}
	format, err := formatOf(c.Format, path)
	if err != nil {
		return nil, "", err
	}
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the path is the operator's
		return f, format, err
	}
	f, err := os.CreateTemp("", "imquota-import-*")
	if err != nil {
		return nil, "", err
	}
	_ = os.Remove(f.Name()) // it goes with the process
	if _, err := io.Copy(f, os.Stdin); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return f, format, nil
}

func rewound(f *os.File, format string) (rowReader, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return newRowReader(f, format)
}

// shownErrors bounds the lines about rows that are wrong.
const shownErrors = 20

// survey reads all of a file: what it is, how many rows it has, and whether each
// is one.
func survey(ctx context.Context, f *os.File, format string, terminal io.Writer) (sum string, rows int64, err error) {
	hash := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	input := io.TeeReader(f, hash)
	reader, err := newRowReader(input, format)
	if err != nil {
		return "", 0, err
	}
	wrong := 0
	for {
		_, _, err := reader.read()
		bad, isRow := errors.AsType[*rowError](err)
		switch {
		case ctx.Err() != nil:
			return "", 0, ctx.Err()
		case errors.Is(err, io.EOF):
			if wrong > 0 {
				return "", 0, fmt.Errorf("%d lines are no rows", wrong)
			}
			if _, err := io.Copy(io.Discard, input); err != nil {
				return "", 0, err
			}
			return hex.EncodeToString(hash.Sum(nil)), rows, nil
		case isRow:
			if wrong++; wrong <= shownErrors {
				_, _ = fmt.Fprintf(terminal, "%v\n", bad)
			}
		case err != nil:
			return "", 0, err
		default:
			rows++
		}
	}
}

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
	_, _ = fmt.Fprintf(im.out, "%d rows imported, %d of which changed something\n", sum.Rows-sum.Refused, sum.Changed)
}
