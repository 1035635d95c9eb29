package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	piv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/integration"
)

func as2Key(t testing.TB, key string) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), piv2.ContextBasicAuth, piv2.BasicAuth{UserName: key, Password: apitest.Secret})
}

// offersAWSOnly makes the site one whose platform has no other cloud.
func offersAWSOnly(s *apitest.Site) {
	s.Mapping(func(order integration.MappingAsked) integration.Finding {
		switch {
		case order.Operation == integration.RemoveMapping:
			return integration.MappingWasRemoved{}
		case order.Config.Kind != integration.KindAWS:
			return integration.MappingWasRefused{Reason: integration.ReasonCloudNotEnabled, Permanent: true}
		}
		return integration.MappingWasMade{Platform: "arn:aws:iam::" + apitest.PlatformAccount + ":role/cspi-made"}
	})
}

func TestTheGoSDKDrivesOtherCloudsAsDraftsWhoseValidationSaysThatTheyAreNotEnabled(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	offersAWSOnly(s)
	sdk, ctx, env := sdk2(s), as2(t), string(apitest.Environment)
	const serviceAccount, tenant = "orders@shop-1.iam.gserviceaccount.com", "0f8fad5b-d9cb-469f-a165-70867728950e"
	for provider, c := range map[string]struct {
		update   piv2.PimV2IntegrationUpdateConfigOneOf
		customer func(piv2.PimV2IntegrationConfigOneOf) string
		want     string
	}{
		"gcp": {
			piv2.PimV2IntegrationUpdateConfigOneOf{PimV2GcpIntegrationConfig: &piv2.PimV2GcpIntegrationConfig{Kind: "GcpIntegrationConfig", CustomerGoogleServiceAccount: new(serviceAccount)}},
			func(c piv2.PimV2IntegrationConfigOneOf) string {
				return c.PimV2GcpIntegrationConfig.GetCustomerGoogleServiceAccount()
			}, serviceAccount,
		},
		"azure": {
			piv2.PimV2IntegrationUpdateConfigOneOf{PimV2AzureIntegrationConfig: &piv2.PimV2AzureIntegrationConfig{Kind: "AzureIntegrationConfig", CustomerAzureTenantId: new(tenant)}},
			func(c piv2.PimV2IntegrationConfigOneOf) string {
				return c.PimV2AzureIntegrationConfig.GetCustomerAzureTenantId()
			}, tenant,
		},
	} {
		draft, resp, err := sdk.CreatePimV2Integration(ctx).PimV2Integration(piv2.PimV2Integration{
			DisplayName: new("drafted"), Provider: new(strings.ToUpper(provider)), Environment: &piv2.ObjectReference{Id: env},
		}).Execute()
		if err != nil || draft.GetStatus() != "DRAFT" || draft.GetProvider() != provider || c.customer(draft.GetConfig()) != "" || resp.Header.Get("Location") == "" {
			t.Errorf("%s: create: got %+v, %v", provider, draft, err)
		}
		validate := func(when string) {
			t.Helper()
			resp, err := sdk.ValidatePimV2Integration(ctx).PimV2IntegrationValidateRequest(piv2.PimV2IntegrationValidateRequest{
				Id: new(draft.GetId()), Environment: &piv2.GlobalObjectReference{Id: env},
			}).Execute()
			var said piv2.GenericOpenAPIError
			if !errors.As(err, &said) || resp.StatusCode != http.StatusBadRequest {
				t.Fatalf("%s: validate %s: got %v, want 400", provider, when, err)
			}
			failure, _ := said.Model().(piv2.Failure)
			if len(failure.Errors) != 1 || failure.Errors[0].GetCode() != "cloud_not_enabled" || !strings.Contains(failure.Errors[0].GetDetail(), provider) {
				t.Errorf("%s: validate %s: got %s", provider, when, said.Body())
			}
		}
		validate("a draft")
		updated, _, err := sdk.UpdatePimV2Integration(ctx, draft.GetId()).PimV2IntegrationUpdate(piv2.PimV2IntegrationUpdate{
			Config: &c.update, Environment: &piv2.ObjectReference{Id: env},
		}).Execute()
		if err != nil || updated.GetStatus() != "CREATED" || c.customer(updated.GetConfig()) != c.want {
			t.Errorf("%s: update: got %+v, %v", provider, updated, err)
		}
		validate("with the customer's identity")
		list, _, err := sdk.ListPimV2Integrations(ctx).Environment(env).Provider(provider).Execute()
		if err != nil || len(list.GetData()) != 1 || list.GetData()[0].GetId() != draft.GetId() {
			t.Errorf("%s: list: got %+v, %v", provider, list, err)
		}
		if got, _, err := sdk.GetPimV2Integration(ctx, draft.GetId()).Environment(env).Execute(); err != nil || c.customer(got.GetConfig()) != c.want {
			t.Errorf("%s: read: got %+v, %v", provider, got, err)
		}
		if resp, err := sdk.DeletePimV2Integration(ctx, draft.GetId()).Environment(env).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: delete: %v", provider, err)
		}
	}
}

func TestPagesOfV2NeitherRepeatNorMissWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sdk, ctx, env := sdk2(s), as2(t), string(apitest.Environment)
	draft := func() string {
		t.Helper()
		i, _, err := sdk.CreatePimV2Integration(ctx).PimV2Integration(piv2.PimV2Integration{Environment: &piv2.ObjectReference{Id: env}}).Execute()
		if err != nil {
			t.Fatal(err)
		}
		return i.GetId()
	}
	stay := map[string]bool{}
	for range 9 {
		stay[draft()] = true
	}
	seen, token, come := map[string]int{}, "", map[string]bool{}
	for pages := 0; ; pages++ {
		if pages > 30 {
			t.Fatal("the list does not end")
		}
		req := sdk.ListPimV2Integrations(ctx).Environment(env).PageSize(2)
		if token != "" {
			req = req.PageToken(token)
		}
		list, _, err := req.Execute()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range list.GetData() {
			seen[i.GetId()]++
			if come[i.GetId()] { // the one that the next token names may go
				if _, err := sdk.DeletePimV2Integration(ctx, i.GetId()).Environment(env).Execute(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if pages < 5 {
			come[draft()] = true
		}
		next := list.GetMetadata().Next
		if !next.IsSet() || next.Get() == nil || *next.Get() == "" {
			break
		}
		at, err := url.Parse(*next.Get())
		if err != nil || len(at.Query().Get("page_token")) > 255 {
			t.Fatalf("%q: %v", *next.Get(), err)
		}
		token = at.Query().Get("page_token")
	}
	for id := range stay {
		if seen[id] != 1 {
			t.Errorf("%s was there throughout and was listed %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s was listed %d times", id, n)
		}
	}
}

func TestTheGoSDKReadsErrorsOfV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sdk, env := sdk2(s), string(apitest.Environment)
	config := func(arn string) *piv2.PimV2AwsIntegrationConfig {
		return &piv2.PimV2AwsIntegrationConfig{Kind: "AwsIntegrationConfig", CustomerIamRoleArn: new(arn)}
	}
	create := func(key, arn, provider string) (*http.Response, error) {
		body := piv2.PimV2Integration{DisplayName: new("n"), Provider: new(provider), Environment: &piv2.ObjectReference{Id: env}}
		if arn != "" {
			body.Config = &piv2.PimV2IntegrationConfigOneOf{PimV2AwsIntegrationConfig: config(arn)}
		}
		_, resp, err := sdk.CreatePimV2Integration(as2Key(t, key)).PimV2Integration(body).Execute()
		return resp, err
	}
	update := func(id, arn string) (*http.Response, error) {
		_, resp, err := sdk.UpdatePimV2Integration(as2(t), id).PimV2IntegrationUpdate(piv2.PimV2IntegrationUpdate{
			Config: &piv2.PimV2IntegrationUpdateConfigOneOf{PimV2AwsIntegrationConfig: config(arn)}, Environment: &piv2.ObjectReference{Id: env},
		}).Execute()
		return resp, err
	}
	validate := func(id string) (*http.Response, error) {
		return sdk.ValidatePimV2Integration(as2(t)).PimV2IntegrationValidateRequest(piv2.PimV2IntegrationValidateRequest{
			Id: new(id), Environment: &piv2.GlobalObjectReference{Id: env},
		}).Execute()
	}
	made := created(t, s, roleARN)
	draft := drafted(t, s)
	quota := 2
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: &quota})
	for name, c := range map[string]struct {
		call    func() (*http.Response, error)
		status  int
		code    integration.Code
		pointer string
	}{
		"no such cloud":           {func() (*http.Response, error) { return create(apitest.Admin, "", "ibm") }, 422, integration.CodeInvalid, "/provider"},
		"a field is wrong":        {func() (*http.Response, error) { return create(apitest.Admin, "arn:aws:iam::1:role/x", "aws") }, 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		"an unknown key":          {func() (*http.Response, error) { return create("UNKNOWN", roleARN+"2", "aws") }, 401, integration.CodeUnauthenticated, ""},
		"no role for it":          {func() (*http.Response, error) { return create(apitest.Assigner, roleARN+"2", "aws") }, 403, integration.CodeDenied, ""},
		"over the quota":          {func() (*http.Response, error) { return create(apitest.Admin, roleARN+"2", "aws") }, 402, integration.CodeQuota, ""},
		"the same role again":     {func() (*http.Response, error) { return create(apitest.Admin, roleARN, "aws") }, 409, integration.CodeExists, "/config/customer_iam_role_arn"},
		"the draft takes it too":  {func() (*http.Response, error) { return update(draft.ID, roleARN) }, 409, integration.CodeExists, "/config/customer_iam_role_arn"},
		"no draft any more":       {func() (*http.Response, error) { return update(made.ID, roleARN+"3") }, 409, integration.CodeConflict, ""},
		"an update that is wrong": {func() (*http.Response, error) { return update(draft.ID, "arn:aws:iam::1:role/x") }, 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		"an update of nothing":    {func() (*http.Response, error) { return update("cspi-unknown1", roleARN) }, 404, integration.CodeNotFound, ""},
		"a draft is validated":    {func() (*http.Response, error) { return validate(draft.ID) }, 400, integration.CodeConflict, ""},
		"nothing is validated":    {func() (*http.Response, error) { return validate("cspi-unknown1") }, 404, integration.CodeNotFound, ""},
		"a status that is none": {func() (*http.Response, error) {
			_, resp, err := sdk.ListPimV2Integrations(as2(t)).Environment(env).Status("GONE").Execute()
			return resp, err
		}, 400, "invalid_parameter", ""},
		"a token that is none": {func() (*http.Response, error) {
			_, resp, err := sdk.ListPimV2Integrations(as2(t)).Environment(env).PageToken("x").Execute()
			return resp, err
		}, 400, "invalid_parameter", ""},
		"nothing to delete": {func() (*http.Response, error) {
			return sdk.DeletePimV2Integration(as2(t), "cspi-unknown1").Environment(env).Execute()
		}, 404, integration.CodeNotFound, ""},
	} {
		resp, err := c.call()
		var said piv2.GenericOpenAPIError
		if !errors.As(err, &said) || resp.StatusCode != c.status {
			t.Errorf("%s: got %v, want %d", name, err, c.status)
			continue
		}
		failure, ok := said.Model().(piv2.Failure)
		if !ok && c.status != http.StatusPaymentRequired { // the SDK's v2 does not know 402
			t.Errorf("%s: the SDK did not decode %s", name, said.Body())
			continue
		}
		if !ok {
			if !strings.Contains(string(said.Body()), string(c.code)) {
				t.Errorf("%s: got %s, want %s", name, said.Body(), c.code)
			}
			continue
		}
		source := failure.Errors[0].GetSource()
		if got := failure.Errors[0]; got.GetCode() != string(c.code) || source.GetPointer() != c.pointer {
			t.Errorf("%s: got %s at %q, want %s at %q", name, got.GetCode(), source.GetPointer(), c.code, c.pointer)
		}
		if resp.Header.Get("X-Request-Id") != failure.Errors[0].GetId() {
			t.Errorf("%s: the request is %q, the fault's id %q", name, resp.Header.Get("X-Request-Id"), failure.Errors[0].GetId())
		}
	}
}

func TestTheGoSDKReadsTooManyRequestsOfV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.Rate, c.Burst = 0.01, 1 })
	for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		_, resp, _ := sdk2(s).ListPimV2Integrations(as2(t)).Environment(string(apitest.Environment)).Execute()
		if resp == nil || resp.StatusCode != want || resp.Header.Get("X-RateLimit-Limit") != "1" || (want == 429) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("got %v, want %d with the limit's headers", resp, want)
		}
	}
}
