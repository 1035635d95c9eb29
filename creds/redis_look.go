package creds

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	redislog "github.com/redis/go-redis/v9/logging"
)

// RedisSeen is what a look at Redis found.
type RedisSeen struct {
	Version string // "of unknown version" when the server does not say
	Time    time.Time
}

// lookTimeout bounds each operation of a look. It is far above a broker's, which rather does without Redis than wait: a
// person who looks wants to know what Redis says.
const lookTimeout = 5 * time.Second

// LookAtRedis asks once whether Redis can be reached and takes writes; nothing is changed.
func LookAtRedis(ctx context.Context, cfg RedisConfig) (seen RedisSeen, err error) {
	if err := cfg.Validate(); err != nil {
		return seen, err
	}
	redislog.Disable() // it writes to standard error, and what it says we return
	cfg.Timeout = lookTimeout
	client := redis.NewClient(cfg.options())
	defer func() { err = errors.Join(err, client.Close()) }()
	if err := client.SetArgs(ctx, cfg.Prefix+"look", "", redis.SetArgs{Mode: "XX"}).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return seen, err
	}
	if seen.Time, err = client.Time(ctx).Result(); err != nil {
		return seen, err
	}
	seen.Version = "of unknown version"
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return seen, nil // a managed one may not allow it
	}
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		if version, found := strings.CutPrefix(lines.Text(), "redis_version:"); found {
			seen.Version = version
		}
	}
	return seen, nil
}
