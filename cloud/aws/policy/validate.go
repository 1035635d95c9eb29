package policy

import "fmt"

// Validate returns what IAM's write calls (CreateRole, UpdateAssumeRolePolicy, PutRolePolicy) refuse about the policy,
// worst first; an empty list means that they accept it. exists, when not nil, says whether a role, user or account ARN
// that the policy names as a principal exists: IAM looks them up and refuses those that do not.
//
// The default length quota counts as a refusal here, because an account that never asked for more has it.
// Sources: IAM API reference; IAM User Guide, policy grammar, Principal, NotPrincipal, quotas; IAM Access Analyzer's
// policy check reference.
func (p *Policy) Validate(exists func(principal string) bool) []Finding {
	var f findings
	for _, x := range p.found.list {
		if x.Code.rule().refused {
			f.add(x)
		}
	}
	if exists != nil && p.Kind == Trust {
		for i := range p.Statements {
			for _, x := range p.Statements[i].Principals {
				if x.lookedUp() && !exists(x.Value) {
					p.say(&f, x.at, CodePrincipalMissing, fmt.Sprintf("principal %s does not exist", quote(x.Value)))
				}
			}
		}
	}
	return sorted(f.list)
}

// lookedUp reports whether IAM can only store the entry if what it names exists. Sessions are not looked up: they come
// and go.
func (x Principal) lookedUp() bool {
	return x.form == formAccount || x.form == formRole || x.form == formUser
}

// APIError is the error code that IAM's write calls answer for a finding of Validate, "" for one that they do not mind.
func (c Code) APIError() string {
	switch {
	case c == CodeQuota, c == CodeTooLarge:
		return "LimitExceeded"
	case c == CodeCharacter:
		return "ValidationError"
	case c.rule().refused:
		return "MalformedPolicyDocument"
	}
	return ""
}
