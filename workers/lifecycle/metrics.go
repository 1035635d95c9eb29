package lifecycle

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of one input record.
const (
	outcomeAccepted   = "accepted"
	outcomeRefused    = "refused"
	outcomeUnproved   = "unproved"
	outcomeDuplicate  = "duplicate"
	outcomeStale      = "stale"
	outcomeForwarded  = "forwarded"
	outcomeDeadLetter = "dead_letter"
	outcomeSkipped    = "skipped" // below the cursor: decided before
)

type metrics struct {
	decisions    *prometheus.CounterVec
	transactions *prometheus.CounterVec
	hanging      *prometheus.CounterVec
	reminders    prometheus.Counter
	restored     prometheus.Counter
	restoring    prometheus.Histogram
	deciding     prometheus.Histogram
	partitions   prometheus.Gauge
	prefix       string
}

func newMetrics(reg prometheus.Registerer, prefix string, lag prometheus.Collector) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_decisions_total", Help: "Records decided, by input topic and outcome.",
		}, []string{"topic", "outcome"}),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_transactions_total", Help: "Transactions ended, by outcome.",
		}, []string{"outcome"}),
		hanging: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_hanging_transactions_total", Help: "Transactions that Kafka forgot, by how they were ended; refused: not yet.",
		}, []string{"outcome"}),
		reminders: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_timers_total", Help: "Timers that came due.",
		}),
		restored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_restored_records_total", Help: "Records read to restore partitions.",
		}),
		restoring: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rolebridge_lifecycle_restore_seconds", Help: "Time to restore one partition's state.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		deciding: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rolebridge_lifecycle_transaction_seconds", Help: "Time from the first decision of a transaction to its end.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rolebridge_lifecycle_partitions", Help: "Partitions that this worker decides.",
		}),
		prefix: prefix,
	}
	reg.MustRegister(m.decisions, m.transactions, m.hanging, m.reminders, m.restored, m.restoring, m.deciding, m.partitions, lag)
	for _, topic := range []string{"commands", "results"} {
		for _, o := range []string{
			outcomeAccepted, outcomeRefused, outcomeUnproved, outcomeDuplicate, outcomeStale, outcomeForwarded, outcomeDeadLetter, outcomeSkipped,
		} {
			m.decisions.WithLabelValues(topic, o)
		}
	}
	for _, o := range []string{"committed", "aborted", "failed"} {
		m.transactions.WithLabelValues(o)
	}
	for _, o := range []string{"committed", "aborted", "refused"} {
		m.hanging.WithLabelValues(o)
	}
	return m
}

// short is a topic's name without the installation's prefix, so that dashboards fit every installation.
func (m *metrics) short(topic string) string { return strings.TrimPrefix(topic, m.prefix) }

func (m *metrics) decided(topic, outcome string, n int) {
	m.decisions.WithLabelValues(m.short(topic), outcome).Add(float64(n))
}
