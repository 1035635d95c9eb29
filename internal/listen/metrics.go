package listen

import (
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all listeners of a process.
type Metrics struct {
	connections *prometheus.GaugeVec
	refused     *prometheus.CounterVec
	panics      *prometheus.CounterVec
	reloads     *prometheus.CounterVec
	expiry      *prometheus.GaugeVec
}

// counts are the metrics of one listener.
type counts struct {
	connections      prometheus.Gauge
	refused, panics  prometheus.Counter
	reloaded, failed prometheus.Counter
	expiry           prometheus.Gauge
}

// NewMetrics registers the metrics. Errors: they are registered already.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"listener"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"listener"})
	}
	m := &Metrics{
		connections: gauge("rolebridge_listener_connections", "Connections that are open."),
		refused:     counter("rolebridge_listener_refused_connections_total", "Connections closed at once, because their source has too many."),
		panics:      counter("rolebridge_listener_panics_total", "Requests whose handler panicked."),
		reloads:     counter("rolebridge_listener_reloads_total", "Changes of the files of TLS, by outcome.", "outcome"),
		expiry: gauge("rolebridge_listener_certificate_expiry_timestamp_seconds",
			"When the listener's certificate expires, in Unix time; +Inf without one."),
	}
	var err error
	for _, c := range []prometheus.Collector{m.connections, m.refused, m.panics, m.reloads, m.expiry} {
		err = errors.Join(err, reg.Register(c))
	}
	return m, err
}

func (m *Metrics) of(name string) counts {
	c := counts{
		connections: m.connections.WithLabelValues(name), refused: m.refused.WithLabelValues(name),
		panics: m.panics.WithLabelValues(name), reloaded: m.reloads.WithLabelValues(name, "ok"),
		failed: m.reloads.WithLabelValues(name, "failed"), expiry: m.expiry.WithLabelValues(name),
	}
	c.expiry.Set(math.Inf(1))
	return c
}

func (c counts) expires(at time.Time) { c.expiry.Set(float64(at.Unix())) }
