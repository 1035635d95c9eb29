package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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

func TestAStopLetsRequestsFinish(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	entered, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- telemetry.Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-leave
			_, _ = io.WriteString(w, "finished")
		}), 10*time.Second)
	}()
	body := make(chan string, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String(), nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			body <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		body <- string(text)
	}()
	<-entered
	cancel()
	close(leave)
	if got := <-body; got != "finished" {
		t.Errorf("the request under way got %q, want finished", got)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
}
