package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func newOrganization(s streams) *cobra.Command {
	return group("organization", "Manage organizations, as the platform's control plane.", newOrganizationCreate(s, answeredWithin), newOrganizationConfigure(s, answeredWithin))
}

// platformActor is who asks: the verbs below speak to Kafka, and whoever may do that may name any actor.
const platformActor integration.Principal = "platform:cli"

// platformSource is the source of their commands.
const platformSource = "/rolebridge/cli"

// answeredWithin is the bound of the wait for a decision.
const answeredWithin = 30 * time.Second

// controlPlane asks as the platform's control plane does.
type controlPlane struct {
	kafkaFlags
	within     time.Duration // bounds the wait for a decision
	signingKey string
}

func (p *controlPlane) add(c *cobra.Command) {
	p.kafkaFlags.add(c)
	c.Flags().StringVar(&p.signingKey, "signing-key", "", "Private key that signs the command (default commands.signing_key_file).")
}

func newOrganizationCreate(s streams, within time.Duration) *cobra.Command {
	var admin string
	plane, out := controlPlane{within: within}, format("")
	c := &cobra.Command{
		Use:   "create <organization>",
		Short: "Create an organization and its first administrator.",
		Long: `Create an organization and its first administrator. This is a command of the platform itself: it is written to Kafka, and
needs the right to write to the commands topic.`,
		Example: examples(
			"Create an organization; the API key of u-admin may then do everything in it.",
			"rolebridge organization create org-1 --admin u-admin --brokers kafka-1:9092",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			if admin == "" {
				return usagef("set --admin, the principal that becomes OrganizationAdmin")
			}
			return plane.ask(c, s, out, integration.OrganizationID(args[0]), integration.CreateOrganization{Admin: integration.Principal(admin)})
		},
	}
	plane.add(c)
	out.flag(c)
	c.Flags().StringVar(&admin, "admin", "", "Principal that becomes OrganizationAdmin, e.g. u-admin.")
	return c
}

func newOrganizationConfigure(s streams, within time.Duration) *cobra.Command {
	var quota int
	var insecure string
	plane, out := controlPlane{within: within}, format("")
	c := &cobra.Command{
		Use:   "configure <organization>",
		Short: "Change an organization's quota, or what becomes of insecure roles.",
		Example: examples(
			"Let an organization have 500 integrations.",
			"rolebridge organization configure org-1 --quota 500",
		),
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			ask := integration.ConfigureOrganization{InsecureRoles: integration.InsecureRoles(insecure)}
			if !c.Flags().Changed("quota") && insecure == "" {
				return usagef("nothing to configure: set --quota or --insecure-roles")
			}
			if c.Flags().Changed("quota") {
				ask.IntegrationQuota = &quota
			}
			return plane.ask(c, s, out, integration.OrganizationID(args[0]), ask)
		},
	}
	plane.add(c)
	out.flag(c)
	c.Flags().IntVar(&quota, "quota", 0, "Integrations allowed across all clouds.")
	c.Flags().StringVar(&insecure, "insecure-roles", "", "Roles that admit us without their external ID: block or warn.")
	return c
}

// ask sends a command to Kafka and waits for its answer, which it prints.
func (p *controlPlane) ask(c *cobra.Command, s streams, out format, o integration.OrganizationID, ask integration.Ask) error {
	answer, err := p.decided(c, s, o, ask)
	if err != nil {
		return err
	}
	return out.tell(s.out, struct {
		Organization integration.OrganizationID `json:"organization"`
		Event        string                     `json:"event"`
		Version      int64                      `json:"version"`
	}{o, answer.Fact.Type(), answer.Version}, "%s: %s, version %d", o, answer.Fact.Type(), answer.Version)
}

// decided sends a command to Kafka and returns its answer; a refusal is an error.
func (p *controlPlane) decided(c *cobra.Command, s streams, o integration.OrganizationID, ask integration.Ask) (answer integration.Event, err error) {
	options := func(events.Topics) []kgo.Opt {
		return []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchIsolationLevel(kgo.ReadCommitted())}
	}
	err = p.with(c, s, p.within, options, func(ctx context.Context, k atKafka) error {
		if p.signingKey != "" {
			k.Commands.SigningKeyFile = p.signingKey
		}
		answer, err = p.answer(ctx, k, integration.Command{
			Source: platformSource, ID: uuid.NewString(), Organization: o, Actor: platformActor, Time: time.Now(), Ask: ask,
		})
		return err
	})
	if refused, ok := answer.Fact.(integration.Refused); ok && err == nil {
		return answer, &exit{refused.Code.Answer().Exit, &refused.Refusal}
	}
	return answer, err
}

// answer writes a command and reads events from before it was written until one answers it.
func (p *controlPlane) answer(ctx context.Context, k atKafka, cmd integration.Command) (integration.Event, error) {
	cl, topics := k.cl, k.topics
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics.Events())
	if err != nil {
		return integration.Event{}, &exit{integration.CodeUnavailable.Answer().Exit, fmt.Errorf("reach Kafka: %w", err)}
	}
	if err := ends.Error(); err != nil {
		return integration.Event{}, &exit{integration.CodeConflict.Answer().Exit, fmt.Errorf(
			"topic %s: %w; create it with `rolebridge topics apply`", topics.Events(), err)}
	}
	// What the topics are like counts, not what this command line was told.
	topics.Partitions = int32(len(ends[topics.Events()])) //nolint:gosec // at most 1000
	codec, err := events.NewCodec(topics)
	if err != nil {
		return integration.Event{}, err
	}
	if codec, err = k.Commands.Codec(codec); err != nil {
		return integration.Event{}, usage(err)
	}
	record, err := codec.CommandRecord(cmd)
	if err != nil {
		return integration.Event{}, usage(err)
	}
	end, _ := ends.Lookup(topics.Events(), record.Partition)
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topics.Events(): {record.Partition: kgo.NewOffset().At(end.Offset)}})
	if err := cl.ProduceSync(ctx, record).FirstErr(); err != nil {
		return integration.Event{}, &exit{integration.CodeUnavailable.Answer().Exit, fmt.Errorf("write the command: %w", err)}
	}
	var unproved *integration.Event
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil && unproved != nil {
			return *unproved, nil
		}
		if ctx.Err() != nil {
			return integration.Event{}, &exit{integration.CodeTimeout.Answer().Exit, fmt.Errorf(
				"command %s was written, and not answered within %v: is the role lifecycle running?", cmd.ID, p.within)}
		}
		if err := fetches.Err(); err != nil {
			return integration.Event{}, err
		}
		for _, r := range fetches.Records() {
			e, err := codec.Event(r)
			if err != nil || e.Answers == nil || e.Answers.ID != cmd.ID || e.Answers.Source != cmd.Source {
				continue
			}
			if refused, ok := e.Fact.(integration.Refused); ok && refused.Code == integration.CodeUnproved && k.Commands.SigningKeyFile != "" {
				// Somebody without our key may have written a command under this id, and ours be decided next.
				unproved = &e
				continue
			}
			return e, nil
		}
	}
}
