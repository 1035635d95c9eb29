package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

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
	out := format("")
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
				return s.apply(ctx, out, k)
			})
		},
	}
	kafka.add(c)
	out.flag(c)
	c.Flags().Int16Var(&replication, "replication", 0, "Replication factor; -1 is the brokers' default (default topics.replication).")
	return c
}

// applied is what came of it, as it is printed for machines.
type applied struct {
	Created []string `json:"created"`
	Differs []drift  `json:"differs"`
}

// drift is a setting of a topic that is not as it should be.
type drift struct {
	Topic   string `json:"topic"`
	Setting string `json:"setting"`
	Have    string `json:"is"`
	Want    string `json:"want"`
}

func (s streams) apply(ctx context.Context, out format, k atKafka) error {
	done, err := events.Apply(ctx, kadm.NewClient(k.cl), k.topics, k.Topics.Replication)
	if err := s.showApplied(out, done, err != nil); err != nil {
		return err
	}
	switch {
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return usagef("replication factor %d: the cluster has fewer brokers than that, or wants more replicas: %w", k.Topics.Replication, err)
	case err != nil:
		return &called{err}
	case len(done.Drifts) > 0:
		return quiet(integration.CodeConflict)
	}
	return nil
}

// showApplied prints what was done, also when it is not all.
func (s streams) showApplied(out format, done events.Applied, failed bool) error {
	if out != human {
		shown := applied{Created: append([]string{}, done.Created...), Differs: []drift{}}
		for _, d := range done.Drifts {
			shown.Differs = append(shown.Differs, drift(d))
		}
		return out.document(s.out, shown)
	}
	for _, name := range done.Created {
		fmt.Fprintf(s.out, "Created topic %q.\n", name)
	}
	for _, d := range done.Drifts {
		fmt.Fprintf(s.out, "Differs: %s.\n", d)
	}
	if len(done.Created)+len(done.Drifts) == 0 && !failed {
		fmt.Fprintln(s.out, "All topics are as they should be.")
	}
	return nil
}
