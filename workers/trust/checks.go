package trust

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rolebridge/rolebridge/cloud"
	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/integration"
)

// order is that in which the checks are made and reported; [Claim.checks] may add to it.
var order = []integration.CheckName{
	integration.CheckPlatformIdentity, integration.CheckPlatformRole, integration.CheckWithExternalID, integration.CheckWithoutID,
	integration.CheckWrongID, integration.CheckTagSession, integration.CheckAccount, integration.CheckMaxSession,
	integration.CheckPermissions,
}

// Reasons of ours, beside the cloud's error codes.
const (
	ReasonAdmitted        = "Admitted"        // a negative check was let in
	ReasonAccountMismatch = "AccountMismatch" // the session is of another account than the role's ARN
	ReasonLimited         = "RateLimited"     // the account was called too often lately
	ReasonNotEnabled      = "CloudNotEnabled"
	ReasonBadARN          = "BadARN"
	ReasonOwnAccount      = aws.CodeOwnAccount // the role is in one of the platform's accounts
	ReasonNoResources     = "NoResources"      // no binding names any, so there is nothing to look for
)

// proof is one validation under way.
type proof struct {
	prover   *Prover
	client   *aws.Client
	claim    Claim
	customer integration.RoleARN
	name     string // of all sessions; it says in the customer's audit log who asked and what for
	hop1     cloud.Session
	hop2     cloud.Session
	shut     bool // the role was seen to refuse the current external ID
}

func newProof(p *Prover, client *aws.Client, claim Claim) *proof {
	return &proof{prover: p, client: client, claim: claim, name: aws.SessionName("rolebridge-validator-%s", claim.Integration)}
}

// run makes the checks. Once the platform's own side fails there is nothing to say about the customer's; once the
// positive check fails, the negative ones are still made: a role may shut us out and let others in.
func (p *proof) run(ctx context.Context) []integration.Check {
	var ok bool
	switch p.customer, ok = integration.ParseRoleARN(p.claim.Config.Customer); {
	case p.claim.Config.Kind != integration.KindAWS:
		return none(ReasonNotEnabled, "this platform cannot prove trust in this cloud")
	case !ok:
		return none(ReasonBadARN, "the customer's role has no valid ARN")
	}
	var made []integration.Check
	passed := func(c integration.Check) bool {
		made = append(made, c)
		return c.Outcome == integration.Pass
	}
	if passed(p.platformIdentity(ctx)) && passed(p.platformRole(ctx)) {
		admitted := passed(p.withExternalID(ctx))
		passed(p.refused(ctx, integration.CheckWithoutID, ""))
		passed(p.refused(ctx, integration.CheckWrongID, "rolebridge-wrong-"+rand.Text()))
		if p.claim.second() != "" {
			passed(p.otherID(ctx))
		}
		if admitted {
			passed(p.tagSession(ctx))
			passed(p.account(ctx))
			passed(p.maxSession(ctx))
			if p.claim.SourceIdentity {
				passed(p.sourceIdentity(ctx))
			}
			passed(p.permissions(ctx))
		}
	}
	return skipRest(made, p.claim.checks())
}

// checks are those that a proof of the claim makes.
func (c Claim) checks() (all []integration.CheckName) {
	for _, name := range order {
		if name == integration.CheckPermissions && c.SourceIdentity {
			all = append(all, integration.CheckSourceIdentity)
		}
		all = append(all, name)
		if name == integration.CheckWrongID && c.second() != "" {
			all = append(all, c.second())
		}
	}
	return all
}

// none reports a proof of which no check could be made.
func none(reason, detail string) []integration.Check {
	return skipRest([]integration.Check{{Name: order[0], Outcome: integration.Errored, Reason: reason, Detail: detail}}, order)
}

// skipRest adds the checks that were not made. Their reason is the check that decided before.
func skipRest(made []integration.Check, all []integration.CheckName) []integration.Check {
	decided := integration.CheckWithExternalID
	if len(made) <= 2 {
		decided = made[len(made)-1].Name
	}
	for _, name := range all[len(made):] {
		made = append(made, integration.Check{Name: name, Outcome: integration.Skipped, Reason: string(decided)})
	}
	return made
}

func (p *proof) platformIdentity(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckPlatformIdentity, Outcome: integration.Pass}
	_, err := tryOn(ctx, p, ours, func(ctx context.Context) (aws.Identity, error) { return p.client.CallerIdentity(ctx, nil) })
	if err != nil {
		c = failed(c, err, cloud.FaultOf(err) == cloud.FaultDenied)
		c.Detail = "the platform's own credentials do not work; the customer's set-up was not looked at"
		c.Remedy = forOperator + "look at the credentials of the trust worker."
	}
	return c
}

func (p *proof) platformRole(ctx context.Context) (c integration.Check) {
	c = integration.Check{Name: integration.CheckPlatformRole, Outcome: integration.Pass}
	hop := aws.Assumption{Role: p.claim.Platform, SessionName: p.name, Duration: aws.ShortestSession}
	if p.claim.Unsaved {
		narrow, err := policy.PlatformPermissions(p.claim.Config.Customer)
		if err != nil {
			return failed(c, err, false)
		}
		hop.Policy = string(narrow.JSON())
	}
	var err error
	p.hop1, err = tryOn(ctx, p, ours, func(ctx context.Context) (cloud.Session, error) { return p.client.Assume(ctx, hop) })
	if err != nil {
		c = failed(c, err, refused(err))
		c.Detail = "the platform's own role is not ready or not seen everywhere yet; the customer's set-up was not looked at"
		c.Remedy = forOperator + "see that the role " + p.claim.Platform + " exists and that the trust worker may assume it."
	}
	return c
}

// assume makes the second hop, into the customer's account.
func (p *proof) assume(ctx context.Context, a aws.Assumption) (cloud.Session, error) {
	a.With, a.Role, a.SessionName = &p.hop1, p.claim.Config.Customer, p.name
	if a.Duration == 0 {
		a.Duration = aws.ShortestSession
	}
	return tryOn(ctx, p, p.customer.Account, func(ctx context.Context) (cloud.Session, error) {
		return p.client.Assume(ctx, a)
	})
}

func (p *proof) withExternalID(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckWithExternalID, Outcome: integration.Pass}
	if p.own() {
		p.shut = true
		c.Outcome, c.Reason = integration.Fail, ReasonOwnAccount
		c.Detail = fmt.Sprintf("the role is in account %s, which is the platform's own; it was not tried with the external ID", p.customer.Account)
		c.Remedy = "Give the integration a role in the customer's own account."
		return c
	}
	var err error
	if p.hop2, err = p.assume(ctx, aws.Assumption{ExternalID: p.claim.ExternalID}); err != nil {
		c = failed(c, err, refused(err))
	}
	if c.Outcome == integration.Fail {
		p.shut = true
		c.Remedy = p.pasteTrust()
	}
	return c
}

// own reports whether the role is the platform's: of an account that is configured, or of the one of the first hop.
func (p *proof) own() bool {
	first, _ := integration.ParseRoleARN(p.claim.Platform)
	return p.customer.Account == first.Account || slices.Contains(p.prover.config.Own, p.customer.Account)
}

// refused checks that a wrong external ID, or none, keeps the door shut. Only a plain AccessDenied is a refusal by the
// trust policy: any other error would have kept us out with the right external ID as well.
func (p *proof) refused(ctx context.Context, name integration.CheckName, externalID string) integration.Check {
	c := integration.Check{Name: name, Outcome: integration.Pass}
	_, err := p.assume(ctx, aws.Assumption{ExternalID: externalID})
	switch {
	case err == nil:
		c.Outcome, c.Reason = integration.Fail, ReasonAdmitted
		c.Detail = "the role let us in with a random external ID: anybody who can use the platform could reach it"
		if externalID == "" {
			c.Detail = "the role let us in without an external ID: anybody who can use the platform could reach it"
		}
		c.Remedy = p.pasteTrust()
	case !accessDenied(err):
		c = failed(c, err, false)
	}
	return c
}

func (p *proof) tagSession(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckTagSession, Outcome: integration.Pass}
	if _, err := p.assume(ctx, aws.Assumption{ExternalID: p.claim.ExternalID, Tags: p.tags()}); err != nil {
		c = failed(c, err, refused(err))
	}
	if c.Outcome == integration.Fail {
		c.Detail = "sessions cannot carry tags: bindings run without them"
		c.Remedy = p.pasteTagSession()
	}
	return c
}

func (p *proof) sourceIdentity(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckSourceIdentity, Outcome: integration.Pass}
	if _, err := p.assume(ctx, aws.Assumption{ExternalID: p.claim.ExternalID, SourceIdentity: p.name}); err != nil {
		c = failed(c, err, refused(err))
	}
	if c.Outcome == integration.Fail {
		c.Detail = "sessions cannot have a source identity: connectors that are bound with one get none"
		c.Remedy = p.pasteSourceIdentity()
	}
	return c
}

func (p *proof) tags() map[string]string {
	return map[string]string{aws.TagIntegration: string(p.claim.Integration)}
}

func (p *proof) account(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckAccount, Outcome: integration.Pass}
	who, err := tryOn(ctx, p, p.customer.Account, func(ctx context.Context) (aws.Identity, error) {
		return p.client.CallerIdentity(ctx, &p.hop2)
	})
	switch {
	case err != nil:
		c = failed(c, err, false)
	case who.Account != p.customer.Account:
		c.Outcome, c.Reason = integration.Fail, ReasonAccountMismatch
		c.Detail = fmt.Sprintf("the session is of account %s, the role's ARN names %s", who.Account, p.customer.Account)
		c.Remedy = "Give the integration the ARN of the role as the console of its account shows it."
	}
	return c
}

func (p *proof) maxSession(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckMaxSession, Outcome: integration.Pass}
	want := min(p.prover.config.MaxSession, aws.LongestChained)
	if _, err := p.assume(ctx, aws.Assumption{ExternalID: p.claim.ExternalID, Duration: want}); err != nil {
		c = failed(c, err, refused(err) || cloud.FaultOf(err) == cloud.FaultInvalid)
	}
	if c.Outcome == integration.Fail {
		c.Remedy = fmt.Sprintf("Let the role's sessions last %s:\naws iam update-role --role-name %s --max-session-duration %d",
			want, p.customer.Name, int(max(want, time.Hour)/time.Second))
	}
	return c
}

// failed makes the outcome of an error: the customer's or our failure if it is theirs to be told, else a check that
// could not be made.
func failed(c integration.Check, err error, fail bool) integration.Check {
	c.Outcome = integration.Errored
	if fail {
		c.Outcome = integration.Fail
	}
	var e *cloud.Error
	switch {
	case errors.As(err, &e):
		c.Reason, c.Detail = e.Code, e.Message
	case errors.Is(err, errLimited):
		c.Reason, c.Detail = ReasonLimited, err.Error()
	default:
		c.Reason = aws.CodeTimeout // the budget was over before the call was made
	}
	return c
}

func accessDenied(err error) bool {
	var e *cloud.Error
	return errors.As(err, &e) && e.Fault == cloud.FaultDenied && (e.Code == "AccessDenied" || e.Code == "AccessDeniedException")
}

// refused reports whether the other side understood and said no: its policies do not allow us, or its account does not
// use this region. Trouble with our own credentials (InvalidClientTokenId, …) is none of theirs.
func refused(err error) bool {
	var e *cloud.Error
	return accessDenied(err) || errors.As(err, &e) && (e.Code == "RegionDisabledException" || e.Fault == cloud.FaultNotFound)
}
