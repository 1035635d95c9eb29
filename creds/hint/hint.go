// Package hint tells the decider that customers' roles refuse the broker, so that their trust is proved at once and not
// only when its hour comes.
//
// It is not a verdict, nor is anything lost with a hint: the proof alone counts, and it comes within the hour anyway. So
// everything here is bounded. A refusal that repeats is told once a minute for each integration; many refusals at once,
// as when the cloud is at fault, become a few hints a second; and while Kafka is away none is kept for later, when it would
// be about something that was over long ago: the next refusal is told instead.
//
// The life of a hint: the broker calls [Teller.Refused], which puts it into a queue and returns at once; Run leaves out
// what was told lately and writes session.refused to the results topic.
package hint

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

const (
	queued     = 256 // hints that wait for Run, and again for Kafka
	remembered = 10_000
	repeat     = time.Minute // one integration is told of again after so long
	perSecond  = 5
	burst      = 50
	lateAfter  = 15 * time.Second // a hint that Kafka did not take by then is dropped
)

// What becomes of a refusal; the label of the metric.
const (
	told     = "told"
	repeated = "repeated"
	dropped  = "dropped"
)

// ProducerOptions are what the teller's client must be made with, beside how to reach Kafka.
func ProducerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(queued), kgo.RecordDeliveryTimeout(lateAfter), kgo.ProducerLinger(0),
	}
}

// Teller tells of refusals. Safe for concurrent use.
type Teller struct {
	client *kgo.Client
	codec  *events.Codec
	log    *slog.Logger
	queue  chan subject
	pace   *rate.Limiter
	hints  *prometheus.CounterVec
	quiet  atomic.Bool // Kafka is away, and the log says so

	mu     sync.Mutex                         // Run and the client's promises
	lately *simplelru.LRU[subject, time.Time] // told, or on its way
}

type subject struct {
	organization integration.OrganizationID
	integration  integration.ID
}

// New returns a teller that writes through client, which was made with [ProducerOptions] and stays the caller's to close.
func New(client *kgo.Client, codec *events.Codec, log *slog.Logger, reg prometheus.Registerer) (*Teller, error) {
	lately, err := simplelru.NewLRU[subject, time.Time](remembered, nil)
	if err != nil {
		return nil, err
	}
	t := &Teller{
		client: client, codec: codec, log: log, queue: make(chan subject, queued), lately: lately,
		pace: rate.NewLimiter(perSecond, burst),
		hints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rolebridge_broker_hints_total", Help: "Refusals by customers' roles, by what became of the hint to prove their trust.",
		}, []string{"outcome"}),
	}
	for _, outcome := range []string{told, repeated, dropped} {
		t.hints.WithLabelValues(outcome)
	}
	return t, reg.Register(t.hints)
}

// Refused says that the role of integration i refused the broker. It never blocks.
func (t *Teller) Refused(o integration.OrganizationID, i integration.ID) {
	select {
	case t.queue <- subject{o, i}:
	default:
		t.count(dropped)
	}
}

// Run tells until ctx ends (nil); what is not told by then never is.
func (t *Teller) Run(ctx context.Context) error {
	for {
		select {
		case s := <-t.queue:
			t.tell(ctx, s, time.Now())
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *Teller) tell(ctx context.Context, s subject, now time.Time) {
	if t.toldLately(s, now) {
		t.count(repeated)
		return
	}
	if !t.pace.AllowN(now, 1) {
		t.count(dropped) // and not remembered: the next refusal may have more luck
		return
	}
	r, err := t.codec.ResultRecord(events.SourceBroker, integration.Result{
		Organization: s.organization, Integration: s.integration, Attempt: now.UnixMilli(), Finding: integration.SessionWasRefused{},
	})
	if err != nil {
		t.failed(ctx, err)
		return
	}
	t.remember(s, now)
	t.client.TryProduce(ctx, r, func(_ *kgo.Record, err error) {
		if err != nil {
			t.forget(s)
			t.failed(ctx, err)
			return
		}
		t.quiet.Store(false)
		t.count(told)
	})
}

// toldLately reports whether s was told within the last minute, or is about to be.
func (t *Teller) toldLately(s subject, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, ok := t.lately.Get(s)
	return ok && now.Sub(last) < repeat
}

func (t *Teller) remember(s subject, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lately.Add(s, now)
}

// forget lets the next refusal be told: Kafka did not take this one.
func (t *Teller) forget(s subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lately.Remove(s)
}

// failed logs the first of a row of failures.
func (t *Teller) failed(ctx context.Context, err error) {
	t.count(dropped)
	if ctx.Err() == nil && !t.quiet.Swap(true) {
		t.log.WarnContext(ctx, "hints to prove trust cannot be written", "error", err)
	}
}

func (t *Teller) count(outcome string) { t.hints.WithLabelValues(outcome).Inc() }
