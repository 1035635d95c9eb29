package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mend returns the policy with what Lint would object to put right: it begins with the final statements for e, and keeps
// those of the old ones that neither concern the platform nor refuse it (a service's, the customer's own people's, a
// Deny that does not meet us). A principal list loses the star, the platform's whole account and misspelt forms of the
// platform's role, and keeps the others. What cannot be kept safely is left out, further conditions of the statements
// that named the platform among it; show the difference before it is applied.
//
// The result is valid, within the default quota, and has no finding of severity Error. It fails when e has no usable
// platform role and external ID, and for policies that are not trust policies. Safe for concurrent use.
func (p *Policy) Mend(e Expect) ([]byte, error) {
	if p.Kind != Trust {
		return nil, fmt.Errorf("mending is for trust policies, this is a %s policy", p.Kind)
	}
	final, err := FinalTrust(e.PlatformRole, e.ExternalIDs...)
	if err != nil {
		return nil, err
	}
	m := mender{Policy: p, e: e}
	if m.caller, err = SessionCaller(e.PlatformRole, "rolebridge"); err != nil {
		return nil, err
	}
	root := final.tree()
	if p.ID != "" {
		root.set("Id", textNode(p.ID))
	}
	list := root.get("Statement")
	taken := map[string]bool{}
	for _, g := range final.Statements {
		taken[g.Sid] = true
	}
	for i := range p.Statements {
		n := m.keep(&p.Statements[i])
		if n == nil {
			continue
		}
		if sid := n.get("Sid"); sid != nil {
			if taken[sid.text] {
				n = n.without("Sid")
			}
			taken[sid.text] = true
		}
		list.append(n)
	}
	for _, candidate := range []*node{root, final.tree()} {
		text := candidate.json()
		if m.good(text) {
			return text, nil
		}
	}
	return nil, errors.New("no policy for this expectation passes the linter")
}

type mender struct {
	*Policy
	e      Expect
	caller Caller
}

// good reports whether a text does what a mended policy must.
func (m *mender) good(text []byte) bool {
	q := Parse(Trust, text)
	return len(q.Validate(nil)) == 0 && !slices.ContainsFunc(q.Lint(m.e), func(f Finding) bool {
		return f.Severity == Error || f.Code == CodeConditionNotKnown
	})
}

// keep returns what may stay of a statement, nil for nothing.
func (m *mender) keep(s *Statement) *node {
	if s.NotPrincipal {
		return nil
	}
	n := s.at.copy()
	if s.Effect == Allow {
		if n = m.others(s); n == nil {
			return nil
		}
	}
	if m.Version != Version2012 {
		// Under the old version these were plain characters; under the new one they would be variables.
		n.each(func(v *node) { v.text = strings.ReplaceAll(v.text, "${", "${$}{") })
	}
	alone := objectNode()
	alone.set("Version", textNode(Version2012))
	alone.set("Statement", n.copy())
	q := Parse(Trust, alone.json())
	if len(q.Validate(nil)) > 0 || !q.Valid() {
		return nil
	}
	if s.Effect == Deny && m.refuses(q) {
		return nil
	}
	return n
}

// refuses reports whether a Deny meets one of our requests.
func (m *mender) refuses(q *Policy) bool {
	for _, id := range m.e.ExternalIDs {
		r := Request{
			Caller: m.caller, Resource: m.e.CustomerRole, SessionName: "rolebridge", ExternalID: id,
			Tags: map[string]string{"rolebridge": "lint"},
		}
		for _, action := range []string{"sts:AssumeRole", "sts:TagSession"} {
			if r.Action = action; q.Evaluate(r).Decision == ExplicitDeny {
				return true
			}
		}
	}
	return false
}

// others is an Allow without the principals that stand for us, or for everybody.
func (m *mender) others(s *Statement) *node {
	left := map[string][]string{}
	var order []string
	for i := range s.Principals {
		x := &s.Principals[i]
		if m.replaced(x) {
			continue
		}
		if left[x.Type] == nil {
			order = append(order, x.Type)
		}
		left[x.Type] = append(left[x.Type], x.Value)
	}
	if len(order) == 0 {
		return nil
	}
	who := objectNode()
	for _, kind := range order {
		who.set(kind, textsNode(left[kind]))
	}
	n := s.at.copy()
	n.set("Principal", who)
	return n
}

// replaced reports whether the final statements take a principal's place.
func (m *mender) replaced(x *Principal) bool {
	switch x.form {
	case formService, formProvider:
		return false
	case formAccount:
		return x.Account() == m.caller.account
	case formRole:
		return x.arn.Account == m.caller.account || sameRole(*x, &m.caller)
	case formUser, formSession, formFederated:
		return x.arn.Account == m.caller.account
	}
	return true
}
