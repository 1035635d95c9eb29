package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
)

func TestACreationAnswersWithThePlatformsRole(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN))
	var i wire.IntegrationV2
	got.into(t, http.StatusCreated, &i)
	if want := "arn:aws:iam::" + apitest.PlatformAccount + ":role/" + i.ID; i.Config.Platform() != want {
		t.Errorf("iam_role_arn: got %q, want %q", i.Config.Platform(), want)
	}
	if i.Provider != "aws" || i.Status != "" || i.Config.Customer() != roleARN || len(*i.Config.ExternalID) != 36 {
		t.Errorf("got %s", got.body)
	}
	at, err := url.Parse(got.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	var again wire.IntegrationV2
	request(t, s, apitest.Admin, http.MethodGet, at.RequestURI(), "").into(t, http.StatusOK, &again)
	if again.ID != i.ID {
		t.Errorf("the Location %s has %q, want %q", at, again.ID, i.ID)
	}
}

func TestACreationDoesNotWaitForeverForThePlatformsRole(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.MappedWithin = 20 * time.Millisecond })
	s.Mapping(func(integration.MappingAsked) integration.Finding { return nil })
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN))
	var i wire.IntegrationV2
	got.into(t, http.StatusCreated, &i)
	if i.Config.Platform() != "" || !strings.Contains(string(got.body), `"iam_role_arn":""`) {
		t.Errorf("got %s, want an empty iam_role_arn", got.body)
	}
	s.Finding(apitest.OrgA, integration.ID(i.ID), 1, integration.MappingWasMade{Platform: "arn:aws:iam::111122223333:role/late"})
	request(t, s, apitest.Admin, http.MethodGet, one+"/"+i.ID+inEnv, "").into(t, http.StatusOK, &i)
	if i.Config.Platform() != "arn:aws:iam::111122223333:role/late" {
		t.Errorf("later: got %q", i.Config.Platform())
	}
}

func TestAWrongBodyIsRefusedWithTheFieldNamed(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	name := strings.Repeat("n", 61)
	for _, c := range []struct {
		body    string
		status  int
		code    integration.Code
		pointer string
	}{
		{`{`, 400, "invalid_request", ""},
		{`[]`, 400, "invalid_request", ""},
		{`{} {}`, 400, "invalid_request", ""},
		{strings.Replace(creation(roleARN), `"provider":"AWS",`, "", 1), 400, "invalid_request", "/provider"},
		{strings.Replace(creation(roleARN), `"s3_provider_integration"`, "7", 1), 400, "invalid_request", "/display_name"},
		{strings.Replace(creation(roleARN), `"display_name"`, `"Display_Name"`, 1), 400, "invalid_request", "/Display_Name"},
		{strings.Replace(creation(roleARN), `"kind"`, `"knd"`, 1), 400, "invalid_request", "/config/knd"},
		{strings.Replace(creation(roleARN), `{"id"`, `{"no/t~id":1,"id"`, 1), 400, "invalid_request", "/environment/no~1t~0id"},
		{strings.Replace(creation(roleARN), `{"id":"env-abcdef"}`, `{}`, 1), 400, "invalid_request", "/environment/id"},
		{strings.Replace(creation(roleARN), "env-abcdef", "env abcdef", 1), 422, integration.CodeInvalid, "/environment/id"},
		{strings.Replace(creation(roleARN), "AWS", "oracle", 1), 422, integration.CodeInvalid, "/provider"},
		{strings.Replace(creation(roleARN), "AWS", "gcp", 1), 422, integration.CodeInvalid, "/provider"},
		{strings.Replace(creation(roleARN), "AwsIntegrationConfig", "GcpIntegrationConfig", 1), 422, integration.CodeInvalid, "/config/kind"},
		{strings.Replace(creation(roleARN), "AwsIntegrationConfig", "Aws", 1), 422, integration.CodeInvalid, "/config/kind"},
		{strings.Replace(creation(roleARN), `"kind"`, `"customer_azure_tenant_id":"x","kind"`, 1), 422, integration.CodeInvalid, "/config/customer_azure_tenant_id"},
		{strings.Replace(creation(roleARN), "s3_provider_integration", name, 1), 422, integration.CodeInvalid, "/display_name"},
		{strings.Replace(creation(roleARN), "s3_provider_integration", " ", 1), 422, integration.CodeInvalid, "/display_name"},
		{creation(""), 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		{creation("arn:aws:iam::123:role/x"), 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		{creation("arn:aws:iam::000000000000:user/alice"), 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		{creation(strings.Repeat("a", 5000)), 400, "invalid_request", "/config/customer_iam_role_arn"},
	} {
		fault := request(t, s, apitest.Admin, http.MethodPost, one, c.body).refused(t, c.status, c.code)
		got := ""
		if fault.Source != nil {
			got = fault.Source.Pointer
		}
		if c.pointer != got {
			t.Errorf("%.300s: got pointer %q, want %q", c.body, got, c.pointer)
		}
	}
	if n := s.Listed(apitest.OrgA, apitest.Environment); n != 0 {
		t.Errorf("%d integrations were made of wrong bodies", n)
	}
}

func TestAllFaultsOfABodyAreTold(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var f wire.Failure
	request(t, s, apitest.Admin, http.MethodPost, one, `{"colour":1,"environment":{"id":7}}`).into(t, http.StatusBadRequest, &f)
	var got []string
	for _, e := range f.Errors {
		got = append(got, e.Source.Pointer)
	}
	slices.Sort(got)
	if want := []string{"/colour", "/config", "/display_name", "/environment/id", "/provider"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAWrongParameterIsNamed(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	for path, parameter := range map[string]string{
		one:                             "environment",
		one + "/" + i.ID:                "environment",
		one + inEnv + "&page_size=101":  "page_size",
		one + inEnv + "&page_size=0":    "page_size",
		one + inEnv + "&page_size=x":    "page_size",
		one + inEnv + "&page_token=%00": "page_token",
		one + inEnv + "&page_token=Mi5JbnRlZ3JhdGlvbiA":        "page_token", // of no id
		one + inEnv + "&page_token=Mi5Vc2VyIHUtYQ":             "page_token", // of another list
		one + inEnv + "&provider=oracle":                       "provider",
		two + inEnv + "&status=SOMETHING":                      "status",
		two + inEnv + "&page_size=&page_size=7":                "page_size",
		two + inEnv + "&environment=env-other":                 "environment",
		mine + i.ID + "/validation?wait=31s":                   "wait",
		mine + i.ID + "/validation?after=x":                    "after",
		mine + i.ID + "/policies?for=kafka":                    "for",
		mine + i.ID + "/policies?for=s3-sink&bucket=No_Bucket": "bucket",
	} {
		fault := request(t, s, apitest.Admin, http.MethodGet, path, "").refused(t, http.StatusBadRequest, "invalid_parameter")
		if fault.Source == nil || fault.Source.Parameter != parameter {
			t.Errorf("%s: got %+v, want the parameter %s", path, fault.Source, parameter)
		}
	}
}

func TestAListIsStableWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var before []string
	for n := range 7 {
		before = append(before, created(t, s, fmt.Sprintf("%s-%d", roleARN, n)).ID)
	}
	slices.Sort(before)
	seen := map[string]int{}
	path, pages := one+inEnv+"&page_size=2", 0
	for path != "" {
		var list wire.IntegrationListV2
		got := request(t, s, apitest.Admin, http.MethodGet, path, "")
		got.into(t, http.StatusOK, &list)
		if strings.Contains(string(got.body), `"next":null`) {
			t.Fatalf("next is null, which clients crash on: %s", got.body)
		}
		for _, i := range list.Data {
			seen[i.ID]++
		}
		if pages++; pages == 2 {
			// The last one that was seen goes, and another comes.
			last := list.Data[len(list.Data)-1].ID
			if got := request(t, s, apitest.Admin, http.MethodDelete, one+"/"+last+inEnv, ""); got.status != http.StatusNoContent {
				t.Fatalf("delete: got %d %s", got.status, got.body)
			}
			created(t, s, roleARN+"-late")
		}
		path = ""
		if list.Metadata.Next != "" {
			next, err := url.Parse(list.Metadata.Next)
			if err != nil {
				t.Fatal(err)
			}
			if token := next.Query().Get("page_token"); token == "" || len(token) > 255 {
				t.Fatalf("page_token in %s: want 1 to 255 characters", next)
			}
			path = next.RequestURI()
		}
	}
	for _, id := range before {
		if seen[id] != 1 {
			t.Errorf("%s was seen %d times in %d pages, want once", id, seen[id], pages)
		}
	}
}

func TestPagesHoldWhatMayBeReadAndCountNothingElse(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var mayRead []string
	for n := range 12 {
		i := created(t, s, fmt.Sprintf("%s-%d", roleARN, n))
		if n%2 == 0 && n < 8 {
			mayRead = append(mayRead, i.ID)
			s.Do(t, apitest.OrgA, "platform:test", integration.CreateRoleBinding{RoleBinding: integration.RoleBinding{
				Principal: "u-tester", Role: integration.Assigner, Scope: integration.Scope{Environment: apitest.Environment, Integration: integration.ID(i.ID)},
			}})
		}
	}
	slices.Sort(mayRead)
	for name, c := range map[string]struct {
		key, query string
		pages      []int
	}{
		"some of them":               {apitest.Tester, "&page_size=3", []int{3, 1}},
		"the last page is full":      {apitest.Tester, "&page_size=2", []int{2, 2}},
		"all of them":                {apitest.Admin, "&page_size=4", []int{4, 4, 4}},
		"ten where no size is given": {apitest.Admin, "", []int{10, 2}},
		"the largest page":           {apitest.Admin, "&page_size=100", []int{12}},
		"a filter that all pass":     {apitest.Admin, "&provider=Aws&page_size=7", []int{7, 5}},
		"a filter that nobody does":  {apitest.Admin, "&provider=gcp", []int{0}},
	} {
		var got []int
		var ids []string
		for path := one + inEnv + c.query; path != "" && len(got) < 9; {
			var list wire.IntegrationListV2
			request(t, s, c.key, http.MethodGet, path, "").into(t, http.StatusOK, &list)
			total := 0
			for _, n := range c.pages {
				total += n
			}
			if list.Metadata.TotalSize != total {
				t.Errorf("%s: total_size is %d, want %d", name, list.Metadata.TotalSize, total)
			}
			got = append(got, len(list.Data))
			for _, i := range list.Data {
				ids = append(ids, i.ID)
			}
			path = strings.TrimPrefix(list.Metadata.Next, s.URL)
		}
		if !slices.Equal(got, c.pages) || !slices.IsSorted(ids) {
			t.Errorf("%s: got pages of %v with %v, want %v in order", name, got, ids, c.pages)
		}
		if c.key == apitest.Tester && !slices.Equal(ids, mayRead) {
			t.Errorf("%s: got %v, want %v", name, ids, mayRead)
		}
	}
}

func TestAnEmptyListIsAnEmptyList(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	got := request(t, s, apitest.Admin, http.MethodGet, one+inEnv, "")
	if !strings.Contains(string(got.body), `"data":[]`) || !strings.Contains(string(got.body), `"total_size":0`) {
		t.Errorf("got %s", got.body)
	}
}

func TestAnotherTenantsIntegrationIsLikeOneThatDoesNotExist(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	const unknown = "cspi-unknown1"
	update := `{"config":{"kind":"AwsIntegrationConfig","customer_iam_role_arn":"` + roleARN + `"},"environment":{"id":"env-abcdef"}}`
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, one + "/ID" + inEnv, ""},
		{http.MethodDelete, one + "/ID" + inEnv, ""},
		{http.MethodGet, two + "/ID" + inEnv, ""},
		{http.MethodPatch, two + "/ID", update},
		{http.MethodPost, two + ":validate", `{"id":"ID","environment":{"id":"env-abcdef"}}`},
		{http.MethodGet, mine + "ID/connectors", ""},
		{http.MethodPost, mine + "ID/connectors", `{"connector":"lcc-1"}`},
		{http.MethodDelete, mine + "ID/connectors/lcc-1", ""},
		{http.MethodGet, mine + "ID/connectors/lcc-1", ""},
		{http.MethodPost, mine + "ID/connectors/lcc-1/token:rotate", "{}"},
		{http.MethodGet, mine + "ID/validation", ""},
		{http.MethodPost, mine + "ID/validation", ""},
		{http.MethodPost, mine + "ID/sessions:revoke", ""},
		{http.MethodGet, mine + "ID/rotation", ""},
		{http.MethodPost, mine + "ID/rotation", ""},
		{http.MethodDelete, mine + "ID/rotation", ""},
		{http.MethodGet, mine + "ID/policies", ""},
	} {
		var bodies []string
		for _, id := range []string{i.ID, unknown} {
			got := request(t, s, apitest.Other, c.method, strings.ReplaceAll(c.path, "ID", id), strings.ReplaceAll(c.body, "ID", id))
			fault := got.refused(t, http.StatusNotFound, integration.CodeNotFound)
			bodies = append(bodies, without(got.body, id, fault.ID))
		}
		if bodies[0] != bodies[1] {
			t.Errorf("%s %s: another tenant's: %s\nunknown: %s", c.method, c.path, bodies[0], bodies[1])
		}
	}
	// In another environment it does not exist either.
	request(t, s, apitest.Admin, http.MethodGet, one+"/"+i.ID+"?environment=env-other", "").refused(t, http.StatusNotFound, integration.CodeNotFound)
	request(t, s, apitest.Admin, http.MethodDelete, one+"/"+i.ID+"?environment=env-other", "").refused(t, http.StatusNotFound, integration.CodeNotFound)
	for _, cmd := range s.Sent() {
		if cmd.Organization == apitest.OrgB && cmd.Ask.About() != "" {
			t.Errorf("a command about another tenant's integration was sent: %+v", cmd)
		}
	}
}

func TestRolesDecideWhatIsSeenAndDone(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	path := one + "/" + i.ID + inEnv
	if got := request(t, s, apitest.Assigner, http.MethodGet, path, ""); got.status != http.StatusOK {
		t.Errorf("an Assigner reads: got %d %s", got.status, got.body)
	}
	request(t, s, apitest.Assigner, http.MethodDelete, path, "").refused(t, http.StatusForbidden, integration.CodeDenied)
	request(t, s, apitest.Assigner, http.MethodPost, one, creation(roleARN+"2")).refused(t, http.StatusForbidden, integration.CodeDenied)
	request(t, s, apitest.Stranger, http.MethodGet, path, "").refused(t, http.StatusForbidden, integration.CodeDenied)
	request(t, s, apitest.Stranger, http.MethodGet, one+"/cspi-unknown1"+inEnv, "").refused(t, http.StatusForbidden, integration.CodeDenied)
	var list wire.IntegrationListV2
	request(t, s, apitest.Assigner, http.MethodGet, one+"?environment=env-other", "").into(t, http.StatusOK, &list)
	if len(list.Data) != 0 {
		t.Errorf("got %d integrations of an environment without a role, want none", len(list.Data))
	}
}

func TestTheQuotaAnswers402(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	quota := 1
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: &quota})
	created(t, s, roleARN)
	request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN+"2")).refused(t, http.StatusPaymentRequired, integration.CodeQuota)
}

func TestAConflictSaysWhereTheOtherIs(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	got := request(t, s, apitest.Admin, http.MethodPost, one, creation(roleARN))
	fault := got.refused(t, http.StatusConflict, integration.CodeExists)
	if fault.Source == nil || fault.Source.Pointer != "/config/customer_iam_role_arn" {
		t.Errorf("got %+v", fault.Source)
	}
	if at := got.header.Get("Location"); !strings.Contains(at, one+"/"+i.ID+"?") {
		t.Errorf("Location: got %q", at)
	}
}

func TestADraftIsUpdatedAndProved(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	var i wire.IntegrationV2
	request(t, s, apitest.Admin, http.MethodPost, two, `{"environment":{"id":"env-abcdef"}}`).into(t, http.StatusCreated, &i)
	if i.Status != "DRAFT" || i.Config.Platform() == "" || i.Config.CustomerIAMRoleARN == nil || *i.Config.CustomerIAMRoleARN != "" {
		t.Fatalf("got %+v", i)
	}
	validation := `{"id":"` + i.ID + `","environment":{"id":"env-abcdef"}}`
	request(t, s, apitest.Admin, http.MethodPost, two+":validate", validation).refused(t, http.StatusBadRequest, integration.CodeConflict)

	update := `{"config":{"kind":"AwsIntegrationConfig","customer_iam_role_arn":"` + roleARN + `"},"environment":{"id":"env-abcdef"}}`
	request(t, s, apitest.Admin, http.MethodPatch, two+"/"+i.ID, update).into(t, http.StatusOK, &i)
	if i.Status != "CREATED" || i.Config.Customer() != roleARN {
		t.Errorf("got %+v", i)
	}
	// The same again is what a client does that lost the answer.
	request(t, s, apitest.Admin, http.MethodPatch, two+"/"+i.ID, update).into(t, http.StatusOK, &i)
	other := strings.Replace(update, roleARN, roleARN+"2", 1)
	request(t, s, apitest.Admin, http.MethodPatch, two+"/"+i.ID, other).refused(t, http.StatusConflict, integration.CodeConflict)

	// With a stale configuration, as a client sends it at every refresh.
	stale := strings.Replace(validation, "{", `{"config":{"kind":"AwsIntegrationConfig","customer_iam_role_arn":"`+roleARN+`"},`, 1)
	for _, body := range []string{validation, stale} {
		if got := request(t, s, apitest.Admin, http.MethodPost, two+":validate", body); got.status != http.StatusNoContent || len(got.body) != 0 {
			t.Errorf("validate: got %d %s, want 204 without a body", got.status, got.body)
		}
	}
	s.Trust(func(integration.TrustAsked) integration.Report {
		return apitest.Report(integration.Check{Name: integration.CheckWithoutID, Outcome: integration.Fail, Reason: "admitted", Remedy: "Ask for the external ID"})
	})
	fault := request(t, s, apitest.Admin, http.MethodPost, two+":validate", validation).refused(t, http.StatusBadRequest, "trust_not_valid")
	if !strings.Contains(fault.Detail, "refuse-without-external-id") || !strings.Contains(fault.Detail, "Ask for the external ID") {
		t.Errorf("got %q", fault.Detail)
	}
}

func TestEveryCloudHasDrafts(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	s.Mapping(func(integration.MappingAsked) integration.Finding {
		return integration.MappingWasRefused{Reason: integration.ReasonCloudNotEnabled, Permanent: true}
	})
	for provider, kind := range map[string]string{"GCP": "GcpIntegrationConfig", "azure": "AzureIntegrationConfig"} {
		var i wire.IntegrationV2
		request(t, s, apitest.Admin, http.MethodPost, two, `{"provider":"`+provider+`","environment":{"id":"env-abcdef"}}`).into(t, http.StatusCreated, &i)
		if i.Config.Kind != kind || !strings.EqualFold(i.Provider, provider) || strings.ToLower(i.Provider) != i.Provider || i.Status != "DRAFT" {
			t.Errorf("%s: got %+v", provider, i)
		}
		request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/policies", "").refused(t, http.StatusConflict, integration.CodeConflict)
	}
}

func TestFiltersOfV2(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	for _, body := range []string{
		`{"display_name":"Orders","provider":"aws","environment":{"id":"env-abcdef"}}`,
		`{"display_name":"orders eu","provider":"gcp","environment":{"id":"env-abcdef"}}`,
		`{"display_name":"bills","provider":"aws","config":{"customer_iam_role_arn":"` + roleARN + `"},"environment":{"id":"env-abcdef"}}`,
	} {
		request(t, s, apitest.Admin, http.MethodPost, two, body).into(t, http.StatusCreated, new(json.RawMessage))
	}
	for query, want := range map[string]int{
		"": 3, "&provider=AWS": 2, "&provider=azure": 0, "&display_name=ORDER": 2, "&status=DRAFT": 2, "&status=CREATED": 1,
		"&provider=gcp&status=CREATED": 0,
	} {
		var list wire.IntegrationListV2
		request(t, s, apitest.Admin, http.MethodGet, two+inEnv+query, "").into(t, http.StatusOK, &list)
		if len(list.Data) != want || list.Metadata.TotalSize != want {
			t.Errorf("%q: got %d of %d, want %d", query, len(list.Data), list.Metadata.TotalSize, want)
		}
	}
}
