package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
)

const restoreRounds = 3

// restoreState measures how long a worker that takes over everything needs to restore 100,000 integrations, and a replica
// to load them, against reading the same records and doing nothing with them.
func restoreState(ctx context.Context) (r Result, err error) {
	err = withSite(ctx, func(s *site) error {
		if err := fill(ctx, s, integrations); err != nil {
			return err
		}
		records, bytes, err := s.sizes(ctx, s.topics.State())
		if err != nil {
			return err
		}
		var read, restored, loaded passes
		for range restoreRounds {
			err := errors.Join(read.add(readOnly(ctx, s)), restored.add(restoreByWorker(ctx, s)), loaded.add(loadTable(ctx, s)))
			if err != nil {
				return err
			}
		}
		r = Result{
			Value: median(restored.seconds), Unit: "s/100k integrations", Baseline: median(read.seconds),
			Details: map[string]any{
				"baseline_is":          "the same records, read from the same partitions and dropped",
				"cpu_seconds":          rounded(median(restored.cpu)),
				"baseline_cpu_seconds": rounded(median(read.cpu)),
				"replica_seconds":      rounded(median(loaded.seconds)),
				"replica_cpu_seconds":  rounded(median(loaded.cpu)),
				"replica_ratio":        rounded(median(loaded.seconds) / median(read.seconds)),
				"integrations":         integrations,
				"records":              records,
				"bytes":                bytes,
				"partitions":           events.DefaultPartitions,
				"rounds":               roundedAll(restored.seconds),
				"baseline_rounds":      roundedAll(read.seconds),
				"replica_rounds":       roundedAll(loaded.seconds),
			},
		}
		return nil
	})
	return r, err
}

// readOnly replays all partitions, as many at once as worker and replica do.
func readOnly(ctx context.Context, s *site) (pass, error) {
	cl, err := kgo.NewClient(s.client...)
	if err != nil {
		return pass{}, err
	}
	defer cl.Close()
	stop := clock()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for p := range s.topics.Partitions {
		g.Go(func() error {
			_, err := events.Replay(gctx, cl, s.topics.State(), p, func(*kgo.Record) error { return nil })
			return err
		})
	}
	err = g.Wait()
	return stop(), err
}

// restoreByWorker runs the real worker until it says that it has restored its partitions, and believes its own clock:
// joining the group comes before.
func restoreByWorker(ctx context.Context, s *site) (pass, error) {
	said := make(logged, 1)
	c := lifecycle.Defaults()
	// The timers are an hour's worth: none of them may be decided while this runs, so every round has a group of its own.
	c.Topics, c.Client, c.Group, c.Instance = s.topics, slices.Clone(s.client), fmt.Sprintf("%srestore-%d", s.topics.Prefix, time.Now().UnixNano()), "bench"
	worker, err := lifecycle.New(c, s.codec, slog.New(said), prometheus.NewRegistry())
	if err != nil {
		return pass{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stop, ended := clock(), make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	select {
	case seconds := <-said:
		p := stop()
		p.took = time.Duration(seconds * float64(time.Second))
		cancel()
		return p, <-ended
	case err := <-ended:
		return pass{}, fmt.Errorf("the worker ended before it had restored anything: %w", err)
	}
}

// logged takes one number out of the worker's log.
type logged chan float64

// Enabled is for slog.
func (logged) Enabled(context.Context, slog.Level) bool { return true }

// Handle takes the seconds of the first restore.
func (l logged) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "partitions restored" {
		return nil
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "seconds" {
			select {
			case l <- a.Value.Float64():
			default:
			}
		}
		return true
	})
	return nil
}

// WithAttrs is for slog.
func (l logged) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup is for slog.
func (l logged) WithGroup(string) slog.Handler { return l }

// loadTable runs a replica until it is ready.
func loadTable(ctx context.Context, s *site) (pass, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	table := events.NewTable(s.topics, s.client, events.WithLog(slog.New(slog.DiscardHandler)))
	stop, ended := clock(), make(chan error, 1)
	go func() { ended <- table.Run(ctx) }()
	select {
	case <-table.Ready():
	case err := <-ended:
		return pass{}, fmt.Errorf("the replica ended before it was ready: %w", err)
	}
	p := stop()
	if n := table.Count(); n != integrations {
		return pass{}, fmt.Errorf("the replica has %d integrations, want %d", n, integrations)
	}
	cancel()
	return p, <-ended
}
