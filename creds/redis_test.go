package creds_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/polltest"
	"github.com/rolebridge/rolebridge/internal/secret"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// redisWorld is a world whose brokers share a real Redis that the test owns.
type redisWorld struct {
	*world
	server *testenv.RedisServer
	raw    *redis.Client
	sealer *creds.Sealer
	// proxy is between brokers and the server, when it is set.
	proxy *proxy
	// running is how many brokers were started.
	running int
	// config changes that of brokers, when it is set.
	config func(*creds.Config)
}

func newRedisWorld(t *testing.T) *redisWorld {
	t.Helper()
	w := &redisWorld{world: newWorld(t), server: testenv.OwnRedis(t, "--enable-protected-configs", "yes")}
	w.raw = redis.NewClient(&redis.Options{Addr: w.server.Address()})
	t.Cleanup(func() { _ = w.raw.Close() })
	var err error
	if w.sealer, err = creds.NewSealer(); err != nil {
		t.Fatal(err)
	}
	return w
}

// replica runs a broker with its own connections to Redis, and short waits.
func (w *redisWorld) replica(t *testing.T, change ...func(*creds.RedisConfig)) *creds.Broker {
	t.Helper()
	cfg := creds.RedisDefaults()
	cfg.Address, cfg.BreakFor = w.server.Address(), 200*time.Millisecond
	if w.proxy != nil {
		cfg.Address = w.proxy.on.Addr().String()
	}
	for _, f := range change {
		f(&cfg)
	}
	store, err := creds.NewRedis(cfg, w.sealer, slog.New(slog.NewJSONHandler(w.log, nil)))
	must(t, err)
	t.Cleanup(func() { _ = store.Close() })
	w.store = store
	w.running++
	if w.config == nil {
		return w.broker(t)
	}
	return w.broker(t, w.config)
}

// eventuallyShared waits until a new epoch's session is shared again.
func (w *redisWorld) eventuallyShared(t *testing.T, one, two *creds.Broker) {
	t.Helper()
	polltest.Until(t, "Redis is back, and the replicas share a session", func() bool {
		w.world.replica.Revoke(orders)
		return untilServed(t, one, w.token) == untilServed(t, two, w.token)
	})
}

// entries waits until there are n sessions in Redis: they come there after their readers have them.
func (w *redisWorld) entries(t *testing.T, n int) (keys []string) {
	t.Helper()
	polltest.Until(t, fmt.Sprint(n, " sessions are in Redis"), func() bool {
		keys = scan(t, w.raw, "rolebridge:session:")
		return len(keys) == n && len(scan(t, w.raw, "rolebridge:lease:")) == 0
	})
	return keys
}

// How long callers wait is measured in simulated time and by `make bench`: a busy machine may make them late here.
func TestThreeReplicasAnd500CallersAskOnce(t *testing.T) {
	w := newRedisWorld(t)
	w.config = func(c *creds.Config) { c.Lease = time.Minute } // nobody dies with it
	fault := w.cloud.Inject(credstest.Fault{Latency: 200 * time.Millisecond})
	patient := func(c *creds.RedisConfig) { c.Timeout = 2 * time.Second } // 500 callers at once, in one process
	fleet := []*creds.Broker{w.replica(t, patient), w.replica(t, patient), w.replica(t, patient)}
	for round := range 5 {
		w.world.replica.Revoke(orders)
		before := fault.Fired()
		var all sync.WaitGroup
		got := make([]string, 500)
		for n := range got {
			all.Go(func() { got[n] = untilServed(t, fleet[n%3], w.token) })
		}
		all.Wait()
		slices.Sort(got)
		if calls, sessions := fault.Fired()-before, slices.Compact(got); calls != 2 || len(sessions) != 1 {
			t.Errorf("round %d: %d calls upstream and %d sessions, want one chain of 2 and one session", round, calls, len(sessions))
		}
	}
}

// untilServed asks as often as it is told to try again, for a minute at most, and returns the session's access key id.
func untilServed(t *testing.T, b *creds.Broker, token secret.Text) string {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s, err := b.Session(ctx, token)
		var refusal *integration.Refusal
		switch {
		case err == nil:
			return s.AccessKeyID
		case ctx.Err() == nil && errors.As(err, &refusal) && refusal.Code == integration.CodeUnavailable:
		default:
			t.Error(err)
			return ""
		}
	}
}

func TestRedisHoldsNoSecret(t *testing.T) {
	w := newRedisWorld(t)
	mustSession(t, w.replica(t), w.token)
	var all strings.Builder
	w.entries(t, 2)
	for _, k := range scan(t, w.raw, "") {
		v, err := w.raw.Get(t.Context(), k).Result()
		must(t, err)
		fmt.Fprintln(&all, k, v)
		if left := w.raw.PTTL(t.Context(), k).Val(); left <= 0 || left > time.Hour {
			t.Errorf("%s lives for %s, want at most an hour", k, left)
		}
	}
	for _, secret := range append(w.cloud.Secrets(), w.token.Reveal(), externalID, "ASIA") {
		if strings.Contains(all.String(), secret) {
			t.Errorf("Redis holds %q", secret)
		}
	}
	if all.Len() == 0 {
		t.Error("Redis holds nothing at all")
	}
}

func TestRedisThatIsAwayAtTheStartIsToldOnce(t *testing.T) {
	w := newRedisWorld(t)
	must(t, w.server.Kill())
	b := w.replica(t)
	w.tells(t, "redis lost", "it does not answer")
	w.asSDK(t, b, w.token).want(t, "a cold key", ok)
	must(t, w.server.Start(t.Context()))
	w.tells(t, "redis back", "")
	w.tells(t, "redis lost", "it does not answer")
}

func TestAnEntryAgesOnTheWayThroughRedis(t *testing.T) {
	server := testenv.OwnRedis(t)
	raw := redis.NewClient(&redis.Options{Addr: server.Address()})
	t.Cleanup(func() { _ = raw.Close() })
	s := openRedis(t, server.Address())
	k := credstest.NewKey(1)
	l, err := s.Lease(t.Context(), k, time.Minute)
	must(t, err)
	must(t, s.Put(t.Context(), l, credstest.NewIssued(time.Hour)))
	age(t, raw, "rolebridge:session:", 20*time.Minute)
	got, err := s.Get(t.Context(), k)
	must(t, err)
	// Whatever the clocks of the two replicas say.
	if left := time.Until(got.At.Add(got.Life)); left < 39*time.Minute || left > 40*time.Minute {
		t.Errorf("%s left of an hour after 20 minutes, want 40", left)
	}
}

func TestAnUnboundTokenIsRefusedWhateverRedisHolds(t *testing.T) {
	w := newRedisWorld(t)
	b := w.replica(t)
	mustSession(t, b, w.token)
	w.world.replica.Unbind(orders, sink)
	_, err := b.Session(t.Context(), w.token)
	wantCode(t, "unbound", err, integration.CodeUnauthenticated)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
