package policy

import (
	"fmt"
	"slices"
	"strings"
)

// outcome asks the evaluator what really happens, and explains it. It comes last: what a statement's own findings have
// explained already is not said twice.
func (l *linter) outcome() {
	ids := l.e.ExternalIDs
	if len(ids) == 0 {
		ids = l.namedIDs()
	}
	right := l.request()
	l.entry(right, ids)
	l.admitted(CodeAdmitsWithout, "", "without an external ID")
	for _, id := range wrongIDs(ids) {
		l.admitted(CodeAdmitsWrong, id, fmt.Sprintf("with external ID %s, which is not agreed on", quote(id)))
	}
	if l.found.has(CodeFirstPolicy) {
		return
	}
	right.Action = "sts:TagSession"
	right.Tags = map[string]string{"rolebridge": "lint"}
	if len(ids) > 0 {
		right.ExternalID = ids[0]
	}
	switch got := l.Evaluate(right); got.Decision {
	case ExplicitDeny:
		s := &l.Statements[got.Statement]
		if !s.denies(l.platform, "sts:AssumeRole") {
			l.report(s.at, CodeDenyHitsUs, Warning, "", "the statement refuses sts:TagSession: sessions cannot be tagged")
		}
	case ImplicitDeny:
		l.report(l.root, CodeNoTagSession, "", l.tagStatement(), "no statement allows sts:TagSession: sessions of connectors cannot carry their tags")
	}
}

// entry looks whether the right external IDs let the platform in. One that does is enough for now: during a rotation the
// customer may not have added the other yet.
func (l *linter) entry(r Request, ids []string) {
	var refused []string
	for _, id := range ids {
		r.ExternalID = id
		switch l.Evaluate(r).Decision {
		case ImplicitDeny:
			refused = append(refused, id)
		case ExplicitDeny:
			l.refused(r)
			return
		}
	}
	if len(refused) == len(ids) && len(ids) > 0 {
		r.ExternalID = ids[0]
		l.refused(r)
		return
	}
	for _, id := range refused {
		if !l.found.has(CodeExternalIDMissing) {
			l.report(l.root, CodeExternalIDMissing, "", l.assumeStatement(), "external ID %s is not accepted", quote(id))
		}
	}
}

// tagging is what can be said about tags when no platform is expected.
func (l *linter) tagging() {
	assumable := false
	for i := range l.Statements {
		s := &l.Statements[i]
		if s.Effect != Allow {
			continue
		}
		if s.hasAction("sts:TagSession") {
			return
		}
		assumable = assumable || s.hasAction("sts:AssumeRole") && l.concerns(s)
	}
	if assumable {
		l.report(l.root, CodeNoTagSession, "", l.tagStatement(), "no statement allows sts:TagSession: sessions of connectors cannot carry their tags")
	}
}

func (f *findings) has(code Code) bool {
	return slices.ContainsFunc(f.list, func(x Finding) bool { return x.Code == code })
}

func (f *findings) worst() Severity { return Worst(f.list) }

func (s *Statement) denies(c *Caller, action string) bool {
	return s.Effect == Deny && s.hasAction(action) && s.admits(c) != notNamed
}

// request is the platform's, without an external ID.
func (l *linter) request() Request {
	return Request{Caller: *l.platform, Action: "sts:AssumeRole", Resource: l.e.CustomerRole, SessionName: "rolebridge"}
}

// namedIDs are the external IDs that the policy itself names, for an expectation without any.
func (l *linter) namedIDs() []string {
	for i := range l.Statements {
		s := &l.Statements[i]
		if s.Effect != Allow || s.admits(l.platform) == notNamed {
			continue
		}
		for _, c := range s.externalIDs() {
			for _, v := range c.Values {
				if !c.op.negated && c.op.family != familyNull && !v.variable && checkExternalID(v.Text) == nil {
					return []string{v.Text}
				}
			}
		}
	}
	return []string{strangeID}
}

// wrongIDs are near and far misses of the right ones.
func wrongIDs(right []string) []string {
	candidates := []string{strangeID + "-2"}
	for _, id := range right {
		candidates = append(candidates, id+"x", "x"+id, id[:len(id)-1])
	}
	var wrong []string
next:
	for _, c := range candidates {
		for _, id := range right {
			if c == id || len(c) < 2 {
				continue next
			}
		}
		wrong = append(wrong, c)
	}
	return wrong
}

// besideThePoint are errors about who is kept out; they explain nobody's coming in.
var besideThePoint = map[Code]bool{
	CodeExternalIDWrong: true, CodeExternalIDCase: true, CodeExternalIDSpace: true, CodeExternalIDPlace: true,
	CodeConditionExcludesUs: true, CodeNotSTSAction: true, CodeBadSid: true, CodeDuplicateSid: true,
}

// admitted reports a way in that should be closed, unless an error at the same statement says so already.
func (l *linter) admitted(code Code, id, how string) {
	r := l.request()
	r.ExternalID = id
	got := l.Evaluate(r)
	if got.Decision != Allowed {
		return
	}
	s := &l.Statements[got.Statement]
	pointer := s.at.pointer()
	for _, f := range l.found.list {
		if f.Severity == Error && (f.Pointer == pointer || strings.HasPrefix(f.Pointer, pointer+"/")) && !besideThePoint[f.Code] {
			return
		}
	}
	l.report(s.at, code, "", l.assumeStatement(), "the platform's role gets in %s", how)
}

// refused explains why the platform does not get in with the right external ID.
func (l *linter) refused(r Request) {
	got := l.Evaluate(r)
	switch got.Decision {
	case ExplicitDeny:
		s := &l.Statements[got.Statement]
		for i := range l.Statements {
			if l.Statements[i].Effect == Allow {
				l.report(s.at, CodeDenyHitsUs, "", "", "the statement refuses the platform's role although it comes with the right external ID")
				return
			}
		}
		l.report(s.at, CodeFirstPolicy, "", l.assumeStatement()+",\n"+l.tagStatement(), "the policy only denies: it is the one from before the mapping. Replace it with the final trust policy")
	case ImplicitDeny:
		l.unnamed(r)
	}
}

// unnamed explains an implicit deny: nobody names us, or the action, or the conditions.
func (l *linter) unnamed(r Request) {
	var naming, acting []*Statement
	for i := range l.Statements {
		s := &l.Statements[i]
		if s.Effect != Allow || s.admits(l.platform) == notNamed {
			continue
		}
		naming = append(naming, s)
		if s.hasAction("sts:AssumeRole") {
			acting = append(acting, s)
		}
	}
	switch {
	case len(acting) == 0 && (len(naming) == 0 || l.letsOthersIn()):
		l.wrongPrincipal()
	case len(acting) == 0:
		n := naming[0].at.get("Action")
		if n == nil {
			n = naming[0].at.get("NotAction")
		}
		l.report(n, CodeWrongAction, "", "", "the platform's role is named, but not for sts:AssumeRole")
	default:
		said := false
		for _, s := range acting {
			said = l.blocking(s, r) || said
		}
		if !said && l.found.worst() != Error {
			l.report(acting[0].at, CodeRefused, "", l.assumeStatement(), "the platform's role does not get in with the right external ID")
		}
	}
}

// letsOthersIn reports whether some statement allows sts:AssumeRole, so that a principal in it may have been meant for us.
func (l *linter) letsOthersIn() bool {
	return slices.ContainsFunc(l.Statements, func(s Statement) bool { return s.Effect == Allow && s.hasAction("sts:AssumeRole") })
}

// blocking names the further conditions that keep us out.
func (l *linter) blocking(s *Statement, r Request) bool {
	said := false
	ctx := r.context()
	for i := range s.Conditions {
		c := &s.Conditions[i]
		var why findings
		if c.key == "sts:externalid" || l.holds(c, ctx, &why) == yes {
			continue
		}
		said = true
		if t := trait(c.key); t&derived == 0 && t != 0 && len(ctx[c.key]) == 0 {
			// Whether the request meets it is known only to whoever sends it.
			l.report(c.at, CodeConditionNotKnown, "", "", "the platform gets in only if %s meets %s", c.Key, c.Operator)
			continue
		}
		l.report(c.at, CodeConditionExcludesUs, "", "", "%s on %s refuses the platform's role", c.Operator, c.Key)
	}
	return said
}

// wrongPrincipal finds the principal that was probably meant for us.
func (l *linter) wrongPrincipal() {
	remedy := `"Principal": {"AWS": ` + quote(l.e.PlatformRole) + `}`
	var best *Principal
	why := ""
	for i := range l.Statements {
		s := &l.Statements[i]
		for j := range s.Principals {
			x := &s.Principals[j]
			reason := l.nearMiss(s, x)
			if reason == "" {
				continue
			}
			if x.form == formRole && x.arn.Account != l.platform.account {
				l.report(x.at, CodeWrongAccount, "", remedy, "%s %s", quote(x.Value), reason)
				return
			}
			if best == nil {
				best, why = x, reason
			}
		}
	}
	if best == nil {
		l.report(l.root, CodeWrongPrincipal, "", l.assumeStatement(), "no statement names the platform's role %s", l.e.PlatformRole)
		return
	}
	l.report(best.at, CodeWrongPrincipal, "", remedy, "%s %s", quote(best.Value), why)
}

func (l *linter) nearMiss(s *Statement, x *Principal) string {
	if s.Effect != Allow {
		return ""
	}
	p := l.platform
	ours := p.role.Resource
	switch {
	case s.NotPrincipal:
		if x.covers(p) != notNamed {
			return "is excepted by NotPrincipal, so the platform's role is what the statement is not about"
		}
	case x.form == formRole && x.arn.Resource == ours && x.arn.Account == p.account:
		return "is in partition " + x.arn.Partition + "; the platform's role is in " + p.partition
	case x.form == formRole && sameRole(*x, p) && x.arn.Account != p.account:
		return "has the name of the platform's role, but is in account " + x.arn.Account + " instead of " + p.account
	case x.form == formRole && strings.EqualFold(x.arn.Resource, ours):
		return "differs in case from the platform's role " + l.e.PlatformRole
	case x.form == formRole && sameRole(*x, p):
		return "has another path than the platform's role " + l.e.PlatformRole
	case x.form == formSession && x.arn.Account == p.account:
		return "is one session; name the role itself, " + l.e.PlatformRole
	case x.form == formUniqueID:
		return "is what is left of a principal that was deleted; the platform's role is " + l.e.PlatformRole
	case x.form == formUser && x.arn.Account == p.account:
		return "is a user; the platform comes with the role " + l.e.PlatformRole
	case x.form == formRole && x.arn.Account == p.account:
		return "is another role than the platform's, " + l.e.PlatformRole
	case x.form == formAccount && l.customer.Account != "" && x.Account() == l.customer.Account:
		return "is the role's own account; the platform's role is " + l.e.PlatformRole
	case x.form == formService || x.form == formProvider:
		return ""
	case x.form == formAccount || x.form == formRole:
		return "is not the platform's role " + l.e.PlatformRole
	}
	return ""
}
