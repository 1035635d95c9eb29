package trust

import (
	"context"

	"github.com/rolebridge/rolebridge/cloud/aws"
	"github.com/rolebridge/rolebridge/integration"
)

// second is the check of a rotation's other external ID; empty without a rotation.
func (c Claim) second() integration.CheckName {
	switch {
	case c.Next != "":
		return integration.CheckNextID
	case c.Former != "":
		return integration.CheckFormerID
	}
	return ""
}

// accepts are the external IDs that the trust policy to paste accepts, the lasting one first. While the current one is
// refused in a rotation these are both, whatever the phase: nothing may break while the customer's edit spreads.
func (p *proof) accepts() []string {
	switch {
	case p.claim.Next != "":
		return []string{p.claim.Next, p.claim.ExternalID}
	case p.claim.Former != "" && p.shut:
		return []string{p.claim.ExternalID, p.claim.Former}
	}
	return []string{p.claim.ExternalID}
}

// otherID makes the check of a rotation's other external ID, in the way in which sessions would be made with it.
func (p *proof) otherID(ctx context.Context) integration.Check {
	if p.claim.Former != "" {
		return p.formerID(ctx)
	}
	return p.nextID(ctx)
}

func (p *proof) nextID(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckNextID, Outcome: integration.Pass}
	ask := aws.Assumption{ExternalID: p.claim.Next}
	if p.claim.Tags {
		ask.Tags = p.tags()
	}
	_, err := p.assume(ctx, ask)
	if err == nil {
		return c
	}
	c = failed(c, err, refused(err))
	if c.Outcome != integration.Fail {
		return c
	}
	c.Detail = "the role does not accept the next external ID yet; sessions are made with the current one"
	if p.claim.Tags {
		if _, err := p.assume(ctx, aws.Assumption{ExternalID: p.claim.Next}); err == nil {
			c.Detail = "the role accepts the next external ID, but no session tags with it; sessions are made with the current one"
		}
	}
	c.Remedy = p.pasteTrust()
	return c
}

func (p *proof) formerID(ctx context.Context) integration.Check {
	c := integration.Check{Name: integration.CheckFormerID, Outcome: integration.Pass}
	_, err := p.assume(ctx, aws.Assumption{ExternalID: p.claim.Former})
	switch {
	case err == nil:
		c.Outcome, c.Reason = integration.Fail, ReasonAdmitted
		c.Detail = "the role still accepts the former external ID; sessions are made with the new one"
		if p.shut {
			c.Detail = "the role accepts the former external ID only; sessions are made with it until the new one is accepted"
		}
		c.Remedy = p.pasteTrust()
	case !accessDenied(err):
		c = failed(c, err, false)
	}
	return c
}
