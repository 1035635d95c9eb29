package aws_test

import (
	"net/url"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

var spec = aws.RoleSpec{
	Name: "cspi-abc12", Organization: "o-1", Environment: "env-1", Customer: "arn:aws:iam::222222222222:role/customer",
}

func mustEnsure(t *testing.T, p *aws.Platform, s aws.RoleSpec) string {
	t.Helper()
	arn, err := p.EnsureRole(t.Context(), s)
	if err != nil {
		t.Fatalf("ensure %s: %v", s.Name, err)
	}
	return arn
}

// permissions returns the inline policies of a role, by name.
func permissions(t *testing.T, client *iam.Client, role string) map[string]string {
	t.Helper()
	list, err := client.ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: &role})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range list.PolicyNames {
		got, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: &role, PolicyName: &name})
		if err != nil {
			t.Fatal(err)
		}
		text, err := url.PathUnescape(*got.PolicyDocument)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = text
	}
	return out
}

func TestARoleIsMadeOnceAndMayAssumeOneRoleOnly(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	p := w.Roles(t)
	want := "arn:aws:iam::" + w.Platform.ID + ":role/rolebridge/cspi-abc12"
	for range 3 {
		if got := mustEnsure(t, p, spec); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for action, calls := range map[string]int{"CreateRole": 1, "PutRolePolicy": 1, "UpdateAssumeRolePolicy": 0, "TagRole": 0} {
		if got := w.Calls(action); got != calls {
			t.Errorf("%s was called %d times, want %d", action, got, calls)
		}
	}
	policies := permissions(t, w.IAM(t, w.Platform), spec.Name)
	text := policies["assume-customer-role"]
	if len(policies) != 1 || !strings.Contains(text, spec.Customer) || strings.Contains(text, "*") {
		t.Errorf("permission policies: got %v, want one about %s", policies, spec.Customer)
	}
	role, err := w.IAM(t, w.Platform).GetRole(t.Context(), &iam.GetRoleInput{RoleName: &spec.Name})
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range role.Role.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags[aws.TagOrganization] != "o-1" || tags[aws.TagIntegration] != spec.Name || tags[aws.TagEnvironment] != "env-1" {
		t.Errorf("tags: got %v", tags)
	}
	trust, _ := url.PathUnescape(*role.Role.AssumeRolePolicyDocument)
	for _, who := range []string{w.Broker.ARN, w.Validator.ARN} {
		if !strings.Contains(trust, who) {
			t.Errorf("the trust policy lacks %s: %s", who, trust)
		}
	}
}

func TestADraftsRoleMayTryAnyRoleUntilItsCustomerIsKnown(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	p := w.Roles(t)
	draft := spec
	draft.Customer = ""
	draft.Known = mustEnsure(t, p, draft)
	client := w.IAM(t, w.Platform)
	anyRole := func(what string) {
		t.Helper()
		if got := permissions(t, client, spec.Name); len(got) != 1 || !strings.Contains(got["assume-customer-role"], `"arn:aws:iam::*:role/*"`) {
			t.Errorf("%s: got %v, want one policy about any role", what, got)
		}
	}
	anyRole("a draft's permissions")
	complete := spec
	complete.Known = draft.Known
	if got := mustEnsure(t, p, complete); got != draft.Known {
		t.Errorf("the role moved from %s to %s", draft.Known, got)
	}
	if got := permissions(t, client, spec.Name); len(got) != 1 || !strings.Contains(got["assume-customer-role"], spec.Customer) || strings.Contains(got["assume-customer-role"], "*") {
		t.Errorf("with a customer: got %v, want one policy about it alone", got)
	}
	mustEnsure(t, p, draft)
	anyRole("a draft again")
}

func TestARoleOfOursIsAdoptedAndCorrected(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	p := w.Roles(t)
	mustEnsure(t, p, spec)
	client := w.IAM(t, w.Platform)
	open := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + w.Customer.ID + `"},"Action":"sts:AssumeRole"}]}`
	wide := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	for _, name := range []string{"assume-customer-role", "added-by-hand"} {
		if _, err := client.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &spec.Name, PolicyName: &name, PolicyDocument: &wide}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &spec.Name, PolicyDocument: &open}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UntagRole(t.Context(), &iam.UntagRoleInput{RoleName: &spec.Name, TagKeys: []string{aws.TagEnvironment}}); err != nil {
		t.Fatal(err)
	}
	mustEnsure(t, p, spec)
	policies := permissions(t, client, spec.Name)
	if text := policies["assume-customer-role"]; len(policies) != 1 || !strings.Contains(text, spec.Customer) {
		t.Errorf("permissions: got %v, want the one policy again", policies)
	}
	role, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &spec.Name})
	if err != nil {
		t.Fatal(err)
	}
	if trust, _ := url.PathUnescape(*role.Role.AssumeRolePolicyDocument); strings.Contains(trust, w.Customer.ID) || !strings.Contains(trust, w.Broker.ARN) {
		t.Errorf("trust: got %s, want ours again", trust)
	}
	if len(role.Role.Tags) != 3 {
		t.Errorf("%d tags, want 3 again", len(role.Role.Tags))
	}
}

func TestAForeignRoleIsNeitherTakenNorRemoved(t *testing.T) {
	t.Parallel()
	for name, tags := range map[string][]types.Tag{
		"without tags": nil,
		"of another organization": {
			{Key: sdk.String(aws.TagOrganization), Value: sdk.String("o-2")}, {Key: sdk.String(aws.TagIntegration), Value: &spec.Name},
		},
		"of another integration": {
			{Key: sdk.String(aws.TagOrganization), Value: sdk.String("o-1")}, {Key: sdk.String(aws.TagIntegration), Value: sdk.String("cspi-other")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := awstest.New(t)
			client := w.IAM(t, w.Platform)
			trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + w.Customer.ID + `"},"Action":"sts:AssumeRole"}]}`
			if _, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &spec.Name, AssumeRolePolicyDocument: &trust, Tags: tags}); err != nil {
				t.Fatal(err)
			}
			_, err := w.Roles(t).EnsureRole(t.Context(), spec)
			wantFault(t, "ensure", err, cloud.FaultExists, "EntityAlreadyExists")
			wantFault(t, "remove", w.Roles(t).RemoveRole(t.Context(), spec), "", "")
			if _, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &spec.Name}); err != nil {
				t.Errorf("the foreign role is gone: %v", err)
			}
			for _, action := range []string{"PutRolePolicy", "UpdateAssumeRolePolicy", "TagRole", "DeleteRole", "DeleteRolePolicy"} {
				if got := w.Calls(action); got != 0 {
					t.Errorf("%s was called %d times on a foreign role", action, got)
				}
			}
		})
	}
}

func TestARoleIsRemovedOnceAndTwice(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	p := w.Roles(t, w.Platform, w.Spare)
	known := spec
	known.Known = mustEnsure(t, p, spec)
	for _, s := range []aws.RoleSpec{known, known, spec} {
		wantFault(t, "remove", p.RemoveRole(t.Context(), s), "", "")
	}
	if got := w.Calls("DeleteRole"); got != 1 {
		t.Errorf("DeleteRole was called %d times, want once", got)
	}
}

func TestAFullAccountIsFollowedByTheNext(t *testing.T) {
	t.Parallel()
	w := awstest.New(t, func(c *sandbox.Config) { c.RolesPerAccount = 1 })
	p := w.Roles(t, w.Platform, w.Spare)
	var arns []string
	for _, name := range []string{"cspi-first", "cspi-second"} {
		s := spec
		s.Name = name
		arns = append(arns, mustEnsure(t, p, s))
		if again := mustEnsure(t, p, s); again != arns[len(arns)-1] {
			t.Errorf("%s: a second call answered %s, want %s", name, again, arns[len(arns)-1])
		}
	}
	if !strings.Contains(arns[0], w.Platform.ID) || !strings.Contains(arns[1], w.Spare.ID) {
		t.Errorf("got %v, want one role in each account", arns)
	}
	third := spec
	third.Name = "cspi-third"
	_, err := p.EnsureRole(t.Context(), third)
	wantFault(t, "both accounts are full", err, cloud.FaultLimit, "LimitExceeded")

	// Room in the first account must not draw a role away from where the customer trusts it.
	first, second := spec, spec
	first.Name, second.Name = "cspi-first", "cspi-second"
	wantFault(t, "remove", p.RemoveRole(t.Context(), first), "", "")
	if got := mustEnsure(t, p, second); got != arns[1] {
		t.Errorf("got %s, want %s as before", got, arns[1])
	}
	second.Known = "arn:aws:iam::999999999999:role/cspi-second"
	_, err = p.EnsureRole(t.Context(), second)
	wantFault(t, "an account that is no longer ours", err, cloud.FaultInvalid, "UnknownAccount")
}

func TestAnIdentityThatIsNotThereYetIsTemporary(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	cfg := aws.PlatformConfig{
		Config: w.Config(w.Validator.Key), Accounts: []aws.Account{{ID: w.Platform.ID, Credentials: w.Platform.Root}},
		Identities: []string{"arn:aws:iam::" + w.Platform.ID + ":user/late"},
	}
	p, err := aws.NewPlatform(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	_, err = p.EnsureRole(t.Context(), spec)
	wantFault(t, "before the identity exists", err, cloud.FaultUnavailable, "MalformedPolicyDocument")
	if _, err := w.AddUser(w.Platform.ID, "late", ""); err != nil {
		t.Fatal(err)
	}
	mustEnsure(t, p, spec)
}

func TestAnAccountIsReachedThroughARole(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	admin := w.Role(t, w.Spare, "role-maker",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+w.Validator.ARN+`"},"Action":"sts:AssumeRole"}]}`)
	all := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
	_, err := w.IAM(t, w.Spare).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: sdk.String("role-maker"), PolicyName: sdk.String("iam"), PolicyDocument: &all,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := aws.NewPlatform(t.Context(), aws.PlatformConfig{
		Config: w.Config(w.Validator.Key), Identities: []string{w.Broker.ARN}, Accounts: []aws.Account{{ID: w.Spare.ID, Role: admin}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if got := mustEnsure(t, p, spec); !strings.Contains(got, w.Spare.ID) {
		t.Errorf("got %s, want a role in %s", got, w.Spare.ID)
	}
	wantFault(t, "remove", p.RemoveRole(t.Context(), spec), "", "")
}

func TestAWrongConfigurationIsExplained(t *testing.T) {
	t.Parallel()
	err := aws.PlatformConfig{
		Config:   aws.Config{Region: "Frankfurt", Timeout: 1},
		Accounts: []aws.Account{{ID: "12"}, {ID: "12"}},
		Path:     "rolebridge",
	}.Validate()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"region:", "timeout:", "accounts[0].id", "accounts[1].id", "path:", "identities:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults lack %q:\n%v", want, err)
		}
	}
}
