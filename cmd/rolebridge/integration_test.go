package main

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/rolebridge/rolebridge/api/apitest"
	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
)

const roleARN = "arn:aws:iam::000000000000:role/my-test-aws-role"

// make creates an integration, and returns it with a replacer of all that is random in it by what has the same length.
func create(t *testing.T, c *cli, args ...string) (shown, *strings.Replacer) {
	t.Helper()
	var i shown
	got := c.want(t, 0, append([]string{"pi", "create", "s3-provider-integration", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(got.out), &i); err != nil {
		t.Fatalf("%s: %v", got.out, err)
	}
	if got.err != "" {
		t.Errorf("help for people was printed for a machine: %s", got.err)
	}
	return i, strings.NewReplacer(i.ID, "cspi-1234abcd", *i.ExternalID, "12345678-2312-4000-a000-001a7b789000")
}

func TestACreationPrintsTheTableAndWhatToDoNext(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	got := c.want(t, 0, "provider-integration", "create", "s3-provider-integration", "--cloud", "aws", "--customer-role-arn", roleARN)
	i := slices.Collect(s.List(apitest.OrgA, apitest.Environment, ""))[0]
	same := strings.NewReplacer(string(i.ID), "cspi-1234abcd", i.ExternalID, "12345678-2312-4000-a000-001a7b789000")
	golden(t, "create", same.Replace(got.out))
	golden(t, "create-next", same.Replace(got.err))

	// What is printed to be pasted lets the platform in, and only with the external ID.
	_, document, _ := strings.Cut(got.err, "on your role:\n\n")
	document, _, _ = strings.Cut(document, "\n\n  $")
	findings := policy.Parse(policy.Trust, []byte(document)).Lint(policy.Expect{
		PlatformRole: i.Mapping.Platform, ExternalIDs: []string{i.ExternalID}, CustomerRole: roleARN,
	})
	if len(findings) != 0 {
		t.Errorf("the policy to paste has findings: %+v\n%s", findings, document)
	}
}

func TestADraftIsToldHowToBeCompleted(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	got := c.want(t, 0, "pi", "create", "drafted")
	i := slices.Collect(s.List(apitest.OrgA, apitest.Environment, ""))[0]
	same := strings.NewReplacer(string(i.ID), "cspi-1234abcd", i.ExternalID, "12345678-2312-4000-a000-001a7b789000")
	golden(t, "draft", same.Replace(got.out))
	golden(t, "draft-next", same.Replace(got.err))
	c.want(t, 2, "pi", "update", string(i.ID))
	got = c.want(t, 0, "pi", "update", string(i.ID), "--customer-role-arn", roleARN)
	if !strings.Contains(got.out, "CREATED") || !strings.Contains(got.err, "update-assume-role-policy --role-name my-test-aws-role") {
		t.Errorf("got %s%s", got.out, got.err)
	}
}

func TestEveryFormatHasTheKeysThatScriptsKnow(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, same := create(t, c, "--customer-role-arn", roleARN)
	for form, read := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		got := c.want(t, 0, "pi", "describe", i.ID, "-o", form)
		golden(t, "describe-"+form, same.Replace(got.out))
		fields := map[string]any{}
		if err := read([]byte(got.out), &fields); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"id", "name", "provider", "environment", "iam_role_arn", "external_id", "customer_role_arn", "usages"} {
			if _, ok := fields[key]; !ok {
				t.Errorf("%s: %s is missing in %s", form, key, got.out)
			}
		}
		list := c.want(t, 0, "pi", "list", "-o", form)
		var all []map[string]any
		if err := read([]byte(list.out), &all); err != nil || len(all) != 1 || all[0]["id"] != i.ID {
			t.Errorf("%s: got %s, %v", form, list.out, err)
		}
	}
	golden(t, "list", same.Replace(c.want(t, 0, "pi", "list").out))
	c.want(t, 2, "pi", "list", "-o", "xml")
}

func TestAnEmptyListSaysSo(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	for form, want := range map[string]string{"human": "None found.\n", "json": "[]\n", "yaml": "[]\n"} {
		if got := c.want(t, 0, "pi", "list", "-o", form); got.out != want {
			t.Errorf("%s: got %q, want %q", form, got.out, want)
		}
	}
}

func TestAListIsOfAllPagesById(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	quota := 250
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: &quota})
	for range 201 {
		s.Do(t, apitest.OrgA, "u-admin-a", integration.Create{
			Environment: apitest.Environment, Name: "n", Config: integration.Config{Kind: integration.KindAWS},
		})
	}
	var all []shown
	if err := json.Unmarshal([]byte(at(s, apitest.Admin).want(t, 0, "pi", "list", "-o", "json").out), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 201 {
		t.Errorf("got %d, want 201", len(all))
	}
	for n := 1; n < len(all); n++ {
		if all[n-1].ID >= all[n].ID {
			t.Errorf("%s stands before %s", all[n-1].ID, all[n].ID)
		}
	}
}

func TestExitCodesTellErrorsApart(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	quota := 2
	s.Do(t, apitest.OrgA, "platform:test", integration.ConfigureOrganization{IntegrationQuota: &quota})
	admin := at(s, apitest.Admin)
	i, _ := create(t, admin, "--customer-role-arn", roleARN)
	admin.want(t, 0, "connector", "bind", i.ID, "lcc-1")
	unknown := at(s, "UNKNOWN")
	nowhere := at(s, apitest.Admin)
	nowhere.env[envURL] = ""
	for _, c := range []struct {
		cli  *cli
		code int
		says string
		args []string
	}{
		{admin, 2, "--customer-role-arn: want", []string{"pi", "create", "x", "--customer-role-arn", "arn:aws:iam::1:role/x"}},
		{admin, 2, "the platform's own; want the role in your account", []string{"pi", "create", "x", "--customer-role-arn", "arn:aws:iam::" + apitest.PlatformAccount + ":role/x"}},
		{admin, 2, "want one of", []string{"pi", "create", "x", "--customer-role-arn", roleARN, "--azure-tenant-id", "y"}},
		{admin, 2, "an argument is missing: rolebridge provider-integration create <name>", []string{"pi", "create"}},
		{admin, 2, "an argument is empty: rolebridge provider-integration create <name>", []string{"pi", "create", ""}},
		{admin, 2, "the arguments do not fit", []string{"pi", "describe", "a", "b"}},
		{admin, 2, "--customer-role-arn: empty", []string{"pi", "create", "x", "--customer-role-arn", ""}},
		{admin, 2, "unknown flag", []string{"pi", "list", "--colour"}},
		{admin, 2, `did you mean "list"`, []string{"pi", "lits"}},
		{nowhere, 2, envURL, []string{"pi", "list"}},
		{at(s, apitest.Assigner), 3, "may not", []string{"pi", "delete", i.ID, "--force"}},
		{admin, 4, "does not exist", []string{"pi", "describe", "cspi-unknown1"}},
		{admin, 4, "does not exist", []string{"pi", "describe", i.ID, "--environment", "env-other"}},
		{admin, 5, "mapped in this environment", []string{"pi", "create", "x", "--customer-role-arn", roleARN}},
		{unknown, 8, "API key", []string{"pi", "list"}},
	} {
		got := c.cli.want(t, c.code, c.args...)
		if !strings.Contains(got.err, c.says) || got.out != "" {
			t.Errorf("%q: got %q and %q, want an error with %q", c.args, got.out, got.err, c.says)
		}
		if strings.Contains(got.err, apitest.Secret) {
			t.Errorf("%q: the secret is in %q", c.args, got.err)
		}
	}
	create(t, admin, "--customer-role-arn", roleARN+"2")
	got := admin.want(t, 6, "pi", "create", "x", "--customer-role-arn", roleARN+"3")
	if !strings.Contains(got.err, "Suggestions:") {
		t.Errorf("got %q, want what to do about it", got.err)
	}
}

func TestADeletionAsksFirst(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	c.stdin = "n\n"
	c.want(t, 2, "pi", "delete", i.ID)
	c.stdin = ""
	c.want(t, 2, "pi", "delete", i.ID)
	c.want(t, 0, "pi", "describe", i.ID)
	c.stdin = "y\n"
	// About what does not exist nothing is asked, and then nothing is deleted.
	if got := c.want(t, 4, "pi", "delete", i.ID, "cspi-unknown1"); got.out != "" || strings.Contains(got.err, "y/n") || !strings.Contains(got.err, "cspi-unknown1") {
		t.Errorf("got %q and %q", got.out, got.err)
	}
	if got := c.want(t, 0, "pi", "delete", i.ID); !strings.Contains(got.err, i.ID+` ("s3-provider-integration")? (y/n)`) {
		t.Errorf("got %q, want the name in the question", got.err)
	}
	i, _ = create(t, c, "--customer-role-arn", roleARN)
	c.want(t, 0, "connector", "bind", i.ID, "lcc-1")
	if got := c.want(t, 5, "pi", "delete", i.ID, "--force"); !strings.Contains(got.err, "in_use") || !strings.Contains(got.err, "With --unbind") {
		t.Errorf("got %q, want a connector that is bound to stay", got.err)
	}
	got := c.want(t, 4, "pi", "delete", "cspi-unknown1", i.ID, "--force", "--unbind")
	if !strings.Contains(got.out, `Deleted provider integration "`+i.ID+`".`) || !strings.Contains(got.err, "cspi-unknown1") {
		t.Errorf("got %q and %q", got.out, got.err)
	}
}

// moment is a time as it is printed for people.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)

func TestAValidationPrintsEachCheckAndItsRemedy(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, same := create(t, c, "--customer-role-arn", roleARN)
	steady := func(text string) string {
		return moment.ReplaceAllString(same.Replace(text), "2026-01-02 03:04:05 UTC")
	}
	validated := steady(c.want(t, 0, "pi", "validate", i.ID).out)
	golden(t, "validate", validated)
	if got := steady(c.want(t, 0, "pi", "report", i.ID).out); got != validated {
		t.Errorf("the report that is kept differs from the one that was made:\n%s\n%s", got, validated)
	}
	const paste = "Set the trust policy of the role my-test-aws-role to:\n{\n  \"Version\": \"2012-10-17\"\n}\n"
	s.Trust(func(integration.TrustAsked) integration.Report {
		r := apitest.Report(
			integration.Check{Name: integration.CheckWithoutID, Outcome: integration.Fail, Reason: "Admitted", Detail: "the role let us in without an external ID", Remedy: paste},
			integration.Check{Name: integration.CheckWrongID, Outcome: integration.Fail, Reason: "Admitted", Detail: "the role let us in with a random external ID", Remedy: paste},
		)
		r.Policy = &integration.Reading{
			Read: true, LeftOut: 2, Remedy: "The trust policy of the role my-test-aws-role with its errors mended:\n{\n  \"Version\": \"2012-10-17\"\n}\n",
			Findings: []integration.LintFinding{
				{Code: "missing-external-id", Severity: "error", Message: "no external ID is asked for", Pointer: "/Statement/0", Line: 3, Column: 5},
				{Code: "no-tag-session", Severity: "warning", Message: "sessions cannot be tagged"},
			},
		}
		return r
	})
	golden(t, "validate-insecure", steady(c.want(t, 5, "pi", "validate", i.ID).out))
	s.Trust(func(integration.TrustAsked) integration.Report {
		r := apitest.Report(integration.Check{Name: integration.CheckTagSession, Outcome: integration.Errored, Reason: "Throttling"})
		r.Policy = &integration.Reading{Reason: "NotAllowed", Detail: "the role does not permit the platform to read it, which is optional", Remedy: "Optional: add this:\n{}\n"}
		return r
	})
	for range 2 { // insecure is lifted by the second clean round
		c.run(t, "pi", "validate", i.ID)
	}
	reader := at(s, apitest.Assigner)
	golden(t, "report-not-read", steady(reader.want(t, 0, "pi", "report", i.ID).out))
	c.want(t, 4, "pi", "validate", "cspi-unknown1")
	c.want(t, 4, "pi", "report", "cspi-unknown1")
	c.want(t, 4, "pi", "report", i.ID, "--environment", "env-other")
}

func TestADryRunIsPrintedAndNothingIsSaved(t *testing.T) {
	t.Parallel()
	plane := apitest.New(t)
	report := apitest.Report()
	plane.DryRuns(dryrun.ProverFunc(func(context.Context, dryrun.Claim) (integration.Report, error) { return report, nil }))
	s := apitest.Over(t, plane, plane)
	c := at(s, apitest.Admin)
	i, same := create(t, c)
	steady := func(text string) string {
		return moment.ReplaceAllString(same.Replace(text), "2026-01-02 03:04:05 UTC")
	}
	try := []string{"pi", "validate", i.ID, "--dry-run", "--customer-role-arn", roleARN}
	if got := c.want(t, 0, try...); !strings.Contains(got.out, "clean") || !strings.Contains(got.out, "Nothing was saved") {
		t.Errorf("got %s", got.out)
	}
	report = apitest.Report(
		integration.Check{Name: integration.CheckWithExternalID, Outcome: integration.Fail, Reason: "AccessDenied", Remedy: "Set the trust policy to:\n{}\n"},
		integration.Check{Name: integration.CheckAccount, Outcome: integration.Skipped, Reason: "assume-with-external-id"},
	)
	golden(t, "dry-run", steady(c.want(t, 5, try...).out))
	var d wire.DryRun
	if err := json.Unmarshal([]byte(c.want(t, 5, append(try, "-o", "json")...).out), &d); err != nil || d.Verdict != integration.VerdictRefused {
		t.Errorf("got %+v, %v", d, err)
	}
	report = apitest.Report(integration.Check{Name: integration.CheckPlatformRole, Outcome: integration.Errored, Reason: "Throttling"})
	c.want(t, 7, try...)
	c.want(t, 2, "pi", "validate", i.ID, "--dry-run")
	c.want(t, 2, "pi", "validate", i.ID, "--dry-run", "--wait", "--customer-role-arn", roleARN)
	c.want(t, 2, "pi", "validate", i.ID, "--customer-role-arn", roleARN)
	if kept, _ := s.Integration(integration.ID(i.ID)); !kept.Config.Draft() || len(s.Sent()) != 4 { // 3 of the site's own
		t.Errorf("%d commands were sent; the integration is %+v", len(s.Sent()), kept)
	}
}

func TestAReportIsTheSameForMachines(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	kept, _ := s.Integration(integration.ID(i.ID))
	for form, read := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		var got struct {
			Trust struct {
				Status    string
				LastValid string `json:"last_valid" yaml:"last_valid"`
				Report    struct{ Checks []map[string]string }
				History   []map[string]string
			}
		}
		if err := read([]byte(c.want(t, 0, "pi", "report", i.ID, "-o", form).out), &got); err != nil {
			t.Fatal(err)
		}
		if got.Trust.Status != "valid" || got.Trust.LastValid == "" || len(got.Trust.Report.Checks) != len(kept.Trust.Report.Checks) || len(got.Trust.History) != 1 || got.Trust.History[0]["to"] != "valid" {
			t.Errorf("%s: got %+v", form, got.Trust)
		}
	}
}

func TestWaitFollowsTrustUntilItIsDecided(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	i, _ := create(t, c, "--customer-role-arn", roleARN)
	s.Trust(func(integration.TrustAsked) integration.Report { return integration.Report{} })
	s.Do(t, apitest.OrgA, "u-admin-a", integration.Validate{Integration: integration.ID(i.ID)})
	kept, _ := s.Integration(integration.ID(i.ID))
	done := make(chan result)
	go func() { done <- c.run(t, "pi", "validate", i.ID, "--wait") }()
	// The second request, which was made while the first was unanswered, makes for another round.
	for {
		now, _ := s.Integration(integration.ID(i.ID))
		if now.Trust.Again {
			break
		}
		_ = s.WaitUntil(t.Context(), now.ID, func(later *integration.Integration) bool { return later.Version > now.Version })
	}
	for round := kept.Trust.Attempt; round <= kept.Trust.Attempt+1; round++ {
		s.Finding(apitest.OrgA, kept.ID, round, integration.TrustWasProbed{Report: apitest.Report()})
	}
	got := <-done
	if got.code != 0 || !strings.Contains(got.err, "role ready, trust valid") {
		t.Errorf("got %+v", got)
	}
}

func TestAProgramThatWaitsGetsWhatIsAtTheEnd(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	got := at(s, apitest.Admin).want(t, 0, "pi", "create", "x", "--customer-role-arn", roleARN, "--wait", "-o", "json")
	var made struct{ Trust string }
	if err := json.Unmarshal([]byte(got.out), &made); err != nil || made.Trust != "valid" {
		t.Errorf("got %v, %s; want one document with valid trust", err, got.out)
	}
}

func TestACloudThatIsNotEnabledIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	got := at(apitest.Serve(t), apitest.Admin).want(t, 0, "pi", "create", "x", "--gcp-service-account", "orders@my-project.iam.gserviceaccount.com")
	if !strings.Contains(got.err, "gcp not enabled") {
		t.Errorf("got %q", got.err)
	}
}

func TestWaitEndsWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	s := apitest.Serve(t)
	c := at(s, apitest.Admin)
	s.Trust(func(integration.TrustAsked) integration.Report {
		return apitest.Report(integration.Check{Name: integration.CheckWithExternalID, Outcome: integration.Fail, Reason: "AccessDenied"})
	})
	got := c.want(t, 7, "pi", "create", "x", "--customer-role-arn", roleARN, "--wait", "--wait-timeout", "50ms")
	if !strings.Contains(got.err, "role ready, trust pending") || !strings.Contains(got.err, "AccessDenied") {
		t.Errorf("got %q", got.err)
	}
}
