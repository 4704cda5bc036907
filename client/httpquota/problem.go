package httpquota

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/imquota/imquota/client"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// problem is the body of an error (RFC 9457). What imquota adds has the names of its
// own JSON.
type problem struct {
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Detail     string            `json:"detail"`
	Reason     string            `json:"reason,omitempty"`
	Violations []json.RawMessage `json:"violations,omitempty"`
	Upgrade    json.RawMessage   `json:"upgrade,omitempty"`
}

// Denied answers that a request is denied: 429 when the primary reason is a limit,
// with Retry-After if that passes by itself, else 403. The body is
// application/problem+json with the members reason, violations and upgrade, as in a
// decision.
func Denied(w http.ResponseWriter, _ *http.Request, d *imquotav1.Decision) {
	p := problem{Status: http.StatusForbidden, Detail: "denied"}
	if len(d.GetViolations()) > 0 {
		primary := d.GetViolations()[0]
		p.Detail, p.Reason = primary.GetMessage(), primary.GetReason().String()
		if primary.GetReason() == imquotav1.Reason_REASON_LIMIT_EXCEEDED {
			p.Status = http.StatusTooManyRequests
		}
	}
	for _, v := range d.GetViolations() {
		p.Violations = append(p.Violations, jsonOf(v))
	}
	if d.GetUpgrade() != nil {
		p.Upgrade = jsonOf(d.GetUpgrade())
	}
	if reset, ok := client.DeniedUntil(d); ok {
		retryAfter(w, time.Until(reset))
	}
	p.write(w)
}

// Unchecked answers that a request could not be checked: 503 with Retry-After when
// imquota did not answer; else 500, because asking again does not help. What is
// wrong inside is not told: log the fault where Options.Fault has it.
func Unchecked(w http.ResponseWriter, _ *http.Request, fault error) {
	p := problem{Status: http.StatusInternalServerError, Detail: "the quota could not be checked"}
	if client.IsUnanswered(fault) {
		p.Status, p.Detail = http.StatusServiceUnavailable, "the quota cannot be checked now"
		retryAfter(w, client.RetryDelay(fault))
	}
	p.write(w)
}

// retryAfter says when to come back, in whole seconds, not before it is over.
func retryAfter(w http.ResponseWriter, d time.Duration) {
	seconds := int64((d + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(max(seconds, 1), 10))
}

// jsonOf returns a message as imquota's JSON has it.
func jsonOf(m proto.Message) json.RawMessage {
	raw, err := protojson.Marshal(m)
	if err != nil {
		return json.RawMessage("{}")
	}
	return raw
}

func (p problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p) // compacts what protojson spaces at random
	if err != nil {
		http.Error(w, p.Detail, p.Status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}
