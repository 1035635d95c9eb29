package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// App is one process. Build it with [New], run it once.
type App struct {
	config Config
	log    *slog.Logger
	reg    *prometheus.Registry
	kafka  []kgo.Opt
	codec  *events.Codec
	// observe counts calls to AWS of all parts.
	observe aws.Observer

	listeners []listener // stopped first
	workers   []part     // stopped when the listeners are drained
	checks    []telemetry.Check
	closers   []func() // called last, in reverse order
	probes    *telemetry.Server
	addresses map[string]string
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// listener is an HTTP server of the process.
type listener struct {
	name string
	on   net.Listener
	h    http.Handler
}

// New builds the parts of these roles. It opens listeners, so that a port that is taken fails here, and otherwise
// touches no network.
func New(ctx context.Context, c Config, roles []Role, log *slog.Logger) (*App, error) {
	if err := c.Validate(roles); err != nil {
		return nil, err
	}
	a := &App{config: c, log: log, reg: telemetry.NewRegistry(), addresses: map[string]string{}}
	var err error
	if a.kafka, err = c.Kafka.Options(); err != nil {
		return nil, err
	}
	if a.codec, err = events.NewCodec(c.Topics.Names()); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(roles, func(r Role) bool { return r == Mapping || r == Trust || r == Broker }) {
		a.observe = aws.NewMetrics(a.reg)
	}
	err = a.assemble(ctx, roles)
	if err == nil {
		a.probes = telemetry.NewServer(a.reg, a.checks...)
		err = a.listen(ctx, "telemetry", c.Telemetry.Listen, a.probes.Handler())
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Addresses returns where the process listens, by the name of the listener: api, broker, telemetry.
func (a *App) Addresses() map[string]string { return a.addresses }

func (a *App) listen(ctx context.Context, name, address string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s.listen: %w", name, err)
	}
	a.listeners = append(a.listeners, listener{name, l, h})
	a.addresses[name] = l.Addr().String()
	a.closers = append(a.closers, func() { _ = l.Close() }) // closed already after a run
	return nil
}

func (a *App) work(name string, run func(context.Context) error) {
	a.workers = append(a.workers, part{name, run})
}

func (a *App) check(name string, ready func() error) {
	a.checks = append(a.checks, telemetry.Check{Name: name, Ready: ready})
}

// Probes answers /livez, /readyz and /metrics, also while the process does not run.
func (a *App) Probes() http.Handler { return a.probes.Handler() }

// Close closes what [New] opened, for a process that is not run after all; [App.Run] does so by itself.
func (a *App) Close() {
	for n := range a.closers {
		a.closers[len(a.closers)-1-n]()
	}
	a.closers = nil
}

// Run plays the roles until ctx ends (nil) or a part fails for good (the error).
func (a *App) Run(ctx context.Context) error {
	defer a.Close()
	for _, l := range a.listeners {
		a.log.InfoContext(ctx, "listening", "part", l.name, "address", l.on.Addr().String())
	}
	// Workers outlive the listeners: a request that is being answered needs them.
	background, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()
	all, working := errgroup.WithContext(background)
	fronts, serving := errgroup.WithContext(ctx)
	grace := a.config.StopWithin / 2
	for _, l := range a.listeners {
		fronts.Go(func() error { return telemetry.Serve(serving, l.on, l.h, grace) })
	}
	all.Go(func() error {
		if err := a.topics(working); err != nil {
			return err
		}
		for _, w := range a.workers {
			all.Go(func() error {
				if err := w.run(working); err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
				return nil
			})
		}
		return nil
	})
	failed := make(chan error, 1)
	go func() { failed <- all.Wait() }()
	fronts.Go(func() error { // the first part that fails stops the listeners too
		select {
		case <-serving.Done():
			return nil
		case <-working.Done():
			return context.Cause(working)
		}
	})
	stopped := context.AfterFunc(serving, a.probes.Stop)
	defer stopped()
	err := fronts.Wait()
	a.log.InfoContext(ctx, "stopping", "reason", reason(ctx, err))
	stopWorkers()
	select {
	case workersErr := <-failed:
		if workersErr != nil { // the listeners report the same
			return workersErr
		}
		return ignoreCanceled(err)
	case <-time.After(a.config.StopWithin - grace):
		return errors.Join(ignoreCanceled(err), errors.New("parts did not stop in time"))
	}
}

func reason(ctx context.Context, err error) string {
	if ctx.Err() != nil || err == nil {
		return "asked to"
	}
	return err.Error()
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// topicsWithin bounds the wait for topics that somebody else creates, e.g. a job that starts beside us.
const topicsWithin = 2 * time.Minute

// topics waits until the topics of the contract are there.
func (a *App) topics(ctx context.Context) error {
	cl, err := kgo.NewClient(a.kafka...)
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	bounded, cancel := context.WithTimeout(ctx, topicsWithin)
	defer cancel()
	want := a.config.Topics.Names()
	for tries := 0; ; tries++ {
		err := missing(bounded, admin, want)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return nil // stopped while waiting
		case bounded.Err() != nil:
			return fmt.Errorf("kafka: %w; create the topics with `rolebridge topics apply`", err)
		case tries%10 == 0:
			a.log.WarnContext(ctx, "waiting for Kafka and its topics", "missing", err.Error())
		}
		select {
		case <-time.After(time.Second):
		case <-bounded.Done():
		}
	}
}

// missing says which topics are not there, or have another number of partitions than is set.
func missing(ctx context.Context, admin *kadm.Client, want events.Topics) error {
	have, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, d := range want.Definitions() {
		switch n := len(have[d.Name].Partitions); {
		case !have.Has(d.Name):
			faults = append(faults, fmt.Errorf("topic %s does not exist", d.Name))
		case n != int(d.Partitions):
			faults = append(faults, fmt.Errorf("topic %s has %d partitions, topics.partitions is %d", d.Name, n, d.Partitions))
		}
	}
	return errors.Join(faults...)
}
