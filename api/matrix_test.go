package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
)

// may is the matrix as people read it: a column for each operation.
//
//	read create manage validate use grant configure accounts
var may = map[integration.Role]string{
	integration.OrganizationAdmin: "x x x x x x x x",
	integration.EnvironmentAdmin:  "x x x x x x . .",
	integration.ResourceOwner:     "x . . x x x . .",
	integration.Assigner:          "x . . . x . . .",
}

var columns = []integration.Operation{"read", "create", "manage", "validate", "use", "grant", "configure", "accounts"}

// places are where a role may be given, and whether that covers the integration and the environment of the test.
var places = []struct {
	name        string
	scope       integration.Scope
	integration bool // the integration is named beside the scope
	covers      bool
	roles       []integration.Role
}{
	{"the organization", integration.Scope{}, false, true, []integration.Role{integration.OrganizationAdmin}},
	{"the environment", integration.Scope{Environment: apitest.Environment}, false, true, []integration.Role{integration.EnvironmentAdmin, integration.ResourceOwner, integration.Assigner}},
	{"environments of its name", integration.Scope{Environment: "env-abc*"}, false, true, []integration.Role{integration.EnvironmentAdmin, integration.ResourceOwner, integration.Assigner}},
	{"every environment", integration.Scope{Environment: "*"}, false, true, []integration.Role{integration.EnvironmentAdmin, integration.ResourceOwner, integration.Assigner}},
	{"the integration", integration.Scope{Environment: apitest.Environment}, true, true, []integration.Role{integration.ResourceOwner, integration.Assigner}},
	{"another integration", integration.Scope{Environment: apitest.Environment, Integration: "cspi-another"}, false, false, []integration.Role{integration.ResourceOwner, integration.Assigner}},
	{"another environment", integration.Scope{Environment: "env-other"}, false, false, []integration.Role{integration.EnvironmentAdmin, integration.ResourceOwner, integration.Assigner}},
	{"environments of another name", integration.Scope{Environment: "env-o*"}, false, false, []integration.Role{integration.EnvironmentAdmin, integration.ResourceOwner, integration.Assigner}},
}

// guarded says what each operation of the document needs, and of whom it is asked. In body and path ID is the integration,
// SA a service account, KEY its key and ROLE a role on the integration.
var guarded = map[string]struct {
	needs integration.Operation
	// hidden is the answer to who lacks it and may not read: 404 where one thing is named, 403 where it is to be made. Lists
	// are 200 for everybody, and hold only what may be read.
	hidden int
	body   string
}{
	"GET /pim/v1/integrations":                             {"read", 200, ""},
	"GET /pim/v2/integrations":                             {"read", 200, ""},
	"POST /pim/v1/integrations":                            {"create", 403, creation(roleARN + "-new")},
	"POST /pim/v2/integrations":                            {"create", 403, `{"environment":{"id":"env-abcdef"}}`},
	"GET /pim/v1/integrations/{id}":                        {"read", 404, ""},
	"GET /pim/v2/integrations/{id}":                        {"read", 404, ""},
	"DELETE /pim/v1/integrations/{id}":                     {"manage", 404, ""},
	"DELETE /pim/v2/integrations/{id}":                     {"manage", 404, ""},
	"PATCH /pim/v2/integrations/{id}":                      {"manage", 404, `{"config":{"kind":"AwsIntegrationConfig","customer_iam_role_arn":"` + roleARN + `"},"environment":{"id":"env-abcdef"}}`},
	"POST /pim/v2/integrations:validate":                   {"validate", 404, `{"id":"ID","environment":{"id":"env-abcdef"}}`},
	mine + "{id}/connectors GET":                           {"read", 404, ""},
	mine + "{id}/connectors POST":                          {"use", 404, `{"connector":"lcc-2"}`},
	mine + "{id}/connectors/{connector} GET":               {"read", 404, ""},
	mine + "{id}/connectors/{connector} DELETE":            {"use", 404, ""},
	mine + "{id}/connectors/{connector}/token:rotate POST": {"use", 404, "{}"},
	mine + "{id}/validation GET":                           {"read", 404, ""},
	mine + "{id}/validation POST":                          {"validate", 404, ""},
	mine + "{id}/validation:dry-run POST":                  {"validate", 404, "{}"},
	mine + "{id}/sessions:revoke POST":                     {"manage", 404, ""},
	mine + "{id}/rotation GET":                             {"read", 404, ""},
	mine + "{id}/rotation POST":                            {"manage", 404, ""},
	mine + "{id}/rotation DELETE":                          {"manage", 404, ""},
	mine + "{id}/events GET":                               {"read", 404, ""},
	mine + "{id}/policies GET":                             {"read", 404, ""},
	"PATCH /rolebridge/v1/organization":                    {"configure", 403, `{"insecure_roles":"warn"}`},
	"GET /iam/v2/users":                                    {"accounts", 200, ""},
	"GET /iam/v2/service-accounts":                         {"accounts", 200, ""},
	"GET /iam/v2/api-keys":                                 {"accounts", 200, ""},
	"GET /iam/v2/role-bindings":                            {"grant", 200, ""},
	"POST /iam/v2/users":                                   {"accounts", 403, `{"display_name":"n"}`},
	"POST /iam/v2/service-accounts":                        {"accounts", 403, `{"display_name":"n"}`},
	"POST /iam/v2/api-keys":                                {"accounts", 404, `{"spec":{"owner":{"id":"SA"}}}`},
	"POST /iam/v2/role-bindings":                           {"grant", 403, `{"principal":"User:u-x","role_name":"Assigner","crn_pattern":"crn://rolebridge/organization=org-a/environment=env-abcdef/provider-integration=ID"}`},
	"GET /iam/v2/users/{id}":                               {"accounts", 404, ""},
	"GET /iam/v2/service-accounts/{id}":                    {"accounts", 404, ""},
	"GET /iam/v2/api-keys/{id}":                            {"accounts", 404, ""},
	"GET /iam/v2/role-bindings/{id}":                       {"grant", 404, ""},
	"PATCH /iam/v2/users/{id}":                             {"accounts", 404, `{"description":"d"}`},
	"PATCH /iam/v2/service-accounts/{id}":                  {"accounts", 404, `{"description":"d"}`},
	"DELETE /iam/v2/users/{id}":                            {"accounts", 404, ""},
	"DELETE /iam/v2/service-accounts/{id}":                 {"accounts", 404, ""},
	"DELETE /iam/v2/api-keys/{id}":                         {"accounts", 404, ""},
	"DELETE /iam/v2/role-bindings/{id}":                    {"grant", 404, ""},
}

// unguarded are for everybody who is known, or for everybody.
var unguarded = []string{"GET /openapi.yaml", "GET /schemas.json", "GET /rolebridge/v1/organization", "GET /rolebridge/v1/watch", "POST /rolebridge/v1/policies:lint"}

// guard finds what an operation needs.
func guard(t *testing.T, o apitest.Operation) (needs integration.Operation, hidden int, body string, ok bool) {
	t.Helper()
	for _, name := range []string{o.Method + " " + o.Path, o.Path + " " + o.Method} {
		if g, ok := guarded[name]; ok {
			return g.needs, g.hidden, g.body, true
		}
		if slices.Contains(unguarded, name) {
			return "", 0, "", false
		}
	}
	t.Errorf("%s %s: say in the table who may", o.Method, o.Path)
	return "", 0, "", false
}

// fixture is one thing of every kind on a site.
type fixture struct {
	*apitest.Site
	names  *strings.Replacer
	ids    map[string]string
	serial int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := apitest.New(t)
	c.DryRuns(dryrun.ProverFunc(func(context.Context, dryrun.Claim) (integration.Report, error) { return apitest.Report(), nil }))
	f := &fixture{Site: apitest.Over(t, c, c)}
	return f
}

// fresh makes everything that one request may change, and gives the tester the role.
func (f *fixture) fresh(t *testing.T, b integration.RoleBinding, named bool) {
	t.Helper()
	f.serial++
	i := created(t, f.Site, fmt.Sprintf("%s-%d", roleARN, f.serial))
	id := integration.ID(i.ID)
	f.Do(t, apitest.OrgA, "u-admin-a", integration.Bind{
		Integration: id, Connector: "lcc-1", TokenClaim: integration.ClaimToken(apitest.OrgA, id, "lcc-1", fmt.Sprint("token ", f.serial)),
	})
	sa := integration.Principal(fmt.Sprint("sa-", f.serial))
	user := integration.Principal(fmt.Sprint("u-", f.serial))
	f.Do(t, apitest.OrgA, "platform:test", integration.CreateAccount{Account: sa, Kind: integration.ServiceAccount, Name: "n"})
	f.Do(t, apitest.OrgA, "platform:test", integration.CreateAccount{Account: user, Kind: integration.User, Name: "n"})
	key := integration.KeyID(fmt.Sprintf("KEY%013d", f.serial))
	f.Do(t, apitest.OrgA, "platform:test", integration.CreateKey{Account: sa, KeyClaim: integration.ClaimKey(apitest.OrgA, sa, key, "s")})
	role := integration.RoleBinding{Principal: sa, Role: integration.Assigner, Scope: integration.Scope{Environment: apitest.Environment, Integration: id}}
	f.Do(t, apitest.OrgA, "platform:test", integration.CreateRoleBinding{RoleBinding: role})
	if named {
		b.Scope.Integration = id
	}
	f.Do(t, apitest.OrgA, "platform:test", integration.CreateRoleBinding{RoleBinding: b})

	var roles struct {
		Data []struct{ ID string }
	}
	request(t, f.Site, apitest.Admin, http.MethodGet, "/iam/v2/role-bindings?principal=User:"+string(sa), "").into(t, http.StatusOK, &roles)
	f.ids = map[string]string{
		"users": string(user), "service-accounts": string(sa), "api-keys": string(key), "role-bindings": roles.Data[0].ID, "integrations": i.ID,
	}
	f.names = strings.NewReplacer("SA", string(sa), "ID", i.ID)
}

// ask does an operation on what is fresh.
func (f *fixture) ask(t *testing.T, key string, o apitest.Operation, body string) reply {
	t.Helper()
	path := strings.ReplaceAll(o.Path, "{connector}", "lcc-1")
	for kind, id := range f.ids {
		path = strings.ReplaceAll(path, kind+"/{id}", kind+"/"+id)
	}
	if strings.HasPrefix(path, "/pim/") {
		path += inEnv + "&force=true&page_size=100"
	}
	if strings.HasPrefix(path, "/iam/") && o.Method == http.MethodGet && !strings.Contains(o.Path, "{id}") {
		path += "?page_size=100"
	}
	return request(t, f.Site, key, o.Method, path, f.names.Replace(body))
}

// own is the id of what an operation lists.
func (f *fixture) own(o apitest.Operation) string {
	for kind, id := range f.ids {
		if strings.HasSuffix(o.Path, "/"+kind) {
			return id
		}
	}
	return "?"
}

func TestTheMatrixNamesEveryRoleAndEveryOperation(t *testing.T) {
	t.Parallel()
	if !slices.Equal(columns, integration.Operations()) {
		t.Errorf("the columns are %q, want the operations %q", columns, integration.Operations())
	}
	for _, role := range integration.Roles() {
		if n := len(strings.Fields(may[role])); n != len(columns) {
			t.Errorf("%s has %d marks, want one for each of %d operations", role, n, len(columns))
		}
	}
	if len(may) != len(integration.Roles()) {
		t.Errorf("got rows of %d roles, want %d", len(may), len(integration.Roles()))
	}
	for name := range guarded {
		if !slices.ContainsFunc(apitest.Operations(t), func(o apitest.Operation) bool { return name == o.Method+" "+o.Path || name == o.Path+" "+o.Method }) {
			t.Errorf("%s is in the table and not in the document", name)
		}
	}
}

func TestEachRoleInEachScopeDoesWhatTheMatrixSaysAndNothingMore(t *testing.T) {
	t.Parallel()
	operations := apitest.Operations(t)
	for role, row := range may {
		for _, place := range places {
			if !slices.Contains(place.roles, role) {
				continue
			}
			t.Run(fmt.Sprintf("%s of %s", role, place.name), func(t *testing.T) {
				t.Parallel()
				has := map[integration.Operation]bool{}
				for n, mark := range strings.Fields(row) {
					has[columns[n]] = mark == "x" && place.covers
				}
				f, spoiled := newFixture(t), true
				for _, o := range operations {
					needs, hidden, body, ok := guard(t, o)
					if !ok {
						continue
					}
					if spoiled {
						f.fresh(t, integration.RoleBinding{Principal: "u-tester", Role: role, Scope: place.scope}, place.integration)
					}
					got := f.ask(t, apitest.Tester, o, body)
					spoiled = o.Method != http.MethodGet && got.status < 300
					switch listed := strings.Contains(string(got.body), f.own(o)); {
					case hidden == http.StatusOK && (got.status != http.StatusOK || listed != has[needs]):
						t.Errorf("%s %s: got %d %s, want a list with it: %t", o.Method, o.Path, got.status, got.body, has[needs])
					case hidden == http.StatusOK:
					case has[needs] && (got.status >= 500 || slices.Contains([]int{401, 403, 404}, got.status)):
						t.Errorf("%s %s: got %d %s, and the role has %s", o.Method, o.Path, got.status, got.body, needs)
					case !has[needs] && hidden == http.StatusNotFound && has["read"] && !strings.HasPrefix(o.Path, "/iam/"):
						got.refused(t, http.StatusForbidden, integration.CodeDenied)
					case !has[needs] && got.status != hidden:
						t.Errorf("%s %s: got %d %s, want %d without %s", o.Method, o.Path, got.status, got.body, hidden, needs)
					}
				}
			})
		}
	}
}

func TestNothingOfAnotherTenantExists(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, o := range apitest.Operations(t) {
		_, hidden, body, ok := guard(t, o)
		if !ok || hidden != http.StatusNotFound {
			continue
		}
		f.fresh(t, integration.RoleBinding{Principal: "u-tester", Role: integration.Assigner, Scope: integration.Scope{Environment: apitest.Environment}}, false)
		theirs := f.ask(t, apitest.Other, o, body)
		there := f.ids
		f.ids = map[string]string{
			"users": "u-unknown", "service-accounts": "sa-unknown", "api-keys": "KEYUNKNOWN000000", "role-bindings": "rb-0000000000000000", "integrations": "cspi-unknown1",
		}
		f.names = strings.NewReplacer("SA", "sa-unknown", "ID", "cspi-unknown1")
		nobodys := f.ask(t, apitest.Other, o, body)
		words := []string{theirs.refused(t, http.StatusNotFound, integration.CodeNotFound).ID, nobodys.refused(t, http.StatusNotFound, integration.CodeNotFound).ID}
		for kind := range there {
			words = append(words, there[kind], f.ids[kind])
		}
		if a, b := without(theirs.body, words...), without(nobodys.body, words...); a != b {
			t.Errorf("%s %s: another tenant's: %s\nunknown: %s", o.Method, o.Path, a, b)
		}
	}
	for _, cmd := range f.Sent() {
		if cmd.Organization == apitest.OrgB && cmd.Actor == "u-admin-b" {
			t.Errorf("a command about another tenant's things was sent: %+v", cmd)
		}
	}
}

func TestARoleIsGivenOnlyWhereItMakesSense(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	for role := range may {
		for _, place := range places {
			if slices.Contains(place.roles, role) || place.integration {
				continue
			}
			pattern := "crn://rolebridge/organization=org-a"
			if e := place.scope.Environment; e != "" {
				pattern += "/environment=" + string(e)
			}
			if id := place.scope.Integration; id != "" {
				pattern += "/provider-integration=" + string(id)
			}
			got := request(t, s, apitest.Admin, http.MethodPost, "/iam/v2/role-bindings",
				fmt.Sprintf(`{"principal":"User:u-x","role_name":%q,"crn_pattern":%q}`, role, pattern))
			if at := got.refused(t, http.StatusUnprocessableEntity, integration.CodeInvalid).Source; at == nil || at.Pointer != "/crn_pattern" {
				t.Errorf("%s of %s: got %s", role, place.name, got.body)
			}
		}
	}
}
