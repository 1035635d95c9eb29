package creds_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rolebridge/rolebridge/creds"
	"github.com/rolebridge/rolebridge/creds/credstest"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestMemoryIsAStore(t *testing.T) {
	t.Parallel()
	credstest.TestStore(t, func(*testing.T) (creds.Store, func(time.Duration)) {
		var mu sync.Mutex
		now := time.Now()
		return creds.NewMemory(func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return now
			}), func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(d)
			}
	})
}

func TestRedisIsAStore(t *testing.T) {
	address := testenv.Redis(t)
	raw := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = raw.Close() })
	credstest.TestStore(t, func(t *testing.T) (creds.Store, func(time.Duration)) {
		prefix := testenv.Prefix(t)
		s := openRedis(t, address, func(c *creds.RedisConfig) { c.Prefix = prefix })
		return s, func(d time.Duration) { age(t, raw, prefix, d) }
	})
}

// openRedis runs a store until the test ends. It waits for the subscription, so that no wake-up is missed.
func openRedis(t testing.TB, address string, change ...func(*creds.RedisConfig)) *creds.Redis {
	t.Helper()
	sealer, err := creds.NewSealer()
	if err != nil {
		t.Fatal(err)
	}
	s := newRedis(t, address, sealer, change...)
	wake, stop := s.Watch(credstest.NewKey(99))
	defer stop()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the store stopped with %v", err)
		}
	})
	select {
	case <-wake: // all who watch are woken when the subscription begins
	case <-time.After(10 * time.Second):
		t.Fatal("no subscription within 10 s")
	}
	return s
}

// newRedis makes a store with a timeout that a busy machine keeps.
func newRedis(t testing.TB, address string, sealer *creds.Sealer, change ...func(*creds.RedisConfig)) *creds.Redis {
	t.Helper()
	cfg := creds.RedisDefaults()
	cfg.Address = address
	cfg.Timeout = 500 * time.Millisecond
	for _, f := range change {
		f(&cfg)
	}
	s, err := creds.NewRedis(cfg, sealer, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// age lets d pass for all keys with a prefix: on a real server nobody has to wait for that.
func age(t *testing.T, raw *redis.Client, prefix string, d time.Duration) {
	t.Helper()
	keys := scan(t, raw, prefix)
	for _, k := range keys {
		left, err := raw.PTTL(t.Context(), k).Result()
		if err == nil && left > d {
			err = raw.PExpire(t.Context(), k, left-d).Err()
		} else if err == nil {
			err = raw.Del(t.Context(), k).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func scan(t *testing.T, raw *redis.Client, prefix string) []string {
	t.Helper()
	keys, err := raw.Keys(t.Context(), prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
