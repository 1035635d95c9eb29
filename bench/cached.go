package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// cachedKeys are how many connectors' sessions are in memory, each of an integration of its own.
var cachedKeys = []int{10_000, 100_000}

// cachedMemory measures what a broker keeps for each key that is warm: the session, its answer, its slot, the slot of the
// platform's role, and the plan of the token. The replica of the state is not in it.
func cachedMemory(ctx context.Context) (Result, error) {
	details := map[string]any{
		"baseline_is": "the body of one answer",
		"measured_as": "growth of the live heap over reading each key once, after a collection",
	}
	var perKey, body float64
	for _, keys := range cachedKeys {
		grown, size, err := cacheSome(ctx, keys)
		if err != nil {
			return Result{}, err
		}
		perKey, body = float64(grown)/float64(keys), size
		details[fmt.Sprint("mb_for_", keys)] = rounded(megabytes(grown))
		details[fmt.Sprint("bytes_per_key_of_", keys)] = rounded(perKey)
	}
	return Result{Value: perKey, Unit: "bytes/key", Baseline: body, Details: details}, nil
}

// cacheSome reads one session for each of so many keys, and returns by how much the heap grew and the size of an answer.
func cacheSome(ctx context.Context, keys int) (grown int64, body float64, err error) {
	replica := credstest.NewReplica()
	for n := range keys {
		id := integrationID(n)
		replica.Trusted(tenantOf(n), id, "arn:aws:iam::123456789012:role/rolebridge/"+string(id), customerRole(n), "external-id", true)
		replica.Bind(id, integration.ConnectorID(fmt.Sprintf("lcc-%07d", n)), secret.New(connectorToken(n)))
	}
	cfg := creds.Defaults()
	cfg.Rate, cfg.Fetches = 1e6, 1000
	broker, err := creds.New(cfg, replica, noStore{}, tokens{}, creds.WithLog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running := make(chan error, 1)
	go func() { running <- broker.Run(ctx) }()
	before := liveHeap()
	var g errgroup.Group
	const readers = 8
	for first := range readers {
		g.Go(func() error {
			for n := first; n < keys; n += readers {
				if err := untilThere(ctx, broker, n); err != nil {
					return fmt.Errorf("key %d: %w", n, err)
				}
			}
			return nil
		})
	}
	if err = g.Wait(); err == nil {
		grown = liveHeap() - before
		answer := httptest.NewRecorder()
		broker.Handler().ServeHTTP(answer, readRequest(ctx, 0))
		body = float64(answer.Body.Len())
	}
	cancel()
	err = errors.Join(err, <-running)
	runtime.KeepAlive(replica)
	return grown, body, err
}

// untilThere reads as often as it is asked to: on a busy machine an answer may take longer than the broker's patience.
func untilThere(ctx context.Context, broker *creds.Broker, n int) error {
	for {
		_, err := broker.Session(ctx, secret.New(connectorToken(n)))
		var refusal *integration.Refusal
		if !errors.As(err, &refusal) || refusal.Code != integration.CodeUnavailable {
			return err
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers held back
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // fits
}

// longToken is about as long as AWS's.
func longToken() string {
	var text strings.Builder
	for range 27 {
		text.WriteString(rand.Text())
	}
	return text.String()
}

// tokens is a cloud whose sessions are as large as AWS's, and which keeps nothing.
type tokens struct{}

// Assume implements [creds.Cloud].
func (tokens) Assume(_ context.Context, _ *cloud.Session, r creds.Role) (cloud.Session, error) {
	return cloud.Session{
		AccessKeyID: "ASIA" + rand.Text()[:16], SecretAccessKey: secret.New(rand.Text() + rand.Text()[:14]), Token: secret.New(longToken()),
		Expires: time.Now().Add(r.Duration).Truncate(time.Second), Account: "210987654321", Identity: r.ARN + "/" + r.SessionName,
	}, nil
}

// noStore keeps nothing either: Redis does so elsewhere.
type noStore struct{}

// Get implements [creds.Store].
func (noStore) Get(context.Context, creds.Key) (creds.Issued, error) {
	return creds.Issued{}, creds.ErrNotFound
}

// Lease implements [creds.Store].
func (noStore) Lease(_ context.Context, k creds.Key, _ time.Duration) (creds.Lease, error) {
	return creds.Lease{Key: k, Owner: "bench"}, nil
}

// Extend implements [creds.Store].
func (noStore) Extend(context.Context, creds.Lease, time.Duration) error { return nil }

// Put implements [creds.Store].
func (noStore) Put(context.Context, creds.Lease, creds.Issued) error { return nil }

// Release implements [creds.Store].
func (noStore) Release(context.Context, creds.Lease) error { return nil }

// Watch implements [creds.Store].
func (noStore) Watch(creds.Key) (wake <-chan struct{}, stop func()) { return nil, func() {} }

// Run implements [creds.Store].
func (noStore) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
