package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

// tableMetrics counts what is in the replica at each scrape. Labels are closed sets; integrations are never labels.
type tableMetrics struct {
	table        *events.Table
	integrations *prometheus.Desc
	connectors   *prometheus.Desc
	lag          *prometheus.Desc
	ready        *prometheus.Desc
}

func registerTable(reg prometheus.Registerer, t *events.Table) {
	reg.MustRegister(&tableMetrics{
		table:        t,
		integrations: prometheus.NewDesc("rolebridge_replica_integrations", "Integrations, by cloud and status of trust.", []string{"cloud", "trust"}, nil),
		connectors:   prometheus.NewDesc("rolebridge_replica_connectors", "Bound connectors.", nil, nil),
		lag:          prometheus.NewDesc("rolebridge_replica_lag_records", "Records of the state topic that are known and not read yet.", nil, nil),
		ready:        prometheus.NewDesc("rolebridge_replica_ready", "1 once the replica holds all that was there when it started.", nil, nil),
	})
}

// Describe sends the descriptions, for Prometheus.
func (m *tableMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.integrations, m.connectors, m.lag, m.ready} {
		to <- d
	}
}

type cell struct{ cloud, trust string }

// Collect counts, for Prometheus.
func (m *tableMetrics) Collect(to chan<- prometheus.Metric) {
	counts := map[cell]int{}
	for _, kind := range []integration.Kind{integration.KindAWS, integration.KindGCP, integration.KindAzure} {
		for _, status := range integration.TrustStatuses() {
			counts[cell{kind.Provider(), string(status)}] = 0
		}
	}
	connectors := 0
	m.table.All(func(i *integration.Integration) bool {
		counts[cell{i.Config.Kind.Provider(), string(i.Trust.Status)}]++
		connectors += len(i.Connectors)
		return true
	})
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for c, n := range counts {
		gauge(m.integrations, float64(n), c.cloud, c.trust)
	}
	gauge(m.connectors, float64(connectors))
	gauge(m.lag, float64(m.table.Lag()))
	ready := 0.0
	select {
	case <-m.table.Ready():
		ready = 1
	default:
	}
	gauge(m.ready, ready)
}
