package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/internal/listen"
)

// Load of [warmReads]: connections that ask again as soon as they have their answer, for so many connectors' sessions, out
// of a replica of so many integrations.
const (
	readConnections = 16
	readConnectors  = 200
	readReplica     = 10_000
	readRounds      = 5
	readFor         = 1500 * time.Millisecond
	handlerRuns     = 10_000
)

// warmReads measures reads per second of sessions that are in the broker's memory, through its HTTP handler and the real
// replica, against a bare handler with the same headers and body behind the same server.
func warmReads(ctx context.Context) (r Result, err error) {
	err = withSite(ctx, func(s *site) error {
		if err := fill(ctx, s, readReplica); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		g, ctx := errgroup.WithContext(ctx)
		table := events.NewTable(s.topics, s.client, events.WithLog(slog.New(slog.DiscardHandler)))
		g.Go(func() error { return table.Run(ctx) })
		select {
		case <-table.Ready():
		case <-ctx.Done():
			return g.Wait()
		}
		cfg := creds.Defaults()
		cfg.Rate, cfg.Fetches = 1e6, readConnectors
		broker, err := creds.New(cfg, table, creds.NewMemory(nil), cloudOf(table), creds.WithLog(slog.New(slog.DiscardHandler)))
		if err != nil {
			return err
		}
		g.Go(func() error { return broker.Run(ctx) })
		measured := func() error {
			r, err = measureReads(ctx, g, broker.Handler())
			return err
		}()
		cancel()
		return errors.Join(measured, g.Wait())
	})
	return r, err
}

// cloudOf is a cloud in which the first integrations' roles are as they should be.
func cloudOf(table *events.Table) *credstest.Cloud {
	made := credstest.NewCloud()
	for n := range readConnectors {
		if i, ok := table.Integration(integrationID(n)); ok {
			made.Role(i.Mapping.Platform, credstest.CloudRole{})
			made.Role(i.Config.Customer, credstest.CloudRole{Trusts: i.Mapping.Platform, ExternalID: i.ExternalID, Tags: true})
		}
	}
	return made
}

func measureReads(ctx context.Context, g *errgroup.Group, broker http.Handler) (Result, error) {
	bare, err := bareHandler(ctx, broker)
	if err != nil {
		return Result{}, err
	}
	var ours, base reads
	for n, of := range []struct {
		handler http.Handler
		into    *reads
	}{{broker, &ours}, {bare, &base}} {
		settings := listen.Defaults()
		settings.Listen = "127.0.0.1:0"
		listener, err := listen.Open(ctx, "broker", settings)
		if err != nil {
			return Result{}, err
		}
		g.Go(func() error { return listener.Serve(ctx, of.handler, time.Second) })
		of.into.address = listener.Addr()
		of.into.allocs, of.into.bytes = handlerAllocs(ctx, of.handler)
		if err := of.into.round(ctx, 200*time.Millisecond); err != nil { // everything is warm after it
			return Result{}, fmt.Errorf("server %d: %w", n, err)
		}
		of.into.reset()
	}
	for n := range readRounds {
		order := []*reads{&ours, &base}
		if n%2 == 1 {
			slices.Reverse(order)
		}
		for _, one := range order {
			if err := one.round(ctx, readFor); err != nil {
				return Result{}, err
			}
		}
	}
	rates, err := latencies(ctx, ours.address, base.address)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Value: median(ours.rates), Unit: "reads/s", Baseline: median(base.rates),
		Targets: []Target{atLeast("reads/s to those of a bare handler", median(ours.rates)/median(base.rates), 0.85)},
		Details: map[string]any{
			"baseline_is":               "a bare net/http handler with the same headers and body, behind the same server",
			"connections":               readConnections,
			"connectors":                readConnectors,
			"integrations":              readReplica,
			"latency_us_at_full_load":   quantiles(ours.took),
			"baseline_latency_at_full":  quantiles(base.took),
			"handler_allocs":            ours.allocs,
			"baseline_handler_allocs":   base.allocs,
			"handler_bytes":             ours.bytes,
			"baseline_handler_bytes":    base.bytes,
			"at_rates":                  rates,
			"allocs_over_http":          rounded(median(ours.overHTTP)),
			"baseline_allocs_over_http": rounded(median(base.overHTTP)),
			"cpu_us_client_and_server":  rounded(median(ours.cpu)),
			"baseline_cpu_us_both":      rounded(median(base.cpu)),
			"rounds":                    roundedAll(ours.rates),
			"baseline_rounds":           roundedAll(base.rates),
		},
	}, nil
}

func readRequest(ctx context.Context, n int) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, creds.Path, nil)
	r.Header.Set("Authorization", connectorToken(n%readConnectors))
	return r
}

// bareHandler answers what the broker answers, without asking why. It warms every session on the way.
func bareHandler(ctx context.Context, broker http.Handler) (http.Handler, error) {
	var answer *httptest.ResponseRecorder
	for n := range readConnectors {
		answer = httptest.NewRecorder()
		broker.ServeHTTP(answer, readRequest(ctx, n))
		if answer.Code != http.StatusOK {
			return nil, fmt.Errorf("the broker answered %d: %s", answer.Code, answer.Body)
		}
	}
	header, body := answer.Header(), answer.Body.Bytes()
	header.Set("Content-Length", strconv.Itoa(len(body)))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body)
	}), nil
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header          { return d.header }
func (discard) WriteHeader(int)                {}
func (discard) Write(text []byte) (int, error) { return len(text), nil }

// handlerAllocs is how often the handler itself allocates for one read, and how many bytes.
func handlerAllocs(ctx context.Context, h http.Handler) (allocs, bytes float64) {
	r, w := readRequest(ctx, 0), discard{http.Header{}}
	serve := func() { h.ServeHTTP(w, r) }
	allocs = testing.AllocsPerRun(handlerRuns, serve)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range handlerRuns {
		serve()
	}
	runtime.ReadMemStats(&after)
	return allocs, float64((after.TotalAlloc - before.TotalAlloc) / handlerRuns)
}

// reads are the rounds against one server.
type reads struct {
	address              string
	rates, overHTTP, cpu []float64
	took                 []time.Duration // of every read
	allocs, bytes        float64
}

func (r *reads) reset() { r.rates, r.overHTTP, r.cpu, r.took = nil, nil, nil, nil }

// round reads on all connections for a while.
func (r *reads) round(ctx context.Context, d time.Duration) error {
	callers := make([]*caller, 0, readConnections)
	defer func() {
		for _, c := range callers {
			c.conn.Close()
		}
	}()
	for n := range readConnections {
		c, err := dial(ctx, r.address, n)
		if err != nil {
			return err
		}
		callers = append(callers, c)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, until := clock(), time.Now().Add(d)
	var g errgroup.Group
	for _, c := range callers {
		g.Go(func() error { return c.read(until) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	p := stop()
	runtime.ReadMemStats(&after)
	total := 0
	for _, c := range callers {
		total += len(c.took)
		r.took = append(r.took, c.took...)
	}
	if total == 0 {
		return errors.New("nothing was read")
	}
	r.rates = append(r.rates, float64(total)/p.took.Seconds())
	r.overHTTP = append(r.overHTTP, float64(after.Mallocs-before.Mallocs)/float64(total))
	r.cpu = append(r.cpu, float64(p.cpu.Microseconds())/float64(total))
	return nil
}
