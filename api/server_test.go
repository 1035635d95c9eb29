package api_test

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
)

func TestAWrongKeyAndAnUnknownKeyAreToldApartByNothing(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var bodies []string
	for _, key := range []string{"UNKNOWN", apitest.Admin} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+one+inEnv, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(key, "a-wrong-secret")
		got := do(t, r)
		fault := got.refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
		if want := `Basic realm="rolebridge", error="invalid_key"`; !strings.HasPrefix(got.header.Get("WWW-Authenticate"), want) {
			t.Errorf("WWW-Authenticate: got %q, want %q", got.header.Get("WWW-Authenticate"), want)
		}
		bodies = append(bodies, without(got.body, fault.ID))
	}
	if bodies[0] != bodies[1] {
		t.Errorf("an unknown key: %s\na wrong secret: %s", bodies[0], bodies[1])
	}
	request(t, s, "", http.MethodGet, one+inEnv, "").refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
}

func TestWhatIsNotARequestHere(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		code               integration.Code
	}{
		{http.MethodGet, "/", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/pim/v3/integrations", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/pim//v1/integrations", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/pim/v1/integrations/", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/pim/v1/../v1/integrations", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/api", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/api/", "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/api/api" + one + inEnv, "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/api/%2e%2e" + one + inEnv, "", nil, 404, integration.CodeNotFound},
		{http.MethodGet, "/%61pi" + one + "?page_size=1", "", nil, 400, "invalid_parameter"}, // it is found
		{http.MethodPut, "/api" + one, "", nil, 405, "method_not_allowed"},
		{http.MethodPut, one, "", nil, 405, "method_not_allowed"},
		{http.MethodPatch, one + "/cspi-aaaaa", "", nil, 405, "method_not_allowed"},
		{http.MethodGet, two + ":validate", "", nil, 405, "method_not_allowed"},
		{http.MethodDelete, "/openapi.yaml", "", nil, 405, "method_not_allowed"},
		{http.MethodPost, one, creation(roleARN), []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		{http.MethodPost, one, "", nil, 415, "unsupported_media_type"},
		{http.MethodPost, one, creation(roleARN), []string{"Content-Type", "application/json; charset=utf-16"}, 415, "unsupported_media_type"},
		{http.MethodPost, one, strings.Repeat(" ", 1<<20) + "{}", nil, 413, "request_too_large"},
		{http.MethodPost, one, creation(roleARN), []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "invalid_parameter"},
	} {
		got := request(t, s, apitest.Admin, c.method, c.path, c.body, c.headers...)
		got.refused(t, c.status, c.code)
		if c.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: the Allow header is missing", c.method, c.path)
		}
	}
}

func TestAMediaTypeMayHaveParameters(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN), "Content-Type", "application/json; charset=utf-8")
	if got.status != http.StatusCreated {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestTheDocumentsNeedNoKey(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	for path, want := range map[string][]byte{"/openapi.yaml": api.Document(), "/schemas.json": events.SchemaBundle()} {
		got := request(t, s, "", http.MethodGet, path, "")
		if got.status != http.StatusOK || !bytes.Equal(got.body, want) {
			t.Errorf("%s: got %d with %d bytes, want 200 with %d", path, got.status, len(got.body), len(want))
		}
	}
}

func TestEachKeyHasARateOfItsOwn(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.Rate, c.Burst = 0.01, 2 })
	for left := 1; left >= 0; left-- {
		got := request(t, s, apitest.Admin, http.MethodGet, one+inEnv, "")
		if got.status != http.StatusOK || got.header.Get("X-RateLimit-Limit") != "2" || got.header.Get("X-RateLimit-Remaining") != strconv.Itoa(left) {
			t.Errorf("got %d, limit %s, remaining %s; want 200, 2, %d", got.status,
				got.header.Get("X-RateLimit-Limit"), got.header.Get("X-RateLimit-Remaining"), left)
		}
	}
	got := request(t, s, apitest.Admin, http.MethodGet, one+inEnv, "")
	got.refused(t, http.StatusTooManyRequests, integration.CodeThrottled)
	for _, name := range []string{"Retry-After", "X-RateLimit-Reset"} {
		if n, err := strconv.Atoi(got.header.Get(name)); err != nil || n < 90 || n > 200 {
			t.Errorf("%s: got %q, want about 100 seconds for one, 200 for both", name, got.header.Get(name))
		}
	}
	if got := request(t, s, apitest.Other, http.MethodGet, one+inEnv, ""); got.status != http.StatusOK {
		t.Errorf("another key: got %d, want 200", got.status)
	}
}

// broken is a replica that panics when it is read.
type broken struct{ *apitest.ControlPlane }

func (broken) Integration(integration.ID) (*integration.Integration, bool) {
	panic("a secret in a panic")
}

// unready is a replica that has not read the state yet.
type unready struct{ *apitest.ControlPlane }

func (unready) Ready() <-chan struct{} { return nil }

func TestAPanicIsAnAnswerWithoutItsText(t *testing.T) {
	t.Parallel()
	c := apitest.New(t)
	s := apitest.Over(t, c, broken{c})
	got := request(t, s, apitest.Admin, http.MethodGet, one+"/cspi-aaaaa"+inEnv, "")
	got.refused(t, http.StatusInternalServerError, integration.CodeInternal)
	if strings.Contains(string(got.body), "secret") {
		t.Errorf("the panic's text is in the answer: %s", got.body)
	}
}

func TestAReplicaThatIsNotReadyTellsNobodyThatThingsAreGone(t *testing.T) {
	t.Parallel()
	c := apitest.New(t)
	s := apitest.Over(t, c, unready{c})
	got := request(t, s, apitest.Admin, http.MethodGet, one+"/cspi-aaaaa"+inEnv, "")
	got.refused(t, http.StatusServiceUnavailable, integration.CodeUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
}

func TestEveryAnswerIsCounted(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	created(t, s, roleARN)
	request(t, s, apitest.Admin, http.MethodGet, one+"/cspi-unknown1"+inEnv, "")
	want := `
# HELP rolebridge_api_requests_total Requests answered, by route and by the answer's error code; ok is an answer without error.
# TYPE rolebridge_api_requests_total counter
`
	if err := testutil.GatherAndCompare(only{s.Registry, map[string]bool{
		"/pim/v1/integrations ok": true, "/pim/v1/integrations/{id} not_found": true, "/pim/v2/integrations ok": true,
	}}, strings.NewReader(want+`rolebridge_api_requests_total{code="ok",route="/pim/v1/integrations"} 1
rolebridge_api_requests_total{code="not_found",route="/pim/v1/integrations/{id}"} 1
rolebridge_api_requests_total{code="ok",route="/pim/v2/integrations"} 0
`), "rolebridge_api_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestConfigurationNamesAllFaults(t *testing.T) {
	t.Parallel()
	bad := api.Config{PublicURL: "ftp://x/", Authority: "a/b", AnswerWithin: -1, Burst: 0}
	err := bad.Validate()
	for _, path := range []string{
		"api.public_url", "api.authority", "api.answer_within", "api.mapped_within", "api.proved_within", "api.rate", "api.burst",
	} {
		if err == nil || !strings.Contains(err.Error(), path+": ") {
			t.Errorf("%s is not named in: %v", path, err)
		}
	}
	if err := api.Defaults().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if _, err := api.New(bad, nil, nil, nil, prometheus.NewRegistry(), nil); err == nil {
		t.Error("New took a configuration that Validate refuses")
	}
}

func TestHEADIsAGETWithoutItsBody(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	if got := request(t, s, apitest.Admin, http.MethodHead, one+inEnv, ""); got.status != http.StatusOK || len(got.body) != 0 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestASecretIsNeverLogged(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	s.Down(errors.New("something inside"))
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN))
	got.refused(t, http.StatusInternalServerError, integration.CodeInternal)
	if strings.Contains(string(got.body), "something inside") {
		t.Errorf("an internal error's text is in the answer: %s", got.body)
	}
	if log := s.Log(); !strings.Contains(log, "something inside") || strings.Contains(log, apitest.Secret) {
		t.Errorf("got the log %q, want the error and no secret", log)
	}
}

func TestTheDocumentAndTheServerHaveTheSamePaths(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	paths := apitest.Operations(t)
	if len(paths) < 15 {
		t.Fatalf("got %d operations in the document", len(paths))
	}
	for _, p := range paths {
		got := request(t, s, apitest.Admin, p.Method, strings.NewReplacer("{id}", "cspi-unknown1", "{connector}", "lcc-1").Replace(p.Path), "",
			"Last-Event-ID", "x") // so that the watch ends
		if got.status == http.StatusMethodNotAllowed || got.status == http.StatusNotFound && strings.Contains(string(got.body), "no such path") {
			t.Errorf("%s %s is in the document and not in the server", p.Method, p.Path)
		}
		// And no method more than those.
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if slices.Contains(paths, apitest.Operation{Method: m, Path: p.Path}) {
				continue
			}
			path := strings.NewReplacer("{id}", "cspi-unknown1", "{connector}", "lcc-1").Replace(p.Path)
			if got := request(t, s, apitest.Admin, m, path, ""); got.status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s is in the server and not in the document: %d", m, p.Path, got.status)
			}
		}
	}
}

// Every command leaves a receipt in the state for a week, refused ones too: who has no part in an organization sends none.
func TestAStrangerSendsNoCommand(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	before := len(s.Sent())
	for _, op := range apitest.Operations(t) {
		if op.Method == http.MethodGet {
			continue
		}
		path := strings.NewReplacer("{id}", "cspi-aaaaa", "{connector}", "lcc-1").Replace(op.Path)
		for _, key := range []string{apitest.Stranger, "UNKNOWN"} {
			if got := request(t, s, key, op.Method, path+inEnv, `{}`); got.status != http.StatusForbidden && got.status != http.StatusUnauthorized {
				t.Errorf("%s %s as %s: got %d, want 401 or 403", op.Method, path, key, got.status)
			}
		}
	}
	if sent := s.Sent()[before:]; len(sent) != 0 {
		t.Errorf("strangers have sent %+v", sent)
	}
}
