package server

import (
	"context"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/ratings"
)

// Bounds of a report.
const (
	leastLease   = time.Second
	longestLease = time.Hour
	usualLease   = time.Minute
	maxGatewayID = 64
)

func (s *quotaService) ReportOnline(ctx context.Context, in *imquotav1.ReportOnlineRequest) (*imquotav1.ReportOnlineResponse, error) {
	v, lease := &invalidFields{}, usualLease
	v.app(in.GetAppId())
	v.printable("gateway_id", in.GetGatewayId(), maxGatewayID)
	if n := in.GetOnlineUsers(); n < 0 || n > maxAmount {
		v.add("online_users", "is %d; it must be from 0 to %d", n, maxAmount)
	}
	if in.GetLease() != nil {
		lease = in.GetLease().AsDuration()
		if err := in.GetLease().CheckValid(); err != nil || lease < leastLease || lease > longestLease {
			v.add("lease", "is %v; it must be from %v to %v", lease, leastLease, longestLease)
		}
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	o, err := s.enforcer.ReportOnline(ctx, in.GetAppId(), in.GetGatewayId(), in.GetOnlineUsers(), lease)
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.ReportOnlineResponse{
		OnlineUsers: o.Users, PeakOnlineUsers: o.Peaks[0], Gateways: int32(o.Gateways), LeaseEndTime: fromTime(o.LeaseEnd),
	}, nil
}

func fromMonth(m *quota.PastMonth) *imquotav1.MonthUsage {
	out := &imquotav1.MonthUsage{
		Month: ratings.MonthOf(m.Window.Start, m.Window.Start.Location()).Name, Used: m.Used, PeakOnlineUsers: m.PeakOnline, Final: m.Final,
	}
	for _, e := range m.Editions {
		out.Editions = append(out.Editions, e.Key)
	}
	return out
}

// totals tells the ledger what apps used.
type totals struct{ enforcer *quota.Enforcer }

// MonthUsage implements ratings.Totals.
func (t totals) MonthUsage(ctx context.Context, apps []*account.App, month ratings.Month) ([]ratings.Usage, error) {
	read, err := t.enforcer.Totals(ctx, apps, []catalog.Window{month.Window})
	if err != nil {
		return nil, err
	}
	usage := make([]ratings.Usage, len(apps))
	for i := range read {
		usage[i] = ratings.Usage{Used: read[i][0].Used, PeakOnline: read[i][0].PeakOnline}
	}
	return usage, nil
}
