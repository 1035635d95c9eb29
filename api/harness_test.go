package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

const (
	one   = "/pim/v1/integrations"
	two   = "/pim/v2/integrations"
	mine  = "/rolebridge/v1/integrations/"
	inEnv = "?environment=" + string(apitest.Environment)

	roleARN = "arn:aws:iam::000000000000:role/my-test-aws-role"
)

// reply is an answer that was read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// request is one call to a site. Names of headers and their values follow each other.
func request(t testing.TB, s *apitest.Site, key, method, path, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.SetBasicAuth(key, apitest.Secret)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for n := 0; n+1 < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	return do(t, r)
}

func do(t testing.TB, r *http.Request) reply {
	t.Helper()
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{got.StatusCode, got.Header, text}
}

func (r reply) into(t testing.TB, want int, v any) {
	t.Helper()
	if r.status != want {
		t.Fatalf("got %d %s, want %d", r.status, r.body, want)
	}
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
}

// refused reads the first fault of an answer that must have this status and code.
func (r reply) refused(t testing.TB, status int, code integration.Code) wire.Fault {
	t.Helper()
	var f wire.Failure
	r.into(t, status, &f)
	if f.Errors[0].Code != string(code) {
		t.Errorf("got code %q in %s, want %q", f.Errors[0].Code, r.body, code)
	}
	if got := r.header.Get("X-Request-Id"); got == "" || got != f.Errors[0].ID {
		t.Errorf("X-Request-Id is %q, the fault's id %q; want them equal", got, f.Errors[0].ID)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, want application/json", got)
	}
	return f.Errors[0]
}

func creation(arn string) string {
	return `{"display_name":"s3_provider_integration","provider":"AWS","config":{"customer_iam_role_arn":"` + arn +
		`","kind":"AwsIntegrationConfig"},"environment":{"id":"` + string(apitest.Environment) + `"}}`
}

// created makes an integration over the api.
func created(t testing.TB, s *apitest.Site, arn string) wire.IntegrationV2 {
	t.Helper()
	var i wire.IntegrationV2
	request(t, s, apitest.Admin, http.MethodPost, one, creation(arn)).into(t, http.StatusCreated, &i)
	return i
}

// without blanks what differs from request to request.
func without(text []byte, words ...string) string {
	for _, w := range words {
		text = bytes.ReplaceAll(text, []byte(w), []byte("_"))
	}
	return string(text)
}

// only gathers the series of api requests whose route and code are wanted.
type only struct {
	prometheus.Gatherer
	wanted map[string]bool
}

func (o only) Gather() ([]*dto.MetricFamily, error) {
	families, err := o.Gatherer.Gather()
	for _, f := range families {
		f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			return !o.wanted[labels["route"]+" "+labels["code"]]
		})
	}
	return families, err
}
