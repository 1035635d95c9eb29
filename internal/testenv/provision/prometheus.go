package provision

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Prometheus is an installed Prometheus of version 2 or later, with its tool for rules.
type Prometheus struct {
	Path, Tool string
}

// InstallPrometheus finds prometheus and promtool on PATH, else unpacks Debian's package into the cache folder: installing
// it for the machine would also start a server.
func InstallPrometheus(ctx context.Context) (Prometheus, error) {
	path, err := exec.LookPath("prometheus")
	tool, toolErr := exec.LookPath("promtool")
	if err == nil && toolErr == nil {
		found := Prometheus{Path: path, Tool: tool}
		if err := found.check(ctx); err == nil {
			return found, nil
		}
	}
	root, err := once(ctx, "prometheus-debian", unpackPrometheus)
	if err != nil {
		return Prometheus{}, err
	}
	return unpackedPrometheus(root), nil
}

func unpackPrometheus(ctx context.Context, tmp string) error {
	err := unpackDebian(ctx, tmp, "prometheus 2 or later", func(context.Context) ([]string, error) {
		return []string{"prometheus"}, nil // what else it names is for its pages in a browser
	})
	if err != nil {
		return err
	}
	return unpackedPrometheus(tmp).check(ctx)
}

func unpackedPrometheus(root string) Prometheus {
	bin := filepath.Join(root, "usr", "bin")
	return Prometheus{Path: filepath.Join(bin, "prometheus"), Tool: filepath.Join(bin, "promtool")}
}

// check starts both programs for their versions.
func (p Prometheus) check(ctx context.Context) error {
	for _, program := range []string{p.Path, p.Tool} {
		text, err := run(ctx, "/", program, "--version")
		if err != nil {
			return err
		}
		if _, version, _ := strings.Cut(text, "version "); strings.HasPrefix(version, "0.") || strings.HasPrefix(version, "1.") || version == "" {
			return fmt.Errorf("%s is not Prometheus 2 or later: %.80s", program, text)
		}
	}
	return nil
}
