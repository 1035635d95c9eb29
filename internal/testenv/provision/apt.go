package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// apt installs a missing program for the whole machine, which only root on a Debian-like system may. The error says what
// else to do.
func apt(ctx context.Context, program string, packages ...string) error {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing: install it (on Debian: apt-get install %s)", program, packages[0])
	}
	return withLists(ctx, func() error {
		progress("%s is missing: apt-get install %v", program, packages)
		args := append([]string{"install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, packages...)
		if _, err := run(ctx, "/", "apt-get", args...); err != nil {
			return errors.Join(fmt.Errorf("%s is missing", program), err)
		}
		return nil
	})
}

// find finds a program on PATH, else installs Debian's package of the same name, and returns its path.
func find(ctx context.Context, program string) (path string, err error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if err := apt(ctx, program, program); err != nil {
		return "", err
	}
	return exec.LookPath(program)
}

// unpackDebian unpacks packages into a folder without installing them: their scripts would change the machine, and start
// servers. what is missing without them stands in the error.
func unpackDebian(ctx context.Context, folder, what string, packages func(context.Context) ([]string, error)) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%s is missing: install it so that it is on PATH", what)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	err := withLists(ctx, func() error {
		names, err := packages(ctx)
		if err != nil {
			return err
		}
		_, err = run(ctx, folder, "apt-get", append([]string{"download", "-q"}, names...)...)
		return err
	})
	if err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if _, err := run(ctx, folder, "dpkg", "-x", archive, folder); err != nil {
			return err
		}
	}
	return nil
}

var lists sync.Once

// withLists does something with apt's lists of packages, which are read anew once by each process. apt-get refuses to run
// twice at a time.
func withLists(ctx context.Context, do func() error) error {
	cache, err := Folder()
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(cache, "apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	lists.Do(func() {
		if os.Geteuid() == 0 {
			_, _ = run(ctx, "/", "apt-get", "update", "-q") // a failure shows in what follows
		}
	})
	return do()
}
