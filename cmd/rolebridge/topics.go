package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func newTopics(s streams) *cobra.Command {
	return group("topics", "Manage the topics of the contract.", newTopicsApply(s))
}

// appliedWithin bounds the work: a cluster that is away is reported and not waited for.
const appliedWithin = 30 * time.Second

func newTopicsApply(s streams) *cobra.Command {
	var kafka kafkaFlags
	var replication int16
	c := &cobra.Command{
		Use:   "apply",
		Short: "Create the topics that are missing, and report where existing ones differ.",
		Long: `Create the topics that are missing, and report where existing ones differ. No existing topic is changed: its settings may
have been changed on purpose. Exit code 5 means that something differs.

The settings are those of "serve": kafka.* and topics.* of the file and of the environment.`,
		Example: examples(
			"Create the topics on a cluster of three brokers.",
			"rolebridge topics apply --brokers kafka-1:9092,kafka-2:9092 --replication 3",
		),
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			return kafka.with(c, s, appliedWithin, nil, func(ctx context.Context, k atKafka) error {
				if c.Flags().Changed("replication") {
					k.Topics.Replication = replication
				}
				return s.apply(ctx, k)
			})
		},
	}
	kafka.add(c)
	c.Flags().Int16Var(&replication, "replication", 0, "Replication factor; -1 is the brokers' default (default topics.replication).")
	return c
}

func (s streams) apply(ctx context.Context, k atKafka) error {
	done, err := events.Apply(ctx, kadm.NewClient(k.cl), k.topics, k.Topics.Replication)
	for _, name := range done.Created {
		fmt.Fprintf(s.out, "Created topic %q.\n", name)
	}
	if err != nil {
		return &called{err}
	}
	for _, d := range done.Drifts {
		fmt.Fprintf(s.out, "Differs: %s.\n", d)
	}
	if len(done.Drifts) > 0 {
		return quiet(integration.CodeConflict)
	}
	if len(done.Created) == 0 {
		fmt.Fprintln(s.out, "All topics are as they should be.")
	}
	return nil
}
