package audit

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gap counts notes that were lost and are not told yet. Safe for concurrent use.
type gap struct {
	mu    sync.Mutex
	count int64
	since time.Time
}

func (g *gap) add(n int64, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.count == 0 || at.Before(g.since) {
		g.since = at
	}
	g.count += n
}

// take returns what is untold and forgets it.
func (g *gap) take() (count int64, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	count, since = g.count, g.since
	g.count = 0
	return count, since
}

type metrics struct {
	written prometheus.Counter
	dropped prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, waiting func() int64) (*metrics, error) {
	notes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rolebridge_audit_notes_total", Help: "Notes for the audit trail, by what became of them.",
	}, []string{"outcome"})
	m := &metrics{written: notes.WithLabelValues("written"), dropped: notes.WithLabelValues("dropped")}
	return m, errors.Join(reg.Register(notes), reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rolebridge_audit_waiting", Help: "Notes and records for the audit trail that Kafka does not have yet.",
	}, func() float64 { return float64(waiting()) })))
}
