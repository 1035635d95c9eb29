// Package telemetry is what every process shows of itself: structured logs, metrics, traces if somebody collects them, and
// whether it lives and is ready.
//
// It measures nothing: each part registers its own metrics with the registry that it is given. Nor does it decide what
// ready means: each part says so with a [Check].
//
// The life of a process: [NewLogger], [NewRegistry] and [NewTracer] come first; the parts get them; [Server] answers /livez, /readyz
// and /metrics from the first moment, not ready until all checks agree, and not ready again once a stop has begun.
package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewLogger logs as JSON, one object a line, at this level and above.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// NewRegistry returns a registry with the metrics of the process and the Go runtime, and rolebridge_build_info.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "rolebridge_build_info", Help: "1, with the version of this program and of Go.",
	}, []string{"version", "go"})
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	version, golang := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, golang = info.Main.Version, info.GoVersion
	}
	build.WithLabelValues(version, golang).Set(1)
	return reg
}

// Check says whether one part of the process is ready; a nil error means yes. It must return at once.
type Check struct {
	Name  string
	Ready func() error
}

// Server answers /livez, /readyz and /metrics. It is safe to add no checks.
type Server struct {
	checks   []Check
	gatherer prometheus.Gatherer
	stopping atomic.Bool
}

// NewServer returns a server; how it is reached is somebody else's business.
func NewServer(gatherer prometheus.Gatherer, checks ...Check) *Server {
	return &Server{gatherer: gatherer, checks: checks}
}

// Stop makes /readyz say no, so that load balancers look elsewhere before listeners close.
func (s *Server) Stop() { s.stopping.Store(true) }

// Ready returns why the process is not ready; nil when it is.
func (s *Server) Ready() error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	var missing []error
	for _, c := range s.checks {
		if err := c.Ready(); err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(missing...)
}

// Handler returns the three endpoints.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.gatherer, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the peer may be gone; nobody else is told
}
