package api_test

import (
	"net/http"
	"testing"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

const organization = "/rolebridge/v1/organization"

func TestTheQuotaIsReadByAllAndSetByThePlatformOnly(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	var o wire.Organization
	request(t, s, apitest.Assigner, http.MethodGet, organization, "").into(t, http.StatusOK, &o)
	if o.ID != "org-a" || o.ResourceName != ofOrgA || o.IntegrationQuota != integration.DefaultQuota || o.Integrations != 1 || o.InsecureRoles != "block" {
		t.Errorf("got %+v", o)
	}
	request(t, s, apitest.Admin, http.MethodPatch, organization, `{"integration_quota":5}`).refused(t, http.StatusForbidden, integration.CodeDenied)
	request(t, s, apitest.Platform, http.MethodPatch, organization, `{"integration_quota":1}`).into(t, http.StatusOK, &o)
	if o.IntegrationQuota != 1 || o.InsecureRoles != "block" {
		t.Errorf("got %+v", o)
	}
	request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN+"2")).refused(t, http.StatusPaymentRequired, integration.CodeQuota)
	request(t, s, apitest.Platform, http.MethodPatch, organization, `{"integration_quota":-1}`).refused(t, http.StatusUnprocessableEntity, integration.CodeInvalid)
	request(t, s, apitest.Admin, http.MethodPatch, organization, `{}`).refused(t, http.StatusBadRequest, "invalid_request")
	request(t, s, apitest.Admin, http.MethodPatch, organization, `{"insecure_roles":"warn"}`).into(t, http.StatusOK, &o)
	if o.InsecureRoles != "warn" {
		t.Errorf("got %+v", o)
	}
	if got := request(t, s, apitest.Admin, http.MethodDelete, one+"/"+i.ID+inEnv, ""); got.status != http.StatusNoContent {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	request(t, s, apitest.Admin, http.MethodGet, organization, "").into(t, http.StatusOK, &o)
	if o.Integrations != 0 {
		t.Errorf("got %+v, want none used", o)
	}
}
