package trust_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// statements makes a policy of them. PLATFORM and ID stand for what is right.
func statements(s ...string) string {
	text := `{"Version":"2012-10-17","Statement":[` + strings.Join(s, ",") + `]}`
	return strings.NewReplacer("PLATFORM", platform, "ID", rightID).Replace(text)
}

const (
	assumeWithID = `{"Effect":"Allow","Principal":{"AWS":"PLATFORM"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"ID"}}}`
	assumeFreely = `{"Effect":"Allow","Principal":{"AWS":"PLATFORM"},"Action":"sts:AssumeRole"}`
	tagFreely    = `{"Effect":"Allow","Principal":{"AWS":"PLATFORM"},"Action":"sts:TagSession"}`
)

func assumeWhen(condition string) string {
	return `{"Effect":"Allow","Principal":{"AWS":"PLATFORM"},"Action":"sts:AssumeRole","Condition":` + condition + `}`
}

// Each row: the outcomes of platform-identity, platform-role, assume-with-external-id, refuse-without-external-id,
// refuse-wrong-external-id, tag-session, account, max-session; and the verdict that follows.
func TestEveryKindOfTrustPolicyIsReportedAsItIs(t *testing.T) {
	t.Parallel()
	final, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	rotating, err := policy.FinalTrust(platform, rightID, "another-external-id")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trust    string
		outcomes string
		verdict  integration.Verdict
	}{
		"the final one":                {string(final.JSON()), "PPPPPPPP", integration.VerdictClean},
		"the final one, in rotation":   {string(rotating.JSON()), "PPPPPPPP", integration.VerdictClean},
		"the first one: deny all":      {string(policy.FirstTrust().JSON()), "PPFPPSSS", integration.VerdictRefused},
		"no condition":                 {statements(assumeFreely, tagFreely), "PPPFFPPP", integration.VerdictInsecure},
		"no condition, no tags":        {statements(assumeFreely), "PPPFFFPP", integration.VerdictInsecure},
		"no tags":                      {statements(assumeWithID), "PPPPPFPP", integration.VerdictClean},
		"tags denied":                  {statements(assumeWithID, tagFreely, strings.Replace(tagFreely, "Allow", "Deny", 1)), "PPPPPFPP", integration.VerdictClean},
		"another external ID":          {statements(assumeWhen(`{"StringEquals":{"sts:ExternalId":"other"}}`), tagFreely), "PPFPPSSS", integration.VerdictRefused},
		"the external ID in capitals":  {strings.Replace(statements(assumeWithID, tagFreely), rightID, strings.ToUpper(rightID), 1), "PPFPPSSS", integration.VerdictRefused},
		"any external ID":              {statements(assumeWhen(`{"StringLike":{"sts:ExternalId":"*"}}`), tagFreely), "PPPPFPPP", integration.VerdictInsecure},
		"an external ID if there is":   {statements(assumeWhen(`{"StringEqualsIfExists":{"sts:ExternalId":"ID"}}`), tagFreely), "PPPFPPPP", integration.VerdictInsecure},
		"for all values, of none":      {statements(assumeWhen(`{"ForAllValues:StringEquals":{"sts:ExternalId":"ID"}}`), tagFreely), "PPPFPPPP", integration.VerdictInsecure},
		"all but one external ID":      {statements(assumeWhen(`{"StringNotEquals":{"sts:ExternalId":"other"}}`), tagFreely), "PPPFFPPP", integration.VerdictInsecure},
		"only without an external ID":  {statements(assumeWhen(`{"Null":{"sts:ExternalId":"true"}}`), tagFreely), "PPFFPSSS", integration.VerdictInsecure},
		"two ways in, one unlocked":    {statements(assumeWithID, assumeFreely, tagFreely), "PPPFFPPP", integration.VerdictInsecure},
		"tags under the external ID":   {statements(strings.Replace(assumeWithID, `"sts:AssumeRole"`, `["sts:AssumeRole","sts:TagSession"]`, 1)), "PPPPPPPP", integration.VerdictClean},
		"the account instead of us":    {strings.ReplaceAll(statements(assumeWithID, tagFreely), platform, "111111111111"), "PPPPPPPP", integration.VerdictClean},
		"another account":              {strings.ReplaceAll(statements(assumeWithID, tagFreely), platform, "222222222222"), "PPFPPSSS", integration.VerdictRefused},
		"anybody with the external ID": {strings.ReplaceAll(statements(assumeWithID, tagFreely), platform, "*"), "PPPPPPPP", integration.VerdictClean},
		"allowed, but denied as well":  {statements(assumeWithID, tagFreely, strings.Replace(assumeFreely, "Allow", "Deny", 1)), "PPFPPSSS", integration.VerdictRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world(t)
			w.Role(t, w.Customer, "customer", c.trust)
			report := prove(t, newProver(t, w.Client(t), prometheus.NewRegistry()), claim())
			if got := outcomes(report); got != c.outcomes || report.Verdict() != c.verdict {
				t.Errorf("got %s, %s, want %s, %s\n%s", got, report.Verdict(), c.outcomes, c.verdict, table(report))
			}
			for _, check := range report.Checks {
				switch {
				case check.Outcome == integration.Pass && (check.Reason != "" || check.Remedy != ""):
					t.Errorf("%s passed and says %q, %q", check.Name, check.Reason, check.Remedy)
				case check.Outcome == integration.Fail && (check.Reason == "" || !strings.Contains(check.Remedy, "\"Statement\": [\n")):
					t.Errorf("%s failed without a reason or a statement to paste: %+v", check.Name, check)
				}
			}
		})
	}
}

func table(r integration.Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%-28s %-8s %s: %s\n", c.Name, c.Outcome, c.Reason, c.Detail)
	}
	return b.String()
}

func TestWhatARemedySaysHelps(t *testing.T) {
	t.Parallel()
	w := world(t)
	client := w.Client(t)
	for _, broken := range []string{string(policy.FirstTrust().JSON()), statements(assumeFreely, tagFreely), statements(assumeWithID)} {
		w.Role(t, w.Customer, "customer", broken)
		p := newProver(t, client, prometheus.NewRegistry())
		report := prove(t, p, claim())
		pasted := ""
		for _, c := range report.Checks {
			if _, document, ok := strings.Cut(c.Remedy, ":\n"); ok {
				if pasted != "" && pasted != document {
					t.Errorf("%s: the report holds a second policy", c.Name)
				}
				pasted = document
			}
		}
		if outcomes(report) == "PPPPPFPP" { // a statement to be added
			list := func(s string) string {
				_, rest, _ := strings.Cut(s, `"Statement":`)
				return strings.TrimSuffix(strings.TrimSpace(rest), "}")
			}
			one, two := strings.TrimSpace(list(compact(broken))), strings.TrimSpace(list(compact(pasted)))
			pasted = `{"Version":"2012-10-17","Statement":` + strings.TrimSuffix(one, "]") + "," + strings.TrimPrefix(two, "[") + "}"
		}
		w.Role(t, w.Customer, "customer", pasted)
		if got := outcomes(prove(t, p, claim())); got != "PPPPPPPP" {
			t.Errorf("after the remedy for\n%s\nwas taken, got %s:\n%s", broken, got, pasted)
		}
	}
}

// compact takes the white space out of a policy, whose texts have none.
func compact(s string) string { return strings.Join(strings.Fields(s), "") }

func TestARoleThatIsNotThereIsARefusal(t *testing.T) {
	t.Parallel()
	w := world(t)
	report := prove(t, newProver(t, w.Client(t), prometheus.NewRegistry()), claim())
	if got := outcomes(report); got != "PPFPPSSS" {
		t.Errorf("got %s, want PPFPPSSS\n%s", got, table(report))
	}
}

func TestOurOwnFaultIsNeverTheCustomers(t *testing.T) {
	t.Parallel()
	t.Run("credentials that are wrong", func(t *testing.T) {
		t.Parallel()
		w := world(t)
		cfg := w.Config(awstest.Static(w.Validator.Key.ID, "wrong"))
		report := prove(t, newProver(t, open(t, cfg), prometheus.NewRegistry()), claim())
		if got := outcomes(report); got != "FSSSSSSS" || report.Verdict() != integration.VerdictInconclusive {
			t.Errorf("got %s, %s, want FSSSSSSS, inconclusive\n%s", got, report.Verdict(), table(report))
		}
	})
	t.Run("a platform role that is gone", func(t *testing.T) {
		t.Parallel()
		w := world(t)
		w.Role(t, w.Customer, "customer", strings.ReplaceAll(statements(assumeWithID), platform, "111111111111"))
		name, own := "cspi-abc12", "assume-customer-role"
		root := w.IAM(t, w.Platform)
		if _, err := root.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &own}); err != nil {
			t.Fatal(err)
		}
		if _, err := root.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: &name}); err != nil {
			t.Fatal(err)
		}
		report := prove(t, newProver(t, w.Client(t), prometheus.NewRegistry()), claim())
		if got := outcomes(report); got != "PFSSSSSS" || report.Verdict() != integration.VerdictInconclusive {
			t.Errorf("got %s, %s, want PFSSSSSS, inconclusive\n%s", got, report.Verdict(), table(report))
		}
		if got := check(t, report, integration.CheckWithExternalID); got.Reason != string(integration.CheckPlatformRole) {
			t.Errorf("the skipped check gives %q as its reason, want %s", got.Reason, integration.CheckPlatformRole)
		}
	})
	t.Run("a cloud that is not enabled", func(t *testing.T) {
		t.Parallel()
		w := world(t)
		c := claim()
		c.Config = integration.Config{Kind: integration.KindGCP, Customer: "sa@p.iam.gserviceaccount.com"}
		report := prove(t, newProver(t, w.Client(t), prometheus.NewRegistry()), c)
		if got := outcomes(report); got != "ESSSSSSS" || w.Calls("AssumeRole") != 0 {
			t.Errorf("got %s and %d calls, want ESSSSSSS and none", got, w.Calls("AssumeRole"))
		}
	})
}
