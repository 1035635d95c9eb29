// Package audit keeps the trail: who was given which session and who was given none, and what the api notes beside that, of
// failed logins and changes.
//
// It is not a log of reads: a session that is read again is in the trail already, and equal refusals within a window are
// one record that counts them. Nor is it part of an answer. A broker that cannot write goes on answering, and the trail
// says how large its gap is.
//
// The life of a note: Trail.Note puts it into a bounded queue and returns at once. Run folds refusals together, writes
// records to the audit topic, and counts what the queue or the client's buffer had no room for; once there is room
// again, that number is a record too.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
)

// Config says how a [Trail] works. Start from [Defaults].
type Config struct {
	// Queue is how many notes may wait for the writer, and again how many records for Kafka; more are dropped and counted.
	Queue int `koanf:"queue"`
	// Window is how long equal refusals are counted before they are written, 100 ms to 5 min.
	Window time.Duration `koanf:"window"`
	// Replica tells this process from others in the source of its records; empty is allowed.
	Replica string `koanf:"replica"`
}

// Defaults hold a minute of 300 new sessions a second while Kafka is away, in some 20 MB for each trail: a
// process with several roles has one for each.
func Defaults() Config { return Config{Queue: 20_000, Window: 5 * time.Second} }

// Validate reports all faults at once, each as "path: value: what is allowed".
func (c Config) Validate() error {
	var faults []error
	if c.Queue < 1 || c.Queue > 1_000_000 {
		faults = append(faults, fmt.Errorf("audit.queue: %d: want 1 to 1000000", c.Queue))
	}
	if c.Window < 100*time.Millisecond || c.Window > 5*time.Minute {
		faults = append(faults, fmt.Errorf("audit.window: %v: want 100ms to 5m", c.Window))
	}
	if len(c.Replica) > 200 {
		faults = append(faults, fmt.Errorf("audit.replica: %d characters: at most 200 are allowed", len(c.Replica)))
	}
	return errors.Join(faults...)
}

// ProducerOptions are what the trail's client must be made with, beside how to reach Kafka. Records wait in it for as long
// as Kafka is away, up to the bound.
func (c Config) ProducerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(c.Queue),
		kgo.ProducerLinger(50 * time.Millisecond),
	}
}

// Trail takes notes. Safe for concurrent use; [Trail.Run] owns all but the queue.
type Trail struct {
	cfg     Config
	source  string // who writes the records
	client  *kgo.Client
	codec   *events.Codec
	log     *slog.Logger
	queue   chan events.Audit
	gap     gap
	metrics *metrics

	refusals map[events.Audit]folded // of the present window, by what is alike of them; Run's
}

// New returns the trail of source ([events.SourceAPI], [events.SourceBroker]) that writes through client, which was made with
// [Config.ProducerOptions] and stays the caller's to close. Errors: a config that is not valid, metrics that are registered
// already.
func New(cfg Config, source string, client *kgo.Client, codec *events.Codec, log *slog.Logger, reg prometheus.Registerer) (*Trail, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Replica != "" {
		source += "/" + cfg.Replica
	}
	t := &Trail{
		cfg: cfg, source: source, client: client, codec: codec, log: log,
		queue: make(chan events.Audit, cfg.Queue), refusals: map[events.Audit]folded{},
	}
	var err error
	t.metrics, err = newMetrics(reg, func() int64 { return int64(len(t.queue)) + client.BufferedProduceRecords() })
	return t, err
}

// Note takes one note. It never blocks: without room the note is dropped and counted.
func (t *Trail) Note(a events.Audit) {
	select {
	case t.queue <- a:
	default:
		t.lose(1, a.Time)
	}
}

// lose counts notes that will never be written, in the metrics at once and in the trail when there is room.
func (t *Trail) lose(n int64, at time.Time) {
	t.metrics.dropped.Add(float64(n))
	t.gap.add(n, at)
}

// stopBudget is what Kafka gets to take the last records.
const stopBudget = 2 * time.Second

// Run writes what is noted until ctx ends, and then what is left, for 2 s at most. Once only.
func (t *Trail) Run(ctx context.Context) error {
	window := time.NewTicker(t.cfg.Window)
	defer window.Stop()
	records := context.WithoutCancel(ctx) // what was noted is written after a stop too
	for {
		select {
		case a := <-t.queue:
			t.take(records, a)
		case now := <-window.C:
			t.endWindow(records, now)
		case <-ctx.Done():
			t.drain(records)
			return nil
		}
	}
}

// drain writes what is there at the end.
func (t *Trail) drain(ctx context.Context) {
	for len(t.queue) > 0 {
		t.take(ctx, <-t.queue)
	}
	t.endWindow(ctx, time.Now())
	ctx, cancel := context.WithTimeout(ctx, stopBudget)
	defer cancel()
	if err := t.client.Flush(ctx); err != nil {
		t.log.WarnContext(ctx, "audit records are lost", "records", t.client.BufferedProduceRecords(), "error", err)
	}
}

// take writes a note, or folds it into the window when it is a refusal.
func (t *Trail) take(ctx context.Context, a events.Audit) {
	if like, counts := alike(a); counts {
		t.fold(ctx, like, a.Time)
		return
	}
	t.write(ctx, a, 1)
}

// write hands a record that stands for n notes to the client.
func (t *Trail) write(ctx context.Context, a events.Audit, n int64) {
	record, err := t.codec.AuditRecord(t.source, a)
	if err != nil {
		t.log.ErrorContext(ctx, "an audit record cannot be written", "type", a.Note.Type(), "error", err)
		t.lose(n, a.Time)
		return
	}
	t.client.TryProduce(ctx, record, func(_ *kgo.Record, err error) {
		if err != nil {
			t.lose(n, a.Time)
			return
		}
		t.metrics.written.Add(float64(n))
	})
}

// endWindow writes the refusals of the window, and how much was lost so far.
func (t *Trail) endWindow(ctx context.Context, now time.Time) {
	t.endRefusals(ctx)
	if n, since := t.gap.take(); n > 0 {
		t.tell(ctx, n, since, now)
	}
}

// tell writes that n notes are lost.
func (t *Trail) tell(ctx context.Context, n int64, since, now time.Time) {
	note := events.AuditDropped{Count: n, Since: since}
	record, err := t.codec.AuditRecord(t.source, events.Audit{Time: now, Note: note})
	if err != nil {
		t.log.ErrorContext(ctx, "the gap in the audit trail cannot be written", "error", err)
		return
	}
	t.client.TryProduce(ctx, record, func(_ *kgo.Record, err error) {
		if err != nil {
			t.gap.add(n, since) // told with the next window
			return
		}
		t.log.WarnContext(ctx, "the audit trail has a gap: notes were dropped", "count", n, "since", since)
	})
}
