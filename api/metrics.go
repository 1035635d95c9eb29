package api

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/integration"
)

// Label values that are no error code and no route.
const (
	codeOK       = "ok"
	unknownRoute = "unknown"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	limited  prometheus.Counter
}

// newMetrics registers the metrics, every combination of labels at 0.
func newMetrics(reg prometheus.Registerer, routes []string) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_api_requests_total",
			Help: "Requests answered, by route and by the answer's error code; ok is an answer without error.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rolebridge_api_request_duration_seconds",
			Help: "Time from the first byte of a request to its answer, waits for decisions included, by route. Of a stream: to its beginning.",
			// From reads in memory to the longest wait that a client may ask for.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
	m.limited = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rolebridge_api_limited_logins_total", Help: "Failed logins of sources with too many of them.",
	})
	reg.MustRegister(m.requests, m.duration, m.limited)
	codes := append(integration.Codes(), slices.Collect(maps.Keys(own))...)
	for _, route := range append(slices.Clone(routes), unknownRoute) {
		m.duration.WithLabelValues(route)
		m.requests.WithLabelValues(route, codeOK)
		for _, code := range codes {
			m.requests.WithLabelValues(route, string(code))
		}
	}
	return m
}

func (m *metrics) answered(route, code string, took time.Duration) {
	m.requests.WithLabelValues(route, code).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}
