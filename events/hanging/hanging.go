// Package hanging finds transactions that are open on a partition although their coordinator is done with them, and ends
// them. Kafka calls them hanging (KIP-664). Readers of committed records stop at the first record of one, for good.
//
// They are real: a broker of Kafka 4.3 and 4.4 that comes back from a crash while it is the only replica of a partition
// takes the partition for a deleted one, and does not write the marker of a transaction that was being committed
// (KAFKA-20734).
package hanging

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Result is how a transaction ended at its coordinator.
type Result string

// The results of a transaction.
const (
	Committed Result = "committed"
	Aborted   Result = "aborted"
	// Unknown: its producer has begun another since, or is forgotten.
	Unknown Result = "unknown"
)

// Transaction is what hangs on one partition. Two are equal if they are the same and nothing happened in between.
type Transaction struct {
	Topic      string
	Partition  int32
	Start      int64  // offset of its first record
	ID         string // transactional id; empty when no coordinator knows it
	ProducerID int64
	Epoch      int16
	Result     Result

	coordinatorEpoch int32
}

// ErrUnseen means that a transaction that goes on might look hanging, since its id may not be described.
var ErrUnseen = errors.New("whether it hangs cannot be told without the right to describe the transactional ids of who may have written it")

// Find returns what looks hanging on the given partitions. A transaction whose markers are being written just now looks
// the same for a moment; see [Confirm]. The rights to read the topics and to describe the transactional ids are needed.
//
// Coordinators do not tell of a transaction whose id may not be described. So before one that nobody tells of is taken for
// forgotten, the ids of writers, which may be beginnings of ids, are described: [ErrUnseen] when one of them may not be.
//
// Partitions without an open transaction cost two requests to list offsets, and nothing else is asked.
func Find(ctx context.Context, admin *kadm.Client, where kadm.TopicsSet, writers ...string) ([]Transaction, error) {
	open, err := unstable(ctx, admin, where)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	described, err := admin.DescribeProducers(ctx, open)
	if err != nil {
		return nil, fmt.Errorf("describe producers: %w", err)
	}
	var found []Transaction
	for _, topic := range described {
		for _, partition := range topic.Partitions {
			if partition.Err != nil {
				return nil, fmt.Errorf("describe producers of %s/%d: %w", partition.Topic, partition.Partition, partition.Err)
			}
			for _, p := range partition.ActiveProducers {
				if p.CurrentTxnStartOffset >= 0 {
					found = append(found, Transaction{
						Topic: p.Topic, Partition: p.Partition, Start: p.CurrentTxnStartOffset,
						ProducerID: p.ProducerID, Epoch: p.ProducerEpoch, coordinatorEpoch: p.CoordinatorEpoch,
					})
				}
			}
		}
	}
	return forgotten(ctx, admin, found, writers)
}

// again is between the two looks of [Confirm]: markers that are on their way need far less.
const again = 3 * time.Second

// Confirm looks, and if something looks hanging, once more some seconds later. It returns what hangs both times.
func Confirm(ctx context.Context, look func(context.Context) ([]Transaction, error)) ([]Transaction, error) {
	first, err := look(ctx)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(again):
	}
	second, err := look(ctx)
	return slices.DeleteFunc(second, func(t Transaction) bool { return !slices.Contains(first, t) }), err
}

// unstable returns those partitions that readers of committed records cannot read to the end.
func unstable(ctx context.Context, admin *kadm.Client, where kadm.TopicsSet) (kadm.TopicsSet, error) {
	if len(where) == 0 {
		return nil, nil // else all topics would be listed
	}
	stable, err := admin.ListCommittedOffsets(ctx, where.Topics()...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, where.Topics()...)
	if err != nil {
		return nil, err
	}
	open := kadm.TopicsSet{}
	ends.Each(func(end kadm.ListedOffset) {
		at, ok := stable.Lookup(end.Topic, end.Partition)
		err = errors.Join(err, end.Err, at.Err)
		if ok && where.Lookup(end.Topic, end.Partition) && at.Offset < end.Offset {
			open.Add(end.Topic, end.Partition)
		}
	})
	return open, err
}

// forgotten keeps what the coordinators are done with, and says how it ended.
func forgotten(ctx context.Context, admin *kadm.Client, open []Transaction, writers []string) ([]Transaction, error) {
	if len(open) == 0 {
		return nil, nil
	}
	var producers []int64
	for _, t := range open {
		producers = append(producers, t.ProducerID)
	}
	listed, err := admin.ListTransactions(ctx, producers, nil)
	if err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	ids := listed.TransactionalIDs()
	known := map[int64]kadm.DescribedTransaction{}
	if len(ids) > 0 { // else all would be described
		described, err := admin.DescribeTransactions(ctx, ids...)
		if err != nil {
			return nil, fmt.Errorf("describe transactions: %w", err)
		}
		for id, t := range described {
			if t.Err != nil {
				return nil, fmt.Errorf("describe transaction %s: %w", id, t.Err)
			}
			known[t.ProducerID] = t
		}
	}
	var hanging []Transaction
	for _, t := range open {
		now, ok := known[t.ProducerID]
		if ok && goesOn(now, t) {
			continue
		}
		if !ok {
			if err := seen(ctx, admin, writers); err != nil {
				return nil, fmt.Errorf("%s/%d at %d: %w", t.Topic, t.Partition, t.Start, err)
			}
		}
		t.ID, t.Result = now.TxnID, result(now, t)
		hanging = append(hanging, t)
	}
	return hanging, nil
}

// seen fails when one of the ids may not be described.
func seen(ctx context.Context, admin *kadm.Client, ids []string) error {
	for _, id := range ids {
		described, err := admin.DescribeTransactions(ctx, id)
		if err == nil {
			err = described[id].Err
		}
		switch {
		case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
			return fmt.Errorf("%w: %s", ErrUnseen, id)
		case err != nil && !errors.Is(err, kerr.TransactionalIDNotFound):
			return fmt.Errorf("describe transaction %s: %w", id, err)
		}
	}
	return nil
}

// goesOn reports whether a coordinator will still end t.
func goesOn(now kadm.DescribedTransaction, t Transaction) bool {
	switch now.State {
	case "Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence":
		return now.Topics.Lookup(t.Topic, t.Partition)
	}
	return false
}

// result says how t ended, if it is the last that its producer ended. Each end raises the producer's epoch by one since
// Kafka 4 (transaction.version 2), and did not before.
func result(now kadm.DescribedTransaction, t Transaction) Result {
	last := now.ProducerEpoch == t.Epoch || t.Epoch < math.MaxInt16 && now.ProducerEpoch == t.Epoch+1
	switch {
	case last && now.State == "CompleteCommit":
		return Committed
	case last && now.State == "CompleteAbort":
		return Aborted
	}
	return Unknown
}

// End writes the marker that is missing. The right to ClusterAction, or to Alter, on the cluster is needed; without it
// the error is a *kadm.AuthError.
func (t Transaction) End(ctx context.Context, admin *kadm.Client, commit bool) error {
	where := kadm.TopicsSet{}
	where.Add(t.Topic, t.Partition)
	// The transaction's own epoch: should its producer have begun another in the meantime, a broker refuses the marker.
	answers, err := admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{
		ProducerID: t.ProducerID, ProducerEpoch: t.Epoch, Commit: commit, CoordinatorEpoch: max(0, t.coordinatorEpoch), Topics: where,
	})
	if err != nil {
		return fmt.Errorf("end the transaction of producer %d on %s/%d: %w", t.ProducerID, t.Topic, t.Partition, err)
	}
	if err := answers[t.ProducerID].Topics[t.Topic].Partitions[t.Partition].Err; err != nil {
		return fmt.Errorf("end the transaction of producer %d on %s/%d: %w", t.ProducerID, t.Topic, t.Partition, err)
	}
	return nil
}
