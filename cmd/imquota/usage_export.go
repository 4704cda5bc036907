package main

import (
	"context"
	"fmt"
	"io"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

type usageExportCmd struct {
	appFlag
	clientFlags
	File     string `arg:"" help:"The file to write, or - for the standard output."`
	Format   string `help:"csv or ndjson; by the file's name when it is not given." enum:"csv,ndjson," default:"" placeholder:"FORMAT"`
	Observed bool   `help:"Fill the column observed, too: an import of the file with other values in used then keeps what is counted meanwhile."`
}

// Help is printed below the summary.
func (*usageExportCmd) Help() string {
	return `Writes what an app uses now, a row a counter and a row a member of users and
free_mau, beside live traffic: each row is as it was when it was read. usage import
takes the file. What is only held is not in it, nor are the totals of users and
free_mau, which their members make. For all of a store see imquota store backup.

Columns: quota, subject, used, observed, group_type, window.`
}

// exportPage is how many rows are asked for at once.
const exportPage = 2000

// Run carries the command out.
func (c *usageExportCmd) Run(ctx context.Context, s *streams) error {
	if c.File == standardStream && c.Format == "" {
		c.Format = formatCSV
	}
	format, err := formatOf(c.Format, c.File)
	if err != nil {
		return err
	}
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.close()
	if c.File == standardStream {
		_, err := c.export(ctx, conn, s.out, s.err, format)
		return err
	}
	var rows int64
	err = writeWhole(c.File, func(w io.Writer) (err error) {
		rows, err = c.export(ctx, conn, w, s.err, format)
		return err
	})
	if err != nil {
		return err
	}
	return c.print(s.out, fmt.Sprintf("%s: %d rows of app %d", c.File, rows, c.App), struct {
		File string `json:"file"`
		App  uint32 `json:"appId"`
		Rows int64  `json:"rows"`
	}{c.File, c.App, rows})
}

// export writes all rows and returns how many there are.
func (c *usageExportCmd) export(ctx context.Context, conn *connection, w, terminal io.Writer, format string) (rows int64, err error) {
	show := progress(terminal, func(parts int64) string { return fmt.Sprint(parts) })
	out := newRowWriter(w, format, true)
	ask := &imquotav1.ExportUsageRequest{AppId: c.App, PageSize: exportPage}
	for {
		page, err := conn.apps.ExportUsage(ctx, ask)
		if err != nil {
			_, _ = io.WriteString(terminal, wipe(terminal))
			return rows, &callError{flags: &c.clientFlags, err: err}
		}
		for _, row := range page.GetRows() {
			if used := row.GetUsed(); c.Observed && !isDistinct(row.GetQuota()) {
				row.Observed = &used
			}
			if err := out.write(row); err != nil {
				return rows, err
			}
			rows++
		}
		if show != nil && page.GetTotal() > 0 {
			show(page.GetDone(), page.GetTotal())
		}
		if ask.PageToken = page.GetNextPageToken(); ask.GetPageToken() == "" {
			return rows, out.flush()
		}
	}
}
