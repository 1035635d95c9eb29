package testenv

import (
	"testing"

	"github.com/rolebridge/rolebridge/internal/testenv/local"
)

// PrometheusServer is a server that one test owns.
type PrometheusServer struct{ *local.Prometheus }

// URL is where its API answers.
func (p *PrometheusServer) URL() string { return "http://" + p.Address() }

// OwnPrometheus starts a server for this test alone, which takes a tenth of a second, and ends it with the test. files are
// its configuration, prometheus.yml, and what that names.
func OwnPrometheus(t testing.TB, files map[string][]byte) *PrometheusServer {
	t.Helper()
	full(t)
	server, err := local.NewPrometheus(t.Context(), t.TempDir(), files)
	if err != nil {
		t.Fatalf(`no Prometheus to test with: %v

Either of these helps:
  - put prometheus and promtool on PATH
  - go test -short ./...   leaves these tests out`, err)
	}
	own(t, "Prometheus", &server.Server)
	return &PrometheusServer{server}
}
