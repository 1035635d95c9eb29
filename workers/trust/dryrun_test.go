package trust_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/workers/trust"
)

func newWorker(t *testing.T, client *aws.Client) *trust.Worker {
	t.Helper()
	c := trust.Defaults()
	c.Topics = events.Topics{Prefix: "t.", Partitions: 2}
	codec, err := events.NewCodec(c.Topics)
	if err != nil {
		t.Fatal(err)
	}
	w, err := trust.New(c, codec, client, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func tried() dryrun.Claim {
	return dryrun.Claim{Integration: "cspi-abc12", Config: claim().Config, Platform: platform, ExternalID: rightID}
}

// The platform role of a draft exists before anybody knows the customer's role: with it the trust policy that was written
// first is proved.
func TestADryRunProvesWhatADraftWouldBecome(t *testing.T) {
	t.Parallel()
	w := awstest.New(t)
	if got, err := w.Roles(t).EnsureRole(t.Context(), aws.RoleSpec{Name: "cspi-abc12", Organization: "o-1"}); err != nil || got != platform {
		t.Fatalf("the draft's role: got %s, %v", got, err)
	}
	worker := newWorker(t, w.Client(t))
	for name, c := range map[string]struct {
		trust    string
		outcomes string
		verdict  integration.Verdict
	}{
		"right":    {statements(assumeWithID, tagFreely), "PPPPPPPP", integration.VerdictClean},
		"insecure": {statements(assumeFreely, tagFreely), "PPPFFPPP", integration.VerdictInsecure},
		"shut":     {string(policy.FirstTrust().JSON()), "PPFPPSSS", integration.VerdictRefused},
	} {
		w.Role(t, w.Customer, "customer", c.trust)
		report, err := worker.DryRun(t.Context(), tried())
		if err != nil || outcomes(report) != c.outcomes || report.Verdict() != c.verdict {
			t.Errorf("%s: got %s, %s, %v, want %s, %s\n%s", name, outcomes(report), report.Verdict(), err, c.outcomes, c.verdict, table(report))
		}
	}
	roles, err := w.IAM(t, w.Platform).ListRoles(t.Context(), &iam.ListRolesInput{})
	if err != nil || len(roles.Roles) != 1 {
		t.Errorf("the platform has %d roles (%v), want the draft's alone: a dry run leaves none behind", len(roles.Roles), err)
	}
}

func TestTheSessionOfADryRunReachesTheTriedRoleOnly(t *testing.T) {
	t.Parallel()
	server := newSTS(t, right)
	for _, unsaved := range []bool{false, true} {
		c := claim()
		c.Unsaved = unsaved
		server.seen = nil
		prove(t, newProver(t, server.client(t), prometheus.NewRegistry()), c)
		for _, form := range server.seen {
			if form.Get("RoleArn") != platform {
				continue
			}
			text := form.Get("Policy")
			if unsaved && (!strings.Contains(text, customer) || strings.Contains(text, "*")) || !unsaved && text != "" {
				t.Errorf("unsaved %t: the first hop is narrowed to %q", unsaved, text)
			}
		}
	}
}
