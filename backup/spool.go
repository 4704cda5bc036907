package backup

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// spoolMemory is what a spool holds in memory before it goes to a file.
const spoolMemory = 1 << 20

// spool holds lines that may have to be thrown away. Those of a large app lie in a
// file that has no name.
type spool struct {
	memory bytes.Buffer
	file   *os.File
}

// Write implements io.Writer.
func (s *spool) Write(b []byte) (int, error) {
	if s.memory.Len()+len(b) > spoolMemory {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	if len(b) > spoolMemory {
		return s.file.Write(b)
	}
	return s.memory.Write(b)
}

// flush moves what is in memory to the file.
func (s *spool) flush() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "imquota-backup-*")
		if err != nil {
			return err
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	_, err := s.memory.WriteTo(s.file)
	return err
}

func (s *spool) reset() error {
	s.memory.Reset()
	if s.file == nil {
		return nil
	}
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return err
}

// copyTo writes all of it, and leaves it empty.
func (s *spool) copyTo(w io.Writer) error {
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.Copy(w, s.file); err != nil {
			return err
		}
	}
	_, err := w.Write(s.memory.Bytes())
	return errors.Join(err, s.reset())
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
