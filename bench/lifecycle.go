package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

// Load of [lifecycleCommands]: so many creations, spread over so many organizations.
const (
	commands      = 20_000
	organizations = 200
	commandRounds = 3
)

// lifecycleCommands measures commands per second through the real worker, all of them creations, against two raw loops
// over the same input: one that writes one record for each that it reads, and one that writes as many records, of the
// same mean sizes, as the worker does.
func lifecycleCommands(ctx context.Context) (Result, error) {
	var ours, single, matched passes
	var shape traffic
	for range commandRounds {
		err := withSite(ctx, func(s *site) error {
			load, err := creations(s)
			if err != nil {
				return err
			}
			if err := ours.add(decideAll(ctx, s, load)); err != nil {
				return err
			}
			if shape, err = measureTraffic(ctx, s, load); err != nil {
				return err
			}
			return errors.Join(
				single.add(raw(ctx, s, "single", load, traffic{event: shape.event, events: 1})),
				matched.add(raw(ctx, s, "matched", load, shape)),
			)
		})
		if err != nil {
			return Result{}, err
		}
	}
	return Result{
		Value: commandsPerSecond(ours), Unit: "commands/s", Baseline: commandsPerSecond(single),
		Details: map[string]any{
			"baseline_is":                    "raw consume-transform-produce transactions, one record out for each in",
			"matched_baseline":               rounded(commandsPerSecond(matched)),
			"matched_ratio":                  rounded(commandsPerSecond(ours) / commandsPerSecond(matched)),
			"matched_baseline_is":            "the same with as many records out, of the same mean sizes, as lifecycle writes",
			"cpu_us_per_command":             rounded(cpuOfCommand(ours)),
			"baseline_cpu_us":                rounded(cpuOfCommand(single)),
			"matched_baseline_cpu_us":        rounded(cpuOfCommand(matched)),
			"commands":                       commands,
			"organizations":                  organizations,
			"partitions":                     events.DefaultPartitions,
			"batch_records":                  lifecycle.Defaults().BatchRecords,
			"transactions":                   ours.transactions,
			"bytes_of_command":               shape.command,
			"events_per_command":             shape.events,
			"bytes_of_event":                 shape.event,
			"state_records_per_command":      shape.states,
			"bytes_of_state_record":          shape.stored,
			"round_seconds":                  roundedAll(ours.seconds),
			"baseline_round_seconds":         roundedAll(single.seconds),
			"matched_baseline_round_seconds": roundedAll(matched.seconds),
		},
	}, nil
}

func commandsPerSecond(p passes) float64 { return commands / median(p.seconds) }

// cpuOfCommand is the processor time for each command, in microseconds.
func cpuOfCommand(p passes) float64 { return median(p.cpu) * 1e6 / commands }

func withSite(ctx context.Context, do func(*site) error) error {
	s, err := openSite(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.close(ctx))
}

const platform integration.Principal = "platform:bench"

// benchSource is who sends the commands.
const benchSource = "/bench"

func organizationID(n int) integration.OrganizationID {
	return integration.OrganizationID(fmt.Sprintf("org-%06d", n%organizations))
}

// creations are the commands of one round.
func creations(s *site) ([]*kgo.Record, error) {
	load := make([]*kgo.Record, commands)
	for n := range load {
		r, err := s.codec.CommandRecord(integration.Command{
			Source: benchSource, ID: fmt.Sprintf("create-%08d", n), Organization: organizationID(n), Actor: "u-admin", Time: time.Now(),
			Ask: integration.Create{
				Environment: integration.EnvironmentID(fmt.Sprintf("env-%05d", n%7)), Name: fmt.Sprintf("analytics sink %d", n),
				Config: integration.Config{Kind: integration.KindAWS, Customer: customerRole(n)},
			},
		})
		if err != nil {
			return nil, err
		}
		load[n] = r
	}
	return load, nil
}

func customerRole(n int) string {
	return fmt.Sprintf("arn:aws:iam::%012d:role/data-platform/connector-access-%d", 100_000_000_000+n%1000, n)
}

// decideAll makes the organizations, and then times a worker that finds the whole load waiting.
func decideAll(ctx context.Context, s *site, load []*kgo.Record) (p pass, err error) {
	quota := 2 * commands / organizations
	var setup []*kgo.Record
	for n := range organizations {
		for _, ask := range []integration.Ask{
			integration.CreateOrganization{Admin: "u-admin"}, integration.ConfigureOrganization{IntegrationQuota: &quota},
		} {
			r, err := s.codec.CommandRecord(integration.Command{
				Source: benchSource, ID: fmt.Sprintf("%s-%d", ask.Type(), n), Organization: organizationID(n), Actor: platform, Time: time.Now(),
				Ask: ask,
			})
			if err != nil {
				return p, err
			}
			setup = append(setup, r)
		}
	}
	for _, records := range [][]*kgo.Record{setup, load} {
		if err := s.produce(ctx, records); err != nil {
			return p, err
		}
		if p, err = decide(ctx, s, len(records)); err != nil {
			return p, err
		}
	}
	return p, nil
}

// decide runs a worker until it has decided so many records.
func decide(ctx context.Context, s *site, records int) (pass, error) {
	w := newWatch(records)
	c := lifecycle.Defaults()
	c.Topics, c.Client, c.Instance = s.topics, append(slices.Clone(s.client), kgo.WithHooks(w)), "bench"
	c.Proof = s.proof
	worker, err := lifecycle.New(c, s.codec, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return pass{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	p, err := w.wait(ctx, ended)
	cancel()
	if err == nil {
		err = <-ended
	}
	return p, err
}

// traffic is what the load and its decisions look like on Kafka: mean bytes of a record, and records for each command.
type traffic struct {
	command, event, stored int
	events, states         int
}

// measureTraffic also checks that every command was accepted: a refusal would be cheaper than what is measured.
func measureTraffic(ctx context.Context, s *site, load []*kgo.Record) (t traffic, err error) {
	var bytes int64
	for _, r := range load {
		bytes += sizeOf(r)
	}
	t.command = int(bytes / commands)
	created := 0
	for p := range s.topics.Partitions {
		_, err := events.Replay(ctx, s.cl, s.topics.Events(), p, func(r *kgo.Record) error {
			for _, h := range r.Headers {
				if h.Key == "ce_type" && string(h.Value) == (integration.Created{}).Type() {
					created++
				}
			}
			return nil
		})
		if err != nil {
			return t, err
		}
	}
	if created != commands {
		return t, fmt.Errorf("%d of %d commands made an integration", created, commands)
	}
	mean := func(topic string) (per, size int, err error) {
		records, bytes, err := s.sizes(ctx, topic)
		return int(math.Round(float64(records) / commands)), int(bytes / int64(max(records, 1))), err
	}
	if t.events, t.event, err = mean(s.topics.Events()); err != nil {
		return t, err
	}
	t.states, t.stored, err = mean(s.topics.State())
	return t, err
}

// raw times a raw loop over a copy of the load. For each record it writes records of such a shape.
func raw(ctx context.Context, s *site, name string, load []*kgo.Record, out traffic) (pass, error) {
	l := rawLoop{site: s, input: s.topics.Prefix + name + "-in"}
	for range out.events {
		l.outputs = append(l.outputs, rawOutput{s.topics.Prefix + name + "-events", out.event})
	}
	for range out.states {
		l.outputs = append(l.outputs, rawOutput{s.topics.Prefix + name + "-state", out.stored})
	}
	if err := s.more(ctx, l.input, s.topics.Prefix+name+"-events", s.topics.Prefix+name+"-state"); err != nil {
		return pass{}, err
	}
	input := make([]*kgo.Record, len(load))
	for n, r := range load {
		input[n] = &kgo.Record{Topic: l.input, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
	}
	if err := s.produce(ctx, input); err != nil {
		return pass{}, err
	}
	return l.run(ctx, len(load))
}
