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
	document, err := policy.FinalTrust(p.claim.Platform, p.claim.ExternalID)
	if err != nil {
		return "Demand the external ID of the integration, and name the platform's role." // no policy can; the linter says more
	}
	return fmt.Sprintf("Set the trust policy of the role %s to:\n%s", p.customer.Name, document.JSON())
}

// pasteTagSession gives the one statement that is missing, as a policy that holds nothing else.
func (p *proof) pasteTagSession() string {
	document, err := policy.FinalTrust(p.claim.Platform, p.claim.ExternalID)
	if err != nil {
		return "Allow the platform's role sts:TagSession."
	}
	document.Statements = document.Statements[len(document.Statements)-1:]
	return fmt.Sprintf("Add the statement of this policy to the trust policy of the role %s:\n%s", p.customer.Name, document.JSON())
}
