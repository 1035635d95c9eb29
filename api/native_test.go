package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

func TestAConnectorsTokenIsShownOnceAndKeptNowhere(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.CredentialsURL = "http://127.0.0.1:9/v1/credentials" })
	i := created(t, s, roleARN)
	path := mine + i.ID + "/connectors"
	var bound wire.Bound
	got := request(t, s, apitest.Assigner, http.MethodPost, path, `{"connector":"lcc-1"}`)
	got.into(t, http.StatusCreated, &bound)
	if len(bound.Token) < 43 || bound.CredentialsURL != "http://127.0.0.1:9/v1/credentials" || bound.BoundBy != "sa-assigner" {
		t.Errorf("got %s", got.body)
	}
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got.header.Get("Cache-Control"))
	}
	kept, _ := s.Integration(integration.ID(i.ID))
	tokens := kept.Connectors["lcc-1"].Tokens
	if len(tokens) != 1 || tokens[0].Hash != integration.TokenHash(bound.Token) ||
		!tokens[0].Proves(integration.TokenProof(kept.Organization, kept.ID, "lcc-1", bound.Token)) {
		t.Errorf("hash and proof that are kept are not those of the token: %+v", tokens)
	}

	list := request(t, s, apitest.Admin, http.MethodGet, path, "")
	var connectors wire.ConnectorList
	list.into(t, http.StatusOK, &connectors)
	if len(connectors.Data) != 1 || connectors.Data[0].Connector != "lcc-1" || strings.Contains(string(list.body), bound.Token) {
		t.Errorf("got %s", list.body)
	}
	var v2 wire.IntegrationV2
	request(t, s, apitest.Admin, http.MethodGet, two+"/"+i.ID+inEnv, "").into(t, http.StatusOK, &v2)
	want := fmt.Sprintf("crn://rolebridge/organization=org-a/environment=env-abcdef/provider-integration=%s/connector=lcc-1", i.ID)
	if v2.Status != "ACTIVE" || len(v2.Usages) != 1 || v2.Usages[0] != want {
		t.Errorf("got %s and %q, want ACTIVE and %q", v2.Status, v2.Usages, want)
	}

	request(t, s, apitest.Admin, http.MethodPost, path, `{"connector":"lcc-1"}`).refused(t, http.StatusConflict, integration.CodeExists)
	request(t, s, apitest.Admin, http.MethodDelete, one+"/"+i.ID+inEnv, "").refused(t, http.StatusConflict, integration.CodeInUse)
	for _, want := range []int{http.StatusNoContent, http.StatusNotFound} {
		if got := request(t, s, apitest.Admin, http.MethodDelete, path+"/lcc-1", ""); got.status != want {
			t.Errorf("unbind: got %d %s, want %d", got.status, got.body, want)
		}
	}
	if strings.Contains(s.Log(), bound.Token) {
		t.Error("the token was logged")
	}
}

func TestAConnectorIsBoundToWorkloadsAndResourcesAndItsTokenIsRotated(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	path := mine + i.ID + "/connectors"
	const terms = `"workloads":[{"oidc":{"issuer":"https://i","audience":"a","subject":"s"}},{"spiffe_id":"spiffe://d/w"}],` +
		`"resources":[{"s3":{"bucket":"lake","prefix":"raw","access":"write"}},{"dynamodb":{"table":"orders","region":"eu-west-1","access":"read"}}],"source_identity":true`
	bind := func(body string) reply { return request(t, s, apitest.Assigner, http.MethodPost, path, body) }
	var bound wire.Bound
	bind(`{"connector":"lcc-1",`+terms+`}`).into(t, http.StatusCreated, &bound)
	if bound.Token != "" || len(bound.Tokens) != 0 {
		t.Errorf("a connector with workload identities got a token: %+v", bound)
	}
	bind(`{"connector":"lcc-2","token":true,"token_expires_at":"2099-01-01T00:00:00Z",`+terms+`}`).refused(t, http.StatusUnprocessableEntity, integration.CodeInvalid)
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	bound = wire.Bound{}
	bind(`{"connector":"lcc-2","token":true,"token_expires_at":"`+soon.Format(time.RFC3339)+`",`+terms+`}`).into(t, http.StatusCreated, &bound)
	if bound.Token == "" || len(bound.Tokens) != 1 || !bound.Tokens[0].ExpiresAt.Equal(soon) {
		t.Errorf("got %+v, want a token until %s", bound, soon)
	}
	var shown wire.Connector
	got := request(t, s, apitest.Assigner, http.MethodGet, path+"/lcc-2", "")
	got.into(t, http.StatusOK, &shown)
	if len(shown.Workloads) != 2 || len(shown.Resources) != 2 || !shown.SourceIdentity || shown.Resources[0].S3.Prefix != "raw" {
		t.Errorf("got %s", got.body)
	}
	kept, _ := s.Integration(integration.ID(i.ID))
	for _, secret := range []string{bound.Token, kept.Connectors["lcc-2"].Tokens[0].Hash, kept.Connectors["lcc-2"].Tokens[0].Proof} {
		if strings.Contains(string(got.body), secret) {
			t.Errorf("%s is shown", secret)
		}
	}

	var rotated wire.Bound
	request(t, s, apitest.Assigner, http.MethodPost, path+"/lcc-2/token:rotate", `{"overlap_seconds":60}`).into(t, http.StatusOK, &rotated)
	kept, _ = s.Integration(integration.ID(i.ID))
	tokens := kept.Connectors["lcc-2"].Tokens
	if len(tokens) != 2 || len(rotated.Tokens) != 2 || rotated.Token == bound.Token || !tokens[0].ExpiresAt.Before(soon) ||
		!tokens[1].Proves(integration.TokenProof(kept.Organization, kept.ID, "lcc-2", rotated.Token)) {
		t.Errorf("rotated: got %+v, kept %+v", rotated, tokens)
	}
	for body, pointer := range map[string]string{
		`{"overlap_seconds":604801}`: "/overlap_seconds", `{"token_expires_at":"2000-01-01T00:00:00Z"}`: "/token_expires_at",
	} {
		fault := request(t, s, apitest.Assigner, http.MethodPost, path+"/lcc-2/token:rotate", body).refused(t, http.StatusUnprocessableEntity, integration.CodeInvalid)
		if fault.Source == nil || fault.Source.Pointer != pointer {
			t.Errorf("%s: got %+v, want %s", body, fault.Source, pointer)
		}
	}
	for body, pointer := range map[string]string{
		`{"connector":"lcc-3","token":false}`: "/token",
		`{"connector":"lcc-3","workloads":[{"oidc":{"issuer":"http://i","audience":"a","subject":"s"}}]}`:           "/workloads/0/oidc/issuer",
		`{"connector":"lcc-3","resources":[{"s3":{"bucket":"LAKE","access":"read"}}]}`:                              "/resources/0/s3/bucket",
		`{"connector":"lcc-3","resources":[{"dynamodb":{"table":"orders","region":"cn-north-1","access":"read"}}]}`: "/resources/0/dynamodb/region",
	} {
		fault := bind(body).refused(t, http.StatusUnprocessableEntity, integration.CodeInvalid)
		if fault.Source == nil || fault.Source.Pointer != pointer {
			t.Errorf("%s: got %+v, want %s", body, fault.Source, pointer)
		}
	}
	request(t, s, apitest.Assigner, http.MethodGet, path+"/lcc-9", "").refused(t, http.StatusNotFound, integration.CodeNotFound)
	request(t, s, apitest.Assigner, http.MethodPost, path+"/lcc-9/token:rotate", `{}`).refused(t, http.StatusNotFound, integration.CodeNotFound)
}

func TestAForcedDeletionTakesTheConnectorsWithIt(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/connectors", `{"connector":"lcc-1"}`).into(t, http.StatusCreated, new(wire.Bound))
	if got := request(t, s, apitest.Admin, http.MethodDelete, one+"/"+i.ID+inEnv+"&force=true", ""); got.status != http.StatusNoContent {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestAWrongConnectorIsNamed(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	for body, status := range map[string]int{`{"connector":"a b"}`: 422, `{"connector":""}`: 422, `{"connector":7}`: 400, `{}`: 400} {
		code := map[int]integration.Code{422: integration.CodeInvalid, 400: "invalid_request"}[status]
		fault := request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/connectors", body).refused(t, status, code)
		if fault.Source == nil || fault.Source.Pointer != "/connector" {
			t.Errorf("%s: got %+v, want /connector", body, fault.Source)
		}
	}
}

func TestAnExpiryThatWasNeverSetIsNoTokenWithoutEnd(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	for path, body := range map[string]string{
		"/connectors":                `{"connector":"c","token_expires_at":"0001-01-01T00:00:00Z"}`,
		"/connectors/c/token:rotate": `{"token_expires_at":"0001-01-01T00:00:00Z"}`,
	} {
		fault := request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+path, body).refused(t, http.StatusBadRequest, "invalid_request")
		if fault.Source == nil || fault.Source.Pointer != "/token_expires_at" {
			t.Errorf("%s: got %+v, want /token_expires_at", path, fault.Source)
		}
	}
}

func TestAValidationAnswersWithItsReport(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	s.Trust(func(integration.TrustAsked) integration.Report {
		return apitest.Report(integration.Check{Name: integration.CheckWrongID, Outcome: integration.Fail})
	})
	var v wire.Validation
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation", "").into(t, http.StatusOK, &v)
	if v.Trust.Status != integration.TrustInsecure || v.Credentials.Allowed || v.Trust.Report == nil || len(v.Trust.Report.Checks) != 8 {
		t.Errorf("got %+v", v)
	}
	var again wire.Validation
	request(t, s, apitest.Assigner, http.MethodGet, mine+i.ID+"/validation", "").into(t, http.StatusOK, &again)
	if again.Version != v.Version || again.Trust.Status != v.Trust.Status {
		t.Errorf("got %+v, want %+v", again, v)
	}
	request(t, s, apitest.Assigner, http.MethodPost, mine+i.ID+"/validation", "").refused(t, http.StatusForbidden, integration.CodeDenied)
}

func TestTheLastReportTheLastGoodTimeAndTheHistoryAreKept(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	reading := &integration.Reading{Read: true, Findings: []integration.LintFinding{{Code: "no-tag-session", Severity: "warning", Message: "m", Line: 1, Column: 2}}}
	var v wire.Validation
	validate := func(outcome integration.Outcome) {
		t.Helper()
		s.Trust(func(integration.TrustAsked) integration.Report {
			r := apitest.Report(integration.Check{Name: integration.CheckWrongID, Outcome: outcome, Remedy: "paste this"})
			r.Policy = reading
			return r
		})
		request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation", "").into(t, http.StatusOK, new(wire.Validation))
		request(t, s, apitest.Assigner, http.MethodGet, mine+i.ID+"/validation", "").into(t, http.StatusOK, &v)
	}
	validate(integration.Pass)
	if v.Trust.LastValid.IsZero() || v.Trust.Report.Policy == nil || v.Trust.Report.Policy.Findings[0] != reading.Findings[0] {
		t.Fatalf("got %+v", v.Trust)
	}
	good := v.Trust.LastValid
	for range 6 { // to insecure, and back with the second clean round
		validate(integration.Fail)
		if !v.Trust.LastValid.Equal(good) || v.Trust.Report.Checks[4].Remedy != "paste this" {
			t.Fatalf("a failed round changed the last good time from %s to %s, or lost its remedy: %+v", good, v.Trust.LastValid, v.Trust.Report)
		}
		validate(integration.Pass)
		validate(integration.Pass)
		good = v.Trust.LastValid
	}
	if n := len(v.Trust.History); n != 10 || v.Trust.History[9].To != integration.TrustValid || v.Trust.History[8].To != integration.TrustInsecure {
		t.Errorf("the history has %d changes, want the last 10: %+v", n, v.Trust.History)
	}
}

func TestAValidationThatTakesLongIsAcceptedAndWaitedFor(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	s.Trust(func(integration.TrustAsked) integration.Report { return integration.Report{} })
	var v wire.Validation
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation?wait=20ms", "").into(t, http.StatusAccepted, &v)
	if v.Settled {
		t.Errorf("got %+v, want it not settled", v)
	}
	waited := make(chan reply)
	go func() {
		waited <- request(t, s, apitest.Admin, http.MethodGet, fmt.Sprintf("%s%s/validation?after=%d&wait=30", mine, i.ID, v.Version), "")
	}()
	kept, _ := s.Integration(integration.ID(i.ID))
	s.Finding(apitest.OrgA, integration.ID(i.ID), kept.Trust.Attempt, integration.TrustWasProbed{Report: apitest.Report()})
	var later wire.Validation
	(<-waited).into(t, http.StatusOK, &later)
	if !later.Settled || later.Trust.Status != integration.TrustValid || !later.Credentials.Allowed {
		t.Errorf("got %+v", later)
	}
}

func TestAWaitWithoutNewsEnds(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	started := time.Now()
	request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/validation?after=1000&wait=30ms", "").into(t, http.StatusOK, new(wire.Validation))
	if took := time.Since(started); took < 30*time.Millisecond {
		t.Errorf("answered after %v, want 30ms and more", took)
	}
}

func TestARevocationRaisesTheEpoch(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	for want := int64(1); want <= 2; want++ {
		var r wire.Revocation
		request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/sessions:revoke", "").into(t, http.StatusOK, &r)
		if r.Epoch != want {
			t.Errorf("got epoch %d, want %d", r.Epoch, want)
		}
	}
}

func TestPoliciesComeInEveryFormat(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	full, draft := created(t, s, "arn:aws-cn:iam::000000000000:role/my-role"), drafted(t, s)
	for format, want := range map[string][3]string{ // of the first and final trust policy and the permissions
		"terraform":      {`resource "aws_iam_role"`, `resource "aws_iam_role"`, `resource "aws_iam_role_policy"`},
		"cloudformation": {"Type: \"AWS::IAM::Role\"", "Type: \"AWS::IAM::Role\"", "Type: \"AWS::IAM::RolePolicy\""},
		"cli":            {"aws iam create-role", "aws iam update-assume-role-policy", "aws iam put-role-policy"},
	} {
		for id, query := range map[string]string{full.ID: "", draft.ID: "&role_name=my-role&partition=aws-cn"} {
			var p wire.Policies
			request(t, s, apitest.Admin, http.MethodGet, mine+id+"/policies?for=s3-source&bucket=orders&format="+format+query, "").into(t, http.StatusOK, &p)
			for n, name := range []string{"first_trust", "final_trust", "permissions"} {
				if text := p.Rendered[name]; !strings.Contains(text, want[n]) || !strings.Contains(text, "my-role") {
					t.Errorf("%s of %s: got %s, want %s", name, format, text, want[n])
				}
			}
			if !strings.Contains(p.Rendered["permissions"], "arn:aws-cn:s3:::orders") || len(p.FinalTrust) == 0 {
				t.Errorf("%s: got %+v", format, p)
			}
		}
	}
	var plain wire.Policies
	request(t, s, apitest.Admin, http.MethodGet, mine+draft.ID+"/policies?format=json", "").into(t, http.StatusOK, &plain)
	if plain.Rendered != nil {
		t.Errorf("json is there twice: %+v", plain)
	}
	for query, parameter := range map[string]string{
		"format=yaml": "role_name", "format=yaml&role_name=r": "format", "format=cli": "role_name", "format=cli&role_name=a%20b": "role_name",
		"format=cli&role_name=r&policy_name=%2F&for=s3-sink&bucket=orders": "policy_name", "for=s3-sink&bucket=orders&partition=mars": "partition",
	} {
		f := request(t, s, apitest.Admin, http.MethodGet, mine+draft.ID+"/policies?"+query, "").refused(t, http.StatusBadRequest, "invalid_parameter")
		if f.Source == nil || f.Source.Parameter != parameter {
			t.Errorf("%s: got %+v, want %s", query, f.Source, parameter)
		}
	}
}

func TestThePoliciesAdmitThePlatformAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	var p wire.Policies
	request(t, s, apitest.Assigner, http.MethodGet, mine+i.ID+"/policies?for=s3-sink&bucket=orders", "").into(t, http.StatusOK, &p)
	caller, err := policy.SessionCaller(i.Config.Platform(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]policy.Decision{*i.Config.ExternalID: policy.Allowed, "another": policy.ImplicitDeny, "": policy.ImplicitDeny} {
		got := policy.Parse(policy.Trust, p.FinalTrust).Assume(policy.Request{Caller: caller, Resource: roleARN, SessionName: "x", ExternalID: id, Own: policy.OwnAllows})
		if got.Decision != want {
			t.Errorf("external ID %q: got %v, want %v", id, got.Decision, want)
		}
		first := policy.Parse(policy.Trust, p.FirstTrust).Assume(policy.Request{Caller: caller, Resource: roleARN, SessionName: "x", ExternalID: id, Own: policy.OwnAllows})
		if first.Decision != policy.ExplicitDeny {
			t.Errorf("first policy, external ID %q: got %v, want %v", id, first.Decision, policy.ExplicitDeny)
		}
	}
	if !strings.Contains(string(p.Permissions), "arn:aws:s3:::orders/*") {
		t.Errorf("got permissions %s", p.Permissions)
	}
	for _, query := range []string{"s3-source&bucket=orders&prefix=eu", "dynamodb-sink&table=Orders&region=eu-central-1", "dynamodb-source&table=Orders&region=eu-central-1&account=123456789012"} {
		request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/policies?for="+query, "").into(t, http.StatusOK, new(wire.Policies))
	}
}

func TestBeforeThePlatformsRoleThereIsNoFinalPolicy(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t, func(c *api.Config) { c.MappedWithin = time.Millisecond })
	s.Mapping(func(integration.MappingAsked) integration.Finding { return nil })
	i := created(t, s, roleARN)
	got := map[string]json.RawMessage{}
	request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/policies", "").into(t, http.StatusOK, &got)
	if _, there := got["final_trust"]; there || got["first_trust"] == nil {
		t.Errorf("got %s", got)
	}
}

func TestThePoliciesOfARotationAcceptBothExternalIDs(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	s.Do(t, apitest.OrgA, "u-admin-a", integration.RotateExternalID{Integration: integration.ID(i.ID)})
	now, _ := s.Integration(integration.ID(i.ID))
	if now.NextExternalID() == "" || now.ExternalID != *i.Config.ExternalID {
		t.Fatalf("the rotation began with %s and %q", now.ExternalID, now.NextExternalID())
	}
	var p wire.Policies
	request(t, s, apitest.Admin, http.MethodGet, mine+i.ID+"/policies", "").into(t, http.StatusOK, &p)
	findings := policy.Parse(policy.Trust, p.FinalTrust).Lint(policy.Expect{
		PlatformRole: i.Config.Platform(), ExternalIDs: []string{now.NextExternalID(), now.ExternalID}, CustomerRole: roleARN,
	})
	if len(findings) != 0 {
		t.Errorf("the policy to paste does not accept both external IDs, and only them: %+v\n%s", findings, p.FinalTrust)
	}
}

func TestARotationIsBegunShownAndAbortedOverTheAPI(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	i := created(t, s, roleARN)
	path := mine + i.ID + "/rotation"
	var r wire.Rotation
	request(t, s, apitest.Assigner, http.MethodGet, path, "").into(t, http.StatusOK, &r)
	if r.Phase != wire.RotationNone || r.ExternalID != *i.Config.ExternalID || r.NextExternalID != "" {
		t.Errorf("without a rotation: %+v", r)
	}
	request(t, s, apitest.Assigner, http.MethodPost, path, "").refused(t, http.StatusForbidden, integration.CodeDenied)
	request(t, s, apitest.Admin, http.MethodDelete, path, "").refused(t, http.StatusConflict, integration.CodeConflict)

	request(t, s, apitest.Admin, http.MethodPost, path, "", "Idempotency-Key", "one").into(t, http.StatusCreated, &r)
	if r.Phase != "proving" || r.ExternalID != *i.Config.ExternalID || r.NextExternalID == "" || r.StartedAt.IsZero() {
		t.Errorf("begun: %+v", r)
	}
	for _, id := range []string{r.ExternalID, r.NextExternalID} {
		if !strings.Contains(string(r.TrustPolicy), id) {
			t.Errorf("the trust policy does not accept %s: %s", id, r.TrustPolicy)
		}
	}
	var again wire.Rotation
	request(t, s, apitest.Admin, http.MethodPost, path, "", "Idempotency-Key", "one").into(t, http.StatusCreated, &again)
	if again.NextExternalID != r.NextExternalID {
		t.Errorf("the repeated request made %s, want %s", again.NextExternalID, r.NextExternalID)
	}
	request(t, s, apitest.Admin, http.MethodPost, path, "").refused(t, http.StatusConflict, integration.CodeConflict)
	request(t, s, apitest.Admin, http.MethodDelete, path, "").into(t, http.StatusOK, &again)
	if again.Phase != wire.RotationNone || again.ExternalID != *i.Config.ExternalID || strings.Contains(string(again.TrustPolicy), r.NextExternalID) {
		t.Errorf("aborted: %+v", again)
	}
}
