package sandbox

import (
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// ask is one thing that a caller wants to do.
type ask struct {
	action, resource string
	when             map[string][]string // condition keys beside those that follow from the rest
	now              time.Time

	// AssumeRole's parameters.
	externalID, sessionName, source string
	tags                            map[string]string
	transitive                      []string
}

// allowed decides by the caller's own policies: identity policies, narrowed by the session policy. It is all that counts
// for a resource of the same account that has no policy of its own. A root may do everything in its account.
func (c caller) allowed(a ask) bool { return c.root || c.own(a).Decision == policy.Allowed }

func (c caller) own(a ask) policy.Result {
	request := c.request(a)
	answers := make([]policy.Result, 0, len(c.policies))
	for _, text := range c.policies {
		answers = append(answers, policy.Parse(policy.Identity, []byte(text)).Evaluate(request))
	}
	answer := policy.Union(answers...)
	if c.session != nil && c.session.Policy != "" {
		answer = policy.Intersect(answer, policy.Parse(policy.Session, []byte(c.session.Policy)).Evaluate(request))
	}
	return answer
}

// mayAssume decides one action on a role by both sides: the role's trust policy and the caller's own policies. Across
// accounts both must allow. In one account the trust policy suffices if it names the caller and not the account as a
// whole, unless the caller's own policies deny, or its session policy is silent: a session policy bounds also what a
// role gets by name (IAM user guide, "Policy evaluation logic").
func (c caller) mayAssume(trust string, a ask) bool {
	own := c.own(a)
	request := c.request(a)
	switch own.Decision {
	case policy.Allowed:
		request.Own = policy.OwnAllows
	case policy.ImplicitDeny:
		if c.session != nil && c.session.Policy != "" {
			return false
		}
		request.Own = policy.OwnSilent
	default:
		request.Own = policy.OwnDenies
	}
	return policy.Parse(policy.Trust, []byte(trust)).Evaluate(request).Decision == policy.Allowed
}

func (c caller) request(a ask) policy.Request {
	return policy.Request{
		Caller: c.caller(), Action: a.action, Resource: a.resource, Context: a.when, Now: a.now,
		ExternalID: a.externalID, SessionName: a.sessionName, SourceIdentity: a.source, Tags: a.tags, TransitiveTags: a.transitive,
	}
}

// caller is who policies see. An ARN that cannot be read makes an empty one, which every policy refuses.
func (c caller) caller() policy.Caller {
	var who policy.Caller
	if c.session != nil {
		who, _ = policy.SessionCaller(c.session.RoleARN, c.session.Name)
	} else {
		who, _ = policy.NewCaller(c.arn)
	}
	who.UniqueID, who.Tags = c.unique, c.tags
	return who
}

// checkIdentityPolicy refuses what PutRolePolicy and PutUserPolicy refuse.
func checkIdentityPolicy(text string) error {
	return firstRefusal(policy.Parse(policy.Identity, []byte(text)).Validate(nil))
}

// checkSessionPolicy refuses what AssumeRole refuses.
func checkSessionPolicy(text string) error {
	return firstRefusal(policy.Parse(policy.Session, []byte(text)).Validate(nil))
}

func firstRefusal(found []policy.Finding) error {
	for _, f := range found {
		switch code := f.Code.APIError(); code {
		case "":
		case "LimitExceeded":
			return refuse(409, code, "%s", f.Message)
		default:
			return refuse(400, code, "%s (line %d, column %d)", f.Message, f.Line, f.Column)
		}
	}
	return nil
}
