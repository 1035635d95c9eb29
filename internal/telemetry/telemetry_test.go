package telemetry_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/internal/telemetry"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	fault := errors.New("still loading")
	s := telemetry.NewServer(telemetry.NewRegistry(), telemetry.Check{Name: "replica", Ready: func() error { return fault }})
	if code, body := get(t, s.Handler(), "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "replica: still loading") {
		t.Errorf("got %d %q, want 503 naming the replica", code, body)
	}
	if code, _ := get(t, s.Handler(), "/livez"); code != http.StatusOK {
		t.Errorf("livez is %d while not ready, want 200", code)
	}
	fault = nil
	if code, _ := get(t, s.Handler(), "/readyz"); code != http.StatusOK {
		t.Errorf("readyz is %d, want 200", code)
	}
	s.Stop()
	if code, _ := get(t, s.Handler(), "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readyz is %d while stopping, want 503", code)
	}
	if _, body := get(t, s.Handler(), "/metrics"); !strings.Contains(body, "rolebridge_build_info{") {
		t.Error("the metrics lack rolebridge_build_info")
	}
}
