package trust

import (
	"fmt"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// forOperator is the remedy for what is our own fault: there is nothing that the customer could paste.
const forOperator = "This is the platform's own fault and nothing to change in the customer's account. Its operator: "

// pasteTrust gives the whole trust policy that is right. It reads the same for every check, so that whoever prints a
// report can print it once.
func (p *proof) pasteTrust() string {
	document, err := policy.FinalTrust(p.claim.Platform, p.accepts()...)
	if err != nil {
		return "Demand the external ID of the integration, and name the platform's role." // no policy can; the linter says more
	}
	if p.claim.SourceIdentity {
		document = document.WithSourceIdentity()
	}
	return fmt.Sprintf("Set the trust policy of the role %s to:\n%s", p.customer.Name, document.JSON())
}

// pasteTagSession gives the one statement that is missing, as a policy that holds nothing else.
func (p *proof) pasteTagSession() string {
	document, err := policy.FinalTrust(p.claim.Platform, p.accepts()...)
	if err != nil {
		return "Allow the platform's role sts:TagSession."
	}
	return p.pasteLast(document)
}

// pasteSourceIdentity gives the one statement that is missing.
func (p *proof) pasteSourceIdentity() string {
	document, err := policy.FinalTrust(p.claim.Platform, p.claim.ExternalID)
	if err != nil {
		return "Allow the platform's role sts:SetSourceIdentity."
	}
	return p.pasteLast(document.WithSourceIdentity())
}

func (p *proof) pasteLast(document policy.Document) string {
	document.Statements = document.Statements[len(document.Statements)-1:]
	return fmt.Sprintf("Add the statement of this policy to the trust policy of the role %s:\n%s", p.customer.Name, document.JSON())
}
