package main

import (
	"context"
	"fmt"
	"io"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// usageCmd shows and sets counters.
type usageCmd struct {
	Show    usageShowCmd    `cmd:"" help:"Draw used of limit for an app, a user, a group."`
	History usageHistoryCmd `cmd:"" help:"List what an app used month by month; also of one that is deleted."`
	Online  usageOnlineCmd  `cmd:"" help:"Report how many users are online through a gateway."`
	Set     usageSetCmd     `cmd:"" help:"Set one counter to what is known from elsewhere."`
	Import  usageImportCmd  `cmd:"" help:"Set many counters to what a file says, or show where they differ."`
	Export  usageExportCmd  `cmd:"" help:"Write what an app uses to a file that import takes."`
}

type usageShowCmd struct {
	appFlag
	clientFlags
	User  string   `help:"Show this user's counters." placeholder:"ID"`
	Group string   `help:"Show this group's counters." placeholder:"ID"`
	Quota []string `help:"Show only this quota; may be repeated." placeholder:"KEY"`
}

// Run carries the command out.
func (c *usageShowCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetUsageResponse, error) {
			return conn.quotas.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: c.App, Quotas: c.Quota, UserId: c.User, GroupId: c.Group})
		},
		func(w io.Writer, out *imquotav1.GetUsageResponse) {
			_, _ = fmt.Fprintf(w, "app %d, %s edition, catalog %s\n", c.App, out.GetEdition(), out.GetCatalogVersion())
			printUsage(w, out.GetQuotas())
			if at := out.GetTailLossTime(); at != nil {
				_, _ = fmt.Fprintf(w, "  the store lost counts of the app, noticed %s: they may be too low\n", instant(at))
			}
			if c.User == "" && c.Group == "" {
				_, _ = fmt.Fprintf(w, "  %s online, at most %d at once this month\n", number(out.GetOnlineUsers(), "user"), out.GetPeakOnlineUsers())
			}
		})
	return err
}

// printUsage draws one bar a counter.
func printUsage(w io.Writer, quotas []*imquotav1.QuotaState) {
	t := &table{right: map[int]bool{2: true}}
	for _, q := range quotas {
		drawn := bar(q.GetUsed(), q.GetLimit())
		if q.GetUnlimited() {
			drawn = ""
		}
		t.add(counterName(q), drawn, fmt.Sprint(q.GetUsed()), "of "+limitText(q), rest(q, false))
	}
	t.write(w)
}

type usageSetCmd struct {
	appFlag
	clientFlags
	RequestID string `help:"Id that makes a repeated call count once, for ten minutes at least." placeholder:"ID"`
	Quota     string `help:"Key of the quota." required:"" placeholder:"KEY"`
	Subject   string `help:"The user or group, by the quota's scope; empty for the app." placeholder:"ID"`
	Used      int64  `help:"The value." required:"" placeholder:"N"`
	Observed  *int64 `help:"The counter that was seen when --used was measured: what was counted since is kept." placeholder:"N"`
	GroupType string `help:"Type of a group that imquota does not know yet." placeholder:"TYPE"`
	DryRun    bool   `help:"Show what would change; change nothing."`
}

// Run carries the command out.
func (c *usageSetCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.SetUsageResponse, error) {
			return conn.apps.SetUsage(ctx, &imquotav1.SetUsageRequest{
				AppId: c.App, RequestId: c.RequestID, Quota: c.Quota, Subject: c.Subject, Used: c.Used,
				Observed: c.Observed, DryRun: c.DryRun, GroupType: c.GroupType,
			})
		},
		func(w io.Writer, out *imquotav1.SetUsageResponse) {
			verb := "set"
			switch {
			case out.GetReplayed():
				verb = "set before under this request id"
			case c.DryRun:
				verb = "would be set: a dry run"
			}
			_, _ = fmt.Fprintln(w, verb)
			t := &table{}
			t.add(counterName(out.GetState()), fmt.Sprintf("%d → %d of %s", out.GetBefore(), out.GetAfter(), limitText(out.GetState())))
			t.write(w)
		})
	return err
}
