package lifecycle

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of one input record.
const (
	outcomeAccepted   = "accepted"
	outcomeRefused    = "refused"
	outcomeDuplicate  = "duplicate"
	outcomeStale      = "stale"
	outcomeForwarded  = "forwarded"
	outcomeDeadLetter = "dead_letter"
	outcomeSkipped    = "skipped" // below the cursor: decided before
)

type metrics struct {
	decisions    *prometheus.CounterVec
	transactions *prometheus.CounterVec
	reminders    prometheus.Counter
	restored     prometheus.Counter
	restoring    prometheus.Histogram
	deciding     prometheus.Histogram
	lag          *prometheus.GaugeVec
	lagSeconds   *prometheus.GaugeVec
	partitions   prometheus.Gauge
	prefix       string
}

func newMetrics(reg prometheus.Registerer, prefix string) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_decisions_total", Help: "Records decided, by input topic and outcome.",
		}, []string{"topic", "outcome"}),
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_lifecycle_transactions_total", Help: "Transactions ended, by outcome.",
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
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rolebridge_lifecycle_lag_records", Help: "Records not decided yet, by input topic and partition.",
		}, []string{"topic", "partition"}),
		lagSeconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rolebridge_lifecycle_lag_seconds", Help: "Age of the last decided record while there are more, else 0.",
		}, []string{"topic", "partition"}),
		partitions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rolebridge_lifecycle_partitions", Help: "Partitions that this worker decides.",
		}),
		prefix: prefix,
	}
	reg.MustRegister(m.decisions, m.transactions, m.reminders, m.restored, m.restoring, m.deciding, m.lag, m.lagSeconds, m.partitions)
	for _, topic := range []string{"commands", "results"} {
		for _, o := range []string{
			outcomeAccepted, outcomeRefused, outcomeDuplicate, outcomeStale, outcomeForwarded, outcomeDeadLetter, outcomeSkipped,
		} {
			m.decisions.WithLabelValues(topic, o)
		}
	}
	for _, o := range []string{"committed", "aborted", "failed"} {
		m.transactions.WithLabelValues(o)
	}
	return m
}

// short is a topic's name without the installation's prefix, so that dashboards fit every installation.
func (m *metrics) short(topic string) string { return strings.TrimPrefix(topic, m.prefix) }

func (m *metrics) decided(topic, outcome string) {
	m.decisions.WithLabelValues(m.short(topic), outcome).Inc()
}

// progress records how far behind one partition of an input topic is.
func (m *metrics) progress(topic string, partition int32, behind int64, last, now time.Time) {
	age := 0.0
	if behind > 0 {
		age = max(0, now.Sub(last).Seconds())
	}
	p := strconv.Itoa(int(partition))
	m.lag.WithLabelValues(m.short(topic), p).Set(float64(behind))
	m.lagSeconds.WithLabelValues(m.short(topic), p).Set(age)
}

// forget drops the series of a partition that went to another worker.
func (m *metrics) forget(topic string, partition int32) {
	p := strconv.Itoa(int(partition))
	m.lag.DeleteLabelValues(m.short(topic), p)
	m.lagSeconds.DeleteLabelValues(m.short(topic), p)
}
