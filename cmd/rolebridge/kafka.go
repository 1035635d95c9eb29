package main

import (
	"context"
	"fmt"
	"os"
	"strings"

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

func (k *kafkaFlags) settings(c *cobra.Command, s streams, environ []string) (app.Config, error) {
	settings, path := app.Defaults(), k.path
	if path == "" {
		path = s.env(envConfig)
	}
	if err := config.Load(path, environ, &settings); err != nil {
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
	return settings, usage(settings.Kafka.Validate())
}

// reach returns a client, which the caller closes, and the settings. options, which may be nil, add to those of the client.
func (k *kafkaFlags) reach(ctx context.Context, c *cobra.Command, s streams, options func(events.Topics) []kgo.Opt) (*kgo.Client, app.Config, error) {
	settings, err := k.settings(c, s, os.Environ())
	if err != nil {
		return nil, settings, err
	}
	opts, err := settings.Kafka.Options()
	if err != nil {
		return nil, settings, usage(err)
	}
	if options != nil {
		opts = append(opts, options(settings.Topics.Names())...)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, settings, usage(err)
	}
	// A wrong password shows here at once; later calls would try again until time is up.
	if err := cl.Ping(ctx); err != nil {
		cl.Close()
		return nil, settings, &called{fmt.Errorf("kafka: %w", err)}
	}
	return cl, settings, nil
}
