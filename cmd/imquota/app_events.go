package main

import (
	"context"
	"fmt"
	"io"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

type appEventsCmd struct {
	appFlag
	clientFlags
	Limit int32 `help:"How many to show, from the newest back; 0 for all." default:"20"`
}

// Help is printed below the summary.
func (*appEventsCmd) Help() string {
	return `Each change is one line, and below it what became different, as it is stored. A
name without "certified" is what the caller said of itself; no name is a server's
own doing. The log outlives the app.`
}

// Validate refuses to show less than nothing.
func (c *appEventsCmd) Validate() error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit: %d is negative", c.Limit)
	}
	return nil
}

// eventsPage is as many events as a server answers at once.
const eventsPage = 300

// Run carries the command out: as many pages as it takes, as one answer.
func (c *appEventsCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ListAppEventsResponse, error) {
			all := &imquotav1.ListAppEventsResponse{}
			for {
				in := &imquotav1.ListAppEventsRequest{AppId: c.App, PageSize: eventsPage, PageToken: all.GetNextPageToken()}
				if c.Limit > 0 {
					in.PageSize = min(eventsPage, c.Limit-int32(len(all.GetEvents())))
				}
				page, err := conn.apps.ListAppEvents(ctx, in)
				if err != nil {
					return nil, err
				}
				all.Events = append(all.Events, page.GetEvents()...)
				all.NextPageToken = page.GetNextPageToken()
				if all.GetNextPageToken() == "" || int32(len(all.GetEvents())) == c.Limit {
					return all, nil
				}
			}
		},
		func(w io.Writer, out *imquotav1.ListAppEventsResponse) {
			_, _ = fmt.Fprintf(w, "app %d\n", c.App)
			printEvents(w, out.GetEvents())
			if out.GetNextPageToken() != "" {
				_, _ = fmt.Fprintln(w, "  older ones are not shown: say --limit 0 for all")
			}
		})
	return err
}

func printEvents(w io.Writer, events []*imquotav1.AppEvent) {
	t := &table{right: map[int]bool{0: true}}
	t.add("REVISION", "WHEN", "ACTION", "WHO", "REQUEST")
	for _, e := range events {
		who := e.GetActor()
		if e.GetActorCertified() {
			who += " (certified)"
		}
		t.add(fmt.Sprint(e.GetRevision()), timeText(e.GetEventTime()), e.GetAction(), who, e.GetRequestId())
		for _, c := range e.GetChanges() {
			t.add(fmt.Sprintf("%*s%s: %s → %s", len("REVISION")+len(columnGap), "", c.GetField(), orNone(c.GetBefore()), orNone(c.GetAfter())))
		}
	}
	t.write(w)
}

func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}
