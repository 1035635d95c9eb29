package provision

import (
	"context"
	"os"
	"os/exec"
)

// InstallCompiler makes sure of a C compiler, without which Go has no race detector.
func InstallCompiler(ctx context.Context) error {
	if os.Getenv("CC") != "" {
		return nil
	}
	for _, name := range []string{"gcc", "clang"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return apt(ctx, "gcc, which the race detector needs,", "gcc", "libc6-dev")
}
