package testenv

import (
	"context"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/local"
)

// Kafka answers the bootstrap addresses of a broker that tests share. Topics, groups and transactional ids begin with
// Prefix; topics are made explicitly.
func Kafka(t testing.TB) []string {
	t.Helper()
	return strings.Split(kafka.get(t), ",")
}

func localKafka(ctx context.Context) (string, func() error, error) {
	dir, err := runDir("kafka")
	if err != nil {
		return "", nil, err
	}
	server, err := local.NewKafka(ctx, dir, local.KafkaConfig{})
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(ctx); err != nil {
		return "", nil, err
	}
	return server.Address(), server.Close, nil
}

// KafkaServer is a broker that one test owns. Kill, Start, Stop, Pause and Resume may be called from any goroutine.
type KafkaServer struct{ *local.Kafka }

// Brokers are its bootstrap addresses, which stay the same over restarts.
func (k *KafkaServer) Brokers() []string { return []string{k.Address()} }

// KafkaOption changes a private broker.
type KafkaOption func(*local.KafkaConfig)

// KafkaProperty sets a line of server.properties. In value, ${port} and ${controller.port} stand for the two ports.
//
// After a Kill the broker is back when its old session has ended: broker.session.timeout.ms is 6000 and makes that 7.5 s.
// Below 6000 a coordinator may forget committed offsets for a moment.
func KafkaProperty(name, value string) KafkaOption {
	return func(c *local.KafkaConfig) { c.Properties[name] = value }
}

// KafkaFormat adds arguments to `StorageTool format`, for instance --add-scram and SCRAM-SHA-512=[name=…,password=…].
func KafkaFormat(args ...string) KafkaOption {
	return func(c *local.KafkaConfig) { c.Format = append(c.Format, args...) }
}

// OwnKafka starts a broker for this test alone, which takes 3 s, and ends it with the test. A failed test shows what the
// broker said last.
func OwnKafka(t testing.TB, options ...KafkaOption) *KafkaServer {
	t.Helper()
	full(t)
	config := local.KafkaConfig{Properties: map[string]string{}}
	for _, option := range options {
		option(&config)
	}
	server, err := local.NewKafka(t.Context(), t.TempDir(), config)
	if err != nil {
		t.Fatal(kafka.missing(err))
	}
	own(t, "Kafka", &server.Server)
	return &KafkaServer{server}
}

// own starts a private server and ties it to the test.
func own(t testing.TB, name string, server *local.Server) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last words of %s at %s:\n%s", name, server.Address(), server.Output())
		}
		if err := server.Close(); err != nil {
			t.Errorf("end %s: %v", name, err)
		}
	})
	if err := server.Start(t.Context()); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
}
