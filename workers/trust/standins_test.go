package trust_test

import (
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
	"github.com/rolebridge/rolebridge/workers/trust"
)

// elsewhere is a stand-in for AWS that runs in a process of its own, with the platform's role made in it.
type elsewhere struct {
	endpoint string
	owner    sdk.CredentialsProvider // of the customer's account
	client   *aws.Client
	roles    *aws.Platform
	claim    trustClaim
}

type trustClaim struct{ platform, customer string }

func newElsewhere(t *testing.T, endpoint, platformAccount, customerAccount string, owner sdk.CredentialsProvider) *elsewhere {
	t.Helper()
	user := awstest.MiniStackUser(t, endpoint, platformAccount, "validator-"+customerAccount)
	name := "customer-" + customerAccount
	e := &elsewhere{endpoint: endpoint, owner: owner}
	e.claim.customer = "arn:aws:iam::" + customerAccount + ":role/" + name
	roles, err := aws.NewPlatform(t.Context(), aws.PlatformConfig{
		Config:   aws.Config{Region: awstest.Region, Endpoint: endpoint, Credentials: awstest.Static(platformAccount, "test")},
		Accounts: []aws.Account{{ID: platformAccount}}, Identities: []string{user.ARN},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(roles.Close)
	e.roles = roles
	spec := aws.RoleSpec{Name: "cspi-" + customerAccount, Organization: "o-1", Customer: e.claim.customer}
	if e.claim.platform, err = roles.EnsureRole(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	e.client = open(t, aws.Config{Region: awstest.Region, Endpoint: endpoint, Credentials: user.Key})
	return e
}

// prove sets the customer's trust policy and proves it.
func (e *elsewhere) prove(t *testing.T, trust string) integration.Report {
	t.Helper()
	_, name, _ := strings.Cut(e.claim.customer, ":role/")
	client := awstest.IAM(t, e.endpoint, e.owner)
	if _, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust}); err != nil {
		if _, err := client.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &trust}); err != nil {
			t.Fatal(err)
		}
	}
	c := claim()
	c.Platform, c.Config.Customer = e.claim.platform, e.claim.customer
	return prove(t, newProver(t, e.client, prometheus.NewRegistry()), c)
}

func TestMiniStackProvesARightAndAnInsecurePolicy(t *testing.T) {
	t.Parallel()
	theirs := testenv.Account(t)
	e := newElsewhere(t, testenv.MiniStack(t), testenv.Account(t), theirs, awstest.Static(theirs, "test"))
	final, err := policy.FinalTrust(e.claim.platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	free := strings.ReplaceAll(statements(assumeFreely, tagFreely), platform, e.claim.platform)
	for _, c := range []struct {
		name, trust, outcomes string
		verdict               integration.Verdict
	}{
		{"the final policy", string(final.JSON()), "PPPPPPPP", integration.VerdictClean},
		{"no condition", free, "PPPFFPPP", integration.VerdictInsecure},
		{"deny all", string(policy.FirstTrust().JSON()), "PPFPPSSS", integration.VerdictRefused},
	} {
		report := e.prove(t, c.trust)
		if got := outcomes(report); got != c.outcomes || report.Verdict() != c.verdict {
			t.Errorf("%s: got %s, %s, want %s, %s\n%s", c.name, got, report.Verdict(), c.outcomes, c.verdict, table(report))
		}
	}
}

func TestMiniStackLetsTheLinterReadOnlyWhereTheRolePermitsIt(t *testing.T) {
	t.Parallel()
	theirs := testenv.Account(t)
	owner := awstest.Static(theirs, "test")
	e := newElsewhere(t, testenv.MiniStack(t), testenv.Account(t), theirs, owner)
	one := strings.ReplaceAll(statements(assumeWithID), platform, e.claim.platform)
	if got := e.prove(t, one).Policy; got.Read || got.Reason != trust.ReasonNotAllowed {
		t.Errorf("without the permission: got %+v, want %s", got, trust.ReasonNotAllowed)
	}
	document, err := policy.ReadRole(e.claim.customer)
	if err != nil {
		t.Fatal(err)
	}
	_, role, _ := strings.Cut(e.claim.customer, ":role/")
	if _, err := awstest.IAM(t, e.endpoint, owner).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: &role, PolicyName: sdk.String("read"), PolicyDocument: sdk.String(string(document.JSON())),
	}); err != nil {
		t.Fatal(err)
	}
	if got := e.prove(t, one).Policy; !got.Read || !slices.Contains(found(got), "warning no-tag-session") {
		t.Errorf("with the permission: got %+v, want no-tag-session", got)
	}
}

func TestMiniStackProvesADraftThroughANarrowedSession(t *testing.T) {
	t.Parallel()
	theirs := testenv.Account(t)
	e := newElsewhere(t, testenv.MiniStack(t), testenv.Account(t), theirs, awstest.Static(theirs, "test"))
	if _, err := e.roles.EnsureRole(t.Context(), aws.RoleSpec{Name: "cspi-" + theirs, Organization: "o-1"}); err != nil { // a draft's
		t.Fatal(err)
	}
	final, err := policy.FinalTrust(e.claim.platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	e.prove(t, string(final.JSON()))
	c := claim()
	c.Platform, c.Config.Customer, c.Unsaved = e.claim.platform, e.claim.customer, true
	if got := prove(t, newProver(t, e.client, prometheus.NewRegistry()), c); outcomes(got) != "PPPPPPPP" {
		t.Errorf("got %s, want PPPPPPPP\n%s", outcomes(got), table(got))
	}
	// Were it not narrowed to the tried role, the session would reach any; narrowed to another one, it does not reach this.
	for role, want := range map[string]cloud.Fault{e.claim.customer: "", e.claim.customer + "-2": cloud.FaultDenied} {
		narrow, err := policy.PlatformPermissions(role)
		if err != nil {
			t.Fatal(err)
		}
		hop1, err := e.client.Assume(t.Context(), aws.Assumption{Role: e.claim.platform, SessionName: "narrow", Policy: string(narrow.JSON())})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.client.Assume(t.Context(), aws.Assumption{With: &hop1, Role: e.claim.customer, SessionName: "narrow", ExternalID: rightID})
		if (err == nil) != (want == "") || err != nil && cloud.FaultOf(err) != want {
			t.Errorf("a session narrowed to %s: got %v, want %q", role, err, want)
		}
	}
}
