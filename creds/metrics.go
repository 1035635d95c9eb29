package creds

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/integration"
)

// refresh is how a renewal ahead of time ended; the label of metrics.
type refresh string

const (
	refreshIssued  refresh = "issued"  // by the cloud, for the whole fleet
	refreshAdopted refresh = "adopted" // another replica was faster
	refreshFailed  refresh = "failed"
	refreshRefused refresh = "refused"
	refreshIdle    refresh = "idle" // nobody read it: left to expire
	refreshGone    refresh = "gone" // its binding does not exist any more, or gets nothing
)

// Outcomes of reads and calls beside those named by a Code or Fault.
const (
	outcomeOK        = "ok"
	outcomeCanceled  = "canceled"
	outcomeLeftAlone = "left-alone" // the breaker was open, so no call was made
)

type metrics struct {
	warm      prometheus.Counter // ok from memory, looked up once
	reads     *prometheus.CounterVec
	seconds   prometheus.Histogram
	calls     *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	store     *prometheus.CounterVec
	asked     map[way]attemptCounts
	limited   prometheus.Counter
}

// attemptCounts are the attempts to prove a binding in one way.
type attemptCounts struct{ ok, refused, unavailable prometheus.Counter }

func newMetrics(reg prometheus.Registerer, b *book) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		reads: counter("rolebridge_broker_reads_total", "Answers to readers, by outcome and the cache level they came from.", "outcome", "level"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rolebridge_broker_read_seconds", Help: "Time to an answer.",
			Buckets: []float64{5e-6, 1e-5, 2.5e-5, 1e-4, 1e-3, 5e-3, .025, .1, .25, .5, .75, 1},
		}),
		calls:     counter("rolebridge_broker_upstream_calls_total", "Calls to the cloud, by step of the chain and outcome.", "op", "outcome"),
		refreshes: counter("rolebridge_broker_refreshes_total", "Renewals ahead of time that were due, by outcome.", "outcome"),
		store:     counter("rolebridge_broker_store_errors_total", "Operations that the shared store failed, by operation; open is an entry that could not be unsealed.", "op"),
	}
	attempts := counter("rolebridge_broker_authentications_total", "Attempts to prove a binding, by way and outcome.", "way", "outcome")
	m.asked = map[way]attemptCounts{}
	for _, w := range []way{wayToken, wayOIDC, waySPIFFE} {
		m.asked[w] = attemptCounts{
			ok: attempts.WithLabelValues(string(w), outcomeOK), refused: attempts.WithLabelValues(string(w), "refused"),
			unavailable: attempts.WithLabelValues(string(w), "unavailable"),
		}
	}
	m.limited = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rolebridge_broker_limited_attempts_total", Help: "Failed attempts of sources with too many of them.",
	})
	for _, level := range []Level{LevelMemory, LevelStore, LevelCloud} {
		m.reads.WithLabelValues(outcomeOK, string(level))
	}
	m.warm = m.reads.WithLabelValues(outcomeOK, string(LevelMemory))
	for _, c := range []integration.Code{
		integration.CodeUnauthenticated, integration.CodeDenied, integration.CodeUnavailable, integration.CodeThrottled,
		integration.CodeInternal,
	} {
		m.reads.WithLabelValues(string(c), string(levelNone))
	}
	m.reads.WithLabelValues(outcomeCanceled, string(levelNone))
	for _, op := range []hop{hopPlatform, hopCustomer} {
		for _, outcome := range []string{outcomeOK, outcomeCanceled, outcomeLeftAlone} {
			m.calls.WithLabelValues(string(op), outcome)
		}
		for _, f := range []cloud.Fault{
			cloud.FaultDenied, cloud.FaultInvalid, cloud.FaultNotFound, cloud.FaultExists, cloud.FaultLimit, cloud.FaultTooLarge, cloud.FaultThrottled,
			cloud.FaultUnavailable, cloud.FaultExpired,
		} {
			m.calls.WithLabelValues(string(op), string(f))
		}
	}
	for _, r := range []refresh{refreshIssued, refreshAdopted, refreshFailed, refreshRefused, refreshIdle, refreshGone} {
		m.refreshes.WithLabelValues(string(r))
	}
	for _, op := range []string{"get", "open", "lease", "extend", "put", "release"} {
		m.store.WithLabelValues(op)
	}
	var err error
	for _, c := range []prometheus.Collector{
		m.reads, m.seconds, m.calls, m.refreshes, m.store, attempts, m.limited,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rolebridge_broker_cached_sessions", Help: "Sessions in memory that may be handed out.",
		}, func() float64 { return float64(b.cached()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rolebridge_broker_session_seconds_to_expiry",
			Help: "Time left of the session nearest to its expiry, of those that were read since they were issued; +Inf without any.",
		}, func() float64 { return b.nearest(time.Now()) }),
	} {
		err = errors.Join(err, reg.Register(c))
	}
	return m, err
}

func (m *metrics) read(level Level, err error, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	if err == nil && level == LevelMemory {
		m.warm.Inc()
		return
	}
	m.reads.WithLabelValues(readOutcome(err), string(level)).Inc()
}

// authenticated counts an attempt; keys that cannot be had, and callers that went away, are neither proof nor refusal.
func (m *metrics) authenticated(w way, err error) {
	switch of := m.asked[w]; {
	case err == nil:
		of.ok.Inc()
	case errors.Is(err, errUnauthenticated):
		of.refused.Inc()
	default:
		of.unavailable.Inc()
	}
}

func readOutcome(err error) string {
	var refusal *integration.Refusal
	switch {
	case err == nil:
		return outcomeOK
	case errors.As(err, &refusal):
		return string(refusal.Code)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return outcomeCanceled
	}
	return string(integration.CodeInternal)
}

func (m *metrics) called(op hop, err error) {
	outcome := outcomeOK
	switch {
	case err == nil:
	case errors.Is(err, errLeftAlone):
		outcome = outcomeLeftAlone
	case errors.Is(err, context.Canceled):
		outcome = outcomeCanceled
	default:
		outcome = string(cloud.FaultOf(err))
	}
	m.calls.WithLabelValues(string(op), outcome).Inc()
}

func (m *metrics) refreshed(r refresh)   { m.refreshes.WithLabelValues(string(r)).Inc() }
func (m *metrics) storeFailed(op string) { m.store.WithLabelValues(op).Inc() }

// cached is the number of customers' sessions that may be handed out.
func (b *book) cached() (n int) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.slots {
		if s.recipe.hop() == hopCustomer && s.session.Load().valid(now) {
			n++
		}
	}
	return n
}

// nearest is the shortest time to expiry of the sessions that are in use, in seconds.
func (b *book) nearest(now time.Time) float64 {
	least := math.Inf(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.slots {
		if p := s.session.Load(); p.valid(now) && s.reader.Load() != nil {
			least = min(least, p.Expires.Sub(now).Seconds())
		}
	}
	return least
}
