package local

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/rolebridge/rolebridge/internal/testenv/process"
	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// Redis is one server that keeps nothing on disk: a restarted one is empty, as a cache may be.
type Redis struct{ Server }

// NewRedis prepares a server in dir. more are further arguments of redis-server, for instance --maxmemory 1mb.
func NewRedis(ctx context.Context, dir string, more ...string) (*Redis, error) {
	installed, err := provision.InstallRedis(ctx)
	if err != nil {
		return nil, err
	}
	port, err := process.ReservePort(ctx)
	if err != nil {
		return nil, err
	}
	env := environment()
	if installed.Libraries != "" {
		env = append(env, "LD_LIBRARY_PATH="+installed.Libraries)
	}
	args := []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port.Number), "--save", "", "--appendonly", "no", "--dir", dir,
	}
	redis := &Redis{}
	redis.port, redis.close = port, port.Release
	redis.ready = printed("Ready to accept connections")
	redis.spec = process.Spec{
		Path: installed.Path, Args: append(args, more...), Env: env, Dir: dir, Log: filepath.Join(dir, "redis.log"),
	}
	return redis, nil
}
