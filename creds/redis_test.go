package creds_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// redisWorld is a world whose brokers share a real Redis that the test owns.
type redisWorld struct {
	*world
	server *testenv.RedisServer
	raw    *redis.Client
	sealer *creds.Sealer
}

func newRedisWorld(t *testing.T) *redisWorld {
	t.Helper()
	w := &redisWorld{world: newWorld(t), server: testenv.OwnRedis(t)}
	w.raw = redis.NewClient(&redis.Options{Addr: w.server.Address()})
	t.Cleanup(func() { _ = w.raw.Close() })
	var err error
	if w.sealer, err = creds.NewSealer(); err != nil {
		t.Fatal(err)
	}
	return w
}

// replica runs a broker with its own connections to Redis, and short waits.
func (w *redisWorld) replica(t *testing.T) *creds.Broker {
	t.Helper()
	w.store = newRedis(t, w.server.Address(), w.sealer, func(c *creds.RedisConfig) {
		c.Timeout, c.BreakFor = 100*time.Millisecond, 200*time.Millisecond
	})
	return w.broker(t)
}

func TestRedisMayFail(t *testing.T) {
	for _, c := range []struct {
		name           string
		harm, heal     func(t *testing.T, w *redisWorld)
		shares         bool // replicas share a session even then
		mustCountFails bool
	}{
		{
			name: "flushed", shares: true,
			harm: func(t *testing.T, w *redisWorld) { must(t, w.raw.FlushAll(t.Context()).Err()) },
			heal: func(*testing.T, *redisWorld) {},
		},
		{
			name: "killed", mustCountFails: true,
			harm: func(t *testing.T, w *redisWorld) { must(t, w.server.Kill()) },
			heal: func(t *testing.T, w *redisWorld) { must(t, w.server.Start(t.Context())) },
		},
		{
			name: "suspended", mustCountFails: true,
			harm: func(t *testing.T, w *redisWorld) { must(t, w.server.Pause()) },
			heal: func(t *testing.T, w *redisWorld) { must(t, w.server.Resume()) },
		},
		{
			name: "full", mustCountFails: true,
			harm: func(t *testing.T, w *redisWorld) { must(t, w.raw.ConfigSet(t.Context(), "maxmemory", "1").Err()) },
			heal: func(t *testing.T, w *redisWorld) { must(t, w.raw.ConfigSet(t.Context(), "maxmemory", "0").Err()) },
		},
		{
			name: "a read-only replica", mustCountFails: true,
			harm: func(t *testing.T, w *redisWorld) { must(t, w.raw.ReplicaOf(t.Context(), "127.0.0.1", "1").Err()) },
			heal: func(t *testing.T, w *redisWorld) { must(t, w.raw.ReplicaOf(t.Context(), "NO", "ONE").Err()) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRedisWorld(t)
			one, two := w.replica(t), w.replica(t)
			warm := mustSession(t, one, w.token).AccessKeyID
			if s := mustSession(t, two, w.token).AccessKeyID; s != warm {
				t.Fatalf("two replicas have two sessions")
			}
			w.wantCalls(t, "before", 1, 1)

			c.harm(t, w)
			for range 100 {
				start := time.Now()
				if s := mustSession(t, one, w.token).AccessKeyID; s != warm {
					t.Fatal("a warm session changed")
				}
				if took := time.Since(start); took > 100*time.Millisecond {
					t.Errorf("a warm read took %s", took)
				}
			}
			w.wantCalls(t, "warm reads", 1, 1)
			w.bothCold(t, "cold", one, two, c.shares)
			if fails := w.metric(t, "rolebridge_broker_store_errors_total", `op="get"`) +
				w.metric(t, "rolebridge_broker_store_errors_total", `op="lease"`); c.mustCountFails && fails == 0 {
				t.Error("no error of the store was counted: was it harmed?")
			}

			c.heal(t, w)
			w.eventuallyShared(t, one, two)
		})
	}
}

// bothCold revokes and reads with both: everybody is served in time, from the cloud if need be.
func (w *redisWorld) bothCold(t *testing.T, what string, one, two *creds.Broker, shares bool) {
	t.Helper()
	w.world.replica.Revoke(orders)
	start := time.Now()
	a := mustSession(t, one, w.token)
	b := mustSession(t, two, w.token)
	if took := time.Since(start); took > 2*800*time.Millisecond {
		t.Errorf("%s: two reads took %s", what, took)
	}
	if shares != (a.AccessKeyID == b.AccessKeyID) {
		t.Errorf("%s: the replicas share a session: %t, want %t", what, a.AccessKeyID == b.AccessKeyID, shares)
	}
}

// eventuallyShared waits until a new epoch's session is shared again.
func (w *redisWorld) eventuallyShared(t *testing.T, one, two *creds.Broker) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		w.world.replica.Revoke(orders)
		if mustSession(t, one, w.token).AccessKeyID == mustSession(t, two, w.token).AccessKeyID {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatal("Redis is back, and the replicas share no session within 20 s")
		}
	}
}

func TestWhatDoesNotOpenIsFetchedAnew(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, w *redisWorld, mine, others string)
	}{
		{"an entry of another key moved in", func(t *testing.T, w *redisWorld, mine, others string) {
			must(t, w.raw.Copy(t.Context(), others, mine, 0, true).Err())
		}},
		{"garbage", func(t *testing.T, w *redisWorld, mine, _ string) {
			must(t, w.raw.Set(t.Context(), mine, "garbage", time.Hour).Err())
		}},
		{"nothing", func(t *testing.T, w *redisWorld, mine, _ string) {
			must(t, w.raw.Set(t.Context(), mine, "", time.Hour).Err())
		}},
		{"a changed byte", func(t *testing.T, w *redisWorld, mine, _ string) {
			must(t, w.raw.SetRange(t.Context(), mine, 40, "x").Err())
		}},
		{"a list", func(t *testing.T, w *redisWorld, mine, _ string) {
			must(t, w.raw.Del(t.Context(), mine).Err())
			must(t, w.raw.LPush(t.Context(), mine, "x").Err())
		}},
		{"sealed with an unknown key", func(t *testing.T, w *redisWorld, _, _ string) {
			var err error
			w.sealer, err = creds.NewSealer()
			must(t, err)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRedisWorld(t)
			b := w.replica(t)
			mine := mustSession(t, b, w.token)
			have := scan(t, w.raw, "rolebridge:session:")
			other := credstest.NewToken()
			w.world.replica.Bind(orders, "other", other)
			others := mustSession(t, b, other)

			// The platform role's session is in Redis too: harm all that were there, whichever is whose.
			now := scan(t, w.raw, "rolebridge:session:")
			for _, k := range have {
				for _, o := range now {
					if o != k && !slices.Contains(have, o) {
						c.harm(t, w, k, o)
					}
				}
			}
			s := mustSession(t, w.replica(t), w.token)
			if s.AccessKeyID == others.AccessKeyID || s.AccessKeyID == mine.AccessKeyID || s.Identity != mine.Identity {
				t.Errorf("got %s of %s, want a new session of %s", s.AccessKeyID, s.Identity, mine.Identity)
			}
			counted := w.metric(t, "rolebridge_broker_store_errors_total", `op="open"`) +
				w.metric(t, "rolebridge_broker_store_errors_total", `op="get"`)
			if counted == 0 {
				t.Error("nothing was counted as unreadable")
			}
		})
	}
}

func TestThreeReplicasAnd500CallersAskOnce(t *testing.T) {
	w := newRedisWorld(t)
	const slow = 200 * time.Millisecond
	fault := w.cloud.Inject(credstest.Fault{Latency: slow})
	fleet := []*creds.Broker{w.replica(t), w.replica(t), w.replica(t)}
	for round := range 5 {
		w.world.replica.Revoke(orders)
		before := fault.Fired()
		var all sync.WaitGroup
		longest := make([]time.Duration, 500)
		start := time.Now()
		for n := range longest {
			all.Go(func() {
				if _, err := fleet[n%3].Session(t.Context(), w.token); err != nil {
					t.Errorf("caller %d: %v", n, err)
				}
				longest[n] = time.Since(start)
			})
		}
		all.Wait()
		if calls := fault.Fired() - before; calls != 2 {
			t.Errorf("round %d: %d calls upstream, want one chain of 2", round, calls)
		}
		var worst time.Duration
		for _, d := range longest {
			worst = max(worst, d)
		}
		if worst > 2*slow+300*time.Millisecond {
			t.Errorf("round %d: a caller waited %s, want two calls of %s and a little", round, worst, slow)
		}
		t.Logf("round %d: the longest wait was two calls and %s", round, worst-2*slow)
	}
}

func TestRedisHoldsNoSecret(t *testing.T) {
	w := newRedisWorld(t)
	mustSession(t, w.replica(t), w.token)
	var all strings.Builder
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

func TestAKeysetMayChangeWhileBrokersRun(t *testing.T) {
	dir := t.TempDir()
	must(t, creds.WriteKeyset(dir+"/one"))
	must(t, creds.WriteKeyset(dir+"/two"))
	if err := creds.WriteKeyset(dir + "/one"); err == nil {
		t.Error("a keyset was written over another")
	}
	w := newRedisWorld(t)
	var err error
	w.sealer, err = creds.OpenSealer(dir + "/one")
	must(t, err)
	before := mustSession(t, w.replica(t), w.token).AccessKeyID
	if s := mustSession(t, w.replica(t), w.token).AccessKeyID; s != before {
		t.Error("a replica with the same keyset does not open what another sealed")
	}
	if err := w.sealer.Reload(dir + "/none"); err == nil {
		t.Error("a missing keyset was read")
	}
	if s := mustSession(t, w.replica(t), w.token).AccessKeyID; s != before {
		t.Error("after a failed reload the sealer does not open what it sealed")
	}
	must(t, w.sealer.Reload(dir+"/two"))
	if s := mustSession(t, w.replica(t), w.token).AccessKeyID; s == before {
		t.Error("an entry opens with a keyset that was not its own")
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
