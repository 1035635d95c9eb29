package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// rawLoop is what exactly-once costs without any of our work: read a batch, write records that are made already, commit
// both. Options of the client are the worker's.
type rawLoop struct {
	site  *site
	input string
	// outputs are written for each record that is read: topic, and size of the value.
	outputs []rawOutput
}

type rawOutput struct {
	topic string
	size  int
}

// run loops until so many records are read and what follows is committed.
func (l rawLoop) run(ctx context.Context, records int) (pass, error) {
	c := lifecycle.Defaults()
	w := newWatch(records)
	group := l.input + "-raw"
	session, err := kgo.NewGroupTransactSession(append(slices.Clone(l.site.client),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(l.input), kgo.InstanceID("raw"), kgo.TransactionalID(group),
		kgo.TransactionTimeout(c.TransactionTimeout), kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(min(c.SessionTimeout/6, 3*time.Second)),
		kgo.Balancers(kgo.RangeBalancer()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.FetchMaxWait(250*time.Millisecond),
		kgo.WithHooks(w),
	)...)
	if err != nil {
		return pass{}, err
	}
	defer session.CloseAllowingRebalance()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	values := make([][]byte, len(l.outputs))
	for n, o := range l.outputs {
		values[n] = make([]byte, o.size)
		for i := range values[n] {
			values[n][i] = byte('a' + i*7%26)
		}
	}
	for w.read.Load() < int64(records) {
		fetches := session.PollRecords(ctx, c.BatchRecords)
		if err := fetches.Err(); err != nil {
			return pass{}, err
		}
		if fetches.NumRecords() > 0 {
			if err := l.transact(ctx, session, fetches, values, c.EndTimeout); err != nil {
				return pass{}, err
			}
		}
		session.AllowRebalance()
	}
	return w.wait(ctx, nil)
}

func (l rawLoop) transact(ctx context.Context, s *kgo.GroupTransactSession, f kgo.Fetches, values [][]byte, bound time.Duration) error {
	if err := s.Begin(); err != nil {
		return err
	}
	refused := kgo.AbortingFirstErrPromise(s.Client())
	f.EachRecord(func(r *kgo.Record) {
		for n, o := range l.outputs {
			s.Produce(ctx, &kgo.Record{Topic: o.topic, Partition: r.Partition, Key: r.Key, Value: values[n]}, refused.Promise())
		}
	})
	err := refused.Err()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	committed, endErr := s.End(ctx, kgo.TransactionEndTry(err == nil))
	if err != nil || endErr != nil || !committed {
		return fmt.Errorf("the raw loop's transaction was not committed: %w, %w", err, endErr)
	}
	return nil
}
