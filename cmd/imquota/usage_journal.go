package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/imquota/imquota/quota"
)

// journal is how far an import is, in a file beside the one that is imported: an
// import that broke off goes on from there.
type journal struct {
	path string // empty: none is kept

	App  uint32 `json:"appId"`
	File string `json:"sha256"`
	// Nonce makes the request ids of this import nobody else's.
	Nonce string `json:"nonce"`
	Done  int64  `json:"rowsDone"`
	// Sent is when the rows that follow were sent first, whose answer never came;
	// SentRows how many they are.
	Sent     time.Time `json:"sent,omitzero"`
	SentRows int       `json:"sentRows,omitempty"`
	// Rejects is the file of refused rows, if there is one, and RejectsBytes how
	// much of it is of the rows that are done.
	Rejects      string `json:"rejects,omitempty"`
	RejectsBytes int64  `json:"rejectsBytes,omitempty"`

	Totals importTotals `json:"totals"`
}

// inDoubtFor is how long a part whose answer is lost may be sent again and takes
// effect once: a while less than its request id is remembered.
const inDoubtFor = quota.RequestHorizon - time.Minute

// openJournal reads the journal of an earlier attempt, or begins one.
func openJournal(path string, app uint32, file string) (*journal, error) {
	j := &journal{path: path, App: app, File: file}
	if path != "" {
		text, err := os.ReadFile(path) //nolint:gosec // the path is the operator's
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			return j, j.resume(text)
		}
	}
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails
	j.Nonce = hex.EncodeToString(nonce[:])
	return j, nil
}

// resume goes on with an attempt that was of the same file and app.
func (j *journal) resume(text []byte) error {
	earlier := journal{path: j.path}
	if err := json.Unmarshal(text, &earlier); err != nil || earlier.Nonce == "" {
		return fmt.Errorf("%s is not the journal of an import; move it away, or name another with --journal", j.path)
	}
	if earlier.App != j.App || earlier.File != j.File {
		return fmt.Errorf("%s is the journal of an import that broke off after %d rows, of another app or of another content of the file; "+
			"move it away to begin anew", j.path, earlier.Done)
	}
	*j = earlier
	return nil
}

// requestID is of the rows that follow.
func (j *journal) requestID() string { return fmt.Sprintf("import-%s-%d", j.Nonce, j.Done) }

// isBegun reports whether there is something to go on with.
func (j *journal) isBegun() bool { return j.Done > 0 || !j.Sent.IsZero() }

// takeBack notes that the rows that were sent are known to have changed nothing.
// An import that is not begun needs no journal.
func (j *journal) takeBack() error {
	j.Sent, j.SentRows = time.Time{}, 0
	if j.isBegun() {
		return j.save()
	}
	j.Rejects, j.RejectsBytes = "", 0
	return j.remove()
}

// send notes that rows are about to be sent, unless they were before.
func (j *journal) send(rows int, now time.Time) error {
	if j.Sent.IsZero() {
		j.Sent, j.SentRows = now, rows
	}
	return j.save()
}

// finished notes that the rows that were sent are answered.
func (j *journal) finished(rows int) {
	j.Done += int64(rows)
	j.Sent, j.SentRows = time.Time{}, 0
}

func (j *journal) save() error {
	if j.path == "" {
		return nil
	}
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return writeWhole(j.path, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// remove ends it: all rows are answered.
func (j *journal) remove() error {
	if j.path == "" {
		return nil
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
