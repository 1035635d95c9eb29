package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of one fetch of a replay, in bytes and milliseconds.
const (
	replayBytes  = 8 << 20
	replayWaitMs = 250
)

// Replay calls apply with every committed record of a partition, from its start to the high watermark as it is when
// Replay begins, and returns the offset to go on from. A record that is not committed yet is waited for, so whoever
// fenced the previous writer first sees all that it wrote.
//
// It follows the fetch position and not the records: a log may end in markers of transactions or in records that were
// compacted away, and a reader that waits for the last offset as a record waits for ever.
//
// The client must not consume the topic itself. Errors of apply end the replay.
func Replay(ctx context.Context, cl *kgo.Client, topic string, partition int32, apply func(*kgo.Record) error) (next int64, err error) {
	return ReplaySince(ctx, cl, topic, partition, time.Time{}, apply)
}

// ReplaySince is [Replay] from the first record that was written at since or later; zero is the start.
func ReplaySince(
	ctx context.Context, cl *kgo.Client, topic string, partition int32, since time.Time, apply func(*kgo.Record) error,
) (next int64, err error) {
	r := replay{cl: cl, admin: kadm.NewClient(cl), topic: topic, partition: partition, since: since, bytes: replayBytes}
	target, err := r.begin(ctx)
	for err == nil && r.position < target {
		err = r.apply(ctx, apply)
	}
	if err != nil {
		return 0, err
	}
	return r.position, nil
}

// ReplayLatest is [Replay] of a compacted log that others write to meanwhile. It goes on until it has read all that was committed
// at one moment, not before its begin: then it has seen the last committed value of every key as of that moment.
//
// A replay to an end that is known beforehand may miss a key. What it has not read yet may be superseded behind that end, and be
// compacted away before it is read. Compaction takes a record only when a later one of its key is committed, so whoever has
// read up to the last stable offset, as it was when Kafka answered the fetch, has read that later one.
func ReplayLatest(ctx context.Context, cl *kgo.Client, topic string, partition int32, apply func(*kgo.Record) error) error {
	r := replay{cl: cl, admin: kadm.NewClient(cl), topic: topic, partition: partition, bytes: replayBytes}
	target, err := r.begin(ctx)
	for err == nil && (r.position < target || r.position < r.stable) {
		err = r.apply(ctx, apply)
	}
	return err
}

// ErrNoRecord means that an offset holds no record that was committed: it was removed, or is not written yet.
var ErrNoRecord = errors.New("no record is there")

// RecordAt returns the one record at an offset. [ErrNoRecord]: there is none, or it is not committed.
func RecordAt(ctx context.Context, cl *kgo.Client, topic string, partition int32, offset int64) (*kgo.Record, error) {
	// A broker sends the first batch whole, also if it is larger.
	r := replay{cl: cl, admin: kadm.NewClient(cl), topic: topic, partition: partition, bytes: 128 << 10}
	target, err := retried(ctx, r.bounds)
	if err == nil && (offset < r.position || offset >= target) {
		err = ErrNoRecord
	}
	for r.position = offset; err == nil && r.position <= offset; {
		var records []*kgo.Record
		if records, err = retried(ctx, r.fetch); len(records) > 0 && records[0].Offset == offset {
			return records[0], nil
		}
	}
	if err == nil {
		err = ErrNoRecord
	}
	return nil, fmt.Errorf("%s/%d at %d: %w", topic, partition, offset, err)
}

// retried calls f until it succeeds, fails for good, or ctx ends.
func retried[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	return backoff.Retry(ctx, func() (T, error) {
		v, err := f(ctx)
		if err != nil && !kerr.IsRetriable(err) && !kgo.IsRetryableBrokerErr(err) {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
}

type replay struct {
	cl        *kgo.Client
	admin     *kadm.Client
	topic     string
	partition int32
	since     time.Time // where to start; zero is the start of the log
	bytes     int32     // bound of one fetch
	position  int64
	stable    int64 // the last stable offset when Kafka answered the last fetch
	leader    int32
	id        kadm.TopicID
	found     bool // leader and id are known
}

// begin is bounds, tried until it succeeds.
func (r *replay) begin(ctx context.Context) (end int64, err error) {
	if end, err = retried(ctx, r.bounds); err != nil {
		err = fmt.Errorf("replay %s/%d: %w", r.topic, r.partition, err)
	}
	return end, err
}

// apply calls f with what one fetch gets.
func (r *replay) apply(ctx context.Context, f func(*kgo.Record) error) error {
	records, err := retried(ctx, r.fetch)
	if err != nil {
		return fmt.Errorf("replay %s/%d at %d: %w", r.topic, r.partition, r.position, err)
	}
	for _, rec := range records {
		if err := f(rec); err != nil {
			return err
		}
	}
	return nil
}

// bounds sets the position to the start of the log and returns the high watermark.
func (r *replay) bounds(ctx context.Context) (int64, error) {
	starts, err := r.admin.ListStartOffsets(ctx, r.topic)
	if err != nil {
		return 0, err
	}
	// Read uncommitted on purpose: what a dead writer left open counts as not read yet.
	ends, err := r.admin.ListEndOffsets(ctx, r.topic)
	if err != nil {
		return 0, err
	}
	start, ok1 := starts.Lookup(r.topic, r.partition)
	end, ok2 := ends.Lookup(r.topic, r.partition)
	if !ok1 || !ok2 {
		return 0, kerr.UnknownTopicOrPartition
	}
	if err := errors.Join(start.Err, end.Err); err != nil {
		return 0, err
	}
	r.position = start.Offset
	if !r.since.IsZero() {
		after, err := r.admin.ListOffsetsAfterMilli(ctx, r.since.UnixMilli(), r.topic)
		if err != nil {
			return 0, err
		}
		// Without such a record it is the end.
		if at, ok := after.Lookup(r.topic, r.partition); ok && at.Err == nil {
			r.position = max(r.position, at.Offset)
		}
	}
	return end.Offset, nil
}

func (r *replay) find(ctx context.Context) error {
	topics, err := r.admin.ListTopics(ctx, r.topic)
	if err != nil {
		return err
	}
	t := topics[r.topic]
	p, ok := t.Partitions[r.partition]
	if t.Err != nil {
		return t.Err
	}
	if !ok || p.Leader < 0 {
		return kerr.LeaderNotAvailable
	}
	r.leader, r.id, r.found = p.Leader, t.ID, true
	return nil
}

// fetch reads once from the position, moves it, and returns the committed records that were read.
func (r *replay) fetch(ctx context.Context) ([]*kgo.Record, error) {
	if !r.found {
		if err := r.find(ctx); err != nil {
			return nil, err
		}
	}
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, replayWaitMs, 1, r.bytes
	req.IsolationLevel, req.SessionEpoch = 1, -1 // read committed; no fetch session
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = r.topic, r.id
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = r.partition, r.position, r.bytes
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	answer, err := r.cl.Broker(int(r.leader)).RetriableRequest(ctx, req)
	if err != nil {
		r.found = false
		return nil, err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("unexpected answer %T", answer)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		r.found = false
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("unexpected answer: not one partition")
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: r.position, IsolationLevel: kgo.ReadCommitted(), Topic: r.topic, Partition: r.partition,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if errors.Is(got.Err, kerr.OffsetOutOfRange) && got.LogStartOffset > r.position {
		r.position = got.LogStartOffset // compaction moved the start while we read
		r.stable = r.position + 1       // what is there now is not known yet
		return nil, nil
	}
	if got.Err != nil {
		r.found = false
		return nil, got.Err
	}
	r.position, r.stable = next, got.LastStableOffset
	return got.Records, nil
}
