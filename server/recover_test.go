package server_test

import (
	"context"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
	"google.golang.org/grpc/codes"
)

// defective is a store with defects.
type defective struct{ *storetest.Model }

func (defective) Apply(context.Context, []quota.Txn) []quota.Outcome { panic("a defect") }

func (d defective) App(ctx context.Context, id uint32) (*account.App, error) {
	if id == 2 {
		panic("another")
	}
	return d.Model.App(ctx, id)
}

func TestDefectsAreAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, defective{storetest.NewModel()}, newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	s.app(1, "developer")
	for range 2 {
		_, err := s.CheckQuota(t.Context(), login(1, "alice"))
		wantFault(t, err, codes.Internal, "INTERNAL")
		_, err = s.apps.GetApp(t.Context(), &imquotav1.GetAppRequest{AppId: 2})
		wantFault(t, err, codes.Internal, "INTERNAL")
	}
	if _, err := s.apps.GetApp(t.Context(), &imquotav1.GetAppRequest{AppId: 1}); err != nil {
		t.Errorf("after the defects: %v", err)
	}
}
