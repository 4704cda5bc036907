package main

import (
	"net/http"
	"time"

	"github.com/imquota/imquota/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what a monitoring system reads of this process.
type metrics struct {
	registry *prometheus.Registry
	calls    *server.Metrics
	ready    prometheus.Gauge
	circuit  prometheus.Gauge

	connections prometheus.Gauge
	refused     prometheus.Counter // connections
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		ready:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "imquota_store_ready", Help: "1 while the store can be trusted, else 0."}),
		circuit: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imquota_store_circuit_open",
			Help: "1 while no server of the store answers and calls that need it fail at once, else 0. The embedded store has none.",
		}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "imquota_connections", Help: "Open connections, of all addresses."}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "imquota_connections_refused_total",
			Help: "Connections that were closed at once, because --max-connections of their address were open.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "imquota_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.ready, m.circuit, m.connections, m.refused, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.calls = server.NewMetrics(m.registry)
	return m
}

// watching adds whether the records at hand are current, asked for at each look.
func (m *metrics) watching(isCurrent func() bool) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "imquota_records_current",
		Help: "1 while decisions are made by records at hand, 0 while each one reads them, because the log of changes cannot be followed.",
	}, func() float64 {
		if isCurrent() {
			return 1
		}
		return 0
	}))
}

// losing shows the tails that the store has lost.
func (m *metrics) losing(l *tailLosses) {
	m.registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "imquota_tail_losses_total",
			Help: "How often the store was found to have lost counts that it had acknowledged, an app's at a time.",
		}, func() float64 { return float64(l.count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "imquota_store_tail_lost",
			Help: "1 for an hour after such a loss was noticed, else 0.",
		}, func() float64 {
			if _, isRecent := l.recent(time.Now()); isRecent {
				return 1
			}
			return 0
		}),
	)
}

// admits shows how many calls are under way, and how many arriving.
func (m *metrics) admits(inFlight, arriving func() int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "imquota_in_flight",
		Help: "Calls under way. More than --max-in-flight are refused with OVERLOADED.",
	}, func() float64 { return float64(inFlight()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "imquota_arriving",
		Help: "Calls over gRPC whose request is not whole yet. More than --max-in-flight are refused with OVERLOADED.",
	}, func() float64 { return float64(arriving()) }))
}

func (m *metrics) page() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
