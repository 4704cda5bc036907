package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// appService answers operators.
type appService struct {
	imquotav1.UnimplementedAppServiceServer
	enforcer *quota.Enforcer
	apps     *account.Apps
	now      func() time.Time
}

func (s *appService) CreateApp(ctx context.Context, in *imquotav1.CreateAppRequest) (*imquotav1.CreateAppResponse, error) {
	v := &invalidFields{}
	v.optional("request_id", in.GetRequestId(), maxRequestID)
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
	app, err := s.apps.Create(ctx, n, changeOf(in))
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.CreateAppResponse{App: s.fromApp(app)}, nil
}

// appImport validates and converts what an existing customer brings along.
func (v *invalidFields) appImport(in *imquotav1.AppImport, cat *catalog.Snapshot, n *account.NewApp) {
	if in == nil {
		return
	}
	v.optional("edition", in.GetEdition(), maxKey)
	n.Edition = in.GetEdition()
	n.Created = v.time("create_time", in.GetCreateTime())
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
	return &imquotav1.GetAppResponse{App: s.fromApp(app)}, nil
}

func (s *appService) ListApps(ctx context.Context, in *imquotav1.ListAppsRequest) (*imquotav1.ListAppsResponse, error) {
	v := &invalidFields{}
	v.account(in.GetAccountId())
	size := int(in.GetPageSize())
	switch {
	case size < 0:
		v.add("page_size", "is %d; it must not be negative", size)
	case size == 0:
		size = defaultPage
	}
	size = min(size, maxPageSize)
	var after uint64
	if token := in.GetPageToken(); token != "" {
		var err error
		if after, err = strconv.ParseUint(token, 10, 32); err != nil {
			v.add("page_token", "%q is not a token of this service", token)
		}
	}
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	apps, err := s.apps.Registry.Apps(ctx, in.GetAccountId(), uint32(after), size)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &imquotav1.ListAppsResponse{}
	for _, app := range apps {
		out.Apps = append(out.Apps, s.fromApp(app))
	}
	if len(apps) == size {
		out.NextPageToken = strconv.FormatUint(uint64(apps[size-1].ID), 10)
	}
	return out, nil
}

func (s *appService) ApproveFeature(ctx context.Context, in *imquotav1.ApproveFeatureRequest) (*imquotav1.ApproveFeatureResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	v.key("feature", in.GetFeature())
	at := v.time("approve_time", in.GetApproveTime())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.apps.Approve(ctx, in.GetAppId(), in.GetFeature(), at, changeOf(in))
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.ApproveFeatureResponse{App: s.fromApp(app)}, nil
}

func (s *appService) ActivateAddOn(ctx context.Context, in *imquotav1.ActivateAddOnRequest) (*imquotav1.ActivateAddOnResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	v.key("add_on", in.GetAddOn())
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.apps.Activate(ctx, in.GetAppId(), in.GetAddOn(), changeOf(in))
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.ActivateAddOnResponse{App: s.fromApp(app)}, nil
}

func (s *appService) SetLimitOverride(ctx context.Context, in *imquotav1.SetLimitOverrideRequest) (*imquotav1.SetLimitOverrideResponse, error) {
	v := &invalidFields{}
	v.app(in.GetAppId())
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	v.key("quota", in.GetQuota())
	limit := v.override(in)
	if err := v.err(); err != nil {
		return nil, toStatus(err)
	}
	app, err := s.apps.Override(ctx, in.GetAppId(), in.GetQuota(), limit, changeOf(in))
	if err != nil {
		return nil, toStatus(err)
	}
	return &imquotav1.SetLimitOverrideResponse{App: s.fromApp(app)}, nil
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

// changeOf returns what an app remembers of a request that changes it.
func changeOf(in interface {
	proto.Message
	GetRequestId() string
},
) account.Change {
	if in.GetRequestId() == "" {
		return account.Change{}
	}
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		return account.Change{} // unreachable: the message came off the wire
	}
	sum := sha256.Sum256(wire)
	return account.Change{RequestID: in.GetRequestId(), Fingerprint: binary.BigEndian.Uint64(sum[:])}
}

func (v *invalidFields) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		v.add(field, "is not a valid instant")
		return time.Time{}
	}
	return t.AsTime()
}
