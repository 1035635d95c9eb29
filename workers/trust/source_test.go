package trust_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

func TestASourceIdentityIsTriedOnlyWhenAConnectorHasOne(t *testing.T) {
	t.Parallel()
	w := world(t)
	final, err := policy.FinalTrust(platform, rightID)
	if err != nil {
		t.Fatal(err)
	}
	w.Role(t, w.Customer, "customer", string(final.JSON()))
	p := newProver(t, w.Client(t), prometheus.NewRegistry())
	if got := outcomes(prove(t, p, claim())); got != "PPPPPPPP" {
		t.Errorf("nobody has one: got %s, want the checks of always", got)
	}
	asks := claim()
	asks.SourceIdentity = true
	report := prove(t, p, asks)
	missing := check(t, report, integration.CheckSourceIdentity)
	if outcomes(report) != "PPPPPPPPF" || !strings.Contains(missing.Remedy, "sts:SetSourceIdentity") {
		t.Errorf("not allowed: got %s, %+v; want a failure that says what to paste", outcomes(report), missing)
	}
	if verdict := report.Verdict(); verdict != integration.VerdictClean {
		t.Errorf("the verdict is %s: other connectors must go on", verdict)
	}
	_, paste, _ := strings.Cut(missing.Remedy, "\n")
	merged := strings.TrimSuffix(strings.TrimSpace(string(final.JSON())), "]\n}") + "," +
		strings.TrimSuffix(strings.SplitN(strings.TrimSpace(paste), "[", 2)[1], "]\n}") + "]}"
	w.Role(t, w.Customer, "customer", merged)
	if got := outcomes(prove(t, p, asks)); got != "PPPPPPPPP" {
		t.Errorf("with what the remedy says: got %s, want all to pass", got)
	}
}
