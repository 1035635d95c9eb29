package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rolebridge/rolebridge/internal/testenv/process"
	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// KafkaConfig changes a broker. In the values of Properties and in Format, ${port} and ${controller.port} stand for the
// two ports.
type KafkaConfig struct {
	// Properties are added to the settings of kafkaSettings, or replace them.
	Properties map[string]string
	// Format are further arguments of `StorageTool format`: --add-scram makes a first user.
	Format []string
}

// kafkaSettings are for one node and impatient clients.
var kafkaSettings = map[string]string{
	"process.roles":                       "broker,controller",
	"node.id":                             "1",
	"listeners":                           "PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller.port}",
	"advertised.listeners":                "PLAINTEXT://127.0.0.1:${port}",
	"listener.security.protocol.map":      "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
	"controller.listener.names":           "CONTROLLER",
	"controller.quorum.bootstrap.servers": "127.0.0.1:${controller.port}",

	"default.replication.factor":                       "1",
	"offsets.topic.replication.factor":                 "1",
	"transaction.state.log.replication.factor":         "1",
	"transaction.state.log.min.isr":                    "1",
	"share.coordinator.state.topic.replication.factor": "1",
	"share.coordinator.state.topic.min.isr":            "1",

	// Internal topics: few partitions and small segments, as each is made on first use and loaded after a kill.
	"offsets.topic.num.partitions":                 "4",
	"transaction.state.log.num.partitions":         "4",
	"share.coordinator.state.topic.num.partitions": "1",
	"offsets.topic.segment.bytes":                  "16777216",
	"transaction.state.log.segment.bytes":          "16777216",

	// A misspelt topic must fail.
	"auto.create.topics.enable": "false",

	"group.initial.rebalance.delay.ms": "0",
	"group.min.session.timeout.ms":     "1000",
	// KIP-848 groups take both from the broker: 45 s and 5 s by default.
	"group.consumer.min.session.timeout.ms":    "1000",
	"group.consumer.min.heartbeat.interval.ms": "250",
	"group.consumer.session.timeout.ms":        "6000",
	"group.consumer.heartbeat.interval.ms":     "500",

	// A killed broker registers again after its old session: 7.5 s with this, 11.7 s by default. With 3000 it takes 4.6 s,
	// but a coordinator that loads its log for longer than that answers "no committed offset" for a moment.
	"broker.session.timeout.ms":    "6000",
	"broker.heartbeat.interval.ms": "1000",

	// The wait of a producer's next transaction for the end of the last one: 20 by default, which caps one producer at 45
	// transactions a second. Its .max.ms must stay at 100, or the client backs off instead.
	"add.partitions.to.txn.retry.backoff.ms":                      "1",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",

	"num.network.threads":            "2",
	"num.io.threads":                 "4",
	"log.cleaner.threads":            "1",
	"log.cleaner.dedupe.buffer.size": "16777216",
}

// KafkaSettings are the settings of a broker that is not changed by a KafkaConfig, for who starts one in another way.
func KafkaSettings() map[string]string { return maps.Clone(kafkaSettings) }

// Kafka is one broker that is its own controller.
type Kafka struct{ Server }

// NewKafka prepares a broker in dir.
func NewKafka(ctx context.Context, dir string, config KafkaConfig) (*Kafka, error) {
	installed, err := provision.InstallKafka(ctx, trainKafka)
	if err != nil {
		return nil, err
	}
	return newKafka(ctx, dir, config, installed, nil)
}

// trainKafka lets a broker start and end once, so that the virtual machine can record which classes that takes.
func trainKafka(ctx context.Context, installed provision.Kafka, flag string) error {
	dir, err := os.MkdirTemp("", "rolebridge-kafka-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	kafka, err := newKafka(ctx, dir, KafkaConfig{}, installed, []string{flag})
	if err != nil {
		return err
	}
	if err := kafka.Start(ctx); err != nil {
		return errors.Join(err, kafka.Close())
	}
	// The archive is written at a clean end.
	return errors.Join(kafka.Stop(), kafka.Close())
}

func newKafka(ctx context.Context, dir string, config KafkaConfig, installed provision.Kafka, flags []string) (*Kafka, error) {
	port, err := process.ReservePort(ctx)
	if err != nil {
		return nil, err
	}
	controller, err := process.ReservePort(ctx)
	if err != nil {
		port.Release()
		return nil, err
	}
	kafka := &Kafka{}
	kafka.port = port
	kafka.close = func() { port.Release(); controller.Release() }
	kafka.ready = printed("Kafka Server started")

	ports := strings.NewReplacer("${port}", strconv.Itoa(port.Number), "${controller.port}", strconv.Itoa(controller.Number))
	properties := filepath.Join(dir, "server.properties")
	if err := writeProperties(properties, dir, config.Properties, ports); err != nil {
		kafka.close()
		return nil, err
	}
	if err := formatKafka(ctx, dir, properties, config.Format, installed, ports); err != nil {
		kafka.close()
		return nil, err
	}
	path, args := installed.Command("kafka.Kafka", flags, properties)
	kafka.spec = process.Spec{Path: path, Args: args, Env: environment(), Dir: dir, Log: filepath.Join(dir, "kafka.log")}
	return kafka, nil
}

func writeProperties(path, dir string, changes map[string]string, ports *strings.Replacer) error {
	settings := maps.Clone(kafkaSettings)
	settings["log.dirs"] = filepath.Join(dir, "data")
	maps.Copy(settings, changes)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, ports.Replace(settings[name]))
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

func formatKafka(ctx context.Context, dir, properties string, more []string, installed provision.Kafka, ports *strings.Replacer) error {
	args := []string{"format", "--standalone", "--cluster-id", "cm9sZWJyaWRnZS10ZXN0cw", "--config", properties}
	for _, arg := range more {
		args = append(args, ports.Replace(arg))
	}
	path, argv := installed.Command("kafka.tools.StorageTool", nil, args...)
	format, err := process.Start(ctx, process.Spec{
		Path: path, Args: argv, Env: environment(), Dir: dir, Log: filepath.Join(dir, "format.log"),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	err = process.Wait(ctx, func() bool { return !format.Alive() })
	if err := errors.Join(err, format.Kill()); err != nil {
		return fmt.Errorf("format the broker's folder: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "meta.properties")); err != nil {
		return fmt.Errorf("the broker's folder was not formatted:\n%s", format.Output())
	}
	return nil
}
