package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/lifecycle"
	"github.com/rolebridge/rolebridge/workers/mapping"
)

// Load of [createdMapped]: so many clients at once, each of which makes so many integrations one after the other, for so many
// organizations.
const (
	creatingOrganizations = 16
	creatingRounds        = 3
	creationsWithin       = 2 * time.Minute // bounds one measurement
)

// creating says how many clients, how many creations of each in a round, and how much longer than the chain of bare hops a
// creation may take: beside them it decodes, decides, checks schemas, and writes five times the bytes, to twice as many
// partitions, which at 64 clients is most of what a transaction takes.
var creating = []struct {
	clients, each int
	most          float64
}{{1, 60, 2.5}, {16, 15, 3}, {64, 8, 4}}

// mostTrips is how many bare round trips a creation by one client may take. The chain alone takes 14 to 19 of them: a
// transaction is five requests in a row, and its records are read only when the markers are written.
const mostTrips = 40

// createdMapped measures how long a client waits from POST until its integration is mapped, with a cloud that answers at once,
// against a bare round trip on the same Kafka: one record written with acks of all replicas and read by a consumer that
// waits for it.
//
// A creation makes four such trips, and two of them are transactions: the command to lifecycle; its decision, committed, to
// mapping; the result back to lifecycle; its decision, committed, to the api's replica. So there is a second baseline, the
// chain: four bare hops of these kinds, each with one record and nothing decided.
func createdMapped(ctx context.Context) (r Result, err error) {
	err = withSite(ctx, func(s *site) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		g, ctx := errgroup.WithContext(ctx)
		measured := func() error {
			post, err := startAll(ctx, g, s)
			if err != nil {
				return err
			}
			trip, err := startTrip(ctx, g, s)
			if err != nil {
				return err
			}
			chain, err := startChain(ctx, g, s)
			if err != nil {
				return err
			}
			r, err = measureCreations(ctx, post, trip, chain)
			return err
		}()
		cancel()
		return errors.Join(measured, g.Wait())
	})
	return r, err
}

// act does the n-th thing of its kind and returns when it is done.
type act func(ctx context.Context, n int) error

func measureCreations(ctx context.Context, post, trip, chain act) (Result, error) {
	kinds := []struct {
		name string
		do   act
	}{{"create", post}, {"trip", trip}, {"chain", chain}}
	var serial atomic.Int64
	for _, kind := range kinds { // everything is warm after it
		if _, err := together(ctx, kind.do, &serial, 4, 10); err != nil {
			return Result{}, fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	details := map[string]any{
		"baseline_is":   "one record written with acks of all, and read: one produce-and-consume round trip",
		"chain_is":      "four bare hops, the second and the fourth of them transactions, as a creation has them",
		"hops":          4,
		"transactions":  2,
		"organizations": creatingOrganizations,
	}
	var targets []Target
	result := Result{Unit: "us p50 of a creation by one client", Details: details}
	for _, load := range creating {
		took := map[string][]time.Duration{}
		for round := range creatingRounds {
			for n := range kinds {
				kind := kinds[(n+round)%len(kinds)]
				got, err := together(ctx, kind.do, &serial, load.clients, load.each)
				if err != nil {
					return Result{}, fmt.Errorf("%s by %d: %w", kind.name, load.clients, err)
				}
				took[kind.name] = append(took[kind.name], got...)
			}
		}
		ours, bare, hops := quantiles(took["create"]), quantiles(took["trip"]), quantiles(took["chain"])
		line := map[string]float64{"creations": float64(len(took["create"]))}
		for _, q := range []string{"p50", "p99"} {
			line[q+"_us"], line["trip_"+q+"_us"], line["chain_"+q+"_us"] = ours[q], bare[q], hops[q]
			line[q+"_to_trip"], line[q+"_to_chain"] = rounded(ours[q]/bare[q]), rounded(ours[q]/hops[q])
			targets = append(targets, atMost(fmt.Sprintf("%s of a creation to four bare hops, clients: %d", q, load.clients), line[q+"_to_chain"], load.most))
		}
		details[fmt.Sprintf("by_%d", load.clients)] = line
		if load.clients == 1 {
			result.Value, result.Baseline = ours["p50"], bare["p50"]
			targets = append(targets, atMost("p50 of a creation to one bare round trip, clients: 1", line["p50_to_trip"], mostTrips))
		}
	}
	result.Targets = targets
	return result, nil
}

// together does a thing by so many clients at once, each one after the other, and returns how long each took.
func together(ctx context.Context, do act, serial *atomic.Int64, clients, each int) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, creationsWithin)
	defer cancel()
	took := make([][]time.Duration, clients)
	g, ctx := errgroup.WithContext(ctx)
	for c := range clients {
		g.Go(func() error {
			for range each {
				begin := time.Now()
				if err := do(ctx, int(serial.Add(1))); err != nil {
					return err
				}
				took[c] = append(took[c], time.Since(begin))
			}
			return nil
		})
	}
	err := g.Wait()
	return slices.Concat(took...), err
}

// instantCloud makes roles at once.
type instantCloud struct{}

func (instantCloud) EnsureRole(_ context.Context, spec aws.RoleSpec) (string, error) {
	return "arn:aws:iam::123456789012:role/rolebridge/" + spec.Name, nil
}

func (instantCloud) RemoveRole(context.Context, aws.RoleSpec) error { return nil }

// startAll starts an api with its replica, lifecycle and mapping, and returns what creates an integration through REST.
func startAll(ctx context.Context, g *errgroup.Group, s *site) (act, error) {
	var organizations []integration.OrganizationID
	var state []*kgo.Record
	for n := range creatingOrganizations {
		o := tenant(organizationID(n), time.Now().UTC().Truncate(time.Millisecond))
		o.Quota = 100_000
		record, err := s.topics.OrganizationRecord(o)
		if err != nil {
			return nil, err
		}
		organizations, state = append(organizations, o.ID), append(state, record)
	}
	if err := s.produce(ctx, state); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	l := lifecycle.Defaults()
	l.Topics, l.Client, l.Instance = s.topics, s.client, "bench"
	decider, err := lifecycle.New(l, s.codec, quiet, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	m := mapping.Defaults()
	m.Topics, m.Client = s.topics, s.client
	mapper, err := mapping.New(m, s.codec, instantCloud{}, quiet, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	table := events.NewTable(s.topics, s.client, events.WithReceipts(), events.WithLog(quiet))
	cl, err := kgo.NewClient(append(slices.Clone(s.client), api.ProducerOptions()...)...)
	if err != nil {
		return nil, err
	}
	g.Go(func() error {
		defer cl.Close()
		<-ctx.Done()
		return nil
	})
	for _, run := range []func(context.Context) error{decider.Run, mapper.Run, table.Run} {
		g.Go(func() error { return run(ctx) })
	}
	for !decider.Ready() || !mapper.Ready() {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
	select {
	case <-table.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	server, err := apiOver(table, api.NewProducer(cl, s.codec, quiet), organizations...)
	if err != nil {
		return nil, err
	}
	address, err := open(ctx, g, server)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return func(ctx context.Context, n int) error { return post(ctx, client, address, n) }, nil
}

// post creates the n-th integration, which must be mapped then.
func post(ctx context.Context, client *http.Client, address string, n int) error {
	body := fmt.Sprintf(`{"display_name":"analytics sink %d","provider":"aws","environment":{"id":"env-%05d"},`+
		`"config":{"kind":"AwsIntegrationConfig","customer_iam_role_arn":%q}}`, n, n%7, customerRole(n))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/pim/v2/integrations", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", authorization(organizationID(n%creatingOrganizations)))
	got, err := client.Do(r)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return err
	}
	if got.StatusCode != http.StatusCreated || !bytes.Contains(text, []byte(`"iam_role_arn":"arn:aws:iam::`)) {
		return fmt.Errorf("creation %d was answered %d: %s", n, got.StatusCode, text)
	}
	return nil
}
