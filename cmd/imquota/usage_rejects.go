package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// rejects is the file of the rows of an import that were refused.
type rejects struct {
	file    *os.File
	rows    *rowWriter
	journal *journal
}

// openRejects opens the file. An import that goes on keeps what its journal has
// noted of it: the rows behind that are answered once more. A file that is not
// this import's is left alone.
func openRejects(path, format string, j *journal) (*rejects, error) {
	flags, noted := os.O_WRONLY|os.O_CREATE, int64(0)
	if j.Rejects == path {
		noted = j.RejectsBytes
	} else {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	end, err := f.Seek(0, io.SeekEnd)
	noted = min(noted, end) // it may have been moved away
	if err == nil {
		err = f.Truncate(noted)
	}
	if err == nil {
		_, err = f.Seek(noted, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j.Rejects, j.RejectsBytes = path, noted
	return &rejects{file: f, rows: newRowWriter(f, format, noted == 0), journal: j}, nil
}

// flush writes what is left, for the journal to note.
func (r *rejects) flush() error {
	if r == nil {
		return nil
	}
	err := r.rows.flush()
	if err == nil {
		r.journal.RejectsBytes, err = r.file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return fmt.Errorf("--rejects: %w", err)
	}
	return nil
}

// close closes the file, and removes it if no attempt is to go on with it and none
// has written to it.
func (r *rejects) close() {
	_ = r.file.Close() // flush tells
	if r.journal.Rejects == "" {
		_ = os.Remove(r.file.Name())
	}
}
