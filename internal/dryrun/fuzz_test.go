package dryrun_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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

// FuzzAnAnswer: whatever answers at the trust worker's address, the client returns a report that has checks, or a refusal that
// tells when to come back, or an error that is nobody's fault but the set-up's.
func FuzzAnAnswer(f *testing.F) {
	text, err := json.Marshal(report)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), "", "{}", "[]", "null", `{"checks":[]}`, `{"checks":null}`, `{"code":"unavailable","message":"m"}`, `{"code":"denied","message":"m"}`, `{"code":1}`, strings.Repeat("[", 9999)} {
		for _, status := range []int{200, 204, 302, 401, 429, 503} {
			f.Add(status, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		got, err := dryrun.ReadAnswer(status, text)
		refusal, refused := errors.AsType[*integration.Refusal](err)
		switch {
		case err == nil && (status != http.StatusOK || len(got.Checks) == 0):
			t.Fatalf("%d %q is a report: %+v", status, text, got)
		case err != nil && len(got.Checks) > 0:
			t.Fatalf("%d %q: a report beside the error %v", status, text, err)
		case refused && (status == http.StatusOK || !slices.Contains([]integration.Code{integration.CodeThrottled, integration.CodeTimeout, integration.CodeUnavailable}, refusal.Code)):
			t.Fatalf("%d %q: got %v", status, text, err)
		}
	})
}
