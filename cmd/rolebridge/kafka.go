package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/config"
)

// envBrokers names the brokers where neither a flag nor a file does, as for other tools of Kafka.
const envBrokers = "KAFKA_BROKERS"

// envConfig names the file with settings where no flag does.
const envConfig = "ROLEBRIDGE_CONFIG"

// kafkaFlags say where Kafka and the topics are, for verbs that speak to it: the settings of "serve", or flags.
type kafkaFlags struct {
	path, prefix string
	brokers      []string
	partitions   int32
}

func (k *kafkaFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&k.path, "config", "c", "", "YAML file with settings (default $"+envConfig+").")
	f.StringSliceVar(&k.brokers, "brokers", nil, "Brokers to start from, host:port (default $"+envBrokers+", else kafka.brokers).")
	f.StringVar(&k.prefix, "prefix", "", "How the topics' names begin (default topics.prefix).")
	f.Int32Var(&k.partitions, "partitions", 0, "Partitions of each topic, which cannot be changed later (default topics.partitions).")
}

func (k *kafkaFlags) settings(c *cobra.Command, s streams) (app.Config, error) {
	settings, path := app.Defaults(), k.path
	if path == "" {
		path = s.env(envConfig)
	}
	if err := config.Load(path, os.Environ(), &settings); err != nil {
		return settings, usage(err)
	}
	if named := s.env(envBrokers); named != "" && path == "" {
		settings.Kafka.Brokers = strings.Split(named, ",")
	}
	for name, set := range map[string]func(){
		"brokers":    func() { settings.Kafka.Brokers = k.brokers },
		"prefix":     func() { settings.Topics.Prefix = k.prefix },
		"partitions": func() { settings.Topics.Partitions = k.partitions },
	} {
		if c.Flags().Changed(name) {
			set()
		}
	}
	return settings, usage(errors.Join(settings.Kafka.Validate(), settings.Topics.Names().Check()))
}

// errKafka is that no broker lets us in.
var errKafka = errors.New("kafka")

// atKafka is what a verb that speaks to Kafka has when it runs.
type atKafka struct {
	*app.Config
	cl     *kgo.Client
	topics events.Topics
}

// with has do speak to Kafka, for so long at most. options, which may be nil, add to those of the client.
func (k *kafkaFlags) with(c *cobra.Command, s streams, within time.Duration, options func(events.Topics) []kgo.Opt, do func(context.Context, atKafka) error) error {
	settings, err := k.settings(c, s)
	if err != nil {
		return err
	}
	topics := settings.Topics.Names()
	opts, err := settings.Kafka.Options()
	if err != nil {
		return usage(err)
	}
	if options != nil {
		opts = append(opts, options(topics)...)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return usage(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(c.Context(), within)
	defer cancel()
	// A wrong password shows here at once; later calls would try again until time is up.
	if err := cl.Ping(ctx); err != nil {
		return &called{fmt.Errorf("%w: %w", errKafka, err)}
	}
	return do(ctx, atKafka{&settings, cl, topics})
}
