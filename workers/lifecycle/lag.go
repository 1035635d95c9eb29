package lifecycle

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lag knows how far behind each input partition is. It is computed at each scrape, so that it grows while nothing is
// decided at all. A partition that went to another worker has no series here. Safe for concurrent use.
type lag struct {
	prefix string
	mu     sync.Mutex
	inputs map[input]*inputLag

	records, seconds *prometheus.Desc
}

type input struct {
	topic     string
	partition int32
}

// inputLag is what is known of one partition of an input topic.
type inputLag struct {
	next, high int64     // the next offset to be decided, and the end of the log when it was last read
	oldest     time.Time // when the first record that is not decided was written, or the last decided one
	open       bool      // records were read that are not decided
}

func newLag(prefix string) *lag {
	labels := []string{"topic", "partition"}
	return &lag{
		prefix: prefix, inputs: map[input]*inputLag{},
		records: prometheus.NewDesc("rolebridge_lifecycle_lag_records", "Records not decided yet, by input topic and partition.", labels, nil),
		seconds: prometheus.NewDesc("rolebridge_lifecycle_lag_seconds", "Age of the oldest record known not to be decided, else 0.", labels, nil),
	}
}

// starts says from where a partition is decided, and where its log ends.
func (l *lag) starts(topic string, partition int32, next, high int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inputs[input{topic, partition}] = &inputLag{next: next, high: high}
}

// fetched says what was read, decided or not.
func (l *lag) fetched(fetches kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if in, ok := l.inputs[input{f.Topic, f.Partition}]; ok && len(f.Records) > 0 {
			in.high, in.oldest, in.open = f.HighWatermark, f.Records[0].Timestamp, true
		}
	})
}

// decided says that what was read is decided.
func (l *lag) decided(fetches kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if in, ok := l.inputs[input{f.Topic, f.Partition}]; ok && len(f.Records) > 0 {
			last := f.Records[len(f.Records)-1]
			in.next, in.oldest, in.open = last.Offset+1, last.Timestamp, false
		}
	})
}

// forget drops a partition that went to another worker.
func (l *lag) forget(topic string, partition int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.inputs, input{topic, partition})
}

// Describe sends the descriptions, for Prometheus.
func (l *lag) Describe(to chan<- *prometheus.Desc) { to <- l.records; to <- l.seconds }

// Collect computes the lag, for Prometheus.
func (l *lag) Collect(to chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, in := range l.inputs {
		behind, age := max(0, in.high-in.next), 0.0
		if behind == 1 && !in.open {
			behind = 0 // the marker that ends a transaction, which is never read as a record
		}
		if behind > 0 && !in.oldest.IsZero() {
			age = max(0, time.Since(in.oldest).Seconds())
		}
		topic, partition := strings.TrimPrefix(of.topic, l.prefix), strconv.Itoa(int(of.partition))
		to <- prometheus.MustNewConstMetric(l.records, prometheus.GaugeValue, float64(behind), topic, partition)
		to <- prometheus.MustNewConstMetric(l.seconds, prometheus.GaugeValue, age, topic, partition)
	}
}
