package main

import (
	"context"
	"fmt"
	"io"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

type appReclaimCmd struct {
	clientFlags
	actorFlag
	DryRun bool `help:"Show which apps it would be; remove nothing."`
}

// Help is printed below the summary.
func (*appReclaimCmd) Help() string {
	return `Removes the counters of apps that were suspended for so long that their data is
not kept, and those of deleted apps that are left. It looks at all apps, some at
a time; --timeout is for each time. Stopped, it can be run again.`
}

// Run carries the command out.
func (c *appReclaimCmd) Run(ctx context.Context, s *streams) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.close()
	all, err := c.reclaim(ctx, conn, s.err)
	switch {
	case err != nil && (c.Output == outputJSON || len(all.GetApps()) == 0):
		return err
	case c.Output == outputJSON:
		err = printJSON(s.out, all)
	default:
		c.table(s.out, all, err == nil)
	}
	if n := len(all.GetFailures()); n > 0 && err == nil {
		return fmt.Errorf("%s could not be looked after", when(n == 1, "1 app", fmt.Sprintf("%d apps", n)))
	}
	return err
}

// reclaim looks at all apps. Beside an error it answers what was done before.
func (c *appReclaimCmd) reclaim(ctx context.Context, conn *connection, terminal io.Writer) (*imquotav1.ReclaimAppsResponse, error) {
	show := progress(terminal, func(parts int64) string { return fmt.Sprint(parts) })
	all := &imquotav1.ReclaimAppsResponse{}
	for token := ""; ; {
		step, err := conn.apps.ReclaimApps(ctx, &imquotav1.ReclaimAppsRequest{DryRun: c.DryRun, Actor: c.actor(), PageToken: token})
		if err != nil {
			if show != nil && token != "" {
				_, _ = fmt.Fprintln(terminal)
			}
			return all, &callError{flags: &c.clientFlags, err: err}
		}
		all.Apps = append(all.Apps, step.GetApps()...)
		all.Failures = append(all.Failures, step.GetFailures()...)
		token = step.GetNextPageToken()
		all.Total, all.Done = step.GetTotal(), step.GetTotal()
		if token != "" { // the last part may take several steps
			all.Done = max(0, min(step.GetDone(), step.GetTotal()-1))
		}
		if show != nil {
			show(all.GetDone(), all.GetTotal())
		}
		if token == "" {
			return all, nil
		}
	}
}

// table lists the apps, and says what became of them.
func (c *appReclaimCmd) table(w io.Writer, out *imquotav1.ReclaimAppsResponse, isWhole bool) {
	n := len(out.GetApps())
	for _, f := range out.GetFailures() {
		_, _ = fmt.Fprintf(w, "app %d: %s [%s]\n", f.GetAppId(), f.GetMessage(), upper(f.GetReason(), "ERROR_REASON_"))
	}
	if n == 0 && len(out.GetFailures()) > 0 {
		return
	}
	if n == 0 {
		_, _ = fmt.Fprintln(w, "nothing is left of apps that are gone")
		return
	}
	t := &table{}
	t.add("APP", "ACCOUNT", "STATE", "SINCE")
	for _, a := range out.GetApps() {
		t.add(fmt.Sprint(a.GetAppId()), a.GetAccountId(), lower(a.GetState(), "APP_STATE_"), timeText(a.GetSince()))
	}
	t.write(w)
	line := "the counters of " + when(n == 1, "1 app", fmt.Sprintf("%d apps", n)) + when(c.DryRun, " would be removed: a dry run", " were removed")
	if !isWhole {
		line += ", and not all apps were looked at"
	}
	_, _ = fmt.Fprintln(w, line)
}
