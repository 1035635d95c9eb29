package apitest

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/logtest"
	"github.com/rolebridge/rolebridge/internal/secret"
)

// Organizations, the environment that tests use, and the keys of a [Site]. Every key's secret is [Secret].
const (
	OrgA        = integration.OrganizationID("org-a")
	OrgB        = integration.OrganizationID("org-b")
	Environment = integration.EnvironmentID("env-abcdef")

	Admin    = "ADMIN-A"    // OrganizationAdmin of OrgA
	Other    = "ADMIN-B"    // OrganizationAdmin of OrgB
	Assigner = "ASSIGNER-A" // Assigner in OrgA's environment
	Stranger = "STRANGER-A" // without any role in OrgA
	Platform = "PLATFORM-A" // of the platform itself, in OrgA
	Tester   = "TESTER-A"   // of u-tester, who has the roles in OrgA that a test gives

	Secret = "a-secret-that-is-long-enough"
)

// Site is an api over a control plane, at a URL. Every answer that it gives is compared with the OpenAPI document; one
// that differs fails the test.
type Site struct {
	*ControlPlane
	URL      string
	Registry *prometheus.Registry

	log logtest.Log
}

// Log is what was logged so far.
func (s *Site) Log() string { return s.log.String() }

// Serve starts a site over a new control plane and ends it with the test. Each change is made to the default
// configuration.
func Serve(t testing.TB, changes ...func(*api.Config)) *Site {
	t.Helper()
	c := New(t)
	return Over(t, c, c, changes...)
}

// Over starts a site that sends its commands to c and reads from replica.
func Over(t testing.TB, c *ControlPlane, replica api.Replica, changes ...func(*api.Config)) *Site {
	t.Helper()
	s := &Site{ControlPlane: c, Registry: prometheus.NewRegistry()}
	s.Found(t, OrgA, "u-admin-a")
	s.Found(t, OrgB, "u-admin-b")
	s.Do(t, OrgA, "u-admin-a", integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
		Principal: "sa-assigner", Role: integration.Assigner, Scope: integration.Scope{Environment: Environment},
	}})
	key := func(id string, o integration.OrganizationID, p integration.Principal) api.Key {
		return api.Key{ID: id, Organization: o, Principal: p, Hash: api.HashSecret(secret.New(Secret))}
	}
	keys, err := api.NewKeys(
		key(Admin, OrgA, "u-admin-a"), key(Other, OrgB, "u-admin-b"), key(Assigner, OrgA, "sa-assigner"), key(Stranger, OrgA, "u-stranger"), key(Tester, OrgA, "u-tester"), key(Platform, OrgA, "platform:ops"),
	)
	if err != nil {
		t.Fatal(err)
	}
	config := api.Defaults()
	config.Rate, config.Burst, config.Accounts = 10_000, 10_000, []string{PlatformAccount}
	config.FailedBurst = 10_000
	for _, change := range changes {
		change(&config)
	}
	server, err := api.New(config, replica, c, keys, s.Registry, slog.New(slog.NewTextHandler(&s.log, nil)), c.options()...)
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(checked(t, server.Handler()))
	t.Cleanup(listener.Close)
	s.URL = listener.URL
	return s
}

// Operation is one method of one path of the OpenAPI document.
type Operation struct{ Method, Path string }

// Operations lists what the OpenAPI document describes.
func Operations(t testing.TB) []Operation {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	var all []Operation
	for path, item := range document.Paths.Map() {
		for method := range item.Operations() {
			all = append(all, Operation{method, path})
		}
	}
	return all
}

// checked compares every answer of h with the OpenAPI document.
func checked(t testing.TB, h http.Handler) http.Handler {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(api.Document())
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/rolebridge/v1/watch" {
			// It would never be recorded to its end.
			c := &stream{ResponseWriter: w, t: t, document: document}
			h.ServeHTTP(c, r)
			if c.status != http.StatusOK {
				refused := &http.Response{StatusCode: c.status, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(c.refused))}
				if err := compare(document, router, r, refused); err != nil {
					t.Errorf("%s: the answer %d is not what openapi.yaml says: %v\n%s", r.URL, c.status, err, c.refused)
				}
			}
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if err := compare(document, router, r, rec.Result()); err != nil {
			t.Errorf("%s %s: the answer %d is not what openapi.yaml says: %v\n%s", r.Method, r.URL, rec.Code, err, rec.Body)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		if r.Method != http.MethodHead {
			_, _ = w.Write(rec.Body.Bytes())
		}
	})
}

// undescribed fails when nobody should get more than a failure for a request that the document does not describe.
func undescribed(r *http.Request) error {
	if r.Method == http.MethodHead || r.URL.Path == "/openapi.yaml" || r.URL.Path == "/schemas.json" {
		return nil
	}
	return errors.New("the document does not describe it")
}

func compare(document *openapi3.T, router routers.Router, r *http.Request, got *http.Response) error {
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return err
	}
	route, parameters, err := router.FindRoute(r)
	if err != nil || r.Method == http.MethodHead {
		// No such path or method: what is said of that is a failure like any other.
		if got.StatusCode < 400 {
			return undescribed(r)
		}
		route = &routers.Route{Spec: document, Operation: document.Paths.Value("/pim/v1/integrations").Get}
	}
	if r.Method != http.MethodHead {
		if err := complete(route.Operation, got.StatusCode, got.Header, body); err != nil {
			return err
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 got.StatusCode,
		Header:                 got.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{
			IncludeResponseStatus:   true,
			SchemaValidationOptions: []openapi3.SchemaValidationOption{openapi3.EnableJSONSchema2020()},
		},
	})
}
