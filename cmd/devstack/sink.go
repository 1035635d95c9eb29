package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sink is a connector as customers run it: it reads a topic and writes objects, one for each batch of records. It knows
// nothing of rolebridge: its credentials come from the SDK's default chain, which finds the broker's address and the
// connector's token in the environment.
type sink struct {
	kafka  *kgo.Client
	s3     *s3.Client
	bucket string
	prefix string
	log    *slog.Logger
	// written gets each object's key; the sink waits until it is read.
	written chan<- string
}

// openSink reads topic from its start, or goes on where group was.
func openSink(ctx context.Context, brokers []string, group, topic, bucket, prefix string, log *slog.Logger, written chan<- string) (*sink, error) {
	sdk, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(), kgo.AutoCommitInterval(time.Second),
	)
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return &sink{
		kafka: cl, bucket: bucket, prefix: prefix, log: log, written: written,
		s3: s3.NewFromConfig(sdk, func(o *s3.Options) { o.UsePathStyle = true }),
	}, nil
}

// run writes what comes until ctx ends. A batch that cannot be written is tried again for ever: a sink that gives up
// loses records.
func (s *sink) run(ctx context.Context) error {
	defer s.kafka.CloseAllowingRebalance()
	for {
		fetches := s.kafka.PollRecords(ctx, 500)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			s.log.WarnContext(ctx, "sink cannot read", "topic", e.Topic, "error", e.Err)
		}
		if records := fetches.Records(); len(records) > 0 {
			if !s.write(ctx, records) {
				return nil
			}
			s.kafka.MarkCommitRecords(records...)
		}
		s.kafka.AllowRebalance()
	}
}

// write makes one object of records, as JSON lines; false when ctx ended first.
func (s *sink) write(ctx context.Context, records []*kgo.Record) bool {
	var lines bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(map[string]any{"offset": r.Offset, "key": string(r.Key), "value": string(r.Value)})
		if err != nil { // strings and a number cannot fail
			continue
		}
		lines.Write(append(line, '\n'))
	}
	first := records[0]
	key := fmt.Sprintf("%s%s-%d-%010d.jsonl", s.prefix, first.Topic, first.Partition, first.Offset)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(lines.Bytes()), ContentType: aws.String("application/x-ndjson"),
		})
		if err == nil {
			select {
			case s.written <- key:
				return true
			case <-ctx.Done():
				return false
			}
		}
		s.log.WarnContext(ctx, "sink cannot write; trying again", "object", key, "error", err, "wait", wait)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}
