package orders

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome says what became of a record.
type outcome string

const (
	answered   outcome = "answered"    // handled, and the result is written
	superseded outcome = "superseded"  // a later order to the same integration came before its turn
	expired    outcome = "expired"     // past its due time: the decider has asked again
	failed     outcome = "failed"      // handled without a result; the decider will ask again
	unfinished outcome = "unfinished"  // cut short by a stop; read again after it
	released   outcome = "released"    // not begun when its partition went to another worker
	skipped    outcome = "skipped"     // an event of another type
	deadLetter outcome = "dead_letter" // could not be read
)

func outcomes() []outcome {
	return []outcome{answered, superseded, expired, failed, unfinished, released, skipped, deadLetter}
}

type metrics struct {
	records *prometheus.CounterVec
	seconds prometheus.Histogram
}

// newMetrics registers the metrics of the worker called name; live answers what changes all the time.
func newMetrics(reg prometheus.Registerer, name string, live func() snapshot) *metrics {
	labels := prometheus.Labels{"worker": name}
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_orders_records_total", Help: "Records read by a worker, by what became of them.", ConstLabels: labels,
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rolebridge_orders_seconds", Help: "Time from taking up an order to its acknowledged result.", ConstLabels: labels,
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
	reg.MustRegister(m.records, m.seconds, &gauges{
		live:    live,
		running: prometheus.NewDesc("rolebridge_orders_running", "Orders being handled.", nil, labels),
		waiting: prometheus.NewDesc("rolebridge_orders_waiting", "Orders read and not begun.", nil, labels),
		lag: prometheus.NewDesc("rolebridge_orders_lag_records",
			"Records from the first one that is not done to the end of the partition.", []string{"partition"}, labels),
		lagSeconds: prometheus.NewDesc("rolebridge_orders_lag_seconds",
			"Age of the oldest record read and not done, else 0.", []string{"partition"}, labels),
	})
	for _, o := range outcomes() {
		m.records.WithLabelValues(string(o))
	}
	return m
}

func (m *metrics) count(o outcome) { m.records.WithLabelValues(string(o)).Inc() }

// snapshot is what a consumer is at, at one moment.
type snapshot struct {
	running, waiting int
	partitions       map[int32]lag
}

type lag struct {
	records int64
	age     time.Duration
}

// gauges are read when they are scraped: a partition that went away has no series from that moment on.
type gauges struct {
	live                              func() snapshot
	running, waiting, lag, lagSeconds *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.running, g.waiting, g.lag, g.lagSeconds} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	now := g.live()
	gauge(g.running, float64(now.running))
	gauge(g.waiting, float64(now.waiting))
	for p, l := range now.partitions {
		name := strconv.Itoa(int(p))
		gauge(g.lag, float64(l.records), name)
		gauge(g.lagSeconds, l.age.Seconds(), name)
	}
}
