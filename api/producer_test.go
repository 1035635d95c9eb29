package api_test

import (
	"bytes"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func TestACommandGoesToItsOrganizationsPartition(t *testing.T) {
	t.Parallel()
	topics := events.Topics{Prefix: "p.", Partitions: 4}
	cluster := cluster(t, topics)
	producer, _ := producer(t, topics, cluster.ListenAddrs())
	reader, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(topics.Commands()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []integration.OrganizationID{"org-a", "org-b", "org-c"} {
		cmd := integration.Command{
			Source: events.SourceAPI, ID: "c-" + string(o), Organization: o, Actor: "u-1", Time: time.Now(),
			Ask: integration.Validate{Integration: "cspi-abcde"},
		}
		if err := producer.Send(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 {
			t.Fatalf("got %d records, %v", fetches.NumRecords(), err)
		}
		record := fetches.Records()[0]
		got, err := codec.Command(record)
		if err != nil || got.ID != cmd.ID || record.Partition != topics.Home(o) {
			t.Errorf("got %+v on partition %d, %v; want %s on %d", got, record.Partition, err, cmd.ID, topics.Home(o))
		}
	}
}

func TestWithoutKafkaASendEndsSoonAndKafkasReturnIsNoticed(t *testing.T) {
	t.Parallel()
	topics := events.Topics{Prefix: "p.", Partitions: 1}
	c := cluster(t, topics)
	var away atomic.Bool
	away.Store(true)
	c.ControlKey(0, func(kmsg.Request) (kmsg.Response, error, bool) { // produce
		c.KeepControl()
		if away.Load() {
			return nil, errors.New("away"), true
		}
		return nil, nil, false
	})
	producer, log := producer(t, topics, c.ListenAddrs())
	send := func() error {
		return producer.Send(t.Context(), integration.Command{
			Source: events.SourceAPI, ID: "c", Organization: "o", Actor: "u-1", Time: time.Now(), Ask: integration.Validate{Integration: "cspi-abcde"},
		})
	}
	started := time.Now()
	for range 2 {
		err := send()
		if r, ok := errors.AsType[*integration.Refusal](err); !ok || r.Code != integration.CodeUnavailable {
			t.Errorf("got %v, want %s", err, integration.CodeUnavailable)
		}
	}
	if took := time.Since(started); took > time.Minute { // 2 s each, on a machine that is not busy
		t.Errorf("two sends took %v, want that a send is bounded", took)
	}
	away.Store(false)
	if err := send(); err != nil {
		t.Errorf("Kafka is back: %v", err)
	}
	if got := bytes.Count(log.Bytes(), []byte("commands cannot be written")); got != 1 {
		t.Errorf("the loss was logged %d times, want once: %s", got, log)
	}
	if !bytes.Contains(log.Bytes(), []byte("commands are written again")) {
		t.Errorf("the return was not logged: %s", log)
	}
}

func TestACommandOutsideItsSchemaIsRefused(t *testing.T) {
	t.Parallel()
	topics := events.Topics{Prefix: "p.", Partitions: 1}
	producer, _ := producer(t, topics, []string{"127.0.0.1:1"})
	err := producer.Send(t.Context(), integration.Command{
		Source: events.SourceAPI, ID: "c", Organization: "o", Actor: "u-1", Time: time.Now(),
		Ask: integration.Validate{Integration: integration.ID(bytes.Repeat([]byte("x"), 5000))},
	})
	if r, ok := errors.AsType[*integration.Refusal](err); !ok || r.Code != integration.CodeInvalid {
		t.Errorf("got %v, want %s", err, integration.CodeInvalid)
	}
}

func cluster(t *testing.T, topics events.Topics) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(topics.Partitions, topics.Commands()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func producer(t *testing.T, topics events.Topics, seeds []string) (*api.Producer, *bytes.Buffer) {
	t.Helper()
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(api.ProducerOptions(), kgo.SeedBrokers(seeds...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	log := &bytes.Buffer{}
	return api.NewProducer(client, codec, slog.New(slog.NewTextHandler(log, nil))), log
}
