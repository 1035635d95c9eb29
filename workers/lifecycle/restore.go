package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/events"
)

// offsets are start offsets by topic and partition, as franz-go hands them out.
type offsets = map[string]map[int32]kgo.Offset

// assigned is called by the group before it fetches from newly assigned partitions. It restores their state and says
// where each input goes on: at the cursor, or where there is none at the committed offset. Doing it here, and not when
// partitions are assigned, is what makes it possible to correct the offsets.
func (w *Worker) assigned(ctx context.Context, from offsets) (offsets, error) {
	partitions := map[int32]bool{}
	for _, topic := range []string{w.config.Topics.Commands(), w.config.Topics.Results()} {
		for p := range from[topic] {
			partitions[p] = true
		}
	}
	if len(partitions) == 0 {
		return from, nil
	}
	ids := slices.Sorted(maps.Keys(partitions))
	w.restores(ids, true)
	defer w.restores(ids, false)
	// Before the fence, since after it Kafka does not know any more how the predecessor's last transaction ended.
	if err := w.sweep(ctx, kadm.NewClient(w.session())); err != nil {
		w.log.WarnContext(ctx, "hanging transactions were not looked for", "error", err)
	}
	// Fences a predecessor of this slot and ends what it left open, so that restoring need not wait for its timeout.
	if _, _, err := w.session().ProducerID(ctx); err != nil {
		return nil, fmt.Errorf("fence predecessor: %w", err)
	}
	restored, err := w.restore(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err) // ends the session; the next one restores again
	}
	if err := w.position(ctx, from, restored); err != nil {
		if final(err) {
			w.log.ErrorContext(ctx, "input does not fit the state; see docs/OPERATIONS.md, Cursor", "error", err)
			w.stop(err)
		}
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range restored {
		w.owned[p.id] = p // never merged into an older copy
	}
	w.metrics.partitions.Set(float64(len(w.owned)))
	return from, nil
}

// restores marks partitions whose state is being read.
func (w *Worker) restores(ids []int32, now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range ids {
		if now {
			delete(w.owned, p) // whatever an older copy says, the log has the last word
			w.restoring[p] = true
		} else {
			delete(w.restoring, p)
		}
	}
}

// restore reads the state of partitions, a few at a time.
func (w *Worker) restore(ctx context.Context, ids []int32) ([]*partition, error) {
	// A client of its own, which consumes nothing: the group's client must not fetch the state topic.
	cl, err := kgo.NewClient(w.config.Client...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	started := time.Now()
	restored := make([]*partition, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for n, id := range ids {
		g.Go(func() error {
			from, records := time.Now(), 0
			p := newPartition(id)
			_, err := events.Replay(gctx, cl, w.config.Topics.State(), id, func(r *kgo.Record) error {
				records++
				return p.load(r)
			})
			if err != nil {
				return err
			}
			p.loaded(time.Now())
			restored[n] = p
			w.metrics.restored.Add(float64(records))
			w.metrics.restoring.Observe(time.Since(from).Seconds())
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w.log.InfoContext(ctx, "partitions restored", "partitions", ids, "seconds", time.Since(started).Seconds())
	return restored, nil
}

// errSplit means that the two inputs of a partition came to different workers.
var errSplit = errors.New("commands and results of a partition were assigned to different workers; do they have equally many?")

// errCursor means that a topic ends before what the state says was decided: it was made anew, or is another cluster's.
var errCursor = errors.New("the cursor is past the end of its topic")

// position corrects the offsets from which the inputs of restored partitions are read: the cursor, written with the
// decisions, wins over what the group has committed. A coordinator that has lost a group's offsets answers, without an
// error, that there are none; and a crash of Kafka may take back decisions whose offsets stay committed (sweep.go).
func (w *Worker) position(ctx context.Context, from offsets, restored []*partition) error {
	admin := kadm.NewClient(w.session())
	topics := []string{w.config.Topics.Commands(), w.config.Topics.Results()}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return err
	}
	for _, p := range restored {
		for _, topic := range topics {
			committed, assigned := from[topic][p.id]
			if !assigned {
				return fmt.Errorf("%w: partition %d of %s", errSplit, p.id, topic)
			}
			start, ok := starts.Lookup(topic, p.id)
			end, ok2 := ends.Lookup(topic, p.id)
			if err := errors.Join(start.Err, end.Err); err != nil {
				return err
			}
			if !ok || !ok2 {
				return fmt.Errorf("offsets of %s/%d: %w", topic, p.id, kerr.UnknownTopicOrPartition)
			}
			cursor := p.cursor[topic]
			if cursor > end.Offset {
				return fmt.Errorf("%w: %s/%d is decided up to %d and ends at %d", errCursor, topic, p.id, cursor, end.Offset)
			}
			if cursor > 0 && start.Offset > cursor {
				w.log.ErrorContext(ctx, "records were removed before they were decided",
					"topic", topic, "partition", p.id, "from", cursor, "to", start.Offset)
			}
			at, offset := cursor, committed.EpochOffset().Offset
			switch {
			case cursor == 0:
				at = offset // nothing was decided yet
			case offset > cursor:
				w.log.WarnContext(ctx, "decisions were taken back, and are decided again",
					"topic", topic, "partition", p.id, "from", cursor, "to", offset)
			}
			at = max(at, start.Offset)
			from[topic][p.id] = kgo.NewOffset().At(at)
			w.lag.starts(topic, p.id, at, end.Offset)
		}
	}
	return nil
}
