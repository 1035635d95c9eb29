package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
		var asked wire.IntegrationRequestV2
		var made wire.IntegrationV2
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

// FuzzAnyRequest: whatever a known caller sends to whichever operation, the answer is JSON with a documented status, is
// never our fault, and a refusal has a code. Page tokens, resource names, waits, ids of events and keys are read on the way.
func FuzzAnyRequest(f *testing.F) {
	c := apitest.New(f)
	c.Found(f, apitest.OrgA, "u-admin-a")
	h := handler(f, c, c, api.WithEvents(c.Events()))
	var made wire.IntegrationV2
	if got := ask(f.Context(), h, http.MethodPost, one, creation(roleARN)); got.status == http.StatusCreated {
		if err := json.Unmarshal(got.body, &made); err != nil {
			f.Fatal(err)
		}
	}
	operations := apitest.Operations(f)
	slices.SortFunc(operations, func(a, b apitest.Operation) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	for n := range operations {
		f.Add(uint8(n), made.ID, "environment=env-abcdef&page_size=1&page_token=Mi5JbnRlZ3JhdGlvbiBjc3BpLWE&wait=0s", "", "k", "0", "{}", "application/json")
		f.Add(uint8(n), "rb-0", "page_token=Mi5Sb2xlQmluZGluZyByYi0w&crn_pattern=crn%3A%2F%2Frolebridge%2Forganization%3Dorg-a%2Fenvironment%3De%2Fprovider-integration%3D*", "", "", "-1", `{"display_name":"n"}`, "application/json; charset=utf-8")
		f.Add(uint8(n), "%2e%2e%2f", "for=s3-sink&bucket=b&after=9999999999999999999&force=1&since=2026-01-02T15:04:05Z", "Bearer a.b.c", "", "x", "[", "text/plain; a")
		f.Add(uint8(n), "\x00", "wait=1e9&role=%ff;&page_size=101", "Basic !", "\x7f", "99999999999999999999", `{"overlap_seconds":1e400}`, "application/json; charset=\"%zz")
		f.Add(uint8(n), made.ID, "wait=0s", "", "", "", `{"kind":"trust","policy":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\"}]}"}`, "application/json")
	}
	f.Fuzz(func(t *testing.T, n uint8, id, query, authorization, key, last, body, media string) {
		op := operations[int(n)%len(operations)]
		if op.Path == watched {
			op.Method = http.MethodHead // a stream would not end
		}
		path := strings.NewReplacer("{id}", url.PathEscape(id), "{connector}", url.PathEscape(id)).Replace(op.Path)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // no wait that a client asks for
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, op.Method, "/", strings.NewReader(body))
		r.URL = &url.URL{Path: "/", RawQuery: query}
		if u, err := url.Parse(path); err == nil {
			r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
		}
		r.SetBasicAuth(apitest.Admin, apitest.Secret)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		r.Header.Set("Last-Event-ID", last)
		r.Header.Set("Content-Type", media)
		if q := r.URL.Query(); q.Get("wait") != "" { // nothing is being waited for: it would take as long as it says
			q.Set("wait", "0"+q.Get("wait"))
			if d, err := time.ParseDuration(q.Get("wait")); err != nil || d > time.Millisecond {
				q.Del("wait")
			}
			r.URL.RawQuery = q.Encode()
		}
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		answer := reply{got.Code, got.Header(), got.Body.Bytes()}
		switch {
		case answer.status >= 500 && answer.status != http.StatusNotImplemented:
			t.Fatalf("%s %s: got %d %s", op.Method, r.URL, answer.status, answer.body)
		case answer.status >= 400:
			var failure wire.Failure
			if err := json.Unmarshal(answer.body, &failure); err != nil || len(failure.Errors) == 0 || failure.Errors[0].Code == "" || failure.Errors[0].Title == "" {
				t.Fatalf("%s %s: got %d %s", op.Method, r.URL, answer.status, answer.body)
			}
			if len(answer.body) > 64<<10 {
				t.Fatalf("%s %s: a refusal of %d bytes", op.Method, r.URL, len(answer.body))
			}
		case op.Path != "/openapi.yaml" && len(answer.body) > 0 && !json.Valid(answer.body):
			t.Fatalf("%s %s: got %d %s", op.Method, r.URL, answer.status, answer.body)
		}
	})
}

// FuzzTheKeysFile: no file of keys makes us panic, and no error repeats a secret of it.
func FuzzTheKeysFile(f *testing.F) {
	for _, seed := range []string{
		"", "keys: []", "keys:\n  - {key: A, secret: " + apitest.Secret + ", organization: o, principal: u-a}\n",
		"keys:\n  - {key: B, secret_sha256: \"00\", organization: o, principal: u-b}\n", "keys: {", "keys: &a [*a]", "keys:\n- key: [1]\n", "x: 1",
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "keys.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := api.ReadKeys(path); err != nil && strings.Contains(err.Error(), apitest.Secret) {
			t.Fatalf("the error shows the secret: %v", err)
		}
	})
}
