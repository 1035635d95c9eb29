package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/telemetry"
)

// App is one process. Build it with [New], run it once.
type App struct {
	config Config
	log    *slog.Logger
	reg    *prometheus.Registry
	kafka  []kgo.Opt
	codec  *events.Codec
	prover dryrun.Prover // of the trust worker in this process
	// observe counts calls to AWS of all parts.
	observe aws.Observer

	fronts    *listen.Metrics
	listeners []listener // stopped first
	telemetry listener   // stopped last
	workers   []part     // stopped when the listeners are drained
	checks    []telemetry.Check
	closers   []func() // called last, in reverse order
	probes    *telemetry.Server
	// operations is what people on call ask, on the listener of the probes.
	operations *http.ServeMux
	addresses  map[string]string
	urls       map[string]string
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// listener is an HTTP server of the process.
type listener struct {
	name string
	on   *listen.Listener
	h    http.Handler
}

// New builds the parts of these roles. It opens listeners, so that a port that is taken fails here, and otherwise
// touches no network.
func New(ctx context.Context, c Config, roles []Role, log *slog.Logger) (*App, error) {
	if err := c.Validate(roles); err != nil {
		return nil, err
	}
	a := &App{
		config: c, log: log, reg: telemetry.NewRegistry(), operations: http.NewServeMux(), addresses: map[string]string{}, urls: map[string]string{},
	}
	a.closers = append(a.closers, c.Tracer.Close)
	var err error
	if a.fronts, err = listen.NewMetrics(a.reg); err != nil {
		return nil, err
	}
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
		a.operations.Handle("/", a.probes.Handler())
		if a.telemetry.on, err = a.listen(ctx, "telemetry", c.Telemetry.settings()); err == nil {
			a.telemetry.name, a.telemetry.h = "telemetry", a.operations
		}
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Addresses returns where the process listens, by the name of the listener: api, broker, telemetry.
func (a *App) Addresses() map[string]string { return a.addresses }

// URLs returns how to reach each listener from this machine, by the same names.
func (a *App) URLs() map[string]string { return a.urls }

func (a *App) listen(ctx context.Context, name string, s listen.Settings, with ...listen.Option) (*listen.Listener, error) {
	l, err := listen.Open(ctx, name, s, append(with, listen.WithLog(a.log), listen.WithMetrics(a.fronts))...)
	if err != nil {
		return nil, err
	}
	a.addresses[name], a.urls[name] = l.Addr(), l.URL()
	a.closers = append(a.closers, func() { _ = l.Close() }) // closed already after a run
	return l, nil
}

// front serves h on a listener that drains first when the process stops.
func (a *App) front(name string, l *listen.Listener, h http.Handler) {
	a.listeners = append(a.listeners, listener{name, l, h})
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
//
// A stop goes from outside to inside: not ready, a pause in which load balancers notice, listeners drain, workers end
// their transactions, and last the probes, which until then say that the process is stopping.
func (a *App) Run(ctx context.Context) error {
	defer a.Close()
	for _, l := range append([]listener{a.telemetry}, a.listeners...) {
		a.log.InfoContext(ctx, "listening", "part", l.name, "address", l.on.URL())
	}
	base := context.WithoutCancel(ctx)
	outer, stopOuter := context.WithCancel(base) // probes
	defer stopOuter()
	inner, stopWorkers := context.WithCancel(base)
	defer stopWorkers()
	fronts, stopFronts := context.WithCancel(base)
	defer stopFronts()

	third := a.config.StopWithin / 3
	probes := run(func() error { return a.telemetry.on.Serve(outer, a.telemetry.h, time.Second) })
	workers := run(func() error { return a.runWorkers(inner) })
	listeners := run(func() error { return a.serve(fronts, third) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-workers.failed():
	case err = <-listeners.failed():
	case err = <-probes.failed():
	}
	a.probes.Stop()
	a.log.InfoContext(ctx, "stopping", "reason", reason(err))
	if err == nil {
		select {
		case <-time.After(a.config.NotReadyFor):
		case <-workers.done:
		}
	}
	stopFronts()
	late := listeners.wait(third + time.Second)
	stopWorkers()
	late = errors.Join(late, workers.wait(2*third))
	stopOuter()
	late = errors.Join(late, probes.wait(2*time.Second))
	if err != nil {
		return err // the first cause; what it made of the others is in the log
	}
	return late
}

// serve answers on all listeners but the probes', until ctx ends or one fails.
func (a *App) serve(ctx context.Context, grace time.Duration) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range a.listeners {
		g.Go(func() error { return l.on.Serve(ctx, l.h, grace) })
	}
	return g.Wait()
}

// runWorkers runs everything that has no listener, until ctx ends or one part fails.
func (a *App) runWorkers(ctx context.Context) error {
	if err := a.topics(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range a.workers {
		g.Go(func() error {
			if err := w.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// running is a part of the process with an end.
type running struct {
	done chan struct{}
	err  error // set before done is closed
}

func run(f func() error) *running {
	r := &running{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = f()
	}()
	return r
}

// failed delivers the part's error when it ends by itself with one. A part that ends without one has nothing to do.
func (r *running) failed() <-chan error {
	out := make(chan error, 1)
	go func() {
		<-r.done
		if r.err != nil {
			out <- r.err
		}
	}()
	return out
}

// wait waits for the end and returns its error.
func (r *running) wait(atMost time.Duration) error {
	select {
	case <-r.done:
		return r.err
	case <-time.After(atMost):
		return errors.New("a part did not stop in time")
	}
}

func reason(err error) string {
	if err == nil {
		return "asked to"
	}
	return err.Error()
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
