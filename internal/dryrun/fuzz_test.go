package dryrun_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// FuzzAnyClaim: whatever comes over the wire, the answer is JSON, and only a claim that could be read is proved.
func FuzzAnyClaim(f *testing.F) {
	text, err := json.Marshal(claim)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), "", "{}", "[]", "null", `{"within_ms":-9223372036854775808}`, `{"within_ms":9223372036854775807}`, `{"x":1}`, "{", strings.Repeat("[", 9999)} {
		f.Add("Bearer the-token", seed)
		f.Add("Bearer another", seed)
	}
	proved := false
	server, err := dryrun.NewServer(dryrun.ProverFunc(func(context.Context, dryrun.Claim) (integration.Report, error) {
		proved = true
		return report, nil
	}), secret.New("the-token"), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, authorization, body string) {
		proved = false
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, dryrun.Path, strings.NewReader(body))
		r.Header.Set("Authorization", authorization)
		got := httptest.NewRecorder()
		server.ServeHTTP(got, r)
		if !json.Valid(got.Body.Bytes()) || got.Code >= 500 {
			t.Fatalf("%q: %d %s", body, got.Code, got.Body)
		}
		if proved != (got.Code == http.StatusOK) || proved && authorization != "Bearer the-token" {
			t.Fatalf("%q with %q: %d, proved: %t", body, authorization, got.Code, proved)
		}
	})
}
