package local

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/rolebridge/rolebridge/internal/testenv/process"
	"github.com/rolebridge/rolebridge/internal/testenv/provision"
)

// Prometheus is one server.
type Prometheus struct {
	Server

	// Tool is the path of promtool.
	Tool string
}

// NewPrometheus prepares a server in dir. files are its configuration, prometheus.yml, and what that names.
func NewPrometheus(ctx context.Context, dir string, files map[string][]byte) (*Prometheus, error) {
	installed, err := provision.InstallPrometheus(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			return nil, err
		}
	}
	port, err := process.ReservePort(ctx)
	if err != nil {
		return nil, err
	}
	prometheus := &Prometheus{Tool: installed.Tool}
	prometheus.port, prometheus.close = port, port.Release
	prometheus.ready = printed("Server is ready to receive web requests.")
	prometheus.spec = process.Spec{
		Path: installed.Path, Env: environment(), Dir: dir, Log: filepath.Join(dir, "prometheus.log"),
		Args: []string{
			"--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
			"--web.listen-address", port.Address(),
		},
	}
	return prometheus, nil
}
