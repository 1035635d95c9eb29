package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	keysv2 "github.com/confluentinc/ccloud-sdk-go-v2/apikeys/v2"
	iamv2 "github.com/confluentinc/ccloud-sdk-go-v2/iam/v2"
	mdsv2 "github.com/confluentinc/ccloud-sdk-go-v2/mds/v2"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/integration"
)

// sdkRoles is the unmodified Go SDK of role bindings, pointed at s.
func sdkRoles(s *apitest.Site) mdsv2.RoleBindingsIamV2Api {
	c := mdsv2.NewConfiguration()
	c.Servers = mdsv2.ServerConfigurations{{URL: s.URL}}
	return mdsv2.NewAPIClient(c).RoleBindingsIamV2Api
}

func asRoles(t testing.TB, key string) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), mdsv2.ContextBasicAuth, mdsv2.BasicAuth{UserName: key, Password: apitest.Secret})
}

func binding2(principal, role, pattern string) mdsv2.IamV2RoleBinding {
	return mdsv2.IamV2RoleBinding{Principal: new(principal), RoleName: new(role), CrnPattern: new(pattern)}
}

// following reads the token of the next page out of a link, as clients do; empty at the end.
func following(t testing.TB, next *string, set bool) string {
	t.Helper()
	if !set {
		return ""
	}
	if next == nil {
		t.Fatal("next is null, which clients crash on")
	}
	at, err := url.Parse(*next)
	if err != nil {
		t.Fatal(err)
	}
	token := at.Query().Get("page_token")
	if token == "" || len(token) > 255 {
		t.Fatalf("the token in %q: want 1 to 255 characters", *next)
	}
	return token
}

func TestTheGoSDKDrivesRoleBindings(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sdk, ctx := sdkRoles(s), asRoles(t, apitest.Admin)
	i := created(t, s, roleARN)
	inside := ofOrgA + "/environment=env-abcdef"
	given := map[string]mdsv2.IamV2RoleBinding{}
	for pattern, role := range map[string]string{
		ofOrgA:                                   "OrganizationAdmin",
		inside:                                   "EnvironmentAdmin",
		inside + "/provider-integration=*":       "ResourceOwner",
		inside + "/provider-integration=" + i.ID: "Assigner",
	} {
		made, resp, err := sdk.CreateIamV2RoleBinding(ctx).IamV2RoleBinding(binding2("User:sa-1", role, pattern)).Execute()
		if err != nil || resp.StatusCode != http.StatusCreated || made.GetId() == "" || made.GetRoleName() != role || made.GetCrnPattern() != pattern {
			t.Fatalf("create %s: got %+v, %v", role, made, err)
		}
		given[made.GetId()] = made
	}
	// The known command line ends the pattern in /*; the known API takes any part of it.
	for search, want := range map[string]int{
		ofOrgA: 4, ofOrgA + "/*": 4, inside: 3, inside + "/*": 3, inside + "/provider-integration=" + i.ID: 1, "provider-integration=": 2,
		"crn://rolebridge/organization=org-b/*": 0,
	} {
		seen, token := map[string]bool{}, ""
		for range 5 {
			req := sdk.ListIamV2RoleBindings(ctx).Principal("User:sa-1").CrnPattern(search).PageSize(2)
			if token != "" {
				req = req.PageToken(token)
			}
			list, _, err := req.Execute()
			if err != nil {
				t.Fatalf("list %s: %v", search, err)
			}
			for _, b := range list.GetData() {
				seen[b.GetId()] = true
			}
			if token = following(t, list.Metadata.Next.Get(), list.Metadata.Next.IsSet()); token == "" {
				break
			}
		}
		if len(seen) != want || token != "" {
			t.Errorf("list %s: got %d, want %d", search, len(seen), want)
		}
	}
	if list, _, err := sdk.ListIamV2RoleBindings(ctx).CrnPattern(ofOrgA).RoleName("ResourceOwner").Execute(); err != nil || len(list.GetData()) != 1 {
		t.Errorf("list by role: got %+v, %v", list, err)
	}
	for id, want := range given {
		got, _, err := sdk.GetIamV2RoleBinding(ctx, id).Execute()
		if err != nil || got.GetCrnPattern() != want.GetCrnPattern() || got.GetPrincipal() != "User:sa-1" {
			t.Errorf("read: got %+v, %v", got, err)
		}
		taken, resp, err := sdk.DeleteIamV2RoleBinding(ctx, id).Execute()
		if err != nil || resp.StatusCode != http.StatusOK || taken.GetId() != id {
			t.Errorf("delete: got %+v, %v", taken, err)
		}
		_, resp, err = sdk.GetIamV2RoleBinding(ctx, id).Execute()
		if _, ok := errors.AsType[mdsv2.GenericOpenAPIError](err); !ok || resp.StatusCode != http.StatusNotFound {
			t.Errorf("read what was taken: got %v, want 404", err)
		}
	}
}

func TestTheGoSDKReadsErrorsOfRoleBindings(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sdk := sdkRoles(s)
	create := func(key, principal, role, pattern string) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			_, resp, err := sdk.CreateIamV2RoleBinding(asRoles(t, key)).IamV2RoleBinding(binding2(principal, role, pattern)).Execute()
			return resp, err
		}
	}
	for name, c := range map[string]struct {
		call    func() (*http.Response, error)
		status  int
		code    integration.Code
		pointer string
		known   bool // the SDK decodes bodies of this status
	}{
		"an unknown key":   {create("UNKNOWN", "User:u-1", "Assigner", ofOrgA+"/environment=e"), 401, integration.CodeUnauthenticated, "", true},
		"without the role": {create(apitest.Assigner, "User:u-1", "Assigner", ofOrgA+"/environment=e"), 403, integration.CodeDenied, "", true},
		"no principal":     {create(apitest.Admin, "u-1", "Assigner", ofOrgA+"/environment=e"), 422, integration.CodeInvalid, "/principal", false},
		"no role":          {create(apitest.Admin, "User:u-1", "CloudClusterAdmin", ofOrgA+"/environment=e"), 422, integration.CodeInvalid, "/role_name", false},
		"another tenant's": {create(apitest.Admin, "User:u-1", "EnvironmentAdmin", "crn://rolebridge/organization=org-b/environment=e"), 422, integration.CodeInvalid, "/crn_pattern", false},
		"nothing to take away": {func() (*http.Response, error) {
			_, resp, err := sdk.DeleteIamV2RoleBinding(asRoles(t, apitest.Admin), "rb-0000000000000000").Execute()
			return resp, err
		}, 404, integration.CodeNotFound, "", true},
		"a page that is larger": {func() (*http.Response, error) {
			_, resp, err := sdk.ListIamV2RoleBindings(asRoles(t, apitest.Admin)).CrnPattern(ofOrgA).PageSize(101).Execute()
			return resp, err
		}, 400, "invalid_parameter", "", true},
	} {
		resp, err := c.call()
		said, ok := errors.AsType[mdsv2.GenericOpenAPIError](err)
		if !ok || resp.StatusCode != c.status {
			t.Errorf("%s: got %v, want %d", name, err, c.status)
			continue
		}
		failure, ok := said.Model().(mdsv2.Failure)
		if ok != c.known {
			t.Errorf("%s: the SDK decoded %s: %t, want %t", name, said.Body(), ok, c.known)
		}
		if !ok {
			continue
		}
		source := failure.Errors[0].GetSource()
		if got := failure.Errors[0]; got.GetCode() != string(c.code) || source.GetPointer() != c.pointer || got.GetId() != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: got %s", name, said.Body())
		}
	}
}

func TestTheGoSDKDrivesServiceAccountsAndTheirAPIKeys(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	config := iamv2.NewConfiguration()
	config.Servers = iamv2.ServerConfigurations{{URL: s.URL}}
	accounts := iamv2.NewAPIClient(config).ServiceAccountsIamV2Api
	ctx := context.WithValue(t.Context(), iamv2.ContextBasicAuth, iamv2.BasicAuth{UserName: apitest.Admin, Password: apitest.Secret})
	var sa iamv2.IamV2ServiceAccount
	for _, name := range []string{"loader", "reader"} {
		made, resp, err := accounts.CreateIamV2ServiceAccount(ctx).IamV2ServiceAccount(iamv2.IamV2ServiceAccount{DisplayName: new(name), Description: new("d")}).Execute()
		if err != nil || resp.StatusCode != http.StatusCreated || made.GetId() == "" {
			t.Fatalf("create: got %+v, %v", made, err)
		}
		if name == "loader" {
			sa = made
		}
	}
	if list, _, err := accounts.ListIamV2ServiceAccounts(ctx).DisplayName([]string{"loader", "nobody"}).PageSize(99).Execute(); err != nil || len(list.GetData()) != 1 || list.GetData()[0].GetId() != sa.GetId() {
		t.Errorf("list by name: got %+v, %v", list, err)
	}
	both := accounts.ListIamV2ServiceAccounts(ctx).DisplayName([]string{"loader", "reader"}).PageSize(1)
	first, _, err := both.Execute()
	if err != nil || len(first.GetData()) != 1 {
		t.Fatalf("list by two names: got %+v, %v", first, err)
	}
	next, err := url.Parse(first.Metadata.GetNext())
	if err != nil || len(next.Query()["display_name"]) != 2 {
		t.Errorf("next: got %v, want both names in it", next)
	}
	second, _, err := both.PageToken(following(t, first.Metadata.Next.Get(), first.Metadata.Next.IsSet())).Execute()
	if err != nil || len(second.GetData()) != 1 || second.GetData()[0].GetId() == first.GetData()[0].GetId() || second.Metadata.Next.IsSet() {
		t.Errorf("the second page: got %+v, %v", second, err)
	}
	if changed, _, err := accounts.UpdateIamV2ServiceAccount(ctx, sa.GetId()).IamV2ServiceAccount(iamv2.IamV2ServiceAccount{Description: new("e")}).Execute(); err != nil || changed.GetDescription() != "e" || changed.GetDisplayName() != "loader" {
		t.Errorf("update: got %+v, %v", changed, err)
	}

	settings := keysv2.NewConfiguration()
	settings.Servers = keysv2.ServerConfigurations{{URL: s.URL}}
	keys := keysv2.NewAPIClient(settings).APIKeysIamV2Api
	ctx = context.WithValue(ctx, keysv2.ContextBasicAuth, keysv2.BasicAuth{UserName: apitest.Admin, Password: apitest.Secret})
	key, resp, err := keys.CreateIamV2ApiKey(ctx).IamV2ApiKey(keysv2.IamV2ApiKey{Spec: &keysv2.IamV2ApiKeySpec{
		DisplayName: new("first"), Owner: &keysv2.ObjectReference{Id: sa.GetId(), ApiVersion: new("iam/v2"), Kind: new("ServiceAccount")},
	}}).Execute()
	if err != nil || resp.StatusCode != http.StatusCreated || key.Spec.GetSecret() == "" || key.Spec.Owner.GetKind() != "ServiceAccount" {
		t.Fatalf("create a key: got %+v, %v", key, err)
	}
	if list, _, err := keys.ListIamV2ApiKeys(ctx).SpecOwner(sa.GetId()).Execute(); err != nil || len(list.GetData()) != 1 || list.GetData()[0].Spec.GetSecret() != "" {
		t.Errorf("list keys: got %+v, %v", list, err)
	}
	if read, _, err := keys.GetIamV2ApiKey(ctx, key.GetId()).Execute(); err != nil || read.Spec.GetDisplayName() != "first" {
		t.Errorf("read a key: got %+v, %v", read, err)
	}
	if resp, err := keys.DeleteIamV2ApiKey(ctx, key.GetId()).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("delete a key: %v", err)
	}
	if resp, err := accounts.DeleteIamV2ServiceAccount(ctx, sa.GetId()).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", err)
	}
	_, resp, err = accounts.GetIamV2ServiceAccount(ctx, sa.GetId()).Execute()
	said, ok := errors.AsType[iamv2.GenericOpenAPIError](err)
	if !ok || resp.StatusCode != http.StatusNotFound {
		t.Errorf("read what was deleted: got %v, want 404", err)
	} else if _, ok := said.Model().(iamv2.Failure); !ok {
		t.Errorf("the SDK did not decode %s", said.Body())
	}
}
