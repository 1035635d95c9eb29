package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	piv1 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v1"
	piv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/integration"
)

// sdk1 is the unmodified Go SDK of the provider-integration API, version 1, pointed at s.
func sdk1(s *apitest.Site) piv1.IntegrationsPimV1Api {
	c := piv1.NewConfiguration()
	c.Servers = piv1.ServerConfigurations{{URL: s.URL}}
	return piv1.NewAPIClient(c).IntegrationsPimV1Api
}

func as1(t testing.TB, key string) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), piv1.ContextBasicAuth, piv1.BasicAuth{UserName: key, Password: apitest.Secret})
}

func sdk2(s *apitest.Site) piv2.IntegrationsPimV2Api {
	c := piv2.NewConfiguration()
	c.Servers = piv2.ServerConfigurations{{URL: s.URL}}
	return piv2.NewAPIClient(c).IntegrationsPimV2Api
}

func as2(t testing.TB) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), piv2.ContextBasicAuth, piv2.BasicAuth{UserName: apitest.Admin, Password: apitest.Secret})
}

func creation1(arn string) piv1.PimV1Integration {
	return piv1.PimV1Integration{
		DisplayName: new("s3_provider_integration"), Provider: new("AWS"),
		Config: &piv1.PimV1IntegrationConfigOneOf{PimV1AwsIntegrationConfig: &piv1.PimV1AwsIntegrationConfig{
			Kind: "AwsIntegrationConfig", CustomerIamRoleArn: new(arn),
		}},
		Environment: &piv1.GlobalObjectReference{Id: string(apitest.Environment)},
	}
}

func TestTheGoSDKDrivesV1(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sdk, ctx := sdk1(s), as1(t, apitest.Admin)
	ids := map[string]bool{}
	for n := range 5 {
		made, resp, err := sdk.CreatePimV1Integration(ctx).PimV1Integration(creation1(roleARN + strings.Repeat("x", n))).Execute()
		if err != nil || resp.StatusCode != http.StatusCreated {
			t.Fatalf("create: %v", err)
		}
		config := made.GetConfig()
		if aws := config.PimV1AwsIntegrationConfig; aws == nil || aws.GetIamRoleArn() == "" || aws.GetExternalId() == "" {
			t.Errorf("create: got %+v", made)
		}
		ids[made.GetId()] = true
	}

	seen, token := map[string]bool{}, ""
	for pages := 0; ; pages++ {
		if pages > 5 {
			t.Fatal("the list does not end")
		}
		req := sdk.ListPimV1Integrations(ctx).Environment(string(apitest.Environment)).Provider("AWS").PageSize(2)
		if token != "" {
			req = req.PageToken(token)
		}
		list, _, err := req.Execute()
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, i := range list.GetData() {
			seen[i.GetId()] = true
		}
		next, set := list.GetMetadata().Next.Get(), list.GetMetadata().Next.IsSet()
		if !set || *next == "" {
			break
		}
		at, err := url.Parse(*next)
		if err != nil {
			t.Fatal(err)
		}
		token = at.Query().Get("page_token")
	}
	if len(seen) != len(ids) {
		t.Errorf("listed %d integrations, want %d", len(seen), len(ids))
	}

	for id := range ids {
		got, _, err := sdk.GetPimV1Integration(ctx, id).Environment(string(apitest.Environment)).Execute()
		if err != nil || got.GetId() != id || got.GetProvider() != "aws" || got.GetDisplayName() != "s3_provider_integration" {
			t.Errorf("read: got %+v, %v", got, err)
		}
		if resp, err := sdk.DeletePimV1Integration(ctx, id).Environment(string(apitest.Environment)).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
			t.Errorf("delete: %v", err)
		}
	}
}

func TestTheGoSDKReadsErrorsOfV1(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	quota := 1
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: &quota})
	sdk, env := sdk1(s), string(apitest.Environment)
	create := func(key string, body piv1.PimV1Integration) (*http.Response, error) {
		_, resp, err := sdk.CreatePimV1Integration(as1(t, key)).PimV1Integration(body).Execute()
		return resp, err
	}
	if _, err := create(apitest.Admin, creation1(roleARN)); err != nil {
		t.Fatal(err)
	}
	nameless, mistyped := creation1(roleARN), creation1("arn:aws:iam::1:role/x")
	nameless.DisplayName = nil
	for name, c := range map[string]struct {
		call    func() (*http.Response, error)
		status  int
		code    integration.Code
		pointer string
	}{
		"a field is missing":  {func() (*http.Response, error) { return create(apitest.Admin, nameless) }, 400, "invalid_request", "/display_name"},
		"a field is wrong":    {func() (*http.Response, error) { return create(apitest.Admin, mistyped) }, 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		"an unknown key":      {func() (*http.Response, error) { return create("UNKNOWN", creation1(roleARN)) }, 401, integration.CodeUnauthenticated, ""},
		"over the quota":      {func() (*http.Response, error) { return create(apitest.Admin, creation1(roleARN+"2")) }, 402, integration.CodeQuota, ""},
		"no role for it":      {func() (*http.Response, error) { return create(apitest.Assigner, creation1(roleARN)) }, 403, integration.CodeDenied, ""},
		"the same role again": {func() (*http.Response, error) { return create(apitest.Admin, creation1(roleARN)) }, 409, integration.CodeExists, "/config/customer_iam_role_arn"},
		"no such integration": {func() (*http.Response, error) {
			_, resp, err := sdk.GetPimV1Integration(as1(t, apitest.Admin), "cspi-unknown1").Environment(env).Execute()
			return resp, err
		}, 404, integration.CodeNotFound, ""},
		"nothing to delete": {func() (*http.Response, error) {
			return sdk.DeletePimV1Integration(as1(t, apitest.Admin), "cspi-unknown1").Environment(env).Execute()
		}, 404, integration.CodeNotFound, ""},
		"a page too large": {func() (*http.Response, error) {
			_, resp, err := sdk.ListPimV1Integrations(as1(t, apitest.Admin)).Environment(env).PageSize(1000).Execute()
			return resp, err
		}, 400, "invalid_parameter", ""},
	} {
		resp, err := c.call()
		var said piv1.GenericOpenAPIError
		if !errors.As(err, &said) || resp.StatusCode != c.status {
			t.Errorf("%s: got %v, want %d", name, err, c.status)
			continue
		}
		failure, ok := said.Model().(piv1.Failure)
		if !ok || len(failure.Errors) != 1 {
			t.Errorf("%s: the SDK did not decode %s", name, said.Body())
			continue
		}
		source := failure.Errors[0].GetSource()
		if got := failure.Errors[0]; got.GetCode() != string(c.code) || source.GetPointer() != c.pointer {
			t.Errorf("%s: got %s at %q, want %s at %q", name, got.GetCode(), source.GetPointer(), c.code, c.pointer)
		}
	}
}

func TestTheGoSDKReadsTooManyRequests(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.Rate, c.Burst = 0.01, 1 })
	for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		_, resp, _ := sdk1(s).ListPimV1Integrations(as1(t, apitest.Admin)).Environment(string(apitest.Environment)).Execute()
		if resp == nil || resp.StatusCode != want {
			t.Errorf("got %v, want %d", resp, want)
		}
	}
}

func TestTheGoSDKDrivesV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sdk, ctx, env := sdk2(s), as2(t), string(apitest.Environment)
	draft, _, err := sdk.CreatePimV2Integration(ctx).PimV2Integration(piv2.PimV2Integration{
		DisplayName: new("drafted"), Provider: new("aws"), Environment: &piv2.ObjectReference{Id: env},
	}).Execute()
	if err != nil || draft.GetStatus() != "DRAFT" {
		t.Fatalf("create: got %+v, %v", draft, err)
	}
	config := &piv2.PimV2AwsIntegrationConfig{Kind: "AwsIntegrationConfig", CustomerIamRoleArn: new(roleARN)}
	update := piv2.PimV2IntegrationUpdate{
		Config:      &piv2.PimV2IntegrationUpdateConfigOneOf{PimV2AwsIntegrationConfig: config},
		Environment: &piv2.ObjectReference{Id: env},
	}
	updated, _, err := sdk.UpdatePimV2Integration(ctx, draft.GetId()).PimV2IntegrationUpdate(update).Execute()
	if err != nil || updated.GetStatus() != "CREATED" {
		t.Errorf("update: got %+v, %v", updated, err)
	}
	validation := piv2.PimV2IntegrationValidateRequest{
		Id: new(draft.GetId()), Environment: &piv2.GlobalObjectReference{Id: env},
		Config: &piv2.PimV2IntegrationValidateRequestConfigOneOf{PimV2AwsIntegrationConfig: config},
	}
	if resp, err := sdk.ValidatePimV2Integration(ctx).PimV2IntegrationValidateRequest(validation).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("validate: %v", err)
	}
	list, _, err := sdk.ListPimV2Integrations(ctx).Environment(env).Status("CREATED").DisplayName("draft").Provider("aws").PageSize(99).Execute()
	if err != nil || len(list.GetData()) != 1 || list.GetData()[0].GetId() != draft.GetId() {
		t.Errorf("list: got %+v, %v", list, err)
	}
	got, _, err := sdk.GetPimV2Integration(ctx, draft.GetId()).Environment(env).Execute()
	if err != nil || got.GetConfig().PimV2AwsIntegrationConfig.GetCustomerIamRoleArn() != roleARN {
		t.Errorf("read: got %+v, %v", got, err)
	}
	if resp, err := sdk.DeletePimV2Integration(ctx, draft.GetId()).Environment(env).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", err)
	}
	_, resp, err := sdk.GetPimV2Integration(ctx, draft.GetId()).Environment(env).Execute()
	var said piv2.GenericOpenAPIError
	if !errors.As(err, &said) || resp.StatusCode != http.StatusNotFound {
		t.Errorf("read what was deleted: got %v, want 404", err)
	} else if _, ok := said.Model().(piv2.Failure); !ok {
		t.Errorf("the SDK did not decode %s", said.Body())
	}
}
