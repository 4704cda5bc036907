package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// The formats of a file of rows. CSV begins with a line that names the columns;
// NDJSON has an object a line, with the columns for keys.
const (
	formatCSV    = "csv"
	formatNDJSON = "ndjson"
)

// formatOf is the format that was asked for, or the one that a name ends in.
func formatOf(asked, path string) (string, error) {
	switch extension := strings.ToLower(filepath.Ext(path)); {
	case asked != "":
		return asked, nil
	case extension == ".csv":
		return formatCSV, nil
	case extension == ".ndjson" || extension == ".jsonl":
		return formatNDJSON, nil
	}
	return "", fmt.Errorf("--format: %s does not end in .csv, .ndjson or .jsonl: say which it is", path)
}

// rowColumns are those of a CSV file, in the sequence in which they are written.
var rowColumns = []string{"quota", "subject", "used", "observed", "group_type", "window"}

// maxRowBytes bounds a line: no id or key is nearly as long.
const maxRowBytes = 64 << 10

// rowError is what is wrong with a line of a file.
type rowError struct {
	line int
	err  error
}

func (e *rowError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *rowError) Unwrap() error { return e.err }

// rowReader reads rows one by one: io.EOF after the last, a *rowError for a line
// that is none, after which the next can be read.
type rowReader interface {
	read() (row *imquotav1.UsageRow, line int, err error)
}

func newRowReader(r io.Reader, format string) (rowReader, error) {
	buffered := bufio.NewReaderSize(r, maxRowBytes)
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // as spreadsheets write it
		_, _ = buffered.Discard(len(mark))
	}
	if format == formatNDJSON {
		return &ndjsonReader{lines: lineReader{r: buffered}}, nil
	}
	return newCSVReader(&boundedLines{r: buffered})
}

// lineReader reads lines that are not too long.
type lineReader struct {
	r    *bufio.Reader
	line int
}

var errLongLine = fmt.Errorf("is longer than %d bytes", maxRowBytes)

// next returns a line without its end; io.EOF after the last.
func (l *lineReader) next() ([]byte, error) {
	text, err := l.r.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return nil, err
	}
	l.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		return nil, &rowError{l.line, errLongLine}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimRight(text, "\r\n"), nil
}

// boundedLines passes lines on, and fails at one that is too long: csv.Reader
// would keep all of a quoted field that never ends.
type boundedLines struct {
	r    *bufio.Reader
	size int // of the line so far
	line int // how many have ended
}

// Read implements io.Reader.
func (b *boundedLines) Read(p []byte) (int, error) {
	n, err := b.r.Read(p[:min(len(p), maxRowBytes)])
	for _, c := range p[:n] {
		if b.size++; b.size > maxRowBytes {
			return 0, fmt.Errorf("line %d: %w", b.line+1, errLongLine) // what follows it is not found
		}
		if c == '\n' {
			b.size, b.line = 0, b.line+1
		}
	}
	return n, err
}

// csvReader reads rows of a CSV file.
type csvReader struct {
	csv     *csv.Reader
	columns []string
}

func newCSVReader(r io.Reader) (*csvReader, error) {
	c := &csvReader{csv: csv.NewReader(r)}
	c.csv.ReuseRecord = true
	head, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty; a CSV file begins with the names of its columns")
	}
	if err != nil {
		return nil, csvError(err)
	}
	for _, name := range head {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(rowColumns, name):
			return nil, &rowError{1, fmt.Errorf("there is no column %q; there are %s", name, strings.Join(rowColumns, ", "))}
		case slices.Contains(c.columns, name):
			return nil, &rowError{1, fmt.Errorf("the column %s is there twice", name)}
		}
		c.columns = append(c.columns, name)
	}
	for _, name := range []string{"quota", "used"} {
		if !slices.Contains(c.columns, name) {
			return nil, &rowError{1, fmt.Errorf("the column %s is missing", name)}
		}
	}
	return c, nil
}

func csvError(err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return &rowError{parse.Line, parse.Err}
	}
	return err
}

func (c *csvReader) read() (*imquotav1.UsageRow, int, error) {
	record, err := c.csv.Read()
	if err != nil {
		err = csvError(err)
		line := 0
		if bad, ok := errors.AsType[*rowError](err); ok {
			line = bad.line
		}
		return nil, line, err
	}
	line, _ := c.csv.FieldPos(0)
	row := &imquotav1.UsageRow{}
	for i, name := range c.columns {
		if err := setColumn(row, name, record[i]); err != nil {
			return nil, line, &rowError{line, err}
		}
	}
	return row, line, nil
}

func setColumn(row *imquotav1.UsageRow, name, text string) error {
	switch name {
	case "quota":
		row.Quota = text
	case "subject":
		row.Subject = text
	case "group_type":
		row.GroupType = text
	case "window":
		row.Window = text
	case "used":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("used: %q is not a whole number", text)
		}
		row.Used = n
	case "observed":
		if text == "" {
			return nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("observed: %q is not a whole number", text)
		}
		row.Observed = &n
	}
	return nil
}

// ndjsonReader reads rows of an NDJSON file. Empty lines are none.
type ndjsonReader struct{ lines lineReader }

// rowJSON is a row as it is written in NDJSON.
type rowJSON struct {
	Quota     string `json:"quota"`
	Subject   string `json:"subject,omitempty"`
	Used      *int64 `json:"used"`
	Observed  *int64 `json:"observed,omitempty"`
	GroupType string `json:"group_type,omitempty"`
	Window    string `json:"window,omitempty"`
}

func (n *ndjsonReader) read() (*imquotav1.UsageRow, int, error) {
	for {
		text, err := n.lines.next()
		if err != nil {
			return nil, n.lines.line, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		row, err := parseRowJSON(text)
		if err != nil {
			return nil, n.lines.line, &rowError{n.lines.line, err}
		}
		return row, n.lines.line, nil
	}
}

func parseRowJSON(text []byte) (*imquotav1.UsageRow, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var row rowJSON
	if err := decoder.Decode(&row); err != nil {
		return nil, jsonCause(err)
	}
	if decoder.More() {
		return nil, errors.New("there is more than one object on it")
	}
	if row.Used == nil {
		return nil, errors.New("used is missing")
	}
	return &imquotav1.UsageRow{
		Quota: row.Quota, Subject: row.Subject, Used: *row.Used, Observed: row.Observed, GroupType: row.GroupType, Window: row.Window,
	}, nil
}

// jsonCause says what is wrong without the decoder's own words where it names Go.
func jsonCause(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("is a JSON %s, not an object", wrong.Value)
		}
		want := "a whole number"
		if wrong.Type.Kind() == reflect.String {
			want = "a string"
		}
		return fmt.Errorf("%s: a JSON %s is not %s", wrong.Field, wrong.Value, want)
	}
	return fmt.Errorf("is not a JSON object with the keys %s: %s", strings.Join(rowColumns, ", "), strings.TrimPrefix(err.Error(), "json: "))
}

// rowWriter writes rows as rowReader reads them.
type rowWriter struct {
	w   *bufio.Writer
	csv *csv.Writer // nil: NDJSON
}

// newRowWriter begins at the beginning of a file, or goes on with one.
func newRowWriter(w io.Writer, format string, isNew bool) *rowWriter {
	out := &rowWriter{w: bufio.NewWriter(w)}
	if format == formatCSV {
		out.csv = csv.NewWriter(out.w)
	}
	if out.csv != nil && isNew {
		_ = out.csv.Write(rowColumns) // flush tells
	}
	return out
}

func (w *rowWriter) write(row *imquotav1.UsageRow) error {
	if w.csv != nil {
		observed := ""
		if row.Observed != nil {
			observed = strconv.FormatInt(row.GetObserved(), 10)
		}
		return w.csv.Write([]string{row.GetQuota(), row.GetSubject(), strconv.FormatInt(row.GetUsed(), 10), observed, row.GetGroupType(), row.GetWindow()})
	}
	used := row.GetUsed()
	encoder := json.NewEncoder(w.w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(rowJSON{
		Quota: row.GetQuota(), Subject: row.GetSubject(), Used: &used, Observed: row.Observed, GroupType: row.GetGroupType(), Window: row.GetWindow(),
	})
}

func (w *rowWriter) flush() error {
	if w.csv != nil {
		w.csv.Flush()
		if err := w.csv.Error(); err != nil {
			return err
		}
	}
	return w.w.Flush()
}
