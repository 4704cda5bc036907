package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/quota"
)

// Part is what a line of a backup says; one field is set.
type Part struct {
	Account    *account.Account
	App        *account.App // Version.Revision is set
	Events     []account.Event
	Entries    []quota.Entry
	Done       *Done
	Unreadable *Unreadable
}

// Reader reads a backup.
type Reader struct {
	Header Header
	End    *End // once Next has answered io.EOF

	lines  *bufio.Scanner
	sum    hash.Hash
	number int // of the line
	totals Totals
	app    *Done // of the app at hand: what came of it yet
}

// LineError says what is wrong with a line of a backup.
type LineError struct {
	Line int
	Err  error
}

// Error names the line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// What may be wrong with a file as a whole.
var (
	errNoBackup = errors.New("it is no backup of imquota")
	errCutOff   = errors.New("it is cut off: the last line is missing")
	errChanged  = errors.New("it was changed after it was written: its checksum is another")
)

// NewReader begins to read a backup, which may be compressed. Errors: a *LineError.
func NewReader(from io.Reader) (*Reader, error) {
	buffered := bufio.NewReaderSize(from, 1<<16)
	var text io.Reader = buffered
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, &LineError{1, err}
		}
		text = unzipped
	}
	r := &Reader{lines: bufio.NewScanner(text), sum: sha256.New(), number: 1}
	r.lines.Buffer(nil, maxLine+1)
	r.lines.Split(wholeLine)
	if !r.lines.Scan() {
		return nil, r.fault(r.cutOff(errNoBackup))
	}
	// A format that is newer may have what is not known here.
	var head struct {
		Header *struct {
			Format int `json:"format"`
		} `json:"header"`
	}
	if err := json.Unmarshal(r.lines.Bytes(), &head); err != nil || head.Header == nil || head.Header.Format < 1 {
		return nil, r.fault(errNoBackup)
	}
	if f := head.Header.Format; f > format {
		return nil, r.fault(fmt.Errorf("it has format %d; this version of imquota knows format %d", f, format))
	}
	first, err := r.decode()
	if err != nil {
		return nil, r.fault(err)
	}
	r.Header = *first.Header
	r.note()
	return r, nil
}

// wholeLine splits a text into lines that end, their ends included.
func wholeLine(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errCutOff
	}
	return 0, nil, nil
}

func (r *Reader) fault(err error) error { return &LineError{r.number, err} }

// cutOff is why there is no next line: otherwise, if nothing is wrong but that.
func (r *Reader) cutOff(otherwise error) error {
	switch err := r.lines.Err(); {
	case err == nil:
		return otherwise
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("it is longer than %d bytes", maxLine)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCutOff
	default:
		return err
	}
}

// note adds the line to the checksum.
func (r *Reader) note() { _, _ = r.sum.Write(r.lines.Bytes()) } // never fails

// decode reads the line at hand.
func (r *Reader) decode() (*line, error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(r.lines.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, err
	}
	if rest, err := io.ReadAll(io.MultiReader(d.Buffered())); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("there is something behind it")
	}
	return &l, nil
}

// Next reads the next line. It answers io.EOF once the last one was read and the
// file is known to be whole. Any other error is a *LineError.
func (r *Reader) Next() (*Part, error) {
	r.number++
	if !r.lines.Scan() {
		return nil, r.fault(r.cutOff(errCutOff))
	}
	l, err := r.decode()
	if err != nil {
		return nil, r.fault(err)
	}
	if l.End != nil {
		if err := r.end(l.End); err != nil {
			return nil, r.fault(err)
		}
		return nil, io.EOF
	}
	p, err := r.part(l)
	if err != nil {
		return nil, r.fault(err)
	}
	r.note()
	return p, nil
}

// end checks the last line.
func (r *Reader) end(e *End) error {
	// The checksum is of all lines but this one, which must be just as it is written.
	var written bytes.Buffer
	if err := writeLine(&written, &line{End: e}); err != nil {
		return err
	}
	switch {
	case r.app != nil:
		return fmt.Errorf("app %d has no end", r.app.App)
	case !bytes.Equal(written.Bytes(), r.lines.Bytes()):
		return errChanged
	case e.SHA256 != hex.EncodeToString(r.sum.Sum(nil)):
		return errChanged
	case e.Totals != r.totals:
		return errors.New("it holds something else than its last line says")
	}
	r.number++
	if r.lines.Scan() || errors.Is(r.lines.Err(), errCutOff) {
		return errors.New("there is something behind the last line")
	}
	if err := r.lines.Err(); err != nil {
		return r.cutOff(nil)
	}
	r.End = e
	return nil
}

// part reads what a line says, where it may say so.
func (r *Reader) part(l *line) (*Part, error) {
	isOfApp := len(l.Events) > 0 || len(l.Entries) > 0 || l.Done != nil
	if isOfApp != (r.app != nil) {
		return nil, errors.New("it does not belong here")
	}
	switch {
	case len(l.Account) > 0:
		owner, err := account.DecodeAccount(l.AccountID, l.Account, account.Version{})
		r.totals.Accounts++
		return &Part{Account: owner}, err
	case l.App != nil:
		return r.beginApp(l.App)
	case len(l.Events) > 0:
		return r.events(l.Events)
	case len(l.Entries) > 0:
		return r.entries(l.Entries)
	case l.Done != nil:
		return r.endApp(l.Done)
	case l.Unreadable != nil:
		r.totals.Unreadable++
		return &Part{Unreadable: l.Unreadable}, nil
	}
	return nil, errors.New("it says nothing")
}

func (r *Reader) beginApp(l *appLine) (*Part, error) {
	if l.ID == 0 || l.Revision == 0 {
		return nil, errors.New("an app without an id or a revision")
	}
	app, err := account.DecodeApp(l.ID, l.Record, account.Version{Revision: l.Revision})
	if err != nil {
		return nil, err
	}
	if !account.IsFanout(app.FanoutBits) {
		return nil, fmt.Errorf("app %d is spread over 2^%d buckets", l.ID, app.FanoutBits)
	}
	r.app = &Done{App: app.ID}
	return &Part{App: app}, nil
}

func (r *Reader) events(lines []eventLine) (*Part, error) {
	events := make([]account.Event, len(lines))
	for i, l := range lines {
		if err := json.Unmarshal(l.Event, &events[i]); err != nil {
			return nil, err
		}
		events[i].Revision = l.Revision
	}
	if r.app.Events += int64(len(events)); r.app.Events > account.EventsKept {
		return nil, fmt.Errorf("app %d has more than %d events", r.app.App, account.EventsKept)
	}
	return &Part{Events: events}, nil
}

func (r *Reader) entries(lines []entryLine) (*Part, error) {
	entries := make([]quota.Entry, len(lines))
	for i := range lines {
		var err error
		if entries[i], err = lines[i].decode(); err != nil {
			return nil, err
		}
		if entries[i].Registered {
			r.app.Users++
		}
	}
	r.app.Entries += int64(len(entries))
	return &Part{Entries: entries}, nil
}

func (r *Reader) endApp(d *Done) (*Part, error) {
	found := *r.app
	found.Moved = d.Moved
	if found != *d {
		return nil, fmt.Errorf("app %d holds something else than its end says", d.App)
	}
	r.totals.add(d)
	r.app = nil
	return &Part{Done: d}, nil
}
