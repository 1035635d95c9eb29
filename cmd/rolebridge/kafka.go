package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolebridge/rolebridge/cmd/internal/app"
	"github.com/rolebridge/rolebridge/internal/config"
)

// envBrokers names the brokers where neither a flag nor a file does, as for other tools of Kafka.
const envBrokers = "KAFKA_BROKERS"

// kafkaFlags say where Kafka and the topics are, for verbs that speak to it: the settings of "serve", or flags.
type kafkaFlags struct {
	path, prefix string
	brokers      []string
	partitions   int32
}

func (k *kafkaFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&k.path, "config", "c", "", "YAML file with settings.")
	f.StringSliceVar(&k.brokers, "brokers", nil, "Brokers to start from, host:port (default $"+envBrokers+", else kafka.brokers).")
	f.StringVar(&k.prefix, "prefix", "", "How the topics' names begin (default topics.prefix).")
	f.Int32Var(&k.partitions, "partitions", 0, "Partitions of each topic, which cannot be changed later (default topics.partitions).")
}

func (k *kafkaFlags) settings(c *cobra.Command, s streams, environ []string) (app.Config, error) {
	settings := app.Defaults()
	if err := config.Load(k.path, environ, &settings); err != nil {
		return settings, usage(err)
	}
	if named := s.env(envBrokers); named != "" && k.path == "" {
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
