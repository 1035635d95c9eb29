package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// FuzzCreateBody: whatever the body says, the answer is JSON, is never our fault, and what was created is what was said.
func FuzzCreateBody(f *testing.F) {
	c := apitest.New(f)
	c.Found(f, apitest.OrgA, "u-admin-a")
	keys, err := api.NewKeys(api.Key{ID: apitest.Admin, Organization: apitest.OrgA, Principal: "u-admin-a", Hash: api.HashSecret(secret.New(apitest.Secret))})
	if err != nil {
		f.Fatal(err)
	}
	config := api.Defaults()
	config.Rate, config.Burst = 1e6, 1e6
	s, err := api.New(config, c, c, keys, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"", "{}", "[]", "null", `"`, creation(roleARN), creation(roleARN + "/\u0000"), strings.Repeat("[", 20000),
		`{"environment":{"id":"env-abcdef"}}`, `{"environment":{"id":"` + strings.Repeat("é", 5000) + `"}}`,
		`{"environment":{"id":"e"},"config":{"kind":"pim.v2.GcpIntegrationConfig","customer_google_service_account":"x"},"provider":"GCP"}`,
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, body string, second bool) {
		path := one
		if second {
			path = two
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
		r.SetBasicAuth(apitest.Admin, apitest.Secret)
		r.Header.Set("Content-Type", "application/json")
		got := httptest.NewRecorder()
		s.Handler().ServeHTTP(got, r)
		if got.Code >= 500 || !json.Valid(got.Body.Bytes()) {
			t.Fatalf("%q: got %d %s", body, got.Code, got.Body)
		}
		if got.Code != http.StatusCreated {
			return
		}
		var asked wire.IntegrationRequest
		var made wire.Integration
		if err := json.Unmarshal([]byte(body), &asked); err != nil {
			t.Fatalf("%q was taken: %v", body, err)
		}
		if err := json.Unmarshal(got.Body.Bytes(), &made); err != nil {
			t.Fatal(err)
		}
		if made.Environment.ID != asked.Environment.ID || asked.DisplayName != "" && made.DisplayName != asked.DisplayName {
			t.Errorf("%q: got %s", body, got.Body)
		}
	})
}
