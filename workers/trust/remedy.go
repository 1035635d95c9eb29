package trust

import (
	"fmt"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// pasteTrust gives the whole trust policy that is right, once in a report.
func (p *proof) pasteTrust(why string) string {
	if p.pasted {
		return why + " The trust policy to set stands at the check before."
	}
	document, err := policy.FinalTrust(p.claim.Platform, p.claim.ExternalID)
	if err != nil {
		return why // an external ID or role that no policy can name; the linter says more
	}
	p.pasted = true
	return fmt.Sprintf("%s Set the trust policy of the role %s to:\n%s", why, p.customer.Name, document.JSON())
}

// pasteTagSession gives the one statement that is missing, as a policy that holds nothing else.
func (p *proof) pasteTagSession() string {
	const why = "The trust policy does not allow sts:TagSession."
	document, err := policy.FinalTrust(p.claim.Platform, p.claim.ExternalID)
	if err != nil {
		return why
	}
	document.Statements = document.Statements[len(document.Statements)-1:]
	return fmt.Sprintf("%s Add the statement of this policy to that of the role %s:\n%s", why, p.customer.Name, document.JSON())
}
