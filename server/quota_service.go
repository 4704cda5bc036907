package server

import (
	"context"
	"errors"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
)

// quotaService answers gateways and group services.
type quotaService struct {
	imquotav1.UnimplementedQuotaServiceServer
	enforcer *quota.Enforcer
	metrics  *Metrics
}

func (s *quotaService) CheckQuota(ctx context.Context, in *imquotav1.CheckQuotaRequest) (*imquotav1.CheckQuotaResponse, error) {
	a := newAsked()
	defer a.free()
	if err := a.check(ctx, in, s.enforcer.Catalog()); err != nil {
		return nil, toStatus(err)
	}
	d, err := s.enforcer.Check(ctx, &a.Request)
	if err != nil {
		return nil, toStatus(under(a.field, err))
	}
	s.metrics.decided(a.field, d)
	return &answerOf(d).response, nil
}

func (s *quotaService) BatchCheckQuota(ctx context.Context, in *imquotav1.BatchCheckQuotaRequest) (*imquotav1.BatchCheckQuotaResponse, error) {
	if err := checkBatch(in); err != nil {
		return nil, toStatus(err)
	}
	items := make([]*imquotav1.BatchItem, len(in.GetItems()))
	all := make([]*asked, 0, len(items))
	requests := make([]*quota.Request, 0, len(items))
	cat := s.enforcer.Catalog()
	defer func() {
		for _, a := range all {
			a.free()
		}
	}()
	for i, item := range in.GetItems() {
		a := newAsked()
		if err := a.check(ctx, item, cat); err != nil {
			items[i] = s.failedItem(err)
			continue
		}
		a.at = i
		all, requests = append(all, a), append(requests, &a.Request)
	}
	room := answerRoom{items: len(all)}
	for k, result := range s.enforcer.CheckAll(ctx, requests) {
		a := all[k]
		room.items = len(all) - k
		if result.Err != nil {
			items[a.at] = s.failedItem(under(a.field, result.Err))
			continue
		}
		s.metrics.decided(a.field, result.Decision)
		if d := result.Decision; d.IsShared() {
			items[a.at] = &answerOf(d).item
		} else {
			items[a.at] = &room.answerOf(d).item
		}
	}
	return &imquotav1.BatchCheckQuotaResponse{Items: items}, nil
}

func (s *quotaService) failedItem(err error) *imquotav1.BatchItem {
	e := toItemError(err)
	s.metrics.failed(e)
	return &imquotav1.BatchItem{Result: &imquotav1.BatchItem_Error{Error: e}}
}

// checkBatch bounds the work of a batch; its items are validated one by one.
func checkBatch(in *imquotav1.BatchCheckQuotaRequest) error {
	v := &invalidFields{}
	switch n := len(in.GetItems()); {
	case n == 0:
		v.add("items", "must not be empty")
	case n > maxBatchItems:
		v.add("items", "has %d items; at most %d are allowed", n, maxBatchItems)
	}
	ids := 0
	for _, item := range in.GetItems() {
		ids += len(item.GetRegisterUsers().GetUserIds()) +
			len(item.GetCreateGroup().GetMemberIds()) +
			len(item.GetAddGroupMembers().GetUserIds())
	}
	if ids > maxListIDs {
		v.add("items", "name %d ids in lists; at most %d are allowed in one call", ids, maxListIDs)
	}
	return v.err()
}

func (s *quotaService) ReleaseQuota(ctx context.Context, in *imquotav1.ReleaseQuotaRequest) (*imquotav1.ReleaseQuotaResponse, error) {
	a := newAsked()
	defer a.free()
	if err := a.release(ctx, in, s.enforcer.Catalog()); err != nil {
		return nil, toStatus(err)
	}
	d, err := s.enforcer.Check(ctx, &a.Request)
	if err != nil {
		return nil, toStatus(under(a.field, err))
	}
	s.metrics.decided(a.field, d)
	return &imquotav1.ReleaseQuotaResponse{Decision: &answerOf(d).decision}, nil
}

func (s *quotaService) CommitReservation(ctx context.Context, in *imquotav1.CommitReservationRequest) (*imquotav1.CommitReservationResponse, error) {
	d, err := s.endReservation(ctx, in, "commit_reservation", s.enforcer.Commit)
	if err != nil {
		return nil, err
	}
	return &imquotav1.CommitReservationResponse{Decision: d}, nil
}

func (s *quotaService) CancelReservation(ctx context.Context, in *imquotav1.CancelReservationRequest) (*imquotav1.CancelReservationResponse, error) {
	d, err := s.endReservation(ctx, in, "cancel_reservation", s.enforcer.Cancel)
	if err != nil {
		return nil, err
	}
	return &imquotav1.CancelReservationResponse{Decision: d}, nil
}

func (s *quotaService) GetUsage(ctx context.Context, in *imquotav1.GetUsageRequest) (*imquotav1.GetUsageResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("user_id", in.GetUserId(), quota.MaxUserID)
	v.optional("group_id", in.GetGroupId(), quota.MaxGroupID)
	if n := len(in.GetQuotas()); n > maxUsageQuotas {
		v.add("quotas", "has %d quotas; at most %d are allowed", n, maxUsageQuotas)
	} else {
		v.distinct("quotas", in.GetQuotas())
	}
	if n := in.GetHistoryMonths(); n < 0 || n > catalog.MonthsKept {
		v.add("history_months", "is %d; it must be from 0 to %d", n, catalog.MonthsKept)
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.GetUsageResponse{}
	if months := in.GetHistoryMonths(); months > 0 {
		history, err := s.enforcer.History(ctx, in.GetAppId(), int(months))
		if err != nil {
			return nil, toStatus(err)
		}
		for i := range history {
			out.History = append(out.History, fromMonth(&history[i]))
		}
	}
	u, err := s.enforcer.Usage(ctx, quota.UsageQuery{
		App: in.GetAppId(), Quotas: in.GetQuotas(), UserID: in.GetUserId(), GroupID: in.GetGroupId(),
	})
	if errors.Is(err, account.ErrAppNotFound) && len(out.GetHistory()) > 0 {
		return out, nil // it is gone, and its totals outlive it
	}
	if err != nil {
		return nil, toStatus(err)
	}
	out.Edition, out.CatalogVersion, out.TailLossTime = u.Edition, u.Catalog, fromTime(u.TailLost)
	if u.Online != nil {
		out.OnlineUsers, out.PeakOnlineUsers = u.Online.Users, u.Online.Peaks[0]
	}
	out.Quotas = fromStates(u.States)
	return out, nil
}

func (s *quotaService) GetEntitlements(ctx context.Context, in *imquotav1.GetEntitlementsRequest) (*imquotav1.GetEntitlementsResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	r := &quota.Request{}
	v.client(ctx, in.GetClient(), s.enforcer.Catalog(), r)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	e, err := s.enforcer.Entitlements(ctx, in.GetAppId(), r.Client)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.GetEntitlementsResponse{
		Edition: e.Edition, AppState: fromStage(e.Lifecycle.Stage), GraceUntil: fromTime(e.Lifecycle.GraceUntil), CatalogVersion: e.Catalog,
		Source: fromSource(e.Source),
	}
	for _, f := range e.Features {
		out.Features = append(out.Features, &imquotav1.FeatureEntitlement{
			Feature: f.Feature, Allowed: len(f.Violations) == 0, Violations: fromViolations(f.Violations),
		})
	}
	for _, l := range e.Limits {
		out.Limits = append(out.Limits, &imquotav1.LimitEntitlement{
			Quota: l.Quota, Limit: l.Limit.Max(), Unlimited: l.Limit.IsUnlimited(),
			Billed: l.Billed, Overridden: l.Overridden, GroupType: l.GroupType,
		})
	}
	return out, nil
}
