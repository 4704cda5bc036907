package server

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// appService answers operators.
type appService struct {
	imquotav1.UnimplementedAppServiceServer
	enforcer *quota.Enforcer
	apps     *account.Apps
	sweeper  *quota.Sweeper
	shown    *shown
}

func (s *appService) CreateApp(ctx context.Context, in *imquotav1.CreateAppRequest) (*imquotav1.CreateAppResponse, error) {
	v := &invalidFields{}
	v.change(in)
	v.account(in.GetAccountId())
	v.name(in.GetName())
	v.optional("region", in.GetRegion(), maxKey)
	if n := in.GetExpectedUsers(); n < 0 || n > maxExpected {
		v.add("expected_users", "is %d; it must be from 0 to %d", n, maxExpected)
	}
	n := account.NewApp{
		ID: in.GetAppId(), Account: in.GetAccountId(), Name: in.GetName(), Region: in.GetRegion(),
		ExpectedUsers: in.GetExpectedUsers(), AcceptLoss: in.GetAcceptLoss(),
	}
	if in.GetAcceptLoss() && in.GetAppId() == 0 {
		v.add("accept_loss", "needs the app_id whose counters are lost")
	}
	v.in("import", func() { v.appImport(in.GetImport(), s.enforcer.Catalog(), &n) })
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.shown.changed(ctx)(s.apps.Create(ctx, n, originOf(ctx, in)))
	if err != nil {
		return nil, err
	}
	return &imquotav1.CreateAppResponse{App: app}, nil
}

// appImport validates and converts what an existing customer brings along.
func (v *invalidFields) appImport(in *imquotav1.AppImport, cat *catalog.Snapshot, n *account.NewApp) {
	if in == nil {
		return
	}
	v.optional("edition", in.GetEdition(), maxKey)
	n.Edition = in.GetEdition()
	n.Created = v.time("create_time", in.GetCreateTime())
	v.optional("catalog_version", in.GetCatalogVersion(), maxKey)
	n.Catalog = in.GetCatalogVersion()
	if len(in.GetOrders()) > maxOrders {
		v.add("orders", "has %d orders; at most %d are allowed", len(in.GetOrders()), maxOrders)
		return
	}
	for i, o := range in.GetOrders() {
		v.in("orders["+strconv.Itoa(i)+"]", func() { n.Orders = append(n.Orders, v.order(o, cat.Currency())) })
	}
	for i, a := range in.GetApprovals() {
		v.in("approvals["+strconv.Itoa(i)+"]", func() {
			v.key("feature", a.GetFeature())
			v.once("feature", a.GetFeature(), n.Approvals)
			n.Approvals = append(n.Approvals, account.Grant{Key: a.GetFeature(), At: v.time("approve_time", a.GetApproveTime())})
		})
	}
	for i, a := range in.GetAddOns() {
		v.in("add_ons["+strconv.Itoa(i)+"]", func() {
			v.key("add_on", a.GetAddOn())
			v.once("add_on", a.GetAddOn(), n.AddOns)
			n.AddOns = append(n.AddOns, account.Grant{Key: a.GetAddOn(), At: v.time("activate_time", a.GetActivateTime())})
		})
	}
}

func (v *invalidFields) once(field, key string, seen []account.Grant) {
	if slices.ContainsFunc(seen, func(g account.Grant) bool { return g.Key == key }) {
		v.add(field, "%q is in the list twice", key)
	}
}

func (s *appService) GetApp(ctx context.Context, in *imquotav1.GetAppRequest) (*imquotav1.GetAppResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.apps.App(ctx, in.GetAppId())
	if err != nil {
		return nil, toStatus(err)
	}
	out, err := s.shown.app(ctx, app)
	if err != nil {
		return nil, err
	}
	return &imquotav1.GetAppResponse{App: out}, nil
}

func (s *appService) ListApps(ctx context.Context, in *imquotav1.ListAppsRequest) (*imquotav1.ListAppsResponse, error) {
	v := &invalidFields{}
	v.account(in.GetAccountId())
	size := v.pageSize(in.GetPageSize(), defaultPage, maxPageSize)
	after := v.numberToken(in.GetPageToken(), 32)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	apps, err := s.apps.Registry.Apps(ctx, in.GetAccountId(), uint32(after), size, in.GetDeleted())
	if err != nil {
		return nil, toStatus(err)
	}
	owner := s.apps.Registry.Accounts(ctx, []string{in.GetAccountId()})[0]
	if owner.Err != nil {
		return nil, toStatus(owner.Err)
	}
	out := &imquotav1.ListAppsResponse{}
	for _, l := range apps {
		if l.Err != nil {
			out.UnreadableAppIds = append(out.UnreadableAppIds, l.ID)
			continue
		}
		out.Apps = append(out.Apps, s.shown.fromApp(l.App, owner.Account))
	}
	if len(apps) == size {
		out.NextPageToken = strconv.FormatUint(uint64(apps[size-1].ID), 10)
	}
	return out, nil
}

func (s *appService) ListAppEvents(ctx context.Context, in *imquotav1.ListAppEventsRequest) (*imquotav1.ListAppEventsResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	size := v.pageSize(in.GetPageSize(), defaultPage, maxPageSize)
	before := v.numberToken(in.GetPageToken(), 64)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	events, err := s.apps.Registry.Events(ctx, in.GetAppId(), before, size)
	if err != nil {
		return nil, toStatus(account.ForApp(in.GetAppId(), err))
	}
	out := &imquotav1.ListAppEventsResponse{}
	for i := range events {
		out.Events = append(out.Events, fromEvent(&events[i]))
	}
	if n := len(events); n == size && events[n-1].Revision > 1 {
		out.NextPageToken = strconv.FormatUint(events[n-1].Revision, 10)
	}
	return out, nil
}

func fromEvent(e *account.Event) *imquotav1.AppEvent {
	out := &imquotav1.AppEvent{
		Revision: e.Revision, EventTime: fromTime(e.At), Action: e.Action, Actor: e.Actor, ActorCertified: e.Certified, RequestId: e.RequestID,
	}
	for _, c := range e.Changes {
		out.Changes = append(out.Changes, &imquotav1.FieldChange{Field: c.Field, Before: c.Before, After: c.After})
	}
	return out
}

// appChange is a request that changes an app.
type appChange interface {
	change
	GetAppId() uint32
}

func (s *appService) DisableApp(ctx context.Context, in *imquotav1.DisableAppRequest) (*imquotav1.DisableAppResponse, error) {
	app, err := s.simply(ctx, in, s.apps.Disable)
	if err != nil {
		return nil, err
	}
	return &imquotav1.DisableAppResponse{App: app}, nil
}

func (s *appService) EnableApp(ctx context.Context, in *imquotav1.EnableAppRequest) (*imquotav1.EnableAppResponse, error) {
	app, err := s.simply(ctx, in, s.apps.Enable)
	if err != nil {
		return nil, err
	}
	return &imquotav1.EnableAppResponse{App: app}, nil
}

func (s *appService) MigrateBilling(ctx context.Context, in *imquotav1.MigrateBillingRequest) (*imquotav1.MigrateBillingResponse, error) {
	app, err := s.simply(ctx, in, s.apps.MigrateBilling)
	if err != nil {
		return nil, err
	}
	return &imquotav1.MigrateBillingResponse{App: app}, nil
}

func (s *appService) DeleteApp(ctx context.Context, in *imquotav1.DeleteAppRequest) (*imquotav1.DeleteAppResponse, error) {
	app, err := s.simply(ctx, in, func(ctx context.Context, id uint32, by account.Origin) (*account.App, error) {
		app, err := s.apps.Delete(ctx, id, by)
		if err != nil || !app.Swept.IsZero() {
			return app, err
		}
		// The app is deleted, whatever becomes of this: sidecars end it. The caller
		// is to hear of it while there is somebody to hear.
		ctx, cancel := inTime(ctx)
		defer cancel()
		if swept, err := s.sweeper.Remove(ctx, app, by); err == nil {
			return swept, nil
		}
		return app, nil
	})
	if err != nil {
		return nil, err
	}
	return &imquotav1.DeleteAppResponse{App: app}, nil
}

// inTime ends a context when half of the caller's time is over.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// simply carries out a change that needs no more than the app.
func (s *appService) simply(ctx context.Context, in appChange, do func(context.Context, uint32, account.Origin) (*account.App, error)) (*imquotav1.App, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.change(in)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	return s.shown.changed(ctx)(do(ctx, in.GetAppId(), originOf(ctx, in)))
}

func (s *appService) ReclaimApps(ctx context.Context, in *imquotav1.ReclaimAppsRequest) (*imquotav1.ReclaimAppsResponse, error) {
	v := &invalidFields{}
	v.optional("actor", in.GetActor(), maxActor)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	step, err := s.sweeper.Step(ctx, in.GetPageToken(), in.GetDryRun(), actorOf(ctx, in.GetActor()))
	if err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.ReclaimAppsResponse{Done: step.Done, Total: step.Total, NextPageToken: step.Next}
	for _, g := range step.Gone {
		out.Apps = append(out.Apps, &imquotav1.ReclaimedApp{
			AppId: g.App.ID, AccountId: g.App.Account, State: fromStage(g.State.Stage), Since: fromTime(g.State.Since),
		})
	}
	for _, f := range step.Failed {
		e := toItemError(f.Err)
		out.Failures = append(out.Failures, &imquotav1.ReclaimFailure{AppId: f.ID, Reason: e.GetReason(), Message: e.GetMessage()})
	}
	return out, nil
}

func (s *appService) ApproveFeature(ctx context.Context, in *imquotav1.ApproveFeatureRequest) (*imquotav1.ApproveFeatureResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.change(in)
	v.key("feature", in.GetFeature())
	at := v.time("approve_time", in.GetApproveTime())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.shown.changed(ctx)(s.apps.Approve(ctx, in.GetAppId(), in.GetFeature(), at, originOf(ctx, in)))
	if err != nil {
		return nil, err
	}
	return &imquotav1.ApproveFeatureResponse{App: app}, nil
}

func (s *appService) RevokeFeature(ctx context.Context, in *imquotav1.RevokeFeatureRequest) (*imquotav1.RevokeFeatureResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.change(in)
	v.key("feature", in.GetFeature())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.shown.changed(ctx)(s.apps.Revoke(ctx, in.GetAppId(), in.GetFeature(), originOf(ctx, in)))
	if err != nil {
		return nil, err
	}
	return &imquotav1.RevokeFeatureResponse{App: app}, nil
}

func (s *appService) ActivateAddOn(ctx context.Context, in *imquotav1.ActivateAddOnRequest) (*imquotav1.ActivateAddOnResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.change(in)
	v.key("add_on", in.GetAddOn())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.shown.changed(ctx)(s.apps.Activate(ctx, in.GetAppId(), in.GetAddOn(), originOf(ctx, in)))
	if err != nil {
		return nil, err
	}
	return &imquotav1.ActivateAddOnResponse{App: app}, nil
}

func (s *appService) SetLimitOverride(ctx context.Context, in *imquotav1.SetLimitOverrideRequest) (*imquotav1.SetLimitOverrideResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.change(in)
	v.key("quota", in.GetQuota())
	var override *account.Override
	until := v.time("end_time", in.GetEndTime())
	if limit := v.override(in); limit != nil {
		override = &account.Override{Limit: *limit, Until: until}
	} else if !until.IsZero() {
		v.add("end_time", "belongs to a limit; the edition's has no end")
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.shown.changed(ctx)(s.apps.Override(ctx, in.GetAppId(), in.GetQuota(), override, originOf(ctx, in)))
	if err != nil {
		return nil, err
	}
	return &imquotav1.SetLimitOverrideResponse{App: app}, nil
}

// override returns the limit to be set; nil: the edition's again.
func (v *invalidFields) override(in *imquotav1.SetLimitOverrideRequest) *catalog.Limit {
	var limit catalog.Limit
	switch o := in.GetOverride().(type) {
	case *imquotav1.SetLimitOverrideRequest_Limit:
		if o.Limit < 0 || o.Limit > catalog.MaxLimit {
			v.add("limit", "is %d; it must be from 0 to %d", o.Limit, int64(catalog.MaxLimit))
		}
		limit = catalog.Max(o.Limit)
	case *imquotav1.SetLimitOverrideRequest_Unlimited:
		if !o.Unlimited {
			v.add("unlimited", "must be true when it is given")
		}
		limit = catalog.Unlimited()
	case *imquotav1.SetLimitOverrideRequest_Clear:
		if !o.Clear {
			v.add("clear", "must be true when it is given")
		}
		return nil
	default:
		v.add("override", "is missing: one of limit, unlimited, clear")
	}
	return &limit
}

func (s *appService) SetUsage(ctx context.Context, in *imquotav1.SetUsageRequest) (*imquotav1.SetUsageResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	v.key("quota", in.GetQuota())
	v.optional("subject", in.GetSubject(), quota.MaxGroupID)
	v.optional("group_type", in.GetGroupType(), maxKey)
	v.count("used", in.GetUsed())
	if in.Observed != nil {
		v.count("observed", in.GetObserved())
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	c, err := s.enforcer.SetUsage(ctx, quota.UsageSetting{
		App: in.GetAppId(), RequestID: in.GetRequestId(), Caller: operator, Quota: in.GetQuota(), Subject: in.GetSubject(),
		Used: in.GetUsed(), Observed: in.Observed, DryRun: in.GetDryRun(), GroupType: keyOf(s.enforcer.Catalog(), in.GetGroupType()),
	})
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.SetUsageResponse{Before: c.Before, After: c.After, State: fromState(&c.State), Replayed: c.Replayed}, nil
}

func (v *invalidFields) count(field string, n int64) {
	if n < 0 || n > catalog.MaxLimit {
		v.add(field, "is %d; it must be from 0 to %d", n, int64(catalog.MaxLimit))
	}
}

func (v *invalidFields) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		v.add(field, "is not a valid instant")
		return time.Time{}
	}
	at := t.AsTime()
	if at.IsZero() {
		v.add(field, "is the first instant of the calendar, when there was nothing") // nor is it "not set"
	}
	return at
}
