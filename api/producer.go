package api

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// sendWithin bounds the wait for Kafka: a client is told to come again well before it gives up.
const sendWithin = 1500 * time.Millisecond

// sendTries bounds how often a command is handed to the client within that time.
const sendTries = 3

// Producer sends commands to Kafka. Safe for concurrent use.
type Producer struct {
	client *kgo.Client
	codec  *events.Codec
	log    *slog.Logger
	lost   atomic.Bool // Kafka took no command when last asked
}

// ProducerOptions are what a client must be made with, beside how to reach Kafka: each record goes to the partition that
// the codec chose, is written by all replicas, and is given up soon, so that a command is not decided long after its
// client was told to come again.
func ProducerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(sendWithin),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(10_000),
		// After a lost connection the client asks for metadata before it tries again, by default 5 s after it last did so,
		// and its own waits grow to as much: Kafka's return must be noticed within the next Send.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(tries int) time.Duration { return min(50*time.Millisecond<<min(tries, 4), 500*time.Millisecond) }),
	}
}

// NewProducer returns a producer on a client made with [ProducerOptions], which stays the caller's to close. Records are
// idempotent, as is the client's default; a command that is written twice all the same is decided once, by its id.
func NewProducer(client *kgo.Client, codec *events.Codec, log *slog.Logger) *Producer {
	return &Producer{client: client, codec: codec, log: log}
}

// Send writes a command and waits for Kafka to have it, at most 1.5 s. The error is a refusal: unavailable when Kafka did
// not take it in time, in which case it may still be written a little later.
func (p *Producer) Send(ctx context.Context, cmd integration.Command) error {
	record, err := p.codec.CommandRecord(cmd)
	if err != nil {
		return integration.Refuse(integration.CodeInvalid, "%v", err)
	}
	telemetry.Note(ctx, telemetry.Fact{Name: "command.type", Value: cmd.Ask.Type()}, telemetry.Fact{Name: "command.id", Value: cmd.ID},
		telemetry.Fact{Name: "organization", Value: string(cmd.Organization)}, telemetry.Fact{Name: "integration", Value: string(cmd.Ask.About())})
	telemetry.Inject(ctx, record)
	// The client may go away while its command is on the way; what is on the way stays so.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	defer cancel()
	for range sendTries {
		// Records that waited before this one in vain take it down with them when they are given up.
		err = p.produce(bounded, *record)
		if bounded.Err() != nil || !errors.Is(err, kgo.ErrRecordTimeout) && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	if err != nil {
		if !p.lost.Swap(true) {
			p.log.WarnContext(ctx, "commands cannot be written", "error", err)
		}
		return integration.Refuse(integration.CodeUnavailable, "the command could not be written")
	}
	if p.lost.Swap(false) {
		p.log.InfoContext(ctx, "commands are written again")
	}
	return nil
}

func (p *Producer) produce(ctx context.Context, record kgo.Record) error {
	result := make(chan error, 1)
	p.client.Produce(ctx, &record, func(_ *kgo.Record, err error) { result <- err })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		// An idempotent record that was sent cannot be called back: its outcome comes later, and nobody waits for it.
		return ctx.Err()
	}
}
