package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/events/dlq"
	"github.com/rolebridge/rolebridge/events/hanging"
	"github.com/rolebridge/rolebridge/events/snapshot"
)

const (
	// sweepEvery is how often a worker looks for hanging transactions.
	sweepEvery = 5 * time.Second
	// sweepWithin bounds one sweep.
	sweepWithin = 30 * time.Second
)

// errHanging means that what was decided and committed may be taken back: it must be read anew.
var errHanging = errors.New("a transaction hangs on a partition that is decided here")

// Operators are the transactional ids of an operator's verbs that write to the topics.
func Operators(t events.Topics) []string {
	return []string{dlq.TransactionalID(t), snapshot.TransactionalID(t)}
}

// Writers are the transactional ids, or beginnings of such ids, of all who write to the topics in transactions: the deciders of
// a group, and [Operators].
func Writers(t events.Topics, group string) []string { return append(Operators(t), group+"-") }

// sweeping ends hanging transactions until ctx ends. Without that, a partition whose transaction lost its marker in a
// crash of Kafka would never be read to its end again: by no decider that restores it, and by no replica.
func (w *Worker) sweeping(ctx context.Context) error {
	// A client of its own: the group's may be waiting for just that partition.
	cl, err := kgo.NewClient(w.config.Client...)
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(sweepEvery):
		}
		switch err := w.sweep(ctx, admin); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, hanging.ErrUnseen):
			w.metrics.hanging.WithLabelValues("refused").Inc()
			w.log.ErrorContext(ctx, "a transaction may hang and is not ended; see docs/OPERATIONS.md, Hanging transactions", "error", err)
		default:
			// Kafka is away, mostly, and the loop says so.
			w.log.DebugContext(ctx, "hanging transactions were not looked for", "error", err)
		}
	}
}

// sweep ends what hangs.
func (w *Worker) sweep(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	found, err := hanging.Confirm(ctx, func(ctx context.Context) ([]hanging.Transaction, error) { return w.hanging(ctx, admin) })
	if err != nil {
		return err
	}
	for _, t := range found {
		w.end(ctx, admin, t, found)
	}
	return nil
}

// hanging returns what hangs on the topics that deciders write to, and with the group's offsets: while those are not
// stable, the group has no offsets to start from.
func (w *Worker) hanging(ctx context.Context, admin *kadm.Client) ([]hanging.Transaction, error) {
	topics := w.config.Topics
	written := kadm.TopicsSet{}
	for _, topic := range []string{topics.State(), topics.Events(), topics.Commands(), topics.Results(), topics.DeadLetters()} {
		for p := range topics.Partitions {
			written.Add(topic, p)
		}
	}
	found, err := hanging.Find(ctx, admin, written, Writers(topics, w.config.Group)...)
	if err != nil {
		return nil, err
	}
	offsets, err := hanging.Find(ctx, admin, w.offsetsPartition(ctx, admin))
	if err != nil {
		return found, nil //nolint:nilerr // it is somebody else's topic, which we may not be allowed to see
	}
	for _, t := range offsets {
		if strings.HasPrefix(t.ID, w.config.Group+"-") { // others share the partition
			found = append(found, t)
		}
	}
	return found, nil
}

// end ends t as its coordinator did. Where that cannot be known any more, the state topic is the judge, since a cursor is
// written with all that is decided: what a decider has not restored yet is taken back, and will be decided again.
func (w *Worker) end(ctx context.Context, admin *kadm.Client, t hanging.Transaction, all []hanging.Transaction) {
	topics := w.config.Topics
	commit := t.Result == hanging.Committed
	if t.Result == hanging.Unknown {
		switch t.Topic {
		case topics.State(), topics.Events():
			if !w.mayTakeBack(t.Partition) {
				return
			}
			// Events go with the state of the same transaction. If that does not hang, it has ended; and far more are
			// committed than are not.
			commit = t.Topic == topics.Events() && !slices.ContainsFunc(all, func(o hanging.Transaction) bool {
				return o.Topic == topics.State() && o.Partition == t.Partition && o.ProducerID == t.ProducerID && o.Epoch == t.Epoch
			})
		case topics.Commands(), topics.Results(), topics.DeadLetters():
			commit = true // what comes twice is recognised; what is lost is not
		}
	}
	err := t.End(ctx, admin, commit)
	outcome := "aborted"
	switch {
	case err != nil:
		outcome = "refused"
	case commit:
		outcome = "committed"
	}
	w.metrics.hanging.WithLabelValues(outcome).Inc()
	attrs := []any{
		"topic", t.Topic, "partition", t.Partition, "offset", t.Start, "transaction", t.ID, "producer", t.ProducerID,
		"epoch", t.Epoch, "coordinator", t.Result, "outcome", outcome,
	}
	if err != nil {
		w.log.ErrorContext(ctx, "a transaction hangs and cannot be ended; see docs/OPERATIONS.md, Hanging transactions", append(attrs, "error", err)...)
		return
	}
	w.log.WarnContext(ctx, "a hanging transaction was ended", attrs...)
}

// mayTakeBack reports whether nobody decides from what a hanging transaction wrote to a partition: only while this worker
// restores it. If this worker decides on it, it begins a new session to restore it.
func (w *Worker) mayTakeBack(partition int32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, decides := w.owned[partition]; decides {
		w.stop(fmt.Errorf("%w: partition %d", errHanging, partition))
		return false
	}
	return w.restoring[partition]
}

// offsetsPartition is where the group's offsets are kept: chosen by the hash of its name as Java makes it.
func (w *Worker) offsetsPartition(ctx context.Context, admin *kadm.Client) kadm.TopicsSet {
	const topic = "__consumer_offsets"
	where := kadm.TopicsSet{}
	listed, err := admin.ListTopicsWithInternal(ctx, topic)
	if err != nil || len(listed[topic].Partitions) == 0 {
		return where
	}
	var hash int32
	for _, unit := range utf16.Encode([]rune(w.config.Group)) {
		hash = 31*hash + int32(unit)
	}
	where.Add(topic, (hash&0x7fffffff)%int32(len(listed[topic].Partitions))) //nolint:gosec // at most some hundred
	return where
}
