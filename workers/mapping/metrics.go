package mapping

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/integration"
)

// Outcomes of one order.
const (
	outcomeMade      = "made"
	outcomeRemoved   = "removed"
	outcomePermanent = "permanent" // refused until somebody changes something
	outcomeTemporary = "temporary" // refused, and may pass by itself
)

type metrics struct {
	orders  *prometheus.CounterVec
	retries prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		orders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_mapping_orders_total", Help: "Orders to make or remove a platform identity, by outcome.",
		}, []string{"operation", "outcome"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rolebridge_mapping_retries_total", Help: "Temporary answers of the cloud while an order was handled.",
		}),
	}
	reg.MustRegister(m.orders, m.retries)
	for operation, done := range map[integration.MappingOperation]string{
		integration.EnsureMapping: outcomeMade, integration.RemoveMapping: outcomeRemoved,
	} {
		for _, outcome := range []string{done, outcomePermanent, outcomeTemporary} {
			m.orders.WithLabelValues(string(operation), outcome)
		}
	}
	return m
}

func (m *metrics) count(operation integration.MappingOperation, finding integration.Finding) {
	outcome := outcomeTemporary
	switch f := finding.(type) {
	case integration.MappingWasMade:
		outcome = outcomeMade
	case integration.MappingWasRemoved:
		outcome = outcomeRemoved
	case integration.MappingWasRefused:
		if f.Permanent {
			outcome = outcomePermanent
		}
	}
	m.orders.WithLabelValues(string(operation), outcome).Inc()
}
