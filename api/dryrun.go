package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/rolebridge/rolebridge/api/wire"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/internal/dryrun"
)

// ReasonNotMapped is why nothing could be proved while the platform's identity is not made.
const ReasonNotMapped = "NotMapped"

// Bounds of dry runs, for each organization and replica of the api: a proof makes ten calls to AWS.
const (
	dryRunsPerSecond = 0.5
	dryRunsAtOnce    = 10
)

// WithDryRuns offers dry runs, which prover makes. Without it they are answered with 501.
func WithDryRuns(prover dryrun.Prover) Option {
	return func(s *Server) { s.prover = prover }
}

// dryRun proves a configuration that is not saved, with the external ID that is reserved for the integration, and with all
// else that a proof of the integration knows: both IDs of a rotation, what its bindings need. It writes no command, so
// nothing is decided and nothing changes.
func (s *Server) dryRun(c *call) (answer, error) {
	var body wire.DryRunRequest
	if err := s.bodies.read(c.Request, bodyDryRun, &body); err != nil {
		return answer{}, err
	}
	i, err := s.find(c, integration.ID(c.PathValue("id")), "")
	if err != nil {
		return answer{}, err
	}
	if !c.organization.Permits(c.Principal, integration.OpValidate, integration.Scope{Environment: i.Environment, Integration: i.ID}) {
		return answer{}, fail(integration.CodeDenied, "%s may not %s integration %s", c.Principal, integration.OpValidate, i.ID)
	}
	config, err := s.tried(c, i, body.Config)
	if err != nil {
		return answer{}, err
	}
	if s.prover == nil {
		return answer{}, fail(codeNotOffered, "this installation makes no dry runs: dry_run.url is not set")
	}
	if refused := s.dryRuns.take(string(c.organization.ID), http.Header{}, time.Now()); refused != nil {
		refused.faults[0].detail = fmt.Sprintf("an organization may make %g dry runs a minute", 60*dryRunsPerSecond)
		return answer{}, refused
	}
	ctx, cancel := context.WithTimeout(c.Context(), s.config.ProvedWithin)
	defer cancel()
	report := notMapped()
	if i.Mapping.Platform != "" {
		ask := i.TrustAsk()
		ask.Config = config
		report, err = s.prover.Prove(ctx, dryrun.Claim{Organization: c.organization.ID, Integration: i.ID, Ask: ask})
	}
	switch {
	case err == nil:
	case c.Context().Err() != nil:
		return answer{}, context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return answer{}, fail(integration.CodeTimeout, "the dry run took longer than %s", s.config.ProvedWithin)
	default:
		return answer{}, err
	}
	tried := *i
	tried.Config = config
	return answer{status: http.StatusOK, body: wire.DryRun{
		Integration: string(i.ID), Config: shown(&tried), Verdict: report.Verdict(), NotProved: notProved(report), Report: report,
	}}, nil
}

// tried is the configuration to try: the one of the body, if an update to it could be decided; or without one the saved one.
func (s *Server) tried(c *call, i *integration.Integration, body *wire.ConfigRequest) (integration.Config, error) {
	config := i.Config
	if body != nil {
		var err error
		if config, err = configuration(i.Config.Kind, body); err != nil {
			return config, err
		}
	}
	field := "/config/" + config.Kind.CustomerField()
	if refused := config.Check("/config"); refused != nil {
		return config, refused
	}
	if refused := config.NotOurs("/config", s.config.Accounts); refused != nil {
		return config, refused
	}
	switch {
	case config.Draft():
		return config, failField(field, "is missing: the integration is a draft, so say which identity to try")
	case config == i.Config:
		return config, nil
	case !i.Config.Draft():
		return config, fail(integration.CodeConflict, "only a draft can be tried with another identity; %s is %s", i.ID, i.Status())
	}
	for other := range s.replica.List(c.organization.ID, i.Environment, "") {
		if other.ID != i.ID && other.Config == config {
			return config, &integration.Refusal{Code: integration.CodeExists, Field: field, Message: "is mapped in this environment already"}
		}
	}
	return config, nil
}

// notMapped is the report without a platform identity: nothing could be tried.
func notMapped() integration.Report {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return integration.Report{StartedAt: now, FinishedAt: now, Checks: []integration.Check{{
		Name: integration.CheckPlatformRole, Outcome: integration.Errored, Reason: ReasonNotMapped,
		Detail: "the platform's identity is not made yet, so nothing could be tried",
		Remedy: "Try again in a minute; the validation of the integration says how far its mapping is.",
	}}}
}

// proofs are the checks that a verdict rests on.
func proofs() []integration.CheckName {
	return []integration.CheckName{
		integration.CheckWithExternalID, integration.CheckWithoutID, integration.CheckWrongID, integration.CheckTagSession,
		integration.CheckAccount, integration.CheckMaxSession,
	}
}

// notProved are the checks about the customer of which the report knows no outcome.
func notProved(r integration.Report) []integration.CheckName {
	all := proofs()
	for _, c := range r.Checks {
		switch c.Name {
		case integration.CheckNextID, integration.CheckFormerID, integration.CheckSourceIdentity: // made where they matter
			all = append(all, c.Name)
		}
	}
	return slices.DeleteFunc(all, func(name integration.CheckName) bool {
		outcome := r.Outcome(name)
		return outcome == integration.Pass || outcome == integration.Fail
	})
}
