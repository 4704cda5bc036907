package backup

import (
	"bytes"
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

// Writer writes a backup.
type Writer struct {
	to     io.Writer
	sum    hash.Hash
	totals Totals
}

// NewWriter begins a backup; who calls it closes w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format = format
	sum := sha256.New()
	b := &Writer{to: io.MultiWriter(w, sum), sum: sum}
	return b, b.line(&line{Header: &h})
}

func (w *Writer) line(l *line) error { return writeLine(w.to, l) }

func writeLine(w io.Writer, l *line) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return err
	}
	if b.Len() > maxLine {
		return &tooLongError{b.Len()}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// tooLongError says that a record or an event does not fit a line.
type tooLongError struct{ size int }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("it takes %d bytes, and a line of a backup has no more than %d", e.size, maxLine)
}

// Account writes an account.
func (w *Writer) Account(owner *account.Account) error {
	record, err := account.EncodeAccount(owner)
	if err != nil {
		return err
	}
	if err := w.line(&line{AccountID: owner.ID, Account: record}); err != nil {
		return err
	}
	w.totals.Accounts++
	return nil
}

// Unreadable notes what is not in the backup.
func (w *Writer) Unreadable(u Unreadable) error {
	w.totals.Unreadable++
	return w.line(&line{Unreadable: &u})
}

// App writes an app that was read.
func (w *Writer) App(a *AppLines) error {
	if err := a.lines.copyTo(w.to); err != nil {
		return err
	}
	w.totals.add(&a.done)
	return nil
}

// End writes the last line.
func (w *Writer) End() (*End, error) {
	end := &End{w.totals, hex.EncodeToString(w.sum.Sum(nil))}
	return end, w.line(&line{End: end})
}

// AppLines are the lines of one app, kept until it is known that they are right.
type AppLines struct {
	lines spool
	done  Done
}

// Begin begins anew, with the app's record.
func (a *AppLines) Begin(app *account.App) error {
	a.done = Done{App: app.ID}
	if err := a.lines.reset(); err != nil {
		return err
	}
	record, err := account.EncodeApp(app)
	if err != nil {
		return err
	}
	return writeLine(&a.lines, &line{App: &appLine{app.ID, app.Version.Revision, record}})
}

// Events adds events of the app's log.
func (a *AppLines) Events(events []account.Event) error {
	lines := make([]eventLine, len(events))
	for i, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		lines[i] = eventLine{e.Revision, text}
	}
	a.done.Events += int64(len(events))
	return writeChunks(&a.lines, lines, eventsOfLine, func(chunk []eventLine) *line { return &line{Events: chunk} })
}

// Entries adds what the app counted.
func (a *AppLines) Entries(entries []quota.Entry) error {
	lines := make([]entryLine, len(entries))
	for i := range entries {
		lines[i] = encodeEntry(&entries[i])
		if entries[i].Registered {
			a.done.Users++
		}
	}
	a.done.Entries += int64(len(entries))
	return writeChunks(&a.lines, lines, entriesOfLine, func(chunk []entryLine) *line { return &line{Entries: chunk} })
}

// writeChunks writes lines of at most so many elements each, fewer where those are
// large.
func writeChunks[T any](w io.Writer, all []T, most int, of func([]T) *line) error {
	for len(all) > 0 {
		chunk := all[:min(most, len(all))]
		err := writeLine(w, of(chunk))
		if _, isLong := errors.AsType[*tooLongError](err); isLong && len(chunk) > 1 {
			most = len(chunk) / 2
			continue
		}
		if err != nil {
			return err
		}
		all = all[len(chunk):]
	}
	return nil
}

// Done ends the app.
func (a *AppLines) Done(moved bool) error {
	a.done.Moved = moved
	return writeLine(&a.lines, &line{Done: &a.done})
}

// Close lets go of the lines.
func (a *AppLines) Close() error { return a.lines.close() }
