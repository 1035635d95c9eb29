package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/internal/testenv/local"
)

// Load of [fleetReads] and [coldBurst].
const (
	replicas        = 3
	connectors      = 1000
	rampUp          = 30 * time.Second // connectors start one after the other: half an hour of a fleet
	restartEvery    = 15 * time.Second
	afterRestarts   = 25 * time.Second
	fleetSTS        = 20 * time.Millisecond
	burstCallers    = 500
	burstRounds     = 5
	burstSTS        = 100 * time.Millisecond // each of the two calls of a chain
	burstConnectors = 1000                   // index of the first connector that a burst asks for
)

// fleet is three broker processes in front of one Redis, one Kafka and one STS.
type fleet struct {
	sts      *fakeSTS
	replicas []*replica
}

// withFleet runs f while all replicas are ready.
func withFleet(ctx context.Context, keys int, f func(ctx context.Context, all *fleet) error) error {
	return withSite(ctx, func(s *site) (err error) {
		if err := fill(ctx, s, keys); err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "rolebridge-fleet-")
		if err != nil {
			return err
		}
		all := &fleet{}
		defer func() { err = errors.Join(err, all.close(), os.RemoveAll(dir)) }()
		program, err := buildCompressed(ctx, dir)
		if err != nil {
			return err
		}
		redis, end, err := redisFor(ctx, dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
		if all.sts, err = openSTS(ctx, compressed); err != nil {
			return err
		}
		for n := range replicas {
			r, err := newReplica(ctx, n, program, dir, s, all.sts.address, redis)
			all.replicas = append(all.replicas, r)
			if err != nil {
				return err
			}
			if err := r.start(ctx); err != nil {
				return err
			}
		}
		return f(ctx, all)
	})
}

// redisFor is the Redis in the environment, else one of its own.
func redisFor(ctx context.Context, dir string) (address string, end func() error, err error) {
	if address := os.Getenv("ROLEBRIDGE_TEST_REDIS"); address != "" {
		return address, func() error { return nil }, nil
	}
	server, err := local.NewRedis(ctx, dir)
	if err != nil {
		return "", nil, err
	}
	return server.Address(), server.Close, server.Start(ctx)
}

func (f *fleet) close() (err error) {
	for _, r := range f.replicas {
		err = errors.Join(err, r.close())
	}
	if f.sts != nil {
		err = errors.Join(err, f.sts.close())
	}
	return err
}

// fleetReads lets 1,000 connectors of four SDKs keep their sessions fresh through a load balancer while each of three
// brokers is stopped and started in turn, and counts the reads that failed. Time is compressed: sessions live for a minute
// instead of an hour, and so do the broker's and the SDKs' times before an expiry; everything else is as it is.
func fleetReads(ctx context.Context) (r Result, err error) {
	err = withFleet(ctx, connectors, func(ctx context.Context, all *fleet) error {
		r, err = all.keepFresh(ctx)
		return err
	})
	return r, err
}

func (f *fleet) keepFresh(ctx context.Context) (Result, error) {
	f.sts.reset(fleetSTS)
	var backends []*backend
	for _, r := range f.replicas {
		backends = append(backends, &r.backend)
	}
	balancer, err := openBalancer(ctx, backends)
	if err != nil {
		return Result{}, err
	}
	base, stopBalancer := context.WithCancel(ctx)
	defer stopBalancer()
	balanced := make(chan error, 1)
	go func() { balanced <- balancer.run(base) }()

	record, begin := newRecord(), time.Now()
	transport := &http.Transport{DisableKeepAlives: true}
	users, stopUsers := context.WithCancel(base)
	defer stopUsers()
	g, users := errgroup.WithContext(users)
	for n := range connectors {
		c := &connector{
			sdk: sdks[n%len(sdks)], url: "http://" + balancer.address() + creds.Path, token: connectorToken(n),
			client: &http.Client{Transport: transport}, record: record,
		}
		g.Go(func() error {
			if pause(users, rampUp*time.Duration(n)/connectors) != nil {
				return nil //nolint:nilerr // the end
			}
			return c.run(users)
		})
	}
	restarted, err := f.restartAll(users)
	stopUsers()
	err = errors.Join(err, g.Wait())
	took := time.Since(begin)
	stopBalancer()
	err = errors.Join(err, <-balanced)

	failed := 0
	for _, n := range record.failed {
		failed += n
	}
	// The mean life of a connector in the run, in hours of a fleet.
	hours := (took - rampUp/2).Hours() * compressed
	customers, mostOfOne := f.sts.most(func(role string) bool { return !strings.Contains(role, ":role/rolebridge/") })
	platforms, _ := f.sts.most(func(role string) bool { return strings.Contains(role, ":role/rolebridge/") })
	var perReplica []int64
	for _, b := range backends {
		perReplica = append(perReplica, b.connections.Load())
	}
	result := Result{
		Value: float64(failed), Unit: "failed reads",
		Details: map[string]any{
			"baseline_is":              "none is right",
			"connectors":               connectors,
			"replicas":                 replicas,
			"restarts":                 restarted,
			"compressed":               compressed,
			"fleet_hours":              rounded(took.Hours() * compressed),
			"reads":                    record.reads,
			"failed":                   record.failed,
			"tries":                    len(record.took),
			"tries_not_ok":             record.broken,
			"connections_per_replica":  perReplica,
			"connections_lost":         balancer.lost.Load(),
			"customer_calls":           customers,
			"platform_calls":           platforms,
			"customer_calls_key_hour":  rounded(float64(customers) / connectors / hours),
			"customer_calls_most":      mostOfOne,
			"shortest_life_minutes":    rounded(record.shortest),
			"latency_us":               quantiles(slices.Clone(record.took)),
			"latency_histogram":        record.histogram(),
			"not_compressed":           "timeouts, pauses between tries, leases",
			"probe_of_balancer_millis": probeEvery.Milliseconds(),
		},
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d reads failed: %v", failed, record.reads, record.failed))
	}
	return result, err
}

// restartAll stops and starts one replica after the other, and returns how many it were.
func (f *fleet) restartAll(ctx context.Context) (n int, err error) {
	if err := pause(ctx, rampUp+restartEvery); err != nil {
		return 0, err
	}
	for _, r := range f.replicas {
		if err := r.restart(ctx); err != nil {
			return n, err
		}
		n++
		if err := pause(ctx, restartEvery); err != nil {
			return n, err
		}
	}
	return n, pause(ctx, afterRestarts)
}

// coldBurst lets 500 callers ask three processes at once for one key that nobody has, and measures by how much the last of
// them waited longer than the cloud took. Exactly one chain is asked of the cloud, or it fails.
func coldBurst(ctx context.Context) (r Result, err error) {
	err = withFleet(ctx, burstConnectors+burstRounds+1, func(ctx context.Context, all *fleet) error {
		r, err = all.burst(ctx)
		return err
	})
	return r, err
}

func (f *fleet) burst(ctx context.Context) (Result, error) {
	var slowest, beyond, upstream, scheduling []float64
	for round := range burstRounds + 1 {
		f.sts.reset(burstSTS)
		took, again, err := f.askAtOnce(ctx, connectorToken(burstConnectors+round))
		if err != nil {
			return Result{}, fmt.Errorf("round %d: %w", round, err)
		}
		calls, cloud := f.sts.upstream()
		if calls != 2 {
			return Result{}, fmt.Errorf("round %d: %d calls upstream for one key, want one chain of 2", round, calls)
		}
		if round == 0 {
			continue // clients and connections are made in it
		}
		slowest = append(slowest, took.Seconds()*1000)
		upstream = append(upstream, cloud.Seconds()*1000)
		scheduling = append(scheduling, again.Seconds()*1000)
		beyond = append(beyond, (took-cloud-again).Seconds()*1000)
	}
	return Result{
		Value: median(slowest), Unit: "ms for the last of 500", Baseline: median(upstream),
		Targets: []Target{atMost("ms of the last caller beyond the cloud and scheduling, in the worst round", slices.Max(beyond), 30)},
		Details: map[string]any{
			"baseline_is":        "from the first request at the cloud to its last answer",
			"callers":            burstCallers,
			"processes":          replicas,
			"scheduling_is":      "the last of the same callers, at once over the same connections, when the key is warm",
			"scheduling_ms":      rounded(median(scheduling)),
			"beyond_both_ms":     rounded(median(beyond)),
			"beyond_both_max_ms": rounded(slices.Max(beyond)),
			"beyond_both_rounds": roundedAll(beyond),
			"beyond_upstream_ms": rounded(median(slowest) - median(upstream)),
			"upstream_calls":     2,
		},
	}, nil
}

// askAtOnce returns how long the last caller waited for its answer, and how long the last one waits when all ask at once again,
// which costs no more than to schedule them. Connections are open before.
func (f *fleet) askAtOnce(ctx context.Context, token string) (cold, warm time.Duration, err error) {
	callers := make([]*caller, 0, burstCallers)
	defer func() {
		for _, c := range callers {
			c.conn.Close()
		}
	}()
	for n := range burstCallers {
		at := f.replicas[n%replicas].address
		c, err := dialFor(ctx, at, token)
		if err != nil {
			return 0, 0, err
		}
		callers = append(callers, c)
	}
	if cold, err = last(callers); err != nil {
		return 0, 0, err
	}
	warm, err = last(callers)
	return cold, warm, err
}

// last lets all ask at once, and returns how long the last of them waited.
func last(callers []*caller) (time.Duration, error) {
	took := make([]time.Duration, len(callers))
	var g errgroup.Group
	start := time.Now()
	for n, c := range callers {
		g.Go(func() error {
			err := c.once(0)
			took[n] = time.Since(start)
			return err
		})
	}
	err := g.Wait()
	return slices.Max(took), err
}
