package httpquota_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imquota/imquota/client/httpquota"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	tooMany = &imquotav1.Violation{
		Reason: imquotav1.Reason_REASON_LIMIT_EXCEEDED, Quota: "daily_net_groups", Limit: 100, Used: 100, Requested: 1, UpstreamCode: 10006, Message: "no more today",
	}
	noFeature = &imquotav1.Violation{Reason: imquotav1.Reason_REASON_FEATURE_NOT_IN_EDITION, Feature: "community", Message: "not in the plan"}
)

const (
	tooManyJSON   = `{"reason":"REASON_LIMIT_EXCEEDED","quota":"daily_net_groups","limit":"100","used":"100","requested":"1","upstreamCode":10006,"message":"no more today"}`
	noFeatureJSON = `{"reason":"REASON_FEATURE_NOT_IN_EDITION","feature":"community","message":"not in the plan"}`
)

// TestDenied: the whole answer, of every kind of denial.
func TestDenied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			decision   *imquotav1.Decision
			status     int
			retryAfter string
			body       string
		}{
			"a limit": {
				&imquotav1.Decision{Violations: []*imquotav1.Violation{tooMany}, ViolationCount: 1}, 429, "",
				`{"title":"Too Many Requests","status":429,"detail":"no more today","reason":"REASON_LIMIT_EXCEEDED","violations":[` + tooManyJSON + `]}`,
			},
			"a limit of the day": {
				&imquotav1.Decision{
					Violations: []*imquotav1.Violation{tooMany}, ViolationCount: 1,
					Quotas:  []*imquotav1.QuotaState{{Quota: "daily_net_groups", ResetTime: timestamppb.New(time.Now().Add(90*time.Second + time.Millisecond))}},
					Upgrade: &imquotav1.Upgrade{Edition: "standard", MonthlyPrice: &imquotav1.Money{CurrencyCode: "USD", Amount: "399.00"}},
				}, 429, "91",
				`{"title":"Too Many Requests","status":429,"detail":"no more today","reason":"REASON_LIMIT_EXCEEDED","violations":[` + tooManyJSON + `],` +
					`"upgrade":{"edition":"standard","monthlyPrice":{"currencyCode":"USD","amount":"399.00"}}}`,
			},
			"a feature, and a limit": {
				&imquotav1.Decision{Violations: []*imquotav1.Violation{noFeature, tooMany}, ViolationCount: 2}, 403, "",
				`{"title":"Forbidden","status":403,"detail":"not in the plan","reason":"REASON_FEATURE_NOT_IN_EDITION","violations":[` + noFeatureJSON + `,` + tooManyJSON + `]}`,
			},
			"no reason": {&imquotav1.Decision{}, 403, "", `{"title":"Forbidden","status":403,"detail":"denied"}`},
		} {
			w := httptest.NewRecorder()
			httpquota.Denied(w, nil, c.decision)
			wantAnswer(t, name, w, c.status, c.retryAfter, c.body)
		}
	})
}

// TestUnchecked tells apart what may be answered later, and nothing of the inside.
func TestUnchecked(t *testing.T) {
	t.Parallel()
	busy, _ := status.New(codes.Unavailable, "10.0.0.7 is busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	const later = `{"title":"Service Unavailable","status":503,"detail":"the quota cannot be checked now"}`
	const never = `{"title":"Internal Server Error","status":500,"detail":"the quota could not be checked"}`
	for name, c := range map[string]struct {
		fault      error
		status     int
		retryAfter string
		body       string
	}{
		"busy":            {busy.Err(), 503, "2", later},
		"away":            {status.Error(codes.Unavailable, "10.0.0.7 refused"), 503, "1", later},
		"too slow":        {status.FromContextError(context.DeadlineExceeded).Err(), 503, "1", later},
		"a wrong request": {status.Error(codes.InvalidArgument, "login.user_id"), 500, "", never},
		"a defect":        {errors.New("10.0.0.7"), 500, "", never},
	} {
		w := httptest.NewRecorder()
		httpquota.Unchecked(w, nil, c.fault)
		wantAnswer(t, name, w, c.status, c.retryAfter, c.body)
	}
}

func wantAnswer(t *testing.T, name string, w *httptest.ResponseRecorder, code int, retryAfter, body string) {
	t.Helper()
	if w.Code != code || w.Header().Get("Retry-After") != retryAfter || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %d %v", name, w.Code, w.Header())
	}
	if got := w.Body.String(); got != body+"\n" {
		t.Errorf("%s: got %swant %s", name, got, body)
	}
	if w.Code != http.StatusTooManyRequests && w.Code != http.StatusServiceUnavailable && retryAfter != "" {
		t.Errorf("%s: nobody is to come back", name)
	}
}
