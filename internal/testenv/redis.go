package testenv

import (
	"context"
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/local"
)

// Redis answers the host:port of a server that tests share. Keys begin with Prefix; who wants FLUSHALL takes OwnRedis.
func Redis(t testing.TB) string {
	t.Helper()
	return redis.get(t)
}

func localRedis(ctx context.Context) (string, func() error, error) {
	dir, err := runDir("redis")
	if err != nil {
		return "", nil, err
	}
	server, err := local.NewRedis(ctx, dir)
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(ctx); err != nil {
		return "", nil, err
	}
	return server.Address(), server.Close, nil
}

// RedisServer is a server that one test owns. It keeps nothing over a restart. Kill, Start, Stop, Pause and Resume may be
// called from any goroutine.
type RedisServer struct{ *local.Redis }

// OwnRedis starts a server for this test alone, which takes 30 ms, and ends it with the test. args go to redis-server.
func OwnRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	full(t)
	server, err := local.NewRedis(t.Context(), t.TempDir(), args...)
	if err != nil {
		t.Fatal(redis.missing(err))
	}
	own(t, "Redis", &server.Server)
	return &RedisServer{server}
}
