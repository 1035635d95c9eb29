package api_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/api"
	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
)

const tried = `{"config":{"customer_iam_role_arn":"arn:aws:iam::000000000000:role/another"}}`

// proving is a site whose dry runs are answered by prove.
func proving(t *testing.T, prove dryrun.ProverFunc, changes ...func(*api.Config)) *apitest.Site {
	t.Helper()
	c := apitest.New(t)
	if prove != nil {
		c.DryRuns(prove)
	}
	return apitest.Over(t, c, c, changes...)
}

func drafted(t *testing.T, s *apitest.Site) wire.IntegrationV2 {
	t.Helper()
	var i wire.IntegrationV2
	request(t, s, apitest.Admin, http.MethodPost, two, `{"display_name":"d","environment":{"id":"`+string(apitest.Environment)+`"}}`).into(t, http.StatusCreated, &i)
	return i
}

func TestADryRunTriesWhatIsNotSavedAndChangesNothing(t *testing.T) {
	t.Parallel()
	var asked dryrun.Claim
	s := proving(t, func(_ context.Context, c dryrun.Claim) (integration.Report, error) {
		asked = c
		return apitest.Report(
			integration.Check{Name: integration.CheckWithoutID, Outcome: integration.Fail, Reason: "Admitted", Remedy: "paste"},
			integration.Check{Name: integration.CheckTagSession, Outcome: integration.Errored, Reason: "Throttling"},
		), nil
	})
	i := drafted(t, s)
	before, _ := s.Integration(integration.ID(i.ID))
	sent := len(s.Sent())
	var d wire.DryRun
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation:dry-run", tried).into(t, http.StatusOK, &d)
	want := dryrun.Claim{Organization: apitest.OrgA, Integration: before.ID, Ask: integration.TrustAsked{
		Platform: before.Mapping.Platform, ExternalID: before.ExternalID,
		Config: integration.Config{Kind: integration.KindAWS, Customer: "arn:aws:iam::000000000000:role/another"},
	}}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("asked for %+v, want %+v", asked, want)
	}
	if d.Verdict != integration.VerdictInsecure || !slices.Equal(d.NotProved, []integration.CheckName{integration.CheckTagSession}) ||
		d.Config.Customer() != want.Ask.Config.Customer || len(d.Report.Checks) != 8 || d.Report.Checks[3].Remedy != "paste" {
		t.Errorf("got %+v", d)
	}
	after, _ := s.Integration(integration.ID(i.ID))
	if len(s.Sent()) != sent || after.Version != before.Version || !after.Config.Draft() || after.Trust.Report != nil {
		t.Errorf("%d commands were sent; the integration is now %+v", len(s.Sent())-sent, after)
	}
}

func TestADryRunOfTheSavedConfigurationNeedsNoBody(t *testing.T) {
	t.Parallel()
	var asked dryrun.Claim
	s := proving(t, func(_ context.Context, c dryrun.Claim) (integration.Report, error) {
		asked = c
		return apitest.Report(), nil
	})
	i := created(t, s, roleARN)
	var d wire.DryRun
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation:dry-run", "{}").into(t, http.StatusOK, &d)
	if asked.Ask.Config.Customer != roleARN || d.Verdict != integration.VerdictClean || len(d.NotProved) != 0 {
		t.Errorf("asked for %+v, got %+v", asked, d)
	}
}

// Whatever the decider has a proof look at, a dry run looks at: else its remedies would undo what is right.
func TestADryRunAsksForWhatAProofOfTheIntegrationAsksFor(t *testing.T) {
	t.Parallel()
	var asked dryrun.Claim
	s := proving(t, func(_ context.Context, c dryrun.Claim) (integration.Report, error) {
		asked = c
		return apitest.Report(), nil
	})
	var ordered integration.TrustAsked
	s.Trust(func(ask integration.TrustAsked) integration.Report {
		ordered = ask
		return apitest.Report()
	})
	i := created(t, s, roleARN)
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/connectors", `{"connector":"sink","token":true,"source_identity":true,`+
		`"resources":[{"s3":{"bucket":"lake","access":"write"}}]}`).into(t, http.StatusCreated, new(wire.Bound))
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/rotation", "").into(t, http.StatusCreated, new(wire.Rotation))
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation:dry-run", "{}").into(t, http.StatusOK, new(wire.DryRun))
	if ordered.Next == "" || !ordered.Tags || !ordered.SourceIdentity || len(ordered.Resources) != 1 {
		t.Fatalf("the order has nothing to compare: %+v", ordered)
	}
	ordered.Attempt, ordered.Due = 0, time.Time{}
	if !reflect.DeepEqual(asked.Ask, ordered) {
		t.Errorf("the dry run asks for\n%+v\na proof for\n%+v", asked.Ask, ordered)
	}
}

func TestADryRunThatCouldNotBeSavedIsRefusedAtTheField(t *testing.T) {
	t.Parallel()
	s := proving(t, func(context.Context, dryrun.Claim) (integration.Report, error) {
		t.Error("a proof was asked for")
		return integration.Report{}, nil
	})
	full, draft := created(t, s, roleARN), drafted(t, s)
	for name, c := range map[string]struct {
		key, id, body string
		status        int
		code          integration.Code
		pointer       string
	}{
		"no identity":             {apitest.Admin, draft.ID, "{}", 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		"no role's ARN":           {apitest.Admin, draft.ID, `{"config":{"customer_iam_role_arn":"arn:aws:iam::1:role/x"}}`, 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		"another cloud":           {apitest.Admin, draft.ID, `{"config":{"kind":"AzureIntegrationConfig","customer_azure_tenant_id":"x"}}`, 422, integration.CodeInvalid, "/config/kind"},
		"a role of the platform":  {apitest.Admin, draft.ID, `{"config":{"customer_iam_role_arn":"arn:aws:iam::` + apitest.PlatformAccount + `:role/x"}}`, 422, integration.CodeInvalid, "/config/customer_iam_role_arn"},
		"an unknown field":        {apitest.Admin, draft.ID, `{"role":"x"}`, 400, "invalid_request", "/role"},
		"one that is mapped":      {apitest.Admin, draft.ID, `{"config":{"customer_iam_role_arn":"` + roleARN + `"}}`, 409, integration.CodeExists, "/config/customer_iam_role_arn"},
		"no draft":                {apitest.Admin, full.ID, tried, 409, integration.CodeConflict, ""},
		"who may not validate":    {apitest.Assigner, draft.ID, tried, 403, integration.CodeDenied, ""},
		"who may not see it":      {apitest.Other, draft.ID, tried, 404, integration.CodeNotFound, ""},
		"what is not there":       {apitest.Admin, "cspi-unknown1", tried, 404, integration.CodeNotFound, ""},
		"a body that is too long": {apitest.Admin, draft.ID, `{"config":{"customer_iam_role_arn":"` + string(make([]byte, 5000)) + `"}}`, 400, "invalid_request", ""},
	} {
		f := request(t, s, c.key, http.MethodPost, mine+c.id+"/validation:dry-run", c.body).refused(t, c.status, c.code)
		if c.pointer != "" && (f.Source == nil || f.Source.Pointer != c.pointer) {
			t.Errorf("%s: got %+v, want %s", name, f.Source, c.pointer)
		}
	}
}

func TestADryRunSaysWhatItCouldNotProveWithoutAPlatformRole(t *testing.T) {
	t.Parallel()
	s := proving(t, func(context.Context, dryrun.Claim) (integration.Report, error) {
		t.Error("a proof was asked for")
		return integration.Report{}, nil
	})
	s.Mapping(func(integration.MappingAsked) integration.Finding {
		return integration.MappingWasRefused{Reason: "LimitExceeded"}
	})
	i := drafted(t, s)
	var d wire.DryRun
	request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation:dry-run", tried).into(t, http.StatusOK, &d)
	if d.Verdict != integration.VerdictInconclusive || len(d.NotProved) != 6 || d.Report.Checks[0].Reason != api.ReasonNotMapped {
		t.Errorf("got %+v, want nothing proved", d)
	}
}

func TestADryRunThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	none := proving(t, nil)
	request(t, none, apitest.Admin, http.MethodPost, mine+drafted(t, none).ID+"/validation:dry-run", tried).refused(t, http.StatusNotImplemented, "not_offered")

	var answer error
	s := proving(t, func(ctx context.Context, _ dryrun.Claim) (integration.Report, error) {
		if answer == nil {
			<-ctx.Done()
			return integration.Report{}, ctx.Err()
		}
		return integration.Report{}, answer
	}, func(c *api.Config) { c.ProvedWithin = 30 * time.Millisecond })
	i := drafted(t, s)
	for _, c := range []struct {
		err    error
		status int
		code   integration.Code
	}{
		{nil, 504, integration.CodeTimeout},
		{integration.Refuse(integration.CodeThrottled, "later"), 429, integration.CodeThrottled},
		{integration.Refuse(integration.CodeUnavailable, "nobody"), 503, integration.CodeUnavailable},
		{errors.New("a wrong token"), 500, integration.CodeInternal},
	} {
		answer = c.err
		request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation:dry-run", tried).refused(t, c.status, c.code)
	}
}

func TestDryRunsOfAnOrganizationAreLimited(t *testing.T) {
	t.Parallel()
	s := proving(t, func(context.Context, dryrun.Claim) (integration.Report, error) { return apitest.Report(), nil })
	i := drafted(t, s)
	limited := 0
	for range 20 {
		switch got := request(t, s, apitest.Admin, http.MethodPost, mine+i.ID+"/validation:dry-run", tried); got.status {
		case http.StatusOK:
		case http.StatusTooManyRequests:
			limited++
			if got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		default:
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
	if limited == 0 {
		t.Error("20 dry runs in a row were all made")
	}
}
