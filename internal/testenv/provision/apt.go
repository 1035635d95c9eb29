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
