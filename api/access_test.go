package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/identity"
	"github.com/rolebridge/rolebridge/internal/identity/identitytest"
)

const (
	users    = "/iam/v2/users"
	programs = "/iam/v2/service-accounts"
	apiKeys  = "/iam/v2/api-keys"
	roles    = "/iam/v2/role-bindings"
	ofOrgA   = "crn://rolebridge/organization=org-a"
)

// account makes an account over the api.
func account(t testing.TB, s *apitest.Site, path, body string) (a wire.Account) {
	t.Helper()
	got := request(t, s, apitest.Admin, http.MethodPost, path, body)
	got.into(t, http.StatusCreated, &a)
	if at := got.header.Get("Location"); at != a.Metadata.Self || !strings.HasSuffix(at, path+"/"+a.ID) {
		t.Errorf("Location %q, self %q, want the account %s", at, a.Metadata.Self, a.ID)
	}
	return a
}

func apiKey(t testing.TB, s *apitest.Site, key, owner, more string) (k wire.APIKey) {
	t.Helper()
	request(t, s, key, http.MethodPost, apiKeys, `{"spec":{"owner":{"id":"`+owner+`"}`+more+`}}`).into(t, http.StatusCreated, &k)
	return k
}

func give(t testing.TB, s *apitest.Site, principal, role, pattern string) (b wire.RoleBinding) {
	t.Helper()
	body := fmt.Sprintf(`{"principal":%q,"role_name":%q,"crn_pattern":%q}`, "User:"+principal, role, pattern)
	request(t, s, apitest.Admin, http.MethodPost, roles, body).into(t, http.StatusCreated, &b)
	return b
}

// by asks with any key and secret.
func by(t testing.TB, s *apitest.Site, key, secret, method, path string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(key, secret)
	return do(t, r)
}

func TestAnAPIKeyIsShownOnceProvesItsOwnerAndEndsWithIt(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sa := account(t, s, programs, `{"display_name":"loader","description":"loads"}`)
	if !strings.HasPrefix(sa.ID, "sa-") || sa.Kind != "ServiceAccount" || sa.Description != "loads" || sa.Metadata.ResourceName != ofOrgA+"/service-account="+sa.ID {
		t.Errorf("got %+v", sa)
	}
	k := apiKey(t, s, apitest.Admin, sa.ID, `,"display_name":"first"`)
	if len(k.Spec.Secret) < 43 || k.Spec.Owner.ID != sa.ID || k.Spec.DisplayName != "first" {
		t.Errorf("got %+v", k)
	}
	by(t, s, k.ID, k.Spec.Secret, http.MethodGet, one+inEnv).refused(t, http.StatusForbidden, integration.CodeDenied) // known, and without a role
	give(t, s, sa.ID, "Assigner", ofOrgA+"/environment=env-abcdef/provider-integration=*")
	if got := by(t, s, k.ID, k.Spec.Secret, http.MethodGet, one+inEnv); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}

	for _, path := range []string{apiKeys + "/" + k.ID, apiKeys, apiKeys + "?spec.owner=" + sa.ID} {
		got := request(t, s, apitest.Admin, http.MethodGet, path, "")
		if got.status != http.StatusOK || !strings.Contains(string(got.body), k.ID) || strings.Contains(string(got.body), k.Spec.Secret) {
			t.Errorf("%s: got %d %s, want the key without its secret", path, got.status, got.body)
		}
	}
	kept, _ := s.Account(apitest.OrgA, integration.Principal(sa.ID))
	if text := fmt.Sprintf("%+v %s", kept, s.Log()); strings.Contains(text, k.Spec.Secret) {
		t.Error("the secret is kept or logged")
	}

	if got := request(t, s, apitest.Admin, http.MethodDelete, programs+"/"+sa.ID, ""); got.status != http.StatusNoContent {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	by(t, s, k.ID, k.Spec.Secret, http.MethodGet, one+inEnv).refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
	if got := request(t, s, apitest.Admin, http.MethodGet, roles+"?principal=User:"+sa.ID, ""); strings.Contains(string(got.body), "rb-") {
		t.Errorf("roles outlive their account: %s", got.body)
	}
}

func TestWhyAnAPIKeyIsRefusedIsNotSaid(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sa := account(t, s, programs, `{"display_name":"loader"}`)
	give(t, s, sa.ID, "Assigner", ofOrgA+"/environment=env-abcdef")
	k := apiKey(t, s, apitest.Admin, sa.ID, "")
	gone := apiKey(t, s, apitest.Admin, sa.ID, "")
	if got := request(t, s, apitest.Admin, http.MethodDelete, apiKeys+"/"+gone.ID, ""); got.status != http.StatusNoContent {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	// Somebody who read the proof on Kafka gives it to an account in an organization of theirs.
	kept, _ := s.Account(apitest.OrgA, integration.Principal(sa.ID))
	s.Do(t, apitest.OrgB, "platform:test", integration.CreateAccount{Account: integration.Principal(sa.ID), Kind: integration.ServiceAccount, Name: "n"})
	s.Do(t, apitest.OrgB, "u-admin-b", integration.CreateKey{Account: integration.Principal(sa.ID), KeyClaim: integration.KeyClaim{Key: "COPIED0000000000", Proof: kept.Keys[integration.KeyID(k.ID)].Proof}})
	s.Do(t, apitest.OrgB, "u-admin-b", integration.CreateKey{Account: integration.Principal(sa.ID), KeyClaim: integration.KeyClaim{Key: integration.KeyID(k.ID), Proof: kept.Keys[integration.KeyID(k.ID)].Proof}})
	// One that ended a moment ago.
	ended := apiKey(t, s, apitest.Admin, sa.ID, `,"expires_at":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`)
	s.Expire(t, apitest.OrgA, integration.KeyID(ended.ID))

	var bodies []string
	for _, c := range [][2]string{
		{"UNKNOWN000000000", k.Spec.Secret}, {k.ID, "a-wrong-secret"}, {gone.ID, gone.Spec.Secret}, {ended.ID, ended.Spec.Secret}, {"COPIED0000000000", k.Spec.Secret},
	} {
		got := by(t, s, c[0], c[1], http.MethodGet, one+inEnv)
		fault := got.refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
		bodies = append(bodies, without(got.body, fault.ID)+got.header.Get("WWW-Authenticate"))
	}
	if len(slices.Compact(bodies)) != 1 {
		t.Errorf("refusals differ: %q", bodies)
	}
	if got := by(t, s, k.ID, k.Spec.Secret, http.MethodGet, one+inEnv); got.status != http.StatusOK {
		t.Errorf("the owner of a key whose id somebody took over in another organization: got %d %s", got.status, got.body)
	}
}

func TestUsersManageTheirOwnKeysAndSeeNobodyElse(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	user, other := account(t, s, users, `{"display_name":"Ada"}`), account(t, s, users, `{"display_name":"Ben"}`)
	give(t, s, user.ID, "Assigner", ofOrgA+"/environment=env-abcdef")
	mine := apiKey(t, s, apitest.Admin, user.ID, "")
	theirs := apiKey(t, s, apitest.Admin, other.ID, "")
	var list wire.AccountList
	by(t, s, mine.ID, mine.Spec.Secret, http.MethodGet, users).into(t, http.StatusOK, &list)
	if len(list.Data) != 1 || list.Data[0].ID != user.ID || list.Kind != "UserList" {
		t.Errorf("got %+v, want the user alone", list)
	}
	for _, path := range []string{users + "/" + other.ID, apiKeys + "/" + theirs.ID, programs + "/" + user.ID} {
		by(t, s, mine.ID, mine.Spec.Secret, http.MethodGet, path).refused(t, http.StatusNotFound, integration.CodeNotFound)
	}
	by(t, s, mine.ID, mine.Spec.Secret, http.MethodDelete, apiKeys+"/"+theirs.ID).refused(t, http.StatusNotFound, integration.CodeNotFound)
	if got := by(t, s, mine.ID, mine.Spec.Secret, http.MethodDelete, apiKeys+"/"+mine.ID); got.status != http.StatusNoContent {
		t.Errorf("got %d %s", got.status, got.body)
	}
	by(t, s, mine.ID, mine.Spec.Secret, http.MethodGet, users).refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
}

func TestRoleBindingsAreShapedLikeThoseThatClientsKnow(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	inside := ofOrgA + "/environment=env-abcdef"
	given := map[string]wire.RoleBinding{}
	for pattern, role := range map[string]string{
		ofOrgA:                                   "OrganizationAdmin",
		inside:                                   "EnvironmentAdmin",
		ofOrgA + "/environment=env-*":            "EnvironmentAdmin",
		inside + "/provider-integration=*":       "ResourceOwner",
		inside + "/provider-integration=" + i.ID: "Assigner",
	} {
		b := give(t, s, "sa-1", role, pattern)
		if b.Principal != "User:sa-1" || b.RoleName != role || b.CRNPattern != pattern || b.Kind != "RoleBinding" || b.APIVersion != "iam/v2" {
			t.Errorf("%s: got %+v", pattern, b)
		}
		if again := give(t, s, "sa-1", role, pattern); again.ID != b.ID {
			t.Errorf("%s given again is %s, want %s", pattern, again.ID, b.ID)
		}
		given[b.ID] = b
	}
	for filter, want := range map[string]int{
		"?principal=User:sa-1": 5, "?principal=User:sa-1&role_name=EnvironmentAdmin": 2, "?principal=User:nobody": 0,
		"?principal=User:sa-1&crn_pattern=" + inside: 3, "?crn_pattern=" + inside + "/provider-integration=" + i.ID: 1,
		"?principal=User:sa-1&crn_pattern=" + ofOrgA + "/*": 5, "?principal=User:sa-1&crn_pattern=" + inside + "/*": 3,
		"?principal=User:sa-1&crn_pattern=provider-integration=": 2, "?crn_pattern=crn://rolebridge/organization=org-b": 0,
	} {
		seen := map[string]bool{}
		next := s.URL + roles + filter + "&page_size=2"
		for pages := 0; next != "" && pages < 10; pages++ {
			var list wire.RoleBindingList
			request(t, s, apitest.Admin, http.MethodGet, strings.TrimPrefix(next, s.URL), "").into(t, http.StatusOK, &list)
			for _, b := range list.Data {
				seen[b.ID] = true
			}
			next = list.Metadata.Next
		}
		if len(seen) != want {
			t.Errorf("%s: got %d role bindings, want %d", filter, len(seen), want)
		}
	}
	for id, b := range given {
		var read, taken wire.RoleBinding
		request(t, s, apitest.Admin, http.MethodGet, roles+"/"+id, "").into(t, http.StatusOK, &read)
		request(t, s, apitest.Admin, http.MethodDelete, roles+"/"+id, "").into(t, http.StatusOK, &taken)
		if read != b || taken != b {
			t.Errorf("read %+v, taken %+v, want %+v", read, taken, b)
		}
		request(t, s, apitest.Admin, http.MethodGet, roles+"/"+id, "").refused(t, http.StatusNotFound, integration.CodeNotFound)
	}
}

func TestAWrongRequestAboutAccessIsRefusedAtItsField(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sa := account(t, s, programs, `{"display_name":"n"}`)
	binding := func(principal, role, pattern string) string {
		return fmt.Sprintf(`{"principal":%q,"role_name":%q,"crn_pattern":%q}`, principal, role, pattern)
	}
	for _, c := range []struct {
		path, body string
		status     int
		code       integration.Code
		pointer    string
	}{
		{users, `{}`, 400, "invalid_request", "/display_name"},
		{users, `{"display_name":" "}`, 422, integration.CodeInvalid, "/display_name"},
		{users, `{"display_name":"n","identities":[{"issuer":"http://i","audience":"a","subject":"s"}]}`, 422, integration.CodeInvalid, "/identities/0/issuer"},
		{users, `{"display_name":"n","admin":true}`, 400, "invalid_request", "/admin"},
		{apiKeys, `{"spec":{}}`, 400, "invalid_request", "/spec/owner"},
		{apiKeys, `{"spec":{"owner":{"id":"sa-unknown"}}}`, 404, integration.CodeNotFound, ""},
		{apiKeys, `{"spec":{"owner":{"id":"` + sa.ID + `"},"expires_at":"2020-01-01T00:00:00Z"}}`, 422, integration.CodeInvalid, "/spec/expires_at"},
		{roles, binding("u-1", "Assigner", ofOrgA), 422, integration.CodeInvalid, "/principal"},
		{roles, binding("User:u-1", "Owner", ofOrgA), 422, integration.CodeInvalid, "/role_name"},
		{roles, binding("User:u-1", "Assigner", ofOrgA), 422, integration.CodeInvalid, "/crn_pattern"},
		{roles, binding("User:u-1", "Assigner", ofOrgA+"x"), 422, integration.CodeInvalid, "/crn_pattern"},
		{roles, binding("User:u-1", "Assigner", ofOrgA+"/environment="), 422, integration.CodeInvalid, "/crn_pattern"},
		{roles, binding("User:u-1", "Assigner", ofOrgA+"/environment=e/provider-integration="), 422, integration.CodeInvalid, "/crn_pattern"},
		{roles, binding("User:u-1", "Assigner", ofOrgA+"/environment=e/connector=x"), 422, integration.CodeInvalid, "/crn_pattern"},
		{roles, binding("User:u-1", "Assigner", "crn://rolebridge/organization=org-b/environment=e"), 422, integration.CodeInvalid, "/crn_pattern"},
		{roles, binding("User:platform:x", "Assigner", ofOrgA+"/environment=e"), 422, integration.CodeInvalid, "/principal"},
	} {
		fault := request(t, s, apitest.Admin, http.MethodPost, c.path, c.body).refused(t, c.status, c.code)
		if got := fault.Source; c.pointer != "" && (got == nil || got.Pointer != c.pointer) {
			t.Errorf("%s: got %+v, want %s", c.body, fault, c.pointer)
		}
	}
	request(t, s, apitest.Admin, http.MethodGet, users+"?page_token=x", "").refused(t, http.StatusBadRequest, "invalid_parameter")
}

func TestAnAccountIsChangedInWhatIsNamedOnly(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	a := account(t, s, users, `{"display_name":"Ada","description":"d","identities":[{"issuer":"https://i","audience":"a","subject":"s"}]}`)
	var changed wire.Account
	request(t, s, apitest.Admin, http.MethodPatch, users+"/"+a.ID, `{"display_name":"Ada L."}`).into(t, http.StatusOK, &changed)
	if changed.DisplayName != "Ada L." || changed.Description != "d" || len(changed.Identities) != 1 {
		t.Errorf("got %+v", changed)
	}
	request(t, s, apitest.Admin, http.MethodPatch, users+"/"+a.ID, `{"identities":[]}`).into(t, http.StatusOK, &changed)
	if len(changed.Identities) != 0 {
		t.Errorf("got %+v, want no identities", changed)
	}
}

func TestARepeatedCreationOfAKeyMakesNoSecond(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	sa := account(t, s, programs, `{"display_name":"n"}`)
	body := `{"spec":{"owner":{"id":"` + sa.ID + `"}}}`
	if got := request(t, s, apitest.Admin, http.MethodPost, apiKeys, body, "Idempotency-Key", "k"); got.status != http.StatusCreated {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	request(t, s, apitest.Admin, http.MethodPost, apiKeys, body, "Idempotency-Key", "k").refused(t, http.StatusConflict, integration.CodeConflict)
	if kept, _ := s.Account(apitest.OrgA, integration.Principal(sa.ID)); len(kept.Keys) != 1 {
		t.Errorf("got %d keys, want 1", len(kept.Keys))
	}
	for range 2 {
		if got := request(t, s, apitest.Admin, http.MethodDelete, programs+"/"+sa.ID, "", "Idempotency-Key", "d"); got.status != http.StatusNoContent {
			t.Errorf("got %d %s, want the answer to the deletion again", got.status, got.body)
		}
	}
}

// trusting is a site that takes tokens of an issuer.
func trusting(t *testing.T) (*apitest.Site, *identitytest.Issuer) {
	t.Helper()
	issuer := identitytest.NewIssuer()
	t.Cleanup(issuer.Close)
	c := identity.Defaults()
	if err := issuer.Trust(&c, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	v, err := identity.New("api", c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	plane := apitest.New(t)
	plane.Tokens(v)
	return apitest.Over(t, plane, plane), issuer
}

// shown asks with a bearer token, again while the issuer's keys are on their way.
func shown(t testing.TB, s *apitest.Site, token string, headers ...string) reply {
	t.Helper()
	headers = append(headers, "Authorization", "Bearer "+token)
	got := request(t, s, "", http.MethodGet, one+inEnv, "", headers...)
	for start := time.Now(); got.status == http.StatusServiceUnavailable && time.Since(start) < time.Minute; {
		got = request(t, s, "", http.MethodGet, one+inEnv, "", headers...)
	}
	return got
}

func TestABearerTokenProvesTheAccountThatNamesItsHolder(t *testing.T) {
	t.Parallel()
	s, issuer := trusting(t)
	who := integration.OIDC{Issuer: issuer.URL, Audience: "rolebridge", Subject: "ada"}
	name := func(o integration.OrganizationID, p integration.Principal) {
		s.Do(t, o, "platform:test", integration.CreateAccount{Account: p, Kind: integration.User, Name: "n", Identities: []integration.OIDC{who}})
		s.Do(t, o, "platform:test", integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
			Principal: p, Role: integration.Assigner, Scope: integration.Scope{Environment: apitest.Environment},
		}})
	}
	name(apitest.OrgA, "u-ada")
	token := issuer.Token(issuer.Claims("rolebridge", "ada"))
	if got := shown(t, s, token); got.status != http.StatusOK {
		t.Fatalf("got %d %s", got.status, got.body)
	}

	old := issuer.Claims("rolebridge", "ada")
	old.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour))
	forged := identitytest.NewSigningKey(jose.RS256)
	var bodies []string
	for what, bad := range map[string]string{
		"somebody else":    issuer.Token(issuer.Claims("rolebridge", "eve")),
		"another audience": issuer.Token(issuer.Claims("other", "ada")),
		"one that ended":   issuer.Token(old),
		"a forged one":     identitytest.Sign(forged, issuer.Claims("rolebridge", "ada")),
		"no token":         "x", "nothing": "",
	} {
		got := shown(t, s, bad)
		fault := got.refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), `Bearer realm="rolebridge", error="invalid_token"`) {
			t.Errorf("%s: got %q", what, got.header.Get("WWW-Authenticate"))
		}
		bodies = append(bodies, without(got.body, fault.ID))
	}
	if len(slices.Compact(bodies)) != 1 {
		t.Errorf("refusals differ: %q", bodies)
	}

	// Another organization names the same holder: then the request has to say which of the two it means.
	name(apitest.OrgB, "u-ada")
	if got := shown(t, s, token).refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated); !strings.Contains(got.Detail, "Rolebridge-Organization") {
		t.Errorf("got %q, want the header named", got.Detail)
	}
	if got := shown(t, s, token, "Rolebridge-Organization", "org-a"); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
	shown(t, s, token, "Rolebridge-Organization", "org-c").refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
	// And when the account goes, so does what proves it.
	s.Do(t, apitest.OrgA, "platform:test", integration.DeleteAccount{Account: "u-ada"})
	shown(t, s, token, "Rolebridge-Organization", "org-a").refused(t, http.StatusUnauthorized, integration.CodeUnauthenticated)
}

func TestABearerTokenWhoseIssuerIsAwayIsNotRefusedForGood(t *testing.T) {
	t.Parallel()
	s, issuer := trusting(t)
	issuer.Spoil(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.Do(t, apitest.OrgA, "platform:test", integration.CreateAccount{
		Account: "u-ada", Kind: integration.User, Name: "n", Identities: []integration.OIDC{{Issuer: issuer.URL, Audience: "rolebridge", Subject: "ada"}},
	})
	token := issuer.Token(issuer.Claims("rolebridge", "ada"))
	got := request(t, s, "", http.MethodGet, one+inEnv, "", "Authorization", "Bearer "+token)
	got.refused(t, http.StatusServiceUnavailable, integration.CodeUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// Of a member that is there twice a schema sees the last one; what is done must be what it saw.
func TestABodyIsUsedAsItWasChecked(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	s.Do(t, apitest.OrgA, "platform:test", integration.CreateAccount{Account: "u-twice", Kind: integration.User, Name: "n"})
	r := request(t, s, apitest.Admin, http.MethodPost, "/iam/v2/api-keys",
		`{"spec":{"display_name":7,"junk":1,"description":"first","expires_at":"2027-01-01T00:00:00Z"},"spec":{"display_name":"k","owner":{"id":"u-twice"}}}`)
	if r.status != http.StatusCreated {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	if text := string(r.body); strings.Contains(text, "first") || strings.Contains(text, "2027") {
		t.Errorf("got %d %s, want nothing of the first member", r.status, text)
	}
}
