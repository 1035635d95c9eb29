package trust_test

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/orders"
	"github.com/rolebridge/rolebridge/workers/trust"
)

const otherID = "9b1c6a1e-4f1d-4c7e-9e55-0d6f3f2f4c11"

func proving() trust.Claim {
	c := claim()
	c.Next, c.Tags = otherID, true
	return c
}

func retiring() trust.Claim {
	c := claim()
	c.Former = otherID
	return c
}

// Each row: the outcomes as in the matrix of trust policies, with that of the second external ID after
// refuse-wrong-external-id.
func TestARotationsSecondExternalIDIsACheckOfItsOwn(t *testing.T) {
	t.Parallel()
	accepts := func(ids ...string) string {
		d, err := policy.FinalTrust(platform, ids...)
		if err != nil {
			t.Fatal(err)
		}
		return string(d.JSON())
	}
	underID := func(id string) string { // tags only with one of the two
		return statements(assumeWithID, strings.ReplaceAll(assumeWithID, "ID", otherID),
			strings.ReplaceAll(strings.Replace(assumeWithID, "sts:AssumeRole", "sts:TagSession", 1), "ID", id))
	}
	for name, c := range map[string]struct {
		claim    trust.Claim
		trust    string
		outcomes string
		verdict  integration.Verdict
		pastes   string // the external IDs of the policy that the report says to paste
	}{
		"proving, not edited yet":         {proving(), accepts(rightID), "PPPPPFPPP", integration.VerdictClean, otherID + " " + rightID},
		"proving, both":                   {proving(), accepts(rightID, otherID), "PPPPPPPPP", integration.VerdictClean, ""},
		"proving, the next one only":      {proving(), accepts(otherID), "PPFPPPSSS", integration.VerdictMoved, otherID + " " + rightID},
		"proving, neither":                {proving(), accepts("typo"), "PPFPPFSSS", integration.VerdictRefused, otherID + " " + rightID},
		"proving, no condition":           {proving(), statements(assumeFreely, tagFreely), "PPPFFPPPP", integration.VerdictInsecure, otherID + " " + rightID},
		"proving, tags with the old only": {proving(), underID(rightID), "PPPPPFPPP", integration.VerdictClean, otherID + " " + rightID},
		"retiring, both":                  {retiring(), accepts(rightID, otherID), "PPPPPFPPP", integration.VerdictClean, rightID},
		"retiring, the new one only":      {retiring(), accepts(rightID), "PPPPPPPPP", integration.VerdictClean, ""},
		"retiring, the former one only":   {retiring(), accepts(otherID), "PPFPPFSSS", integration.VerdictMoved, rightID + " " + otherID},
		"retiring, neither":               {retiring(), accepts("typo"), "PPFPPPSSS", integration.VerdictRefused, rightID + " " + otherID},
		"retiring, no condition":          {retiring(), statements(assumeFreely, tagFreely), "PPPFFFPPP", integration.VerdictInsecure, rightID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world(t)
			w.Role(t, w.Customer, "customer", c.trust)
			p := newProver(t, w.Client(t), prometheus.NewRegistry())
			report := prove(t, p, c.claim)
			if got := outcomes(report); got != c.outcomes || report.Verdict() != c.verdict {
				t.Errorf("got %s, %s, want %s, %s\n%s", got, report.Verdict(), c.outcomes, c.verdict, table(report))
			}
			// Only a session says what the linter would: two IDs are right while proving, and one too many afterwards.
			if r := report.Policy; r.Read {
				for _, f := range r.Findings {
					if c.outcomes == "PPPPPPPPP" {
						t.Errorf("the linter finds fault with the right policy: %+v", f)
					}
				}
			}
			for _, k := range report.Checks {
				if k.Outcome != integration.Fail {
					continue
				}
				want, err := policy.FinalTrust(platform, strings.Fields(c.pastes)...)
				if err != nil {
					t.Fatalf("%s fails, and nothing is to be pasted: %v", k.Name, err)
				}
				if !strings.Contains(k.Remedy, string(want.JSON())) {
					t.Errorf("the remedy of %s is %s\nwant the policy that accepts %s", k.Name, k.Remedy, c.pastes)
				}
			}
			if c.pastes == "" {
				return
			}
			w.Role(t, w.Customer, "customer", accepts(strings.Fields(c.pastes)...))
			after := prove(t, p, c.claim)
			if after.Verdict() != integration.VerdictClean {
				t.Errorf("after pasting the remedy the verdict is %s\n%s", after.Verdict(), table(after))
			}
			if len(strings.Fields(c.pastes)) == 1 || c.claim.Next != "" {
				if got := outcomes(after); got != "PPPPPPPPP" {
					t.Errorf("after pasting the remedy: %s\n%s", got, table(after))
				}
			}
		})
	}
}

func TestTheNextExternalIDIsTriedAsSessionsAreMade(t *testing.T) {
	t.Parallel()
	for _, tags := range []bool{true, false} {
		s := newSTS(t, func(form url.Values) (int, string) {
			if hop2(form) && form.Get("ExternalId") == otherID {
				return admission(customer)
			}
			return right(form)
		})
		c := proving()
		c.Tags = tags
		report := prove(t, newProver(t, s.client(t), prometheus.NewRegistry()), c)
		if got := check(t, report, integration.CheckNextID); got.Outcome != integration.Pass {
			t.Errorf("the next external ID: %+v", got)
		}
		for _, form := range s.seen {
			if form.Get("ExternalId") == otherID && (form.Get("Tags.member.1.Key") != "") != tags {
				t.Errorf("tried with tags %q, want tags: %t", form.Get("Tags.member.1.Key"), tags)
			}
		}
	}
}

func TestASecondExternalIDThatCannotBeTriedIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[integration.CheckName]trust.Claim{
		integration.CheckNextID: proving(), integration.CheckFormerID: retiring(),
	} {
		s := newSTS(t, func(form url.Values) (int, string) {
			if hop2(form) && form.Get("ExternalId") == otherID {
				return refusal(400, "Throttling", "Rate exceeded")
			}
			return right(form)
		})
		report := prove(t, newProver(t, s.client(t), prometheus.NewRegistry()), c)
		if got := check(t, report, name); got.Outcome != integration.Errored || got.Reason != "Throttling" || got.Remedy != "" {
			t.Errorf("%s while STS throttles: %+v", name, got)
		}
		if got := report.Verdict(); got != integration.VerdictClean {
			t.Errorf("the verdict is %s: the current external ID is proved", got)
		}
	}
}

func TestAnOrderSaysWhichExternalIDsToProve(t *testing.T) {
	t.Parallel()
	w := world(t)
	both, err := policy.FinalTrust(platform, rightID, otherID)
	if err != nil {
		t.Fatal(err)
	}
	w.Role(t, w.Customer, "customer", string(both.JSON()))
	topics := events.Topics{Prefix: "t.", Partitions: 1}
	codec, err := events.NewCodec(topics)
	if err != nil {
		t.Fatal(err)
	}
	c := trust.Defaults()
	c.Topics = topics
	worker, err := trust.New(c, codec, w.Client(t), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[integration.CheckName]integration.TrustAsked{
		integration.CheckNextID:   {ExternalID: rightID, Next: otherID, Tags: true},
		integration.CheckFormerID: {ExternalID: rightID, Former: otherID},
	} {
		ask.Attempt, ask.Config, ask.Platform, ask.Due = 1, claim().Config, platform, time.Now().Add(time.Minute)
		found, err := worker.Handle(t.Context(), orders.Order[integration.TrustAsked]{Integration: "cspi-abc12", Attempt: 1, Ask: ask})
		if err != nil {
			t.Fatal(err)
		}
		want := map[integration.CheckName]integration.Outcome{integration.CheckNextID: integration.Pass, integration.CheckFormerID: integration.Fail}[name]
		if got := check(t, found.(integration.TrustWasProbed).Report, name); got.Outcome != want {
			t.Errorf("%s: got %+v, want %s", name, got, want)
		}
	}
}
