package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/testenv/local"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// site is one set of topics on a Kafka, empty when opened and removed when closed.
type site struct {
	brokers []string
	topics  events.Topics
	codec   *events.Codec
	proof   lifecycle.Proof // what deciders ask of commands; nil is nothing
	client  []kgo.Opt
	cl      *kgo.Client
	admin   *kadm.Client
	end     []func() error
}

// openSite makes the topics. Kafka is the one in the environment, else one of its own.
func openSite(ctx context.Context) (s *site, err error) {
	s = &site{topics: events.Topics{Prefix: "bench-" + uuid.NewString()[:8] + ".", Partitions: events.DefaultPartitions}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if s.brokers, err = s.kafka(ctx); err != nil {
		return s, err
	}
	s.client = []kgo.Opt{kgo.SeedBrokers(s.brokers...)}
	if s.codec, err = events.NewCodec(s.topics); err != nil {
		return s, err
	}
	if s.cl, err = kgo.NewClient(append(slices.Clone(s.client), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(30))...); err != nil {
		return s, err
	}
	s.admin = kadm.NewClient(s.cl)
	_, err = events.Apply(ctx, s.admin, s.topics, 1)
	return s, err
}

func (s *site) kafka(ctx context.Context) ([]string, error) {
	if brokers := os.Getenv("ROLEBRIDGE_TEST_KAFKA"); brokers != "" {
		return strings.Split(brokers, ","), nil
	}
	dir, err := os.MkdirTemp("", "rolebridge-bench-")
	if err != nil {
		return nil, err
	}
	s.end = append(s.end, func() error { return os.RemoveAll(dir) })
	kafka, err := local.NewKafka(ctx, dir, local.KafkaConfig{})
	if err != nil {
		return nil, err
	}
	s.end = append(s.end, kafka.Close)
	return []string{kafka.Address()}, kafka.Start(ctx)
}

// more makes further topics, as many partitions as all others.
func (s *site) more(ctx context.Context, names ...string) error {
	made, err := s.admin.CreateTopics(ctx, s.topics.Partitions, 1, nil, names...)
	if err != nil {
		return err
	}
	return made.Error()
}

func (s *site) produce(ctx context.Context, records []*kgo.Record) error {
	return s.cl.ProduceSync(ctx, records...).FirstErr()
}

// sizes counts what is on a topic: committed records and the bytes of keys, values and headers.
func (s *site) sizes(ctx context.Context, topic string) (records int, bytes int64, err error) {
	for p := range s.topics.Partitions {
		_, err := events.Replay(ctx, s.cl, topic, p, func(r *kgo.Record) error {
			records++
			bytes += sizeOf(r)
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return records, bytes, nil
}

func sizeOf(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// close removes the topics and ends what was started.
func (s *site) close(ctx context.Context) (err error) {
	if s.cl != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		if listed, failed := s.admin.ListTopics(ctx); failed == nil {
			var ours []string
			for _, name := range listed.Names() {
				if strings.HasPrefix(name, s.topics.Prefix) {
					ours = append(ours, name)
				}
			}
			if len(ours) > 0 {
				_, failed = s.admin.DeleteTopics(ctx, ours...)
				err = errors.Join(err, failed)
			}
		}
		s.cl.Close()
	}
	for _, end := range slices.Backward(s.end) {
		err = errors.Join(err, end())
	}
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
