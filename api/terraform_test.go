package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	piv1 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v1"
	piv2 "github.com/confluentinc/ccloud-sdk-go-v2/provider-integration/v2"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/integration"
)

// terraform makes the requests of the Terraform provider (2.83), in its order and with the SDK that it uses. The provider
// itself cannot be built from public modules alone, so this is what stands for it.
type terraform struct {
	*testing.T
	v1  piv1.IntegrationsPimV1Api
	v2  piv2.IntegrationsPimV2Api
	key string
}

const inTerraform = string(apitest.Environment)

func newTerraform(t *testing.T, s *apitest.Site) *terraform {
	t.Helper()
	return &terraform{T: t, v1: sdk1(s), v2: sdk2(s), key: apitest.Admin}
}

// gone is how the provider reads the answer to a GET that failed: it then drops the resource from its state.
func gone(resp *http.Response) bool {
	return resp != nil && (resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusNotFound)
}

// refresh is the read of an authorization: a GET, a validation without configuration, and another GET when that failed.
func (tf *terraform) refresh(id string) (kept, warned bool) {
	tf.Helper()
	ctx := as2Key(tf.T, tf.key)
	_, resp, err := tf.v2.GetPimV2Integration(ctx, id).Environment(inTerraform).Execute()
	if err != nil {
		return !gone(resp), false
	}
	return true, tf.validate(id, nil)
}

func (tf *terraform) validate(id string, config *piv2.PimV2IntegrationValidateRequestConfigOneOf) (warned bool) {
	tf.Helper()
	ctx := as2Key(tf.T, tf.key)
	body := piv2.PimV2IntegrationValidateRequest{Id: new(id), Environment: &piv2.GlobalObjectReference{Id: inTerraform}, Config: config}
	resp, err := tf.v2.ValidatePimV2Integration(ctx).PimV2IntegrationValidateRequest(body).Execute()
	if err == nil {
		return false
	}
	if resp == nil || resp.StatusCode != http.StatusBadRequest {
		tf.Errorf("validate: got %v, want 204, or 400 for what is not valid", err)
	}
	if _, _, err := tf.v2.GetPimV2Integration(ctx, id).Environment(inTerraform).Execute(); err != nil {
		tf.Errorf("read after a validation that failed: %v", err)
	}
	return true
}

// setUp and authorize are the two resources of v2.
func (tf *terraform) setUp(cloud string) string {
	tf.Helper()
	ctx := as2Key(tf.T, tf.key)
	made, _, err := tf.v2.CreatePimV2Integration(ctx).PimV2Integration(piv2.PimV2Integration{
		DisplayName: new(cloud + "_sink"), Provider: new(strings.ToLower(cloud)), Environment: &piv2.ObjectReference{Id: inTerraform},
	}).Execute()
	if err != nil {
		tf.Fatal(err)
	}
	read, _, err := tf.v2.GetPimV2Integration(ctx, made.GetId()).Environment(inTerraform).Execute()
	if err != nil || strings.ToUpper(read.GetProvider()) != cloud || read.GetStatus() != "DRAFT" || read.Usages == nil || read.Environment.GetId() != inTerraform {
		tf.Errorf("%s: set up: got %+v, %v", cloud, read, err)
	}
	return made.GetId()
}

func (tf *terraform) authorize(id string, config piv2.PimV2IntegrationUpdateConfigOneOf) (warned bool) {
	tf.Helper()
	ctx := as2Key(tf.T, tf.key)
	before, _, err := tf.v2.GetPimV2Integration(ctx, id).Environment(inTerraform).Execute()
	if err != nil {
		tf.Fatal(err)
	}
	if before.GetStatus() == "DRAFT" {
		if _, _, err := tf.v2.UpdatePimV2Integration(ctx, id).PimV2IntegrationUpdate(piv2.PimV2IntegrationUpdate{
			Config: &config, Environment: &piv2.ObjectReference{Id: inTerraform},
		}).Execute(); err != nil {
			tf.Fatal(err)
		}
	}
	// It still believes in the DRAFT that it read, and so sends the configuration along.
	warned = tf.validate(id, &piv2.PimV2IntegrationValidateRequestConfigOneOf{
		PimV2GcpIntegrationConfig: config.PimV2GcpIntegrationConfig, PimV2AzureIntegrationConfig: config.PimV2AzureIntegrationConfig,
	})
	kept, again := tf.refresh(id)
	if !kept || again != warned {
		tf.Errorf("the read after the authorization: kept %t, warned %t", kept, again)
	}
	return warned
}

func TestTheTerraformProvidersRequestsOfV2KeepTheirResources(t *testing.T) {
	t.Parallel()
	for _, enabled := range []bool{true, false} {
		s := apitest.Serve(t)
		if !enabled {
			offersAWSOnly(s)
		}
		tf := newTerraform(t, s)
		for cloud, config := range map[string]piv2.PimV2IntegrationUpdateConfigOneOf{
			"GCP": {PimV2GcpIntegrationConfig: &piv2.PimV2GcpIntegrationConfig{
				Kind: "GcpIntegrationConfig", CustomerGoogleServiceAccount: new("orders@shop-1.iam.gserviceaccount.com"),
			}},
			"AZURE": {PimV2AzureIntegrationConfig: &piv2.PimV2AzureIntegrationConfig{
				Kind: "AzureIntegrationConfig", CustomerAzureTenantId: new("0f8fad5b-d9cb-469f-a165-70867728950e"),
			}},
		} {
			id := tf.setUp(cloud)
			if warned := tf.authorize(id, config); warned == enabled {
				t.Errorf("%s: a warning: %t, while the cloud is enabled: %t", cloud, warned, enabled)
			}
			if warned := tf.authorize(id, config); warned == enabled { // an update of what is CREATED
				t.Errorf("%s: a warning of the update: %t, while the cloud is enabled: %t", cloud, warned, enabled)
			}
			// With a wrong key nothing is taken for gone.
			tf.key = "UNKNOWN"
			if kept, _ := tf.refresh(id); !kept {
				t.Errorf("%s: with a wrong key the resource is dropped", cloud)
			}
			tf.key = apitest.Admin
			if resp, err := tf.v2.DeletePimV2Integration(as2(t), id).Environment(inTerraform).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
				t.Errorf("%s: delete: %v", cloud, err)
			}
			if kept, _ := tf.refresh(id); kept {
				t.Errorf("%s: what was deleted is kept", cloud)
			}
		}
	}
}

func TestTheTerraformProvidersRequestsOfV1KeepTheirResources(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	tf, ctx := newTerraform(t, s), as1(t, apitest.Admin)
	const count = 100 // a page of the provider has 99
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: new(2 * count)})
	var last piv1.PimV1Integration
	for n := range count {
		body := creation1(roleARN + strings.Repeat("x", n%40) + strings.Repeat("y", n/40))
		body.Provider = new("aws")
		made, _, err := tf.v1.CreatePimV1Integration(ctx).PimV1Integration(body).Execute()
		if err != nil {
			t.Fatal(err)
		}
		read, _, err := tf.v1.GetPimV1Integration(ctx, made.GetId()).Environment(inTerraform).Execute()
		got, want := read.GetConfig(), body.GetConfig()
		if err != nil || read.GetDisplayName() != body.GetDisplayName() ||
			got.PimV1AwsIntegrationConfig.GetCustomerIamRoleArn() != want.PimV1AwsIntegrationConfig.GetCustomerIamRoleArn() ||
			got.PimV1AwsIntegrationConfig.GetIamRoleArn() == "" || got.PimV1AwsIntegrationConfig.GetExternalId() == "" || read.Usages == nil {
			t.Fatalf("read: got %+v, %v", read, err)
		}
		last = made
	}
	// What v1 does not know must not end its lists.
	tf.setUp("GCP")
	var ids []string
	for token, pages := "", 0; pages < 3; pages++ {
		req := tf.v1.ListPimV1Integrations(ctx).Environment(inTerraform).PageSize(99)
		if token != "" {
			req = req.PageToken(token)
		}
		list, _, err := req.Execute()
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, i := range list.GetData() {
			ids = append(ids, i.GetId())
		}
		if token = following(t, list.GetMetadata().Next.Get(), list.GetMetadata().Next.IsSet()); token == "" {
			break
		}
	}
	if len(ids) < count || !slices.Contains(ids, last.GetId()) {
		t.Errorf("the data source by name found %d integrations, want %d with %s", len(ids), count, last.GetId())
	}
	if _, resp, err := tf.v1.GetPimV1Integration(as1(t, "UNKNOWN"), last.GetId()).Environment(inTerraform).Execute(); err == nil || gone(resp) {
		t.Errorf("with a wrong key the resource is dropped: %v", err)
	}
	for _, id := range ids {
		if resp, err := tf.v1.DeletePimV1Integration(ctx, id).Environment(inTerraform).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
			t.Errorf("delete: %v", err)
		}
	}
	if _, resp, err := tf.v1.GetPimV1Integration(ctx, last.GetId()).Environment(inTerraform).Execute(); err == nil || !gone(resp) {
		t.Errorf("what was deleted is kept: %v", err)
	}
	if n := s.Listed(apitest.OrgA, integration.EnvironmentID(inTerraform)); n != 0 {
		t.Errorf("%d integrations are left", n)
	}
}
