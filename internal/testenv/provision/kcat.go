package provision

import (
	"context"
	"os/exec"
)

// InstallKcat finds kcat on PATH, else installs Debian's package.
func InstallKcat(ctx context.Context) (path string, err error) {
	if path, err := exec.LookPath("kcat"); err == nil {
		return path, nil
	}
	if err := apt(ctx, "kcat", "kcat"); err != nil {
		return "", err
	}
	return exec.LookPath("kcat")
}
