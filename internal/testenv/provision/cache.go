package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience bounds one installation: 45 MB of jars take 45 s on a good line.
const patience = 15 * time.Minute

// Folder is where installations are kept: $ROLEBRIDGE_CACHE, else rolebridge in the user's cache folder.
func Folder() (string, error) {
	dir := os.Getenv("ROLEBRIDGE_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no cache folder: %w: set ROLEBRIDGE_CACHE", err)
		}
		dir = filepath.Join(base, "rolebridge")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o750)
}

// once returns the path of the installation name, and has build make it at a temporary path if it is missing. What build
// leaves there, a file or a folder, is the installation.
func once(ctx context.Context, name string, build func(ctx context.Context, tmp string) error) (string, error) {
	cache, err := Folder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, name)
	if exists(path) {
		return path, nil
	}

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) { // another process was quicker
		return path, nil
	}

	begin := time.Now()
	progress("%s: installing into %s", name, cache)
	tmp := path + ".part"
	if err := os.RemoveAll(tmp); err != nil { // of an installation that was interrupted
		return "", err
	}
	if err := build(ctx, tmp); err != nil {
		return "", fmt.Errorf("install %s: %w", name, errors.Join(err, os.RemoveAll(tmp)))
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", err
	}
	progress("%s: installed in %s", name, time.Since(begin).Round(100*time.Millisecond))
	return path, nil
}

// lock waits for the file's lock, which the kernel takes away from a process that dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			progress("%s: waiting for who installs it already", strings.TrimSuffix(filepath.Base(path), ".lock"))
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("wait for %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "testenv: "+format+"\n", args...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// hash names an installation after what it is made from.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:4])
}

// run executes a command in dir and shows its output only when it fails.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A child may keep the pipe open after its parent was killed by ctx.
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), nil
}
