package policy

import (
	"strings"
)

// Decision is what a policy says to a request.
type Decision string

// The decisions. Invalid means that the policy, or the request, has no certain meaning; AWS would refuse to store such a
// policy, so it admits nobody.
const (
	Allowed      Decision = "allow"
	ImplicitDeny Decision = "implicit-deny"
	ExplicitDeny Decision = "explicit-deny"
	Invalid      Decision = "invalid"
)

// Result is a decision with its reason.
type Result struct {
	Decision Decision
	// Statement is the index of the statement that decided, -1 for an implicit deny and an invalid policy.
	Statement int
	Sid       string
	// Findings are what the decision rests on: everything about the policy that is not valid, and keys and variables
	// that the request says nothing about. An allow that rests on an unknown key or value never comes without one.
	Findings []Finding
}

// Evaluate decides a request by this policy alone, in AWS's order: an explicit deny, else an allow, else an implicit
// deny. For a trust policy it heeds how the caller is named: an account id or account root only lets the account's own
// policies decide (Request.Own), and so does every name across accounts.
//
// What it does not know it says in Findings, and it never allows on it: an Allow statement whose condition cannot be
// judged does not apply, a Deny statement does. An identity policy grants on its own; a session policy is combined with
// Intersect. Safe for concurrent use.
func (p *Policy) Evaluate(r Request) Result {
	var f findings
	if err := r.check(); err != nil {
		f.add(Finding{Code: CodeBadRequest, Message: err.Error()})
	}
	if f.invalid || !p.Valid() {
		for _, x := range p.found.list {
			f.add(x)
		}
		return Result{Decision: Invalid, Statement: -1, Findings: sorted(f.list)}
	}
	ctx := r.context()
	deny, allow := -1, -1
	for i := range p.Statements {
		s := &p.Statements[i]
		if s.Effect == Allow && allow >= 0 || s.Effect == Deny && deny >= 0 {
			continue
		}
		if !s.hasAction(r.Action) {
			continue
		}
		switch v := min(p.admits(s, &r), p.hasResource(s, &r, ctx, &f)); {
		case v == no:
			continue
		case s.Effect == Deny && min(v, p.judge(s, ctx, &f)) != no:
			deny = i
		case s.Effect == Allow && min(v, p.judge(s, ctx, &f)) == yes:
			allow = i
		}
	}
	result := Result{Decision: ImplicitDeny, Statement: -1}
	switch {
	case deny >= 0:
		result.Decision, result.Statement = ExplicitDeny, deny
	case r.Own == OwnDenies:
		result.Decision = ExplicitDeny
	case allow >= 0:
		result.Decision, result.Statement = Allowed, allow
	}
	if result.Statement >= 0 {
		result.Sid = p.Statements[result.Statement].Sid
	}
	if result.Decision == Allowed {
		// Here the policy's own faults matter: IAM may refuse what was just allowed.
		for _, x := range p.found.list {
			if x.Severity != Note {
				f.add(x)
			}
		}
	}
	result.Findings = sorted(f.list)
	return result
}

func sorted(list []Finding) []Finding {
	Sort(list)
	return list
}

// hasAction reports whether the statement is about the action. Case does not matter.
func (s *Statement) hasAction(action string) bool {
	for i := range s.Actions {
		v := &s.Actions[i]
		if strings.EqualFold(v.Text, action) || v.wild.match(action, true) {
			return !s.NotAction
		}
	}
	return s.NotAction
}

// admits reports whether a trust statement is about the caller, and for an Allow whether naming it so is enough.
func (p *Policy) admits(s *Statement, r *Request) verdict {
	if p.Kind != Trust {
		return yes
	}
	how := s.admits(&r.Caller)
	if how == notNamed {
		return no
	}
	if s.Effect == Allow && r.Own != OwnAllows && r.Caller.account != "" && (how == delegated || r.foreign()) {
		return no
	}
	return yes
}

// foreign reports whether the caller comes from another account than the resource's, or from one that is not known to be
// the same.
func (r *Request) foreign() bool {
	a, err := ParseARN(r.Resource)
	return err != nil || a.Account != r.Caller.account
}

// hasResource reports whether the statement is about the resource. Trust policies have none: they are about their role.
func (p *Policy) hasResource(s *Statement, r *Request, ctx map[string][]string, into *findings) verdict {
	if p.Kind == Trust {
		return yes
	}
	result := no
	for i := range s.Resources {
		v := &s.Resources[i]
		want := v.wild
		if v.variable {
			var fault string
			if want, fault = expand(v.Text, ctx, &into.effort); fault != "" {
				p.say(into, v.at, CodeVariableUnresolved, fault)
				result = max(result, unknown)
				continue
			}
		}
		// A call without a resource of its own (s3:ListAllMyBuckets) is a call on "*".
		if r.Resource == "" || r.Resource == "*" {
			result = max(result, boolVerdict(want.text() == "*"))
			continue
		}
		result = max(result, boolVerdict(want.matchResource(r.Resource)))
	}
	if s.NotResource {
		return result.not()
	}
	return result
}

// Assume decides an AssumeRole call as a whole: sts:AssumeRole, and with tags sts:TagSession, and with a source identity
// sts:SetSourceIdentity; each must be allowed. A refusal of one is the answer. r.Action, when it is not empty, stands
// for sts:AssumeRole (for example sts:AssumeRoleWithWebIdentity).
func (p *Policy) Assume(r Request) Result {
	if r.Action == "" {
		r.Action = "sts:AssumeRole"
	}
	results := []Result{p.Evaluate(r)}
	if len(r.Tags) > 0 || len(r.TransitiveTags) > 0 {
		r.Action = "sts:TagSession"
		results = append(results, p.Evaluate(r))
	}
	if r.SourceIdentity != "" {
		r.Action = "sts:SetSourceIdentity"
		results = append(results, p.Evaluate(r))
	}
	return Intersect(results...)
}

// Intersect combines answers that must all be an allow: an identity policy and a session policy, or the actions of one
// call. An invalid answer wins, then an explicit deny, then an implicit one; statement and Sid are those of the winner,
// of the first answer when all allow. Findings are joined.
func Intersect(results ...Result) Result {
	return combine(results, map[Decision]int{Invalid: 3, ExplicitDeny: 2, ImplicitDeny: 1})
}

// Union combines the answers of several policies on one identity: an invalid answer wins, then an explicit deny, then
// any allow.
func Union(results ...Result) Result {
	return combine(results, map[Decision]int{Invalid: 3, ExplicitDeny: 2, Allowed: 1})
}

func combine(results []Result, weight map[Decision]int) Result {
	if len(results) == 0 {
		return Result{Decision: ImplicitDeny, Statement: -1}
	}
	winner := results[0]
	var f findings
	for _, r := range results {
		if weight[r.Decision] > weight[winner.Decision] {
			winner = r
		}
		for _, x := range r.Findings {
			f.add(x)
		}
	}
	winner.Findings = sorted(f.list)
	return winner
}
