package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// hopBytes is about what a command has.
const hopBytes = 800

// waiters are woken by the keys of the records that come to the end of a trip.
type waiters struct {
	mu sync.Mutex
	of map[string]chan struct{}
}

func (w *waiters) add(key string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of[key] = make(chan struct{})
	return w.of[key]
}

func (w *waiters) wake(r *kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.of[string(r.Key)]; ok {
		close(c)
		delete(w.of, string(r.Key))
	}
}

// hop reads a topic, all of whose partitions it has from the end on, and hands each record on. Transactions are waited for.
func hop(ctx context.Context, g *errgroup.Group, s *site, topic string, more []kgo.Opt, each func(*kgo.Client, *kgo.Record)) (*kgo.Client, error) {
	from := map[int32]kgo.Offset{}
	for p := range s.topics.Partitions {
		from[p] = kgo.NewOffset().AtEnd()
	}
	cl, err := kgo.NewClient(slices.Concat(s.client, []kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	}, more)...)
	if err != nil {
		return nil, err
	}
	g.Go(func() error {
		defer cl.Close()
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err(); err != nil && ctx.Err() == nil {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) { each(cl, r) })
		}
		return nil
	})
	return cl, nil
}

// send writes the n-th record and waits until it comes to the end.
func send(cl *kgo.Client, partitions int32, topic string, arrive *waiters) act {
	value := make([]byte, hopBytes)
	return func(ctx context.Context, n int) error {
		key := strconv.Itoa(n)
		arrived := arrive.add(key)
		record := &kgo.Record{Topic: topic, Partition: int32(n) % partitions, Key: []byte(key), Value: value} //nolint:gosec // small
		if err := cl.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
		select {
		case <-arrived:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// startTrip is the bare round trip: written as the api writes, and read by who waits for it.
func startTrip(ctx context.Context, g *errgroup.Group, s *site) (act, error) {
	topic := s.topics.Prefix + "trip"
	if err := s.more(ctx, topic); err != nil {
		return nil, err
	}
	arrive := &waiters{of: map[string]chan struct{}{}}
	cl, err := hop(ctx, g, s, topic, api.ProducerOptions(), func(_ *kgo.Client, r *kgo.Record) { arrive.wake(r) })
	if err != nil {
		return nil, err
	}
	return settled(ctx, send(cl, s.topics.Partitions, topic, arrive))
}

// startChain is what a creation does on Kafka, with one record for each step and nothing decided.
func startChain(ctx context.Context, g *errgroup.Group, s *site) (act, error) {
	in, out, back, end := s.topics.Prefix+"chain-in", s.topics.Prefix+"chain-out", s.topics.Prefix+"chain-back", s.topics.Prefix+"chain-end"
	if err := s.more(ctx, in, out, back, end); err != nil {
		return nil, err
	}
	c := lifecycle.Defaults()
	group := s.topics.Prefix + "chain"
	session, err := kgo.NewGroupTransactSession(append(slices.Clone(s.client),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(in, back), kgo.InstanceID("chain"), kgo.TransactionalID(group),
		kgo.Balancers(kgo.RangeBalancer()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
	)...)
	if err != nil {
		return nil, err
	}
	g.Go(func() error {
		defer session.CloseAllowingRebalance()
		for ctx.Err() == nil {
			fetches := session.PollRecords(ctx, c.BatchRecords)
			if ctx.Err() == nil && fetches.NumRecords() > 0 {
				if err := relay(ctx, session, fetches, map[string]string{in: out, back: end}); err != nil && ctx.Err() == nil {
					return err
				}
			}
			session.AllowRebalance()
		}
		return nil
	})
	if _, err := hop(ctx, g, s, out, api.ProducerOptions(), func(cl *kgo.Client, r *kgo.Record) {
		cl.Produce(ctx, &kgo.Record{Topic: back, Partition: r.Partition, Key: r.Key, Value: r.Value}, nil)
	}); err != nil {
		return nil, err
	}
	arrive := &waiters{of: map[string]chan struct{}{}}
	cl, err := hop(ctx, g, s, end, api.ProducerOptions(), func(_ *kgo.Client, r *kgo.Record) { arrive.wake(r) })
	if err != nil {
		return nil, err
	}
	return settled(ctx, send(cl, s.topics.Partitions, in, arrive))
}

// relay writes each record on to the topic that follows its own, in one transaction.
func relay(ctx context.Context, s *kgo.GroupTransactSession, f kgo.Fetches, to map[string]string) error {
	if err := s.Begin(); err != nil {
		return err
	}
	refused := kgo.AbortingFirstErrPromise(s.Client())
	f.EachRecord(func(r *kgo.Record) {
		s.Produce(ctx, &kgo.Record{Topic: to[r.Topic], Partition: r.Partition, Key: r.Key, Value: r.Value}, refused.Promise())
	})
	err := refused.Err()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, endErr := s.End(ending, kgo.TransactionEndTry(err == nil)); err != nil || endErr != nil {
		return fmt.Errorf("the chain's transaction: %w, %w", err, endErr)
	}
	return nil
}

// settled tries until consumers have joined and know their offsets: what was written before is not theirs.
func settled(ctx context.Context, do act) (act, error) {
	const tries = 30
	var err error
	for n := range tries {
		trying, cancel := context.WithTimeout(ctx, 2*time.Second)
		err = do(trying, 1<<40+n)
		cancel()
		if err == nil {
			return do, nil
		}
		// What fails at once would be tried without end and without rest.
		if err := pause(ctx, time.Duration(min(n, 10))*100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no record came to the end in %d tries: %w", tries, err)
}
