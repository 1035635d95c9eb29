package provision

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Redis is an installed Redis server of version 7 or later.
type Redis struct {
	Path string
	// Libraries is a folder for LD_LIBRARY_PATH, or empty.
	Libraries string
}

// InstallRedis finds redis-server on PATH, else unpacks Debian's packages into the cache folder: installing them for the
// machine would also start a server on the standard port.
func InstallRedis(ctx context.Context) (Redis, error) {
	if path, err := exec.LookPath("redis-server"); err == nil {
		redis := Redis{Path: path}
		if err := redis.check(ctx); err == nil {
			return redis, nil
		}
	}
	root, err := once(ctx, "redis-debian", unpackRedis)
	if err != nil {
		return Redis{}, err
	}
	return unpackedRedis(root)
}

func unpackRedis(ctx context.Context, tmp string) error {
	if err := unpackDebian(ctx, tmp, "redis-server 7 or later", redisPackages); err != nil {
		return err
	}
	redis, err := unpackedRedis(tmp)
	if err != nil {
		return err
	}
	return redis.check(ctx)
}

// redisPackages are the server and the libraries that it names. The libraries' own needs are part of every system.
func redisPackages(ctx context.Context) ([]string, error) {
	packages := []string{"redis-server", "redis-tools"}
	text, err := run(ctx, "/", "apt-cache", "depends", "redis-server", "redis-tools")
	if err != nil {
		return nil, err
	}
	for _, found := range regexp.MustCompile(`(?m)^  Depends: ((?:lib|lua)\S+)$`).FindAllStringSubmatch(text, -1) {
		if found[1] != "libc6" {
			packages = append(packages, found[1])
		}
	}
	return packages, nil
}

func unpackedRedis(root string) (Redis, error) {
	libraries, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-gnu*"))
	if err != nil || len(libraries) == 0 {
		return Redis{}, fmt.Errorf("no libraries in %s: remove the folder and try again", root)
	}
	return Redis{Path: filepath.Join(root, "usr", "bin", "redis-server"), Libraries: libraries[0]}, nil
}

// check starts the program for its version: an old one, or one whose libraries are missing, must not be taken.
func (r Redis) check(ctx context.Context) error {
	args := []string{r.Path, "--version"}
	if r.Libraries != "" {
		args = append([]string{"LD_LIBRARY_PATH=" + r.Libraries}, args...)
	}
	text, err := run(ctx, "/", "env", args...)
	if err != nil {
		return err
	}
	_, version, _ := strings.Cut(text, "v=")
	number, _, _ := strings.Cut(version, ".")
	if major, err := strconv.Atoi(number); err != nil || major < 7 {
		return fmt.Errorf("%s is not Redis 7 or later: %s", r.Path, strings.TrimSpace(text))
	}
	return nil
}
