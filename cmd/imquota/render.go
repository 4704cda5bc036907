package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// decided is an answer that carries a decision.
type decided interface {
	GetDecision() *imquotav1.Decision
}

// decisionTable prints an answer's decision: what was done and how it counted,
// or why it was denied.
func decisionTable[T decided](done string, dryRun bool) func(io.Writer, T) {
	return func(w io.Writer, out T) { printDecision(w, out.GetDecision(), done, dryRun) }
}

func printDecision(w io.Writer, d *imquotav1.Decision, done string, dryRun bool) {
	if !d.GetAllowed() {
		printDenial(w, d)
		return
	}
	line := done
	if dryRun && !d.GetReplayed() {
		line = "would be " + done + "; nothing is counted in a dry run"
	}
	switch {
	case d.GetReplayed() && d.GetReservationId() != "":
		line += ", and was before"
	case d.GetReplayed():
		line += ", and counted before under this request id"
	case d.GetLate():
		line += ", late: the hold had ended and it was judged anew"
	case d.GetClamped() && dryRun:
		line += ", and there is less to give back"
	case d.GetClamped():
		line += ", but there was less to give back"
	}
	_, _ = fmt.Fprintln(w, line)
	t := &table{}
	for _, q := range d.GetQuotas() {
		t.add(counterName(q), change(q, dryRun), rest(q, dryRun))
	}
	t.write(w)
	if id := d.GetReservationId(); id != "" && done == "reserved" {
		_, _ = fmt.Fprintf(w, "  reservation %s holds until %s\n", id, instant(d.GetReservationExpireTime()))
	}
	printGrace(w, d.GetGraceUntil())
	printSource(w, d.GetSource())
}

// printSource says that an answer may be out of date.
func printSource(w io.Writer, s imquotav1.Source) {
	if s == imquotav1.Source_SOURCE_DEGRADED {
		_, _ = fmt.Fprintln(w, "  degraded: the store is away, and this is by what was known a short while ago")
	}
}

// printGrace says that an app is served for a short while only.
func printGrace(w io.Writer, until *timestamppb.Timestamp) {
	if until != nil {
		_, _ = fmt.Fprintf(w, "  the plan has expired: served until %s\n", instant(until))
	}
}

func printDenial(w io.Writer, d *imquotav1.Decision) {
	_, _ = fmt.Fprintln(w, "denied")
	for _, v := range d.GetViolations() {
		code := ""
		if v.GetUpstreamCode() != 0 {
			code = fmt.Sprintf(" (upstream code %d)", v.GetUpstreamCode())
		}
		_, _ = fmt.Fprintf(w, "  %s: %s%s\n", upper(v.GetReason(), "REASON_"), v.GetMessage(), code)
		if why := v.GetSuspensions(); len(why) > 1 { // else the message says it
			for _, s := range why {
				_, _ = fmt.Fprintf(w, "    %s\n", suspensionText(s))
			}
		}
	}
	if more := int(d.GetViolationCount()) - len(d.GetViolations()); more > 0 {
		_, _ = fmt.Fprintf(w, "  and %d more\n", more)
	}
	if u := d.GetUpgrade(); u != nil {
		_, _ = fmt.Fprintf(w, "  upgrade: %s would allow it, %s %s a month\n",
			u.GetEdition(), u.GetMonthlyPrice().GetAmount(), u.GetMonthlyPrice().GetCurrencyCode())
	}
	printSource(w, d.GetSource())
}

// counterName is "friends of alice", or "users" for one of the app.
func counterName(q *imquotav1.QuotaState) string {
	if q.GetSubject() == "" {
		return q.GetQuota()
	}
	return q.GetQuota() + " of " + q.GetSubject()
}

// change is "4 → 5 of 20". A dry run's counter has not moved yet.
func change(q *imquotav1.QuotaState, dryRun bool) string {
	before, after := q.GetUsed()-q.GetChange(), q.GetUsed()
	if dryRun {
		before, after = q.GetUsed(), q.GetUsed()+q.GetChange()
	}
	if before == after {
		return fmt.Sprintf("%d of %s", after, limitText(q))
	}
	return fmt.Sprintf("%d → %d of %s", before, after, limitText(q))
}

func limitText(q *imquotav1.QuotaState) string {
	if q.GetUnlimited() {
		return "unlimited"
	}
	return fmt.Sprint(q.GetLimit())
}

// rest is what else there is to say of a counter.
func rest(q *imquotav1.QuotaState, dryRun bool) string {
	var parts []string
	if q.GetHeld() > 0 {
		parts = append(parts, fmt.Sprintf("%d reserved", q.GetHeld()))
	}
	if q.GetOverage() > 0 && !dryRun {
		parts = append(parts, fmt.Sprintf("%d billed", q.GetOverage()))
	}
	if at := q.GetResetTime(); at != nil {
		parts = append(parts, "resets "+instant(at))
	}
	return strings.Join(parts, ", ")
}

// instant shows a time in UTC: a table is read on machines of many zones.
func instant(t *timestamppb.Timestamp) string {
	return t.AsTime().Format("2006-01-02 15:04:05 ") + "UTC"
}

// timeText is an optional time in UTC.
func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return instant(t)
}

// table lays out rows in columns, indented by two.
type table struct {
	rows  [][]string
	right map[int]bool // columns that are aligned to the right
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// columnGap is what stands between two columns.
const columnGap = "  "

// withoutFirst returns the table without its first column.
func (t *table) withoutFirst() *table {
	out := &table{right: make(map[int]bool)}
	for i := range t.right {
		out.right[i-1] = true
	}
	for _, row := range t.rows {
		if len(row) > 1 { // a lone cell is a heading
			row = row[1:]
		}
		out.add(row...)
	}
	return out
}

// columns is how wide a terminal is; zero: it is none, and as wide as need be.
func columns(w io.Writer) int {
	if checked, ok := w.(*checkedWriter); ok {
		w = checked.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// widths are those of the columns.
func (t *table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(row) > 1 { // a lone cell is a heading
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	return widths
}

// width is how many characters the widest row has.
func (t *table) width() (total int) {
	for _, n := range t.widths() {
		total += len(columnGap) + n
	}
	return total
}

func (t *table) write(w io.Writer) {
	widths := t.widths()
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if t.right[i] {
				cell = pad + cell
			} else {
				cell += pad
			}
			line.WriteString(columnGap + cell)
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// barWidth is how many cells a full bar has.
const barWidth = 20

// bar draws used of limit. Anything used at all shows, and only what has
// reached the limit is full.
func bar(used, limit int64) string {
	filled := 0
	switch {
	case used >= limit && (used > 0 || limit == 0):
		filled = barWidth
	case used > 0:
		filled = min(barWidth-1, max(1, int(float64(used)/float64(limit)*barWidth)))
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", barWidth-filled)
}

// parseTime reads an instant of a flag; none is given when it is empty.
func parseTime(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not an instant, such as 2024-06-01T00:00:00+08:00", flag, text)
	}
	return timestamppb.New(at), nil
}
