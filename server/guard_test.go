package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/imquota/imquota/account"
	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/imquota/imquota/quota/storetest"
	"google.golang.org/grpc"
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

// wire is a codec that sends bytes as they are.
type wire struct{}

func (wire) Name() string { return "proto" }

func (wire) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errors.New("not bytes")
	}
	return b, nil
}

func (wire) Unmarshal([]byte, any) error { return nil }

// TestMalformedRequests: what is no message of the contract is the caller's
// mistake, with a reason like every other one.
func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	s := start(t, storetest.NewModel(), newClock("2024-06-15T12:00:00+08:00"), catalog.Default())
	for name, bytes := range map[string][]byte{
		"cut off":                   {0x08},
		"a string that is no UTF-8": {0x0a, 0x01, 0xff, 0x12, 0x01, 0xff},
		"not protobuf":              []byte("GET / HTTP/1.1"),
	} {
		for _, method := range []string{imquotav1.QuotaService_CheckQuota_FullMethodName, imquotav1.AppService_CreateApp_FullMethodName} {
			err := s.conn.Invoke(t.Context(), method, bytes, &struct{}{}, grpc.ForceCodec(wire{}))
			t.Log(name, method, err)
			wantFault(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
		}
	}
	// A field that a later contract has is none of these.
	err := s.conn.Invoke(t.Context(), imquotav1.QuotaService_CheckQuota_FullMethodName, []byte{0xf8, 0x3f, 0x01}, &struct{}{}, grpc.ForceCodec(wire{}))
	wantFault(t, err, codes.InvalidArgument, "INVALID_FIELD")
}
