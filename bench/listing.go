package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/listen"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Load of [listing]: pages of one large environment and of one small, and single reads, by so many connections.
const (
	listedLarge  = 100_000
	listedSmall  = 100
	listedPages  = 20
	listRounds   = 3
	listFor      = time.Second
	largestPage  = 1 << 20
	listAuthUser = "BENCH"
	listSecret   = "a-secret-of-the-benchmark"
)

var listConnections = []int{1, 16}

// listing measures how long the api takes for a page of 100 out of 100,000 integrations, and for one integration, against
// bare handlers that encode the same answers behind the same listener. Beside it: a page of 100 out of 100, what a page of
// the large environment should cost, and a page that is searched by a part of the name, for which all are looked at.
func listing(ctx context.Context) (r Result, err error) {
	err = withSite(ctx, func(s *site) error {
		for environment, count := range map[integration.EnvironmentID]int{"env-large": listedLarge, "env-small": listedSmall} {
			if err := populate(ctx, s, environment, count); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		g, ctx := errgroup.WithContext(ctx)
		table := events.NewTable(s.topics, s.client, events.WithReceipts(), events.WithLog(slog.New(slog.DiscardHandler)))
		g.Go(func() error { return table.Run(ctx) })
		select {
		case <-table.Ready():
		case <-ctx.Done():
			return g.Wait()
		}
		server, err := apiOver(table, nil, tenantOf(0))
		if err != nil {
			return err
		}
		measured := func() error {
			r, err = measureLists(ctx, g, server)
			return err
		}()
		cancel()
		return errors.Join(measured, g.Wait())
	})
	return r, err
}

// populate writes integrations into one environment of the first tenant.
func populate(ctx context.Context, s *site, e integration.EnvironmentID, count int) error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	o := tenant(tenantOf(0), now)
	o.Quota = 2 * listedLarge
	first, err := s.topics.OrganizationRecord(o)
	if err != nil {
		return err
	}
	out := []*kgo.Record{first}
	for n := range count {
		i := aggregate(n, now)
		i.ID, i.Organization, i.Environment = integration.ID(fmt.Sprintf("%s%c%09d", integration.IDPrefix, e[4], n)), o.ID, e
		record, err := s.topics.IntegrationRecord(o.ID, i.ID, &i)
		if err != nil {
			return err
		}
		if out = append(out, record); len(out) >= 5000 {
			if err := s.produce(ctx, out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return s.produce(ctx, out)
}

// apiOver is the api with one key for each organization's administrator, and without a limit that a benchmark would meet.
func apiOver(replica api.Replica, commands api.Commands, organizations ...integration.OrganizationID) (http.Handler, error) {
	var keys []api.Key
	for _, o := range organizations {
		keys = append(keys, api.Key{ID: listAuthUser + "-" + string(o), Organization: o, Principal: "u-admin", Hash: api.HashSecret(secret.New(listSecret))})
	}
	ring, err := api.NewKeys(keys...)
	if err != nil {
		return nil, err
	}
	config := api.Defaults()
	config.Rate, config.Burst = 1e6, 1e6
	server, err := api.New(config, replica, commands, ring, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return server.Handler(), nil
}

// authorization is that of the key that [apiOver] makes for an organization.
func authorization(o integration.OrganizationID) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(listAuthUser+"-"+string(o), listSecret)
	return r.Header.Get("Authorization")
}

// asked is one kind of request, and the baseline for it.
type asked struct {
	paths []string
	bare  http.Handler
}

func measureLists(ctx context.Context, g *errgroup.Group, server http.Handler) (Result, error) {
	const large, small = "/pim/v2/integrations?environment=env-large", "/pim/v2/integrations?environment=env-small"
	pages, ids, err := turnPages(ctx, server, large+"&page_size=100")
	if err != nil {
		return Result{}, err
	}
	page, err := bareJSON[wire.IntegrationListV2](ctx, server, pages[1])
	if err != nil {
		return Result{}, err
	}
	var reads []string
	for _, id := range ids {
		reads = append(reads, "/pim/v2/integrations/"+id+"?environment=env-large")
	}
	one, err := bareJSON[wire.IntegrationV2](ctx, server, reads[0])
	if err != nil {
		return Result{}, err
	}
	kinds := map[string]asked{
		"list_100_of_100000": {pages, page}, "list_100_of_100": {[]string{small + "&page_size=100"}, page},
		"list_searched": {[]string{large + "&page_size=100&display_name=sink%209"}, page}, "read_one": {reads, one},
	}
	ours, err := open(ctx, g, server)
	if err != nil {
		return Result{}, err
	}
	measured := map[string]map[string]float64{}
	for name, kind := range kinds {
		base, err := open(ctx, g, kind.bare)
		if err != nil {
			return Result{}, err
		}
		for _, connections := range listConnections {
			var of [2][]time.Duration
			for round := range 2 * listRounds {
				who := (round + round/2) % 2 // ours, bare, bare, ours, …
				took, err := timed(ctx, []string{ours, base}[who], kind.paths, connections, listFor)
				if err != nil {
					return Result{}, fmt.Errorf("%s: %w", name, err)
				}
				of[who] = append(of[who], took...)
			}
			mine, bare := quantiles(of[0]), quantiles(of[1])
			measured[fmt.Sprintf("%s_at_%d", name, connections)] = map[string]float64{
				"p50_us": mine["p50"], "p99_us": mine["p99"], "baseline_p50_us": bare["p50"], "baseline_p99_us": bare["p99"],
				"p50_ratio": rounded(mine["p50"] / bare["p50"]), "p99_ratio": rounded(mine["p99"] / bare["p99"]), "answers": float64(len(of[0])),
			}
		}
	}
	list, read := measured["list_100_of_100000_at_1"], measured["read_one_at_1"]
	return Result{
		Value: list["p99_us"], Unit: "us p99 of a page of 100", Baseline: list["baseline_p99_us"],
		Targets: []Target{
			atMost("p50 of a page of 100,000 to one of 100", list["p50_us"]/measured["list_100_of_100_at_1"]["p50_us"], 1.5),
			atMost("p99 of a page of 100,000 to a bare handler", list["p99_ratio"], 4),
			atMost("p99 of a read to a bare handler", read["p99_ratio"], 4),
		},
		Details: map[string]any{
			"baseline_is": "a bare net/http handler that encodes the same answer, behind the same listener", "integrations": listedLarge, "measured": measured,
		},
	}, nil
}

// turnPages returns the paths of the first pages of a list, and the ids on the second of them.
func turnPages(ctx context.Context, server http.Handler, path string) (paths, ids []string, err error) {
	for range listedPages {
		paths = append(paths, path)
		list, _, err := answered[wire.IntegrationListV2](ctx, server, path)
		if err != nil {
			return nil, nil, err
		}
		if len(list.Data) != 100 || list.Metadata.TotalSize != listedLarge {
			return nil, nil, fmt.Errorf("%s: %d of %d integrations", path, len(list.Data), list.Metadata.TotalSize)
		}
		if len(paths) == 2 {
			for _, i := range list.Data {
				ids = append(ids, i.ID)
			}
		}
		next, err := url.Parse(list.Metadata.Next)
		if err != nil {
			return nil, nil, err
		}
		path = next.RequestURI()
	}
	return paths, ids, nil
}

// answered is the body of one answer of the api, which must be a 200, and its header.
func answered[T any](ctx context.Context, server http.Handler, path string) (body T, header http.Header, err error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Header.Set("Authorization", authorization(tenantOf(0)))
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return body, nil, fmt.Errorf("%s: the api answered %d: %s", path, w.Code, w.Body)
	}
	err = json.Unmarshal(w.Body.Bytes(), &body)
	return body, w.Header(), err
}

// bareJSON encodes what the api answers to a path, with the same headers, without asking why.
func bareJSON[T any](ctx context.Context, server http.Handler, path string) (http.Handler, error) {
	body, header, err := answered[T](ctx, server, path)
	if err != nil {
		return nil, err
	}
	header.Del("Content-Length")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.Marshal(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		maps.Copy(w.Header(), header)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text)
	}), nil
}

// open serves h until the group's end, at the address that it returns.
func open(ctx context.Context, g *errgroup.Group, h http.Handler) (string, error) {
	settings := listen.Defaults()
	settings.Listen = "127.0.0.1:0"
	listener, err := listen.Open(ctx, "api", settings)
	if err != nil {
		return "", err
	}
	g.Go(func() error { return listener.Serve(ctx, h, time.Second) })
	return listener.Addr(), nil
}

// timed asks for the paths on so many connections for a while.
func timed(ctx context.Context, address string, paths []string, connections int, d time.Duration) (took []time.Duration, err error) {
	var callers []*caller
	defer func() {
		for _, c := range callers {
			c.conn.Close()
		}
	}()
	for n := range connections {
		var requests [][]byte
		for _, path := range slices.Concat(paths[n%len(paths):], paths[:n%len(paths)]) {
			requests = append(requests, requestFor(address, path, authorization(tenantOf(0))))
		}
		c, err := dialWith(ctx, address, largestPage, requests)
		if err != nil {
			return nil, err
		}
		callers = append(callers, c)
	}
	var g errgroup.Group
	until := time.Now().Add(d)
	for _, c := range callers {
		g.Go(func() error { return c.read(until) })
	}
	if err := g.Wait(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, c := range callers {
		took = append(took, c.took...)
	}
	if len(took) == 0 {
		return nil, errors.New("nothing was answered")
	}
	return took, nil
}
