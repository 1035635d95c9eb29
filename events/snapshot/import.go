package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
)

// EpochsAhead is added to every epoch by an import: sessions that the brokers of the former installation have in a Redis
// that both use, and that were revoked there after the export, are out of reach.
const EpochsAhead = 1 << 20

// Refusals of an import. Nothing was written.
var (
	ErrNotEmpty = errors.New("the installation is not empty: an import goes into new topics only")
	ErrDeciders = errors.New("deciders run: stop every process with the role lifecycle first")
)

// TransactionalID is that of an import into t.
func TransactionalID(t events.Topics) string { return t.Prefix + "state-import" }

// Options are what a client needs to import, in one transaction that may take up to within.
func Options(t events.Topics, within time.Duration) []kgo.Opt {
	return []kgo.Opt{
		kgo.TransactionalID(TransactionalID(t)), kgo.TransactionTimeout(within), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(1000 << 10),
	}
}

// Import writes a file to the empty topics t, whose partitions may be as many as they like; group is the one of the deciders
// by the settings here; whoever reads the commands in another one is looked for too.
// It is all or nothing.
func Import(ctx context.Context, cl *kgo.Client, t events.Topics, group string, f *File) error {
	admin := kadm.NewClient(cl)
	// Fences an import that was interrupted, whose transaction could still be committed.
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("begin to import: %w", err)
	}
	if err := errors.Join(nobodyDecides(ctx, admin, t, group), empty(ctx, cl, t)); err != nil {
		return err
	}
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	err := write(ctx, cl, t, f.records)
	if err == nil {
		// A decider that came since has restored nothing, and would not see this; one that comes later waits for it.
		err = nobodyDecides(ctx, admin, t, group)
	}
	if err != nil {
		_ = cl.AbortBufferedRecords(ctx) // ends with the transaction at the latest
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	return errors.Join(err, cl.EndTransaction(ending, kgo.TransactionEndTry(err == nil)))
}

// endWithin bounds the end of the transaction.
const endWithin = 30 * time.Second

// empty looks whether anything was ever decided: committed records, not offsets, since an import may have been given up.
func empty(ctx context.Context, cl *kgo.Client, t events.Topics) error {
	for _, topic := range []string{t.State(), t.Events()} {
		for p := range t.Partitions {
			if _, err := events.Replay(ctx, cl, topic, p, func(r *kgo.Record) error {
				return fmt.Errorf("%w: %s/%d has a record at %d", ErrNotEmpty, topic, p, r.Offset)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// atOnce is how many records are on their way to Kafka together.
const atOnce = 1000

// write writes the records, and behind them on each partition a cursor that says that nothing was decided: what is behind
// one belongs together.
func write(ctx context.Context, cl *kgo.Client, t events.Topics, all []events.Stored) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	for some := range slices.Chunk(all, atOnce) {
		records := make([]*kgo.Record, len(some))
		for n, s := range some {
			if s.Integration != nil {
				next := s.Integration.Resumed(now)
				next.Epoch += EpochsAhead
				s.Integration = &next
			}
			var err error
			if records[n], err = t.StoredRecord(s); err != nil {
				return err
			}
		}
		if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("write the state: %w", err)
		}
	}
	for p := range t.Partitions {
		r, err := t.CursorRecord(p, events.Cursor{})
		if err != nil {
			return err
		}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			return fmt.Errorf("write the state: %w", err)
		}
	}
	return nil
}
