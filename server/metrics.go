package server

import (
	"context"
	"path"
	"strconv"
	"strings"
	"time"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Metrics counts what is answered. Labels hold what the contract and the
// catalog name; none holds the id of an app, user or group.
type Metrics struct {
	decisions *series[decisionLabels, prometheus.Counter]
	denials   *series[denialLabels, prometheus.Counter]
	faults    *prometheus.CounterVec
	calls     *series[string, *callSeries] // by the full name of the method
}

type decisionLabels struct {
	action    string
	isAllowed bool
	source    quota.Source
}

type denialLabels struct {
	reason quota.Reason
	of     string
}

// callSeries is what is known of one method's calls.
type callSeries struct {
	method  string
	seconds prometheus.Observer
}

// callBuckets are seconds: a local decision takes tens of microseconds, one
// with a store far away some milliseconds, and a second is the end of patience.
var callBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}

// NewMetrics returns metrics that are registered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	decisions := counter("imquota_decisions_total", "Decisions, by the action that was asked for.", "action", "allowed", "source")
	denials := counter("imquota_denials_total", "Denials, by the primary reason and the quota or feature it is about.", "reason", "of")
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "imquota_call_duration_seconds", Help: "How long calls took.", Buckets: callBuckets,
	}, []string{"method"})
	r.MustRegister(seconds)
	return &Metrics{
		decisions: newSeries(func(l decisionLabels) prometheus.Counter {
			return decisions.WithLabelValues(l.action, strconv.FormatBool(l.isAllowed), strings.TrimPrefix(fromSource(l.source).String(), "SOURCE_"))
		}),
		denials: newSeries(func(l denialLabels) prometheus.Counter {
			return denials.WithLabelValues(strings.TrimPrefix(reasons[l.reason].String(), "REASON_"), l.of)
		}),
		faults: counter("imquota_faults_total", "Calls and items of batches that were not decided or carried out, by the reason of the error.", "method", "reason"),
		calls: newSeries(func(name string) *callSeries {
			method := path.Base(name)
			return &callSeries{method, seconds.WithLabelValues(method)}
		}),
	}
}

// Intercept times what inner does, and counts its faults.
func (m *Metrics) Intercept(inner grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		began := time.Now()
		out, err := inner(ctx, in, info, handle)
		call := m.calls.of(info.FullMethod)
		call.seconds.Observe(time.Since(began).Seconds())
		if err != nil {
			m.faults.WithLabelValues(call.method, reasonOf(err)).Inc()
		}
		return out, err
	}
}

// reasonOf returns the reason of an error that toStatus made.
func reasonOf(err error) string {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return st.Code().String()
}

// decided counts a decision.
func (m *Metrics) decided(action string, d *quota.Decision) {
	m.decisions.of(decisionLabels{action, d.Allowed, d.Source}).Inc()
	if len(d.Violations) == 0 {
		return
	}
	v := &d.Violations[0]
	of := v.Quota
	if of == "" {
		of = v.Feature
	}
	m.denials.of(denialLabels{v.Reason, of}).Inc()
}

// failed counts an item of a batch that was not decided.
func (m *Metrics) failed(e *imquotav1.ItemError) {
	m.faults.WithLabelValues("BatchCheckQuota", shortReason(e.GetReason())).Inc()
}
