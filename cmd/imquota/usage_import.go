package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
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
	case c.DryRun || c.Journal == noJournal || c.File == standardStream && c.Journal == "":
		return ""
	case c.Journal != "":
		return c.Journal
	}
	return c.File + ".import"
}

// open opens the file, and says which format it has.
func (c *usageImportCmd) open() (*os.File, string, error) {
	if c.File == standardStream && c.Format == "" {
		return nil, "", errors.New("--format: say which format the standard input has")
	}
	format, err := formatOf(c.Format, c.File)
	if err != nil {
		return nil, "", err
	}
	f, err := openInput(c.File)
	return f, format, err
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
				return "", 0, fmt.Errorf("lines that are no rows: %d", wrong)
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
