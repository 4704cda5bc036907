package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/imquota/imquota/backup"
)

type storeBackupCmd struct {
	storeFlag
	catalogsFlag
	outputFlag
	File string `arg:"" help:"The file to write; compressed when its name ends in .gz; - for standard output."`
}

// Help is printed below the summary.
func (*storeBackupCmd) Help() string {
	return `Writes all accounts, apps (deleted ones too), their logs, and what they counted.
Redis may be in use meanwhile: an app that is counted on while it is read is read
again, and named when that did not help. The embedded store is one process's:
nothing may serve from it.

Not in a backup are quotes, request ids, reservations and who is online: they are
over in minutes. Windows and quotas are those of the catalog: name the one that is
served, or what only that counts is left out; the result says which it was. The file
is there once it is whole. Exit code 1 when something could not be read: it is named,
and the rest is in the file.`
}

// withBills is which accounts have a record; the others are those of apps.
const withBills = " with bills"

// Run carries the command out.
func (c *storeBackupCmd) Run(ctx context.Context, s *streams) error {
	cat, err := c.loadAll()
	if err != nil {
		return err
	}
	opened, err := c.openThere(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	if err := opened.Ready(ctx); err != nil {
		return err
	}
	d := &backup.Dump{Store: opened, Catalog: cat, Now: time.Now, Progress: promille(s.err), Tell: s.tell}
	var end *backup.End
	write := func(w io.Writer) (err error) {
		end, err = d.Write(ctx, w, d.NewHeader(opened.String(), version()))
		return err
	}
	report := s.out
	if c.File == standardStream {
		out := bufio.NewWriter(s.out)
		if err = write(out); err == nil {
			err = out.Flush()
		}
		report = s.err
	} else {
		err = writeWhole(c.File, zipped(c.File, write))
	}
	if err != nil {
		_, _ = io.WriteString(s.err, wipe(s.err))
		if ctx.Err() != nil {
			return errors.New("stopped")
		}
		return err
	}
	text := fmt.Sprintf("%s: %s, %s, %s, %s, by catalog %s; sha256 %s", c.File,
		number(end.Accounts, "account")+withBills, number(end.Apps, "app"), number(end.Users, "user"), number(end.Entries, "entry"), cat.Version(), end.SHA256)
	if err := c.print(report, text, struct {
		File    string `json:"file"`
		Catalog string `json:"catalog"`
		*backup.End
	}{c.File, cat.Version(), end}); err != nil {
		return err
	}
	if end.Unreadable > 0 {
		return fmt.Errorf("%s left out that could not be read, named above and in the file", number(end.Unreadable, "record"))
	}
	return nil
}

// zipped has what is written compressed, if the file's name says so.
func zipped(path string, write func(io.Writer) error) func(io.Writer) error {
	if !strings.HasSuffix(path, ".gz") {
		return write
	}
	return func(w io.Writer) error {
		z := gzip.NewWriter(w)
		if err := write(z); err != nil {
			return err
		}
		return z.Close()
	}
}

// tell names what an operator should know.
func (s *streams) tell(n backup.Notice) {
	what := fmt.Sprint("app ", n.App)
	if n.Account != "" {
		what = "account " + n.Account
	}
	_, _ = fmt.Fprintf(s.err, "%s%s %s\n", wipe(s.err), what, n.Text)
}

// promille shows how far a backup is, on a terminal.
func promille(w io.Writer) func(done int64) {
	show := progress(w, func(n int64) string { return fmt.Sprintf("%d.%d %%", n/10, n%10) })
	if show == nil {
		return nil
	}
	last := int64(-1)
	return func(done int64) {
		if done != last {
			show(done, backup.ProgressTotal)
		}
		last = done
	}
}
