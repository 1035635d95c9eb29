package aws_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/sandbox"
)

const rightID = "2f4c8a56-58b2-4a0f-9d7e-6d1c1f0b7a11"

// chain makes a platform role and a customer role that trusts it, and returns both ARNs.
func chain(t *testing.T, w *awstest.World) (platform, customer string) {
	t.Helper()
	customer = "arn:aws:iam::" + w.Customer.ID + ":role/customer"
	spec := aws.RoleSpec{Name: "cspi-chain", Organization: "o-1", Environment: "env-1", Customer: customer}
	platform, err := w.Roles(t).EnsureRole(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	w.Role(t, w.Customer, "customer", string(trust.JSON()))
	return platform, customer
}

func TestAChainOfTwoRolesGivesASessionOfTheCustomer(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	platform, customer := chain(t, w)
	client := w.Client(t)

	hop1, err := client.Assume(t.Context(), aws.Assumption{Role: platform, SessionName: "validator"})
	if err != nil {
		t.Fatalf("hop 1: %v", err)
	}
	hop2, err := client.Assume(t.Context(), aws.Assumption{
		With: &hop1, Role: customer, SessionName: "validator", ExternalID: rightID, Tags: map[string]string{"connector": "lcc-1"},
		Duration: 15 * time.Minute,
	})
	if err != nil {
		t.Fatalf("hop 2: %v", err)
	}
	if hop2.Account != w.Customer.ID || time.Until(hop2.Expires) > 15*time.Minute || hop2.SecretAccessKey.Empty() || hop2.Token.Empty() {
		t.Errorf("session: got %+v", hop2)
	}
	who, err := client.CallerIdentity(t.Context(), &hop2)
	if err != nil || who.Account != w.Customer.ID || who.ARN != hop2.Identity {
		t.Errorf("the session's caller: got %+v, %v, want %s", who, err, hop2.Identity)
	}
	if self, err := client.CallerIdentity(t.Context(), nil); err != nil || self.ARN != w.Validator.ARN {
		t.Errorf("our own identity: got %+v, %v, want %s", self, err, w.Validator.ARN)
	}
	if text := fmt.Sprintf("%v %+v %#v", hop2, hop2, hop2); strings.Contains(text, hop2.Token.Reveal()) {
		t.Error("a printed session shows its token")
	}
}

func TestRefusalsOfSTSAreTold(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	platform, customer := chain(t, w)
	client := w.Client(t)
	hop1, err := client.Assume(t.Context(), aws.Assumption{Role: platform, SessionName: "validator"})
	if err != nil {
		t.Fatal(err)
	}
	ask := aws.Assumption{With: &hop1, Role: customer, SessionName: "validator", ExternalID: rightID}
	for name, change := range map[string]struct {
		in    func(*aws.Assumption)
		fault cloud.Fault
		code  string
	}{
		"no external id":               {func(a *aws.Assumption) { a.ExternalID = "" }, cloud.FaultDenied, "AccessDenied"},
		"a wrong external id":          {func(a *aws.Assumption) { a.ExternalID = "wrong" }, cloud.FaultDenied, "AccessDenied"},
		"a role that is not there":     {func(a *aws.Assumption) { a.Role += "-else" }, cloud.FaultDenied, "AccessDenied"},
		"more than an hour in a chain": {func(a *aws.Assumption) { a.Duration = 2 * time.Hour }, cloud.FaultInvalid, "ValidationError"},
		"a policy that is none":        {func(a *aws.Assumption) { a.Policy = "{" }, cloud.FaultInvalid, "MalformedPolicyDocument"},
	} {
		a := ask
		change.in(&a)
		_, err := client.Assume(t.Context(), a)
		wantFault(t, name, err, change.fault, change.code)
	}
	w.ExpireSessions()
	_, err = client.Assume(t.Context(), ask)
	wantFault(t, "an expired session", err, cloud.FaultExpired, "ExpiredToken")
}

func TestTroubleIsOneCallAndTemporary(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	reg := prometheus.NewRegistry()
	cfg := w.Config(w.Validator.Key)
	cfg.Observe, cfg.Timeout = aws.NewMetrics(reg), 200*time.Millisecond
	client, err := aws.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for name, trouble := range map[string]struct {
		fault sandbox.Fault
		want  cloud.Fault
		code  string
	}{
		"throttling":      {sandbox.Fault{Trouble: sandbox.Throttle}, cloud.FaultThrottled, "Throttling"},
		"a 500":           {sandbox.Fault{Trouble: sandbox.Break}, cloud.FaultUnavailable, "InternalFailure"},
		"no answer":       {sandbox.Fault{Trouble: sandbox.Disconnect}, cloud.FaultUnavailable, aws.CodeUnreachable},
		"a late response": {sandbox.Fault{Trouble: sandbox.Slow, Latency: time.Minute}, cloud.FaultUnavailable, aws.CodeTimeout},
	} {
		injected := w.Inject(trouble.fault)
		_, err := client.CallerIdentity(t.Context(), nil)
		wantFault(t, name, err, trouble.want, trouble.code)
		// Go's transport repeats by itself only what a server closed before it read anything.
		if got := injected.Fired(); got != 1 {
			t.Errorf("%s: the call was made %d times, want once", name, got)
		}
		injected.Remove()
	}
	if got, err := testutil.GatherAndCount(reg, "rolebridge_aws_calls_total"); err != nil || got != len(ops)*10 {
		t.Errorf("%d series from the start (%v), want %d", got, err, len(ops)*10)
	}
	var want strings.Builder
	want.WriteString("# HELP rolebridge_aws_calls_total Calls to AWS by operation and outcome: ok, or why not.\n" +
		"# TYPE rolebridge_aws_calls_total counter\n")
	for _, op := range ops {
		for _, outcome := range []string{"denied", "exists", "expired", "invalid", "limit", "not-found", "ok", "throttled", "too-large", "unavailable"} {
			n := 0
			if op == aws.OpCallerIdentity {
				n = map[string]int{"throttled": 1, "unavailable": 3}[outcome]
			}
			fmt.Fprintf(&want, "rolebridge_aws_calls_total{op=%q,outcome=%q} %d\n", op, outcome, n)
		}
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want.String()), "rolebridge_aws_calls_total"); err != nil {
		t.Error(err)
	}
}

var ops = []string{
	"dynamodb:DescribeTable", "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies",
	"iam:PutRolePolicy", "iam:TagRole", "iam:UpdateAssumeRolePolicy", "kms:Decrypt", "kms:Encrypt", "s3:GetBucketLocation", "s3:ListBucket",
	"sts:AssumeRole", "sts:GetCallerIdentity",
}

func TestOurOwnCredentialsAreNeverTheCustomersFault(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	// The chain fails with an answer of AWS itself, which must not pass for the answer to AssumeRole.
	inner := w.Client(t)
	broken := w.Config(sdk.CredentialsProviderFunc(func(ctx context.Context) (sdk.Credentials, error) {
		_, err := inner.Assume(ctx, aws.Assumption{Role: "arn:aws:iam::222222222222:role/nobody", SessionName: "base"})
		return sdk.Credentials{}, err
	}))
	client, err := aws.New(t.Context(), broken)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	_, err = client.Assume(t.Context(), aws.Assumption{Role: "arn:aws:iam::222222222222:role/customer", SessionName: "validator"})
	wantFault(t, "assume", err, cloud.FaultUnavailable, aws.CodeNoCredentials)
}

func TestFreshConnectionsAreNewAndClosed(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	client := w.Client(t)
	fresh, done := client.Fresh()
	if _, err := fresh.CallerIdentity(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	done() // goleak sees the connection if it stays
	if _, err := client.CallerIdentity(t.Context(), nil); err != nil {
		t.Errorf("the client itself, after its fresh one was closed: %v", err)
	}
}

func TestSessionNamesAreWhatSTSTakes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"rolebridge-validator-cspi-abc": "rolebridge-validator-cspi-abc",
		"a b/c:ü":                       "a-b-c--",
		"":                              "--",
		strings.Repeat("x", 90):         strings.Repeat("x", 64),
	} {
		if got := aws.SessionName("%s", given); got != want {
			t.Errorf("SessionName(%q) = %q, want %q", given, got, want)
		}
	}
}
