package trust

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/integration"
)

// What became of a call that came too soon.
const (
	limitWaited  = "waited"
	limitRefused = "refused"
)

type metrics struct {
	checks  *prometheus.CounterVec
	proofs  *prometheus.CounterVec
	seconds prometheus.Histogram
	retries prometheus.Counter
	limited *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_trust_checks_total", Help: "Checks of proofs, by name and outcome.",
		}, []string{"check", "outcome"}),
		proofs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_trust_proofs_total", Help: "Proofs of trust, by verdict.",
		}, []string{"verdict"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rolebridge_trust_proof_seconds", Help: "How long proofs took.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rolebridge_trust_retries_total", Help: "Temporary answers of the cloud during proofs.",
		}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_trust_limited_total", Help: "Calls into customer accounts that came too soon, by what became of them.",
		}, []string{"outcome"}),
	}
	reg.MustRegister(m.checks, m.proofs, m.seconds, m.retries, m.limited)
	for _, check := range slices.Concat(order, []integration.CheckName{integration.CheckNextID, integration.CheckFormerID}) {
		for _, outcome := range []integration.Outcome{integration.Pass, integration.Fail, integration.Skipped, integration.Errored} {
			m.checks.WithLabelValues(string(check), string(outcome))
		}
	}
	for _, verdict := range []integration.Verdict{
		integration.VerdictClean, integration.VerdictInsecure, integration.VerdictRefused, integration.VerdictMoved, integration.VerdictInconclusive,
	} {
		m.proofs.WithLabelValues(string(verdict))
	}
	for _, outcome := range []string{limitWaited, limitRefused} {
		m.limited.WithLabelValues(outcome)
	}
	return m
}

func (m *metrics) count(r integration.Report) {
	for _, c := range r.Checks {
		m.checks.WithLabelValues(string(c.Name), string(c.Outcome)).Inc()
	}
	m.proofs.WithLabelValues(string(r.Verdict())).Inc()
	m.seconds.Observe(r.FinishedAt.Sub(r.StartedAt).Seconds())
}
