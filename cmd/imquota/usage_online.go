package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

type usageHistoryCmd struct {
	appFlag
	clientFlags
	Months int32 `help:"How many months, the running one included; at most 13." default:"13"`
}

// Validate refuses what would be no history.
func (c *usageHistoryCmd) Validate() error {
	if err := c.clientFlags.Validate(); err != nil {
		return err
	}
	if c.Months < 1 {
		return fmt.Errorf("--months: is %d; at least 1 is needed", c.Months)
	}
	return nil
}

// Run carries the command out.
func (c *usageHistoryCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.GetUsageResponse, error) {
			return conn.quotas.GetUsage(ctx, &imquotav1.GetUsageRequest{AppId: c.App, HistoryMonths: c.Months})
		},
		func(w io.Writer, out *imquotav1.GetUsageResponse) { printHistory(w, out.GetHistory()) })
	return err
}

// printHistory prints a row a month, newest first.
func printHistory(w io.Writer, history []*imquotav1.MonthUsage) {
	keys := make(map[string]bool)
	for _, m := range history {
		for key := range m.GetUsed() {
			keys[key] = true
		}
	}
	quotas := slices.Sorted(maps.Keys(keys))
	t := &table{right: make(map[int]bool)}
	head := []string{"MONTH"}
	for i, key := range quotas {
		head = append(head, strings.ToUpper(key))
		t.right[1+i] = true
	}
	t.right[1+len(quotas)] = true
	t.add(append(head, "MOST ONLINE", "EDITIONS", "")...)
	for _, m := range history {
		row := []string{m.GetMonth()}
		for _, key := range quotas {
			row = append(row, fmt.Sprint(m.GetUsed()[key]))
		}
		editions := strings.Join(m.GetEditions(), ", ")
		t.add(append(row, fmt.Sprint(m.GetPeakOnlineUsers()), when(editions != "", editions, "-"), when(m.GetFinal(), "", "not final"))...)
	}
	t.write(w)
}

type usageOnlineCmd struct {
	appFlag
	clientFlags
	Gateway string        `help:"The gateway's id, unique in the app." required:"" placeholder:"ID"`
	Users   int64         `help:"How many users are online through it; 0 ends its lease." required:"" placeholder:"N"`
	Lease   time.Duration `help:"For how long the report holds: report again well before." default:"1m"`
}

// Run carries the command out.
func (c *usageOnlineCmd) Run(ctx context.Context, s *streams) error {
	_, err := ask(ctx, &c.clientFlags, s,
		func(ctx context.Context, conn *connection) (*imquotav1.ReportOnlineResponse, error) {
			return conn.quotas.ReportOnline(ctx, &imquotav1.ReportOnlineRequest{
				AppId: c.App, GatewayId: c.Gateway, OnlineUsers: c.Users, Lease: durationpb.New(c.Lease),
			})
		},
		func(w io.Writer, out *imquotav1.ReportOnlineResponse) {
			_, _ = fmt.Fprintf(w, "%s online, gateways: %d; at most %d at once this month\n", number(out.GetOnlineUsers(), "user"), out.GetGateways(), out.GetPeakOnlineUsers())
			if ends := out.GetLeaseEndTime(); ends != nil {
				_, _ = fmt.Fprintf(w, "  the report of %s holds until %s\n", c.Gateway, instant(ends))
			}
		})
	return err
}
