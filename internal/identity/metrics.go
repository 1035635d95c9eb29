package identity

import (
	"errors"

	"code.dny.dev/ssrf"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ ok, failed, forbidden prometheus.Counter }

func newMetrics(part string, reg prometheus.Registerer) (*metrics, error) {
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rolebridge_" + part + "_issuer_fetches_total", Help: "Fetches of the keys of issuers of tokens, by outcome.",
	}, []string{"outcome"})
	return &metrics{
		fetches.WithLabelValues("ok"), fetches.WithLabelValues("failed"), fetches.WithLabelValues("forbidden"),
	}, reg.Register(fetches)
}

// fetched counts; an address that no issuer may have is forbidden.
func (m *metrics) fetched(err error) {
	switch {
	case err == nil:
		m.ok.Inc()
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork):
		m.forbidden.Inc()
	default:
		m.failed.Inc()
	}
}
