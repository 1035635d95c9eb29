package trust

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
	"github.com/rolebridge/rolebridge/internal/orders"
)

// Worker proves trust on order. One goroutine runs it: [Worker.Run].
type Worker struct {
	prover   *Prover
	log      *slog.Logger
	consumer *orders.Consumer[integration.TrustAsked]
}

// New returns a worker that asks as client, which must be the validator's own identity; it does nothing before
// [Worker.Run].
func New(c Config, codec *events.Codec, client *aws.Client, log *slog.Logger, reg prometheus.Registerer) (*Worker, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	prover, err := NewProver(c.Prover, client, reg)
	if err != nil {
		return nil, err
	}
	w := &Worker{prover: prover, log: log}
	w.consumer, err = orders.New(c.Config, "trust", events.SourceTrust, codec, w.Handle, log, reg)
	return w, err
}

// Run handles orders until ctx ends (nil) or something fails for good; then the process should exit and be restarted.
func (w *Worker) Run(ctx context.Context) error { return w.consumer.Run(ctx) }

// Ready reports whether the worker has joined its group.
func (w *Worker) Ready() bool { return w.consumer.Ready() }

// DryRun makes a proof of a configuration that is not saved: nobody is told, and nothing is left of it. Like [Prover.Prove]
// it fails only with ctx. Safe for concurrent use, also while the worker runs.
func (w *Worker) DryRun(ctx context.Context, c dryrun.Claim) (integration.Report, error) {
	claim := claimOf(c.Organization, c.Integration, c.Ask)
	claim.Unsaved = true
	return w.prover.Prove(ctx, claim)
}

// claimOf is what an order has proved, be it sent or only tried.
func claimOf(organization integration.OrganizationID, id integration.ID, ask integration.TrustAsked) Claim {
	return Claim{
		Organization: organization, Integration: id, Config: ask.Config, Platform: ask.Platform, ExternalID: ask.ExternalID,
		SourceIdentity: ask.SourceIdentity, Resources: ask.Resources, LeftOut: ask.ResourcesLeftOut,
		Next: ask.Next, Former: ask.Former, Tags: ask.Tags,
	}
}

// Handle makes the proof that one order asks for. An error means that ctx ended first.
func (w *Worker) Handle(ctx context.Context, o orders.Order[integration.TrustAsked]) (integration.Finding, error) {
	report, err := w.prover.Prove(ctx, claimOf(o.Organization, o.Integration, o.Ask))
	if err != nil {
		return nil, err
	}
	// What follows from a report is the decider's to log; here only why one says nothing.
	if verdict := report.Verdict(); verdict == integration.VerdictInconclusive {
		check := undecided(report)
		w.log.WarnContext(ctx, "proof of trust without a verdict", "integration", o.Integration, "attempt", o.Attempt,
			"check", check.Name, "reason", check.Reason)
	}
	return integration.TrustWasProbed{Report: report}, nil
}

// undecided is the first check that did not pass.
func undecided(r integration.Report) integration.Check {
	for _, c := range r.Checks {
		if c.Outcome != integration.Pass {
			return c
		}
	}
	return integration.Check{}
}
