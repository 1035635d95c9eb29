package testenv_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestARecordComesBackFromTheSharedKafka(t *testing.T) {
	t.Parallel()
	topic := testenv.Prefix(t) + "round-trip"
	client := connect(t, testenv.Kafka(t), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	createTopic(t, client, topic)

	if err := client.ProduceSync(t.Context(), kgo.StringRecord("hello")).FirstErr(); err == nil {
		t.Error("a record without a topic was accepted")
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("hello")}).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
	if got := consumeOne(t, client); got != "hello" {
		t.Errorf("consumed %q, want %q", got, "hello")
	}
}

func TestAnAbortedTransactionStaysUnseen(t *testing.T) {
	t.Parallel()
	prefix := testenv.Prefix(t)
	topic := prefix + "transactions"
	producer := connect(t, testenv.Kafka(t), kgo.TransactionalID(prefix+"writer"))
	createTopic(t, producer, topic)

	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		value := map[kgo.TransactionEndTry]string{kgo.TryAbort: "aborted", kgo.TryCommit: "committed"}[end]
		if err := producer.BeginTransaction(); err != nil {
			t.Fatalf("begin: %v", err)
		}
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatalf("produce %q: %v", value, err)
		}
		if err := producer.EndTransaction(t.Context(), end); err != nil {
			t.Fatalf("end of %q: %v", value, err)
		}
	}

	consumer := connect(t, testenv.Kafka(t), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if got := consumeOne(t, consumer); got != "committed" {
		t.Errorf("consumed %q, want %q", got, "committed")
	}
}

func TestAKilledKafkaComesBackWithItsRecords(t *testing.T) {
	t.Parallel()
	kafka := testenv.OwnKafka(t)
	topic := testenv.Prefix(t) + "durable"
	client := connect(t, kafka.Brokers(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	createTopic(t, client, topic)
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("kept")}).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}

	if err := kafka.Kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	down, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := client.Ping(down); err == nil {
		t.Fatal("a killed broker answers")
	}
	begin := time.Now()
	if err := kafka.Start(t.Context()); err != nil {
		t.Fatalf("start again: %v", err)
	}
	t.Logf("back after %s", time.Since(begin).Round(10*time.Millisecond))
	if got := consumeOne(t, client); got != "kept" {
		t.Errorf("consumed %q, want %q", got, "kept")
	}

	if err := kafka.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := kafka.Kill(); err == nil {
		t.Error("a stopped broker could be killed")
	}
}

func TestAPrivateKafkaTakesSettingsAndFormatArguments(t *testing.T) {
	t.Parallel()
	kafka := testenv.OwnKafka(t,
		testenv.KafkaProperty("auto.create.topics.enable", "true"),
		testenv.KafkaFormat("--add-scram", "SCRAM-SHA-512=[name=alice,password=secret]"),
	)
	admin := kadm.NewClient(connect(t, kafka.Brokers()))

	users, err := admin.DescribeUserSCRAMs(t.Context(), "alice")
	if err != nil || users["alice"].Err != nil {
		t.Errorf("the user of the format arguments: %v", errors.Join(err, users["alice"].Err))
	}
	configs, err := admin.DescribeBrokerConfigs(t.Context(), 1)
	if err != nil {
		t.Fatalf("describe the broker: %v", err)
	}
	for _, config := range configs[0].Configs {
		if config.Key == "auto.create.topics.enable" && config.MaybeValue() != "true" {
			t.Errorf("%s = %s, want true", config.Key, config.MaybeValue())
		}
	}
}

func connect(t *testing.T, brokers []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(t *testing.T, client *kgo.Client, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}

func consumeOne(t *testing.T, client *kgo.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if records := fetches.Records(); len(records) > 0 {
			return string(records[0].Value)
		}
	}
	t.Fatal("no record came within 30 s")
	return ""
}
