package grpcquota_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/imquota/imquota/client/grpcquota"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	tooMany = &imquotav1.Violation{
		Reason: imquotav1.Reason_REASON_LIMIT_EXCEEDED, Quota: "friends", Subject: "alice",
		Limit: 20, Used: 19, Requested: 2, UpstreamCode: 30010, Message: "alice has 19 of 20 friends",
	}
	noFeature = &imquotav1.Violation{
		Reason: imquotav1.Reason_REASON_FEATURE_NOT_IN_EDITION, Feature: "community", UpstreamCode: 10059, Message: "not in the plan",
	}
	suspended = &imquotav1.Violation{Reason: imquotav1.Reason_REASON_APP_SUSPENDED, Message: "it is disabled"}
)

// TestDenied: every violation is in the details, and the primary one decides the
// code.
func TestDenied(t *testing.T) {
	t.Parallel()
	quotaFailure := &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{
		{Subject: "alice", Description: "alice has 19 of 20 friends", QuotaMetric: "friends", QuotaValue: 20},
	}}
	for name, c := range map[string]struct {
		violations []*imquotav1.Violation
		reset      time.Duration
		code       codes.Code
		message    string
		details    []proto.Message
	}{
		"a limit": {[]*imquotav1.Violation{tooMany}, 0, codes.ResourceExhausted, "alice has 19 of 20 friends", []proto.Message{
			&errdetails.ErrorInfo{Reason: "LIMIT_EXCEEDED", Domain: "imquota", Metadata: map[string]string{
				"quota": "friends", "subject": "alice", "limit": "20", "used": "19", "requested": "2", "upstream_code": "30010",
			}},
			quotaFailure,
		}},
		"a limit of the day": {[]*imquotav1.Violation{tooMany}, time.Hour, codes.ResourceExhausted, "alice has 19 of 20 friends", []proto.Message{
			&errdetails.ErrorInfo{Reason: "LIMIT_EXCEEDED", Domain: "imquota", Metadata: map[string]string{
				"quota": "friends", "subject": "alice", "limit": "20", "used": "19", "requested": "2", "upstream_code": "30010",
			}},
			quotaFailure,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)},
		}},
		"a feature, and a limit": {[]*imquotav1.Violation{noFeature, tooMany}, time.Hour, codes.PermissionDenied, "not in the plan", []proto.Message{
			&errdetails.ErrorInfo{Reason: "FEATURE_NOT_IN_EDITION", Domain: "imquota", Metadata: map[string]string{"feature": "community", "upstream_code": "10059"}},
			quotaFailure,
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "FEATURE_NOT_IN_EDITION", Description: "not in the plan"}}},
		}},
		"a state": {[]*imquotav1.Violation{suspended}, 0, codes.PermissionDenied, "it is disabled", []proto.Message{
			&errdetails.ErrorInfo{Reason: "APP_SUSPENDED", Domain: "imquota"},
			&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "APP_SUSPENDED", Description: "it is disabled"}}},
		}},
		"no reason": {nil, 0, codes.PermissionDenied, "denied", nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &imquotav1.Decision{Violations: c.violations, ViolationCount: int32(len(c.violations))}
			if c.reset > 0 {
				d.Quotas = []*imquotav1.QuotaState{{Quota: "friends", Subject: "alice", ResetTime: timestamppb.New(time.Now().Add(c.reset))}}
			}
			wantStatus(t, name, grpcquota.Denied(d), c.code, c.message, c.details)
		})
	}
}

// TestUnchecked tells apart what may be answered later, and nothing of the inside.
func TestUnchecked(t *testing.T) {
	t.Parallel()
	busy, _ := status.New(codes.Unavailable, "10.0.0.7 is busy").WithDetails(
		&errdetails.ErrorInfo{Reason: "OVERLOADED", Domain: "imquota"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	const later, never = "the quota cannot be checked now", "the quota could not be checked"
	for name, c := range map[string]struct {
		fault   error
		code    codes.Code
		message string
		details []proto.Message
	}{
		"busy":            {busy.Err(), codes.Unavailable, later, []proto.Message{&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}}},
		"away":            {status.Error(codes.Unavailable, "10.0.0.7 refused"), codes.Unavailable, later, nil},
		"too slow":        {status.FromContextError(context.DeadlineExceeded).Err(), codes.Unavailable, later, nil},
		"a wrong request": {status.Error(codes.InvalidArgument, "login.user_id"), codes.Internal, never, nil},
		"a defect":        {errors.New("10.0.0.7"), codes.Internal, never, nil},
	} {
		wantStatus(t, name, grpcquota.Unchecked(c.fault), c.code, c.message, c.details)
	}
}

func wantStatus(t *testing.T, name string, err error, code codes.Code, message string, details []proto.Message) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code || st.Message() != message {
		t.Errorf("%s: %v", name, err)
	}
	var got []proto.Message
	for _, d := range st.Details() {
		got = append(got, d.(proto.Message))
	}
	if diff := cmp.Diff(details, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}
