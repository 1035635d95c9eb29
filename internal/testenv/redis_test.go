package testenv_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rolebridge/rolebridge/internal/testenv"
)

func TestAKeyComesBackFromTheSharedRedis(t *testing.T) {
	t.Parallel()
	client := redisClient(t, testenv.Redis(t))
	key := testenv.Prefix(t) + "key"
	if err := client.Set(t.Context(), key, "value", time.Minute).Err(); err != nil {
		t.Fatalf("set: %v", err)
	}
	if got, err := client.Get(t.Context(), key).Result(); err != nil || got != "value" {
		t.Errorf("get: got %q, %v, want value", got, err)
	}
}

func TestAKilledRedisComesBackEmptyAtItsOldAddress(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t)
	client := redisClient(t, server.Address())
	if err := client.Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatalf("set: %v", err)
	}

	if err := server.Kill(); err != nil {
		t.Fatalf("kill: %v", err)
	}
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatalf("start again: %v", err)
	}
	if n, err := client.Exists(t.Context(), "key").Result(); err != nil || n != 0 {
		t.Errorf("keys after the restart: got %d, %v, want 0", n, err)
	}

	if err := server.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestAPausedRedisAnswersNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t)
	client := redisClient(t, server.Address())
	if err := server.Pause(); err != nil {
		t.Fatalf("pause: %v", err)
	}
	paused, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := client.Ping(paused).Err(); err == nil {
		t.Fatal("a paused server answers")
	}
	if err := server.Resume(); err != nil {
		t.Fatalf("resume: %v", err)
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after resume: %v", err)
	}
}

func redisClient(t *testing.T, address string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return client
}
