package main

import (
	"errors"
	"io"
	"os"
)

// standardStream is what a file is called that is standard input or output.
const standardStream = "-"

// openInput opens a file that is read twice. What comes from standard input is
// kept first, in a file without a name that goes with the process.
func openInput(path string) (*os.File, error) {
	if path != standardStream {
		return os.Open(path) //nolint:gosec // the path is the operator's
	}
	f, err := os.CreateTemp("", "imquota-input-*")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, os.Stdin)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
