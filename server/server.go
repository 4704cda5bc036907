// Package server is the gRPC edge: it validates requests, calls the domain and
// converts its answers. It is the only place that knows status codes.
package server

import (
	"time"

	"github.com/imquota/imquota/account"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/ratings"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// Options are the parts that the services answer from.
type Options struct {
	Enforcer *quota.Enforcer
	Apps     *account.Apps
	Accounts *account.Accounts
	Sweeper  *quota.Sweeper
	// Now is the clock that an app's state is told at; time.Now when nil.
	Now func() time.Time
	// Metrics count decisions; nobody sees them when nil.
	Metrics *Metrics
}

// Server holds the services.
type Server struct {
	quotas  *quotaService
	apps    *appService
	billing *billingService
}

// New returns the services.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	shown := &shown{catalog: o.Enforcer.Catalog, registry: o.Apps.Registry, now: o.Now}
	return &Server{
		quotas:  &quotaService{enforcer: o.Enforcer, metrics: o.Metrics},
		apps:    &appService{enforcer: o.Enforcer, apps: o.Apps, sweeper: o.Sweeper, shown: shown},
		billing: &billingService{apps: o.Apps, accounts: o.Accounts, ledger: &ratings.Ledger{Apps: o.Apps, Totals: totals{o.Enforcer}}, shown: shown},
	}
}

// RegisterQuota registers QuotaService, which gateways may reach.
func (s *Server) RegisterQuota(r grpc.ServiceRegistrar) {
	imquotav1.RegisterQuotaServiceServer(r, s.quotas)
}

// RegisterAdmin registers the services that only operators and billing clients
// may reach.
func (s *Server) RegisterAdmin(r grpc.ServiceRegistrar) {
	imquotav1.RegisterAppServiceServer(r, s.apps)
	imquotav1.RegisterBillingServiceServer(r, s.billing)
}

// QuotaServices and AdminServices name what RegisterQuota and RegisterAdmin
// register, for health checks.
var (
	QuotaServices = []string{imquotav1.QuotaService_ServiceDesc.ServiceName}
	AdminServices = []string{imquotav1.AppService_ServiceDesc.ServiceName, imquotav1.BillingService_ServiceDesc.ServiceName}
)
