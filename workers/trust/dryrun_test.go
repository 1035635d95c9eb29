package trust_test

import (
	"log/slog"
	"reflect"
	"slices"
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
	"github.com/rolebridge/rolebridge/internal/orders"
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
	return dryrun.Claim{Integration: "cspi-abc12", Ask: integration.TrustAsked{
		Config: claim().Config, Platform: platform, ExternalID: rightID,
	}}
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

// The dry run of an integration knows all that its proof knows; else it would say to paste a policy that shuts out the next
// external ID, or connectors with a source identity.
func TestADryRunInARotationFindsWhatTheProofFinds(t *testing.T) {
	t.Parallel()
	both, err := policy.FinalTrust(platform, otherID, rightID)
	if err != nil {
		t.Fatal(err)
	}
	one, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		trust    policy.Document
		change   func(*integration.TrustAsked)
		outcomes string
		failing  integration.CheckName
		pastes   string
	}{
		"the next ID is accepted":         {both, func(a *integration.TrustAsked) { a.Next, a.Tags = otherID, true }, "PPPPPPPPP", "", ""},
		"the next ID is not accepted":     {one, func(a *integration.TrustAsked) { a.Next = otherID }, "PPPPPFPPP", integration.CheckNextID, otherID},
		"the former ID is accepted still": {both, func(a *integration.TrustAsked) { a.Former = otherID }, "PPPPPFPPP", integration.CheckFormerID, rightID},
		"a source identity is missing":    {one, func(a *integration.TrustAsked) { a.SourceIdentity = true }, "PPPPPPPPF", integration.CheckSourceIdentity, "sts:SetSourceIdentity"},
		"a source identity is admitted":   {one.WithSourceIdentity(), func(a *integration.TrustAsked) { a.SourceIdentity = true }, "PPPPPPPPP", "", ""},
		"a bucket cannot be reached": {one, func(a *integration.TrustAsked) {
			a.Resources = []integration.Resource{bucket("lake", "", "write")}
		}, "PPPPPPPP", integration.CheckPermissions, "s3:PutObject"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world(t)
			w.Role(t, w.Customer, "customer", string(c.trust.JSON()))
			d := tried()
			c.change(&d.Ask)
			worker := newWorker(t, w.Client(t))
			report, err := worker.DryRun(t.Context(), d)
			if err != nil || outcomes(report) != c.outcomes {
				t.Fatalf("got %s, %v, want %s\n%s", outcomes(report), err, c.outcomes, table(report))
			}
			if c.failing != "" {
				if failing := check(t, report, c.failing); failing.Outcome != integration.Fail || !strings.Contains(failing.Remedy, c.pastes) {
					t.Errorf("got %+v, want a failure that says to paste %s", failing, c.pastes)
				}
			}
			// What the order's own proof finds is the same but for the times.
			found, err := worker.Handle(t.Context(), orders.Order[integration.TrustAsked]{Integration: d.Integration, Ask: d.Ask})
			if err != nil {
				t.Fatal(err)
			}
			if proved := found.(integration.TrustWasProbed).Report; !slices.Equal(proved.Checks, report.Checks) || !reflect.DeepEqual(proved.Policy, report.Policy) {
				t.Errorf("the dry run finds\n%s\nthe proof\n%s", table(report), table(proved))
			}
		})
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
		first := 0
		for _, form := range server.seen {
			if form.Get("RoleArn") != platform {
				continue
			}
			first++
			text := form.Get("Policy")
			if unsaved && (!strings.Contains(text, customer) || strings.Contains(text, "*")) || !unsaved && text != "" {
				t.Errorf("unsaved %t: the first hop is narrowed to %q", unsaved, text)
			}
		}
		if first != 1 {
			t.Errorf("unsaved %t: %d first hops were seen, want one", unsaved, first)
		}
	}
}
