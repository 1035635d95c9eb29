package trust_test

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/testenv"
)

// matrix is what AWS documents about each kind of trust policy. Admitted with the right external ID is "R", with a wrong
// one "W", without one "-" before and "M" when admitted; so "R··" is a lock that works. First plain requests of the
// platform's role, then with session tags, then plain ones of a stranger, a user of a third account. TagSession has a
// statement of its own where nothing else is said. STRANGER stands for the stranger's account.
var matrix = []struct {
	name, trust             string
	plain, tagged, stranger string
}{
	{"a correct", statements(assumeWithID, tagFreely), "R··", "R··", "···"},
	{"b no condition", statements(assumeFreely, tagFreely), "RWM", "RWM", "···"},
	{"c anybody", strings.ReplaceAll(statements(assumeWithID, tagFreely), platform, "*"), "R··", "R··", "R··"},
	{"d the account's root", strings.ReplaceAll(statements(assumeWithID, tagFreely), platform, "arn:aws:iam::111111111111:root"), "R··", "R··", "···"},
	{"e an explicit deny", statements(assumeWithID, tagFreely, strings.Replace(assumeFreely, "Allow", "Deny", 1)), "···", "···", "···"},
	{"f the wrong ID", statements(assumeWhen(`{"StringEquals":{"sts:ExternalId":"other"}}`), tagFreely), "···", "···", "···"},
	{"g StringLike a star", statements(assumeWhen(`{"StringLike":{"sts:ExternalId":"*"}}`), tagFreely), "RW·", "RW·", "···"},
	{"h a list of IDs", statements(assumeWhen(`{"StringEquals":{"sts:ExternalId":["other","ID"]}}`), tagFreely), "R··", "R··", "···"},
	{"i no TagSession", statements(assumeWithID), "R··", "···", "···"},
	{"j IfExists", statements(assumeWhen(`{"StringEqualsIfExists":{"sts:ExternalId":"ID"}}`), tagFreely), "R·M", "R·M", "···"},
	{"k NotPrincipal", statements(strings.Replace(assumeWithID, `"Principal":{"AWS":"PLATFORM"}`, `"NotPrincipal":{"AWS":"STRANGER"}`, 1), tagFreely), "···", "···", "···"},
	{"l ForAnyValue", statements(assumeWhen(`{"ForAnyValue:StringEquals":{"sts:ExternalId":"ID"}}`), tagFreely), "R··", "R··", "···"},
	// Not documented: whether the tags' part of the call sees the external ID. Ours says that it does, and lints it.
	{"m both in one statement", statements(strings.Replace(assumeWithID, `"sts:AssumeRole"`, `["sts:AssumeRole","sts:TagSession"]`, 1)), "R··", "R··", "···"},
}

// unsupported is the one policy that AWS documents as not supported: IAM may refuse to make such a role.
const unsupported = "k NotPrincipal"

// place is somewhere where the matrix is tried.
type place struct {
	platform, customer, stranger string // the role that asks, the account that is asked, the account of the stranger
	ask                          func(t *testing.T, trust, who, externalID string, tags map[string]string) bool
	refuses                      bool // to make a role with the policy that is tried
}

// row tries one policy in all ways.
func (p *place) row(t *testing.T, trust string) (plain, tagged, stranger string) {
	t.Helper()
	trust = strings.ReplaceAll(trust, platform, p.platform)
	trust = strings.ReplaceAll(trust, "arn:aws:iam::111111111111:root", "arn:aws:iam::"+strings.Split(p.platform, ":")[4]+":root")
	trust = strings.ReplaceAll(trust, "STRANGER", p.stranger)
	cells := func(who string, tags map[string]string) string {
		out := ""
		for _, try := range []struct{ letter, id string }{{"R", rightID}, {"W", "rolebridge-wrong-id"}, {"M", ""}} {
			if p.ask(t, trust, who, try.id, tags) {
				out += try.letter
			} else {
				out += "·"
			}
		}
		return out
	}
	return cells(p.platform, nil), cells(p.platform, map[string]string{"rolebridge": "yes"}), cells(p.stranger, nil)
}

// evaluated is our evaluator, which asks nobody.
func evaluated() *place {
	p := &place{platform: platform, customer: "222222222222", stranger: "333333333333"}
	p.ask = func(t *testing.T, trust, who, externalID string, tags map[string]string) bool {
		t.Helper()
		caller, err := policy.NewCaller("arn:aws:iam::" + p.stranger + ":user/stranger")
		if who == platform {
			caller, err = policy.SessionCaller(platform, "session")
		}
		if err != nil {
			t.Fatal(err)
		}
		got := policy.Parse(policy.Trust, []byte(trust)).Assume(policy.Request{
			Caller: caller, Resource: customer, ExternalID: externalID, SessionName: "session", Tags: tags,
		})
		p.refuses = got.Decision == policy.Invalid
		return got.Decision == policy.Allowed
	}
	return p
}

// served is an STS. ours and theirs ask; owner may change the customer's role.
func served(t *testing.T, platformRole, customerRole, strangerAccount string, ours, theirs *aws.Client, owner *iam.Client) *place {
	t.Helper()
	hop1, err := ours.Assume(t.Context(), aws.Assumption{Role: platformRole, SessionName: "session"})
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(customerRole, ":role/")
	p := &place{platform: platformRole, stranger: strangerAccount}
	set := string(policy.FirstTrust().JSON())
	p.ask = func(t *testing.T, trust, who, externalID string, tags map[string]string) bool {
		t.Helper()
		if trust != set {
			p.refuses = false
			if _, err := owner.UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &name, PolicyDocument: &trust}); err != nil {
				if refused, ok := errors.AsType[smithy.APIError](err); ok && refused.ErrorCode() == "MalformedPolicyDocument" {
					p.refuses = true
				} else {
					t.Fatal(err)
				}
			}
			set = trust
		}
		if p.refuses {
			return false
		}
		a := aws.Assumption{Role: customerRole, SessionName: "session", ExternalID: externalID, Tags: tags, With: &hop1}
		client := ours
		if who == strangerAccount {
			a.With, client = nil, theirs
		}
		_, err := client.Assume(t.Context(), a)
		if err != nil && cloud.FaultOf(err) != cloud.FaultDenied {
			t.Fatalf("%s: %v", trust, err)
		}
		return err == nil
	}
	return p
}

func sandboxed(t *testing.T) *place {
	t.Helper()
	w := world(t)
	w.Role(t, w.Customer, "customer", string(policy.FirstTrust().JSON()))
	stranger, err := w.AddUser(w.Spare.ID, "stranger", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`)
	if err != nil {
		t.Fatal(err)
	}
	return served(t, platform, customer, w.Spare.ID, w.Client(t), open(t, w.Config(stranger.Key)), w.IAM(t, w.Customer))
}

// miniStacked uses three accounts of an AWS that others wrote.
func miniStacked(t *testing.T) *place {
	t.Helper()
	endpoint, theirs, third := testenv.MiniStack(t), testenv.Account(t), testenv.Account(t)
	e := newElsewhere(t, endpoint, testenv.Account(t), theirs, awstest.Static(theirs, "test"))
	e.prove(t, string(policy.FirstTrust().JSON())) // makes the customer's role
	stranger := awstest.MiniStackUser(t, endpoint, third, "stranger")
	client := open(t, aws.Config{Region: awstest.Region, Endpoint: endpoint, Credentials: stranger.Key})
	return served(t, e.claim.platform, e.claim.customer, third, e.client, client, awstest.IAM(t, endpoint, e.owner))
}

//go:embed testdata/differences.txt
var differences string

// knownDifferences reads testdata/differences.txt: "place | policy | plain tagged stranger | why", and what it should be
// stands in the matrix.
func knownDifferences(t *testing.T) map[string]string {
	t.Helper()
	known := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(differences))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 4 || parts[3] == "" {
			t.Fatalf("differences.txt: %q: want place | policy | cells | why", line)
		}
		known[parts[0]+" | "+parts[1]] = parts[2]
	}
	return known
}

func TestOthersSayTheSameOfEveryPolicyOrTheDifferenceIsKnown(t *testing.T) {
	t.Parallel()
	known := knownDifferences(t)
	met := map[string]bool{}
	for name, at := range map[string]*place{"evaluator": evaluated(), "sandbox": sandboxed(t), "ministack": miniStacked(t)} {
		for _, c := range matrix {
			plain, tagged, stranger := at.row(t, c.trust)
			got, want := fmt.Sprint(plain, " ", tagged, " ", stranger), fmt.Sprint(c.plain, " ", c.tagged, " ", c.stranger)
			key := name + " | " + c.name
			different, listed := known[key]
			switch {
			case at.refuses && c.name != unsupported:
				t.Errorf("%s: no role can be made with the policy", key)
			case got == want && listed:
				t.Errorf("%s: is as documented, but differences.txt says %s", key, different)
			case got != want && got != different:
				t.Errorf("%s: got %s, want %s, or the difference in testdata/differences.txt", key, got, want)
			}
			if name != "ministack" && at.refuses != (c.name == unsupported) { // which makes any role
				t.Errorf("%s: refused %t", key, at.refuses)
			}
			met[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if !met[key] {
			t.Errorf("differences.txt lists %q, which is not in the matrix", key)
		}
	}
}

// moto checks no trust across accounts, so whatever a policy says it must be called insecure.
func TestEveryPolicyIsInsecureAtMoto(t *testing.T) {
	t.Parallel()
	const motoAccount = "123456789012" // of every key that moto has not made itself
	e := newElsewhere(t, testenv.Moto(t), motoAccount, testenv.Account(t), awstest.Static("any", "any"))
	for _, c := range matrix {
		report := e.prove(t, strings.ReplaceAll(strings.ReplaceAll(c.trust, platform, e.claim.platform), "STRANGER", "333333333333"))
		if report.Verdict() != integration.VerdictInsecure {
			t.Errorf("%s: verdict %s, want insecure\n%s", c.name, report.Verdict(), table(report))
		}
	}
}

// What the validator says of the same policies where trust is enforced.
func TestTheValidatorsVerdictFollowsFromTheMatrix(t *testing.T) {
	t.Parallel()
	for _, c := range matrix {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := world(t)
			trust := strings.ReplaceAll(c.trust, "STRANGER", w.Spare.ID)
			name := "customer"
			_, err := w.IAM(t, w.Customer).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
			if refused, ok := errors.AsType[smithy.APIError](err); ok && refused.ErrorCode() == "MalformedPolicyDocument" && c.name == unsupported {
				err = nil
			}
			if err != nil {
				t.Fatal(err)
			}
			want := integration.VerdictClean
			switch {
			case strings.ContainsAny(c.plain, "WM"):
				want = integration.VerdictInsecure
			case !strings.Contains(c.plain, "R"):
				want = integration.VerdictRefused
			}
			report, err := newProver(t, w.Client(t), prometheus.NewRegistry()).Prove(context.WithoutCancel(t.Context()), claim())
			if err != nil || report.Verdict() != want {
				t.Errorf("verdict %s, %v, want %s\n%s", report.Verdict(), err, want, table(report))
			}
		})
	}
}
