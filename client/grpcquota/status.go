package grpcquota

import (
	"strconv"
	"strings"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Denied returns a denial as an error: RESOURCE_EXHAUSTED when its primary reason
// is a limit, else PERMISSION_DENIED. An ErrorInfo of domain "imquota" has that
// reason, and as metadata its feature or quota, subject, limit, used, requested and
// upstream_code. A QuotaFailure lists the limits, a PreconditionFailure all else
// that denies it, and a RetryInfo says when it passes by itself, if it does.
func Denied(d *imquotav1.Decision) error {
	code, message := codes.PermissionDenied, "denied"
	var details []protoadapt.MessageV1
	if len(d.GetViolations()) > 0 {
		primary := d.GetViolations()[0]
		message = primary.GetMessage()
		if isLimit(primary) {
			code = codes.ResourceExhausted
		}
		details = append(details, errorInfo(primary))
	}
	quotas, others := &errdetails.QuotaFailure{}, &errdetails.PreconditionFailure{}
	for _, v := range d.GetViolations() {
		if isLimit(v) {
			quotas.Violations = append(quotas.Violations, &errdetails.QuotaFailure_Violation{
				Subject: v.GetSubject(), Description: v.GetMessage(), QuotaMetric: v.GetQuota(), QuotaValue: v.GetLimit(),
			})
			continue
		}
		others.Violations = append(others.Violations, &errdetails.PreconditionFailure_Violation{
			Type: reasonOf(v), Subject: v.GetSubject(), Description: v.GetMessage(),
		})
	}
	if len(quotas.GetViolations()) > 0 {
		details = append(details, quotas)
	}
	if len(others.GetViolations()) > 0 {
		details = append(details, others)
	}
	if reset, ok := client.DeniedUntil(d); ok {
		details = append(details, retry(time.Until(reset)))
	}
	return with(status.New(code, message), details)
}

// Unchecked returns a fault as an error: UNAVAILABLE, with a RetryInfo if the fault
// has one, when imquota did not answer; else INTERNAL, because asking again does not
// help. What is wrong inside is not told: log the fault where Options.Fault has it.
func Unchecked(fault error) error {
	if !client.IsUnanswered(fault) {
		return status.Error(codes.Internal, "the quota could not be checked")
	}
	var details []protoadapt.MessageV1
	if delay := client.RetryDelay(fault); delay > 0 {
		details = append(details, retry(delay))
	}
	return with(status.New(codes.Unavailable, "the quota cannot be checked now"), details)
}

func isLimit(v *imquotav1.Violation) bool {
	return v.GetReason() == imquotav1.Reason_REASON_LIMIT_EXCEEDED
}

func reasonOf(v *imquotav1.Violation) string {
	return strings.TrimPrefix(v.GetReason().String(), "REASON_")
}

func errorInfo(v *imquotav1.Violation) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: reasonOf(v), Domain: "imquota", Metadata: map[string]string{}}
	for key, value := range map[string]string{"feature": v.GetFeature(), "quota": v.GetQuota(), "subject": v.GetSubject()} {
		if value != "" {
			info.Metadata[key] = value
		}
	}
	if v.GetQuota() != "" {
		for key, value := range map[string]int64{"limit": v.GetLimit(), "used": v.GetUsed(), "requested": v.GetRequested()} {
			info.Metadata[key] = strconv.FormatInt(value, 10)
		}
	}
	if v.GetUpstreamCode() != 0 {
		info.Metadata["upstream_code"] = strconv.Itoa(int(v.GetUpstreamCode()))
	}
	return info
}

func retry(delay time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(max(delay, 0))}
}

func with(st *status.Status, details []protoadapt.MessageV1) error {
	if full, err := st.WithDetails(details...); err == nil {
		st = full
	}
	return st.Err()
}
