package api_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	piv1 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v1"
	piv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

// sdkCalls are calls that both versions of the SDK have.
type sdkCalls struct {
	create func() (*http.Response, error)
	list   func(token string) (*http.Response, error)
	delete func(id string) (*http.Response, error)
}

// bothSDKs send the headers with every request.
func bothSDKs(t *testing.T, s *apitest.Site, headers map[string]string) map[string]sdkCalls {
	t.Helper()
	env := string(apitest.Environment)
	c1, c2 := piv1.NewConfiguration(), piv2.NewConfiguration()
	c1.Servers, c2.Servers = piv1.ServerConfigurations{{URL: s.URL}}, piv2.ServerConfigurations{{URL: s.URL}}
	c1.DefaultHeader, c2.DefaultHeader = headers, headers
	v1, v2 := piv1.NewAPIClient(c1).IntegrationsPimV1Api, piv2.NewAPIClient(c2).IntegrationsPimV2Api
	return map[string]sdkCalls{
		"v1": {
			func() (*http.Response, error) {
				_, resp, err := v1.CreatePimV1Integration(as1(t, apitest.Admin)).PimV1Integration(creation1(roleARN + "1")).Execute()
				return resp, err
			},
			func(token string) (*http.Response, error) {
				_, resp, err := v1.ListPimV1Integrations(as1(t, apitest.Admin)).Environment(env).PageToken(token).Execute()
				return resp, err
			},
			func(id string) (*http.Response, error) {
				return v1.DeletePimV1Integration(as1(t, apitest.Admin), id).Environment(env).Execute()
			},
		},
		"v2": {
			func() (*http.Response, error) {
				_, resp, err := v2.CreatePimV2Integration(as2(t)).PimV2Integration(piv2.PimV2Integration{Environment: &piv2.ObjectReference{Id: env}}).Execute()
				return resp, err
			},
			func(token string) (*http.Response, error) {
				_, resp, err := v2.ListPimV2Integrations(as2(t)).Environment(env).PageToken(token).Execute()
				return resp, err
			},
			func(id string) (*http.Response, error) {
				return v2.DeletePimV2Integration(as2(t), id).Environment(env).Execute()
			},
		},
	}
}

// said is the one fault of a failure that the SDK read.
func said(t *testing.T, err error) (fault wire.Fault) {
	t.Helper()
	var body []byte
	if e, ok := errors.AsType[piv1.GenericOpenAPIError](err); ok {
		body = e.Body()
	} else if e, ok := errors.AsType[piv2.GenericOpenAPIError](err); ok {
		body = e.Body()
	}
	var failure wire.Failure
	if json.Unmarshal(body, &failure) != nil || len(failure.Errors) != 1 {
		t.Errorf("got %v with the body %q, want one fault", err, body)
		return fault
	}
	return failure.Errors[0]
}

// What is not the fault of what the request says.
func TestTheGoSDKReadsFailuresOfTheServiceInBothVersions(t *testing.T) {
	t.Parallel()
	creates := func(of sdkCalls, _ wire.IntegrationV2) (*http.Response, error) { return of.create() }
	for name, c := range map[string]struct {
		headers map[string]string
		before  func(*apitest.ControlPlane)
		call    func(sdkCalls, wire.IntegrationV2) (*http.Response, error)
		status  int
		code    integration.Code
		retry   bool
	}{
		"a connector is bound": {call: func(of sdkCalls, i wire.IntegrationV2) (*http.Response, error) { return of.delete(i.ID) }, status: 409, code: integration.CodeInUse},
		"a token of no page":   {call: func(of sdkCalls, _ wire.IntegrationV2) (*http.Response, error) { return of.list("x") }, status: 400, code: "invalid_parameter"},
		"Kafka is away": {before: func(c *apitest.ControlPlane) {
			c.Down(&integration.Refusal{Code: integration.CodeUnavailable, Message: "the command cannot be written"})
		}, call: creates, status: 503, code: integration.CodeUnavailable, retry: true},
		"a fault of ours":     {before: func(c *apitest.ControlPlane) { c.Down(errors.New("broken")) }, call: creates, status: 500, code: integration.CodeInternal},
		"no decision in time": {before: (*apitest.ControlPlane).Silent, call: creates, status: 504, code: integration.CodeTimeout},
		"a key of nothing":    {headers: map[string]string{"Idempotency-Key": ""}, call: creates, status: 400, code: "invalid_parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := apitest.Serve(t, func(c *api.Config) { c.AnswerWithin = time.Second })
			made := created(t, s, roleARN)
			request(t, s, apitest.Admin, http.MethodPost, mine+made.ID+"/connectors", `{"connector":"sink"}`).into(t, http.StatusCreated, &wire.Bound{})
			if c.before != nil {
				c.before(s.ControlPlane)
			}
			for version, of := range bothSDKs(t, s, c.headers) {
				resp, err := c.call(of, made)
				if err == nil || resp == nil || resp.StatusCode != c.status {
					t.Errorf("%s: got %v, want %d", version, err, c.status)
					continue
				}
				if fault := said(t, err); fault.Code != string(c.code) || fault.ID != resp.Header.Get("X-Request-Id") || (resp.Header.Get("Retry-After") != "") != c.retry {
					t.Errorf("%s: got %+v with Retry-After %q, want %s", version, fault, resp.Header.Get("Retry-After"), c.code)
				}
			}
		})
	}
}
