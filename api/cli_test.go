package api_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"testing"

	piv1 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v1"
	piv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/integration"
)

// commandLine makes the requests of the command line of the provider-integration API (4.x), in its order and with the SDK
// that it uses: with a bearer token, and below /api, as it does for every server that is not its vendor's. The program itself
// cannot be built from public modules.
type commandLine struct {
	*testing.T
	v1   piv1.IntegrationsPimV1Api
	v2   piv2.IntegrationsPimV2Api
	ctx1 context.Context
	ctx2 context.Context
}

func newCommandLine(t *testing.T) (*commandLine, *apitest.Site) {
	t.Helper()
	s, issuer := trusting(t)
	s.Do(t, apitest.OrgA, "platform:test", integration.CreateAccount{Account: "u-ada", Kind: integration.User, Name: "Ada", Identities: []integration.OIDC{
		{Issuer: issuer.URL, Audience: "rolebridge", Subject: "ada"},
	}})
	s.Do(t, apitest.OrgA, "platform:test", integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
		Principal: "u-ada", Role: integration.EnvironmentAdmin, Scope: integration.Scope{Environment: apitest.Environment},
	}})
	token := issuer.Token(issuer.Claims("rolebridge", "ada"))
	if got := shown(t, s, token); got.status != http.StatusOK {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	c1, c2 := piv1.NewConfiguration(), piv2.NewConfiguration()
	c1.Servers, c2.Servers = piv1.ServerConfigurations{{URL: s.URL + "/api"}}, piv2.ServerConfigurations{{URL: s.URL + "/api"}}
	return &commandLine{
		T: t, v1: piv1.NewAPIClient(c1).IntegrationsPimV1Api, v2: piv2.NewAPIClient(c2).IntegrationsPimV2Api,
		ctx1: context.WithValue(t.Context(), piv1.ContextAccessToken, token), ctx2: context.WithValue(t.Context(), piv2.ContextAccessToken, token),
	}, s
}

const inCLI = string(apitest.Environment)

// list is "provider-integration list".
func (c *commandLine) list(cloud string) (all []piv1.PimV1Integration) {
	c.Helper()
	for token, pages := "", 0; ; pages++ {
		if pages > 3 {
			c.Fatal("the list does not end")
		}
		req := c.v1.ListPimV1Integrations(c.ctx1).Environment(inCLI).PageSize(100)
		if cloud != "" {
			req = req.Provider(cloud)
		}
		if token != "" {
			req = req.PageToken(token)
		}
		page, _, err := req.Execute()
		if err != nil {
			c.Fatal(err)
		}
		all = append(all, page.GetData()...)
		if token = following(c.T, page.GetMetadata().Next.Get(), page.GetMetadata().Next.IsSet()); token == "" {
			return all
		}
	}
}

func TestTheKnownCommandLinesRequestsOfV1AreAnswered(t *testing.T) {
	t.Parallel()
	c, s := newCommandLine(t)
	const count = 101 // more than a page
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: new(2 * count)})
	var ids []string
	for n := range count {
		body := creation1(roleARN + strconv.Itoa(n))
		body.Provider = new("aws")
		made, _, err := c.v1.CreatePimV1Integration(c.ctx1).PimV1Integration(body).Execute()
		config := made.GetConfig().PimV1AwsIntegrationConfig
		if err != nil || made.Environment == nil || config == nil { // it dereferences both
			t.Fatalf("create: got %+v, %v", made, err)
		}
		ids = append(ids, made.GetId())
	}
	for _, cloud := range []string{"", "aws", "AWS"} {
		if got := c.list(cloud); len(got) != count || got[0].GetConfig().PimV1AwsIntegrationConfig.GetExternalId() == "" {
			t.Errorf("list of cloud %q: %d integrations, want %d", cloud, len(got), count)
		}
	}
	// delete describes each first, and then asks.
	for _, id := range ids[:2] {
		if _, _, err := c.v1.GetPimV1Integration(c.ctx1, id).Environment(inCLI).Execute(); err != nil {
			t.Errorf("describe: %v", err)
		}
		if _, err := c.v1.DeletePimV1Integration(c.ctx1, id).Environment(inCLI).Execute(); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if slices.ContainsFunc(c.list(""), func(i piv1.PimV1Integration) bool { return i.GetId() == ids[0] }) {
		t.Error("what was deleted is listed")
	}
}

func TestTheKnownCommandLinesRequestsOfV2AreAnswered(t *testing.T) {
	t.Parallel()
	c, _ := newCommandLine(t)
	for cloud, config := range map[string]piv2.PimV2IntegrationUpdateConfigOneOf{
		"gcp": piv2.PimV2GcpIntegrationConfigAsPimV2IntegrationUpdateConfigOneOf(&piv2.PimV2GcpIntegrationConfig{
			Kind: "GcpIntegrationConfig", CustomerGoogleServiceAccount: new("orders@shop-1.iam.gserviceaccount.com"),
		}),
		"azure": piv2.PimV2AzureIntegrationConfigAsPimV2IntegrationUpdateConfigOneOf(&piv2.PimV2AzureIntegrationConfig{
			Kind: "AzureIntegrationConfig", CustomerAzureTenantId: new("0f8fad5b-d9cb-469f-a165-70867728950e"),
		}),
	} {
		made, _, err := c.v2.CreatePimV2Integration(c.ctx2).PimV2Integration(piv2.PimV2Integration{
			DisplayName: new(cloud + "-integration"), Provider: new(cloud), Environment: &piv2.ObjectReference{Id: inCLI},
		}).Execute()
		if err != nil || made.Environment == nil || made.Config == nil {
			t.Fatalf("%s: create: got %+v, %v", cloud, made, err)
		}
		id := made.GetId()
		// update reads first: it takes the cloud for what the answer calls it, in lower case.
		if read, _, err := c.v2.GetPimV2Integration(c.ctx2, id).Environment(inCLI).Execute(); err != nil || read.GetProvider() != cloud {
			t.Errorf("%s: update: got %s, %v", cloud, read.GetProvider(), err)
		}
		updated, _, err := c.v2.UpdatePimV2Integration(c.ctx2, id).PimV2IntegrationUpdate(piv2.PimV2IntegrationUpdate{
			Config: &config, Environment: &piv2.ObjectReference{Id: inCLI},
		}).Execute()
		if err != nil || updated.GetStatus() != "CREATED" || updated.Environment == nil || updated.Config == nil {
			t.Errorf("%s: update: got %+v, %v", cloud, updated, err)
		}
		for _, with := range []*piv2.PimV2IntegrationValidateRequestConfigOneOf{nil, {
			PimV2GcpIntegrationConfig: config.PimV2GcpIntegrationConfig, PimV2AzureIntegrationConfig: config.PimV2AzureIntegrationConfig,
		}} {
			resp, err := c.v2.ValidatePimV2Integration(c.ctx2).PimV2IntegrationValidateRequest(piv2.PimV2IntegrationValidateRequest{
				Id: new(id), Environment: &piv2.GlobalObjectReference{Id: inCLI}, Config: with,
			}).Execute()
			if err != nil || resp.StatusCode != http.StatusNoContent {
				t.Errorf("%s: validate: %v", cloud, err)
			}
		}
	}
	list, _, err := c.v2.ListPimV2Integrations(c.ctx2).Environment(inCLI).Execute()
	if err != nil || len(list.GetData()) != 2 {
		t.Fatalf("list: got %+v, %v", list, err)
	}
	for _, i := range list.GetData() {
		if i.Environment == nil || i.Config == nil || i.GetStatus() == "" {
			t.Errorf("list: got %+v", i)
		}
		if read, _, err := c.v2.GetPimV2Integration(c.ctx2, i.GetId()).Environment(inCLI).Execute(); err != nil || len(read.GetUsages()) != 0 {
			t.Errorf("delete: got %+v, %v", read, err)
		}
		if _, err := c.v2.DeletePimV2Integration(c.ctx2, i.GetId()).Environment(inCLI).Execute(); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
}
