package policy

import (
	"slices"
	"strings"
)

// allow looks at an Allow of a trust policy: whom it names, for what, under which external ID.
func (l *linter) allow(s *Statement) {
	l.actions(s)
	if !s.NotPrincipal {
		for i := range s.Principals {
			l.principalOf(s, &s.Principals[i])
		}
	}
	assume, tag := s.hasAction("sts:AssumeRole"), s.hasAction("sts:TagSession")
	ids := s.externalIDs()
	if assume && l.concerns(s) {
		l.externalID(s, ids)
	}
	if tag && len(ids) > 0 && (l.platform == nil || s.admits(l.platform) != notNamed) {
		if assume {
			l.report(s.at, CodeTagSessionWithID, "", l.tagStatement(), "AssumeRole and TagSession stand together under an external ID condition; AWS does not document whether tagging then works. Give TagSession a statement of its own")
		} else {
			l.report(ids[0].at, CodeTagSessionWithID, "", l.tagStatement(), "TagSession stands under an external ID condition; AWS does not document whether tagging then works")
		}
	}
}

// concerns reports whether the statement's external ID matters: it lets the platform in, or when no platform is expected,
// anybody of AWS from outside of the role's account.
func (l *linter) concerns(s *Statement) bool {
	if l.platform != nil {
		return s.admits(l.platform) != notNamed
	}
	for _, x := range s.Principals {
		account := x.arn.Account
		if a := x.Account(); a != "" {
			account = a
		}
		if x.Type == "AWS" && (account == "" || account != l.customer.Account) {
			return true
		}
	}
	return s.NotPrincipal
}

func (s *Statement) externalIDs() []*Condition {
	var list []*Condition
	for i := range s.Conditions {
		if s.Conditions[i].key == "sts:externalid" {
			list = append(list, &s.Conditions[i])
		}
	}
	return list
}

// principalOf looks at one principal of an Allow.
func (l *linter) principalOf(s *Statement, x *Principal) {
	remedy := `"Principal": {"AWS": ` + quote(l.pasted()[0].AWS[0]) + `}`
	switch {
	case x.Everyone():
		severity, but := Error, ""
		if s.confined() {
			severity, but = Warning, "; a condition narrows it"
		}
		l.report(x.at, CodeWildcardPrincipal, severity, remedy, "the star names everybody in every AWS account%s", but)
	case x.form == formAccount && x.Account() != l.customer.Account:
		if l.platform != nil && x.Account() != l.platform.account {
			l.report(x.at, CodeOtherPrincipal, "", "", "account %s is not the platform's; its roles may come in too", x.Account())
			return
		}
		l.report(x.at, CodeAccountPrincipal, "", remedy, "account %s is named as a whole: every role and user in it that its administrator lets may come in", x.Account())
	case l.platform == nil || x.Type != "AWS" || x.arn.Account == l.customer.Account:
	case x.form == formRole && x.arn.Account != l.platform.account && sameRole(*x, l.platform):
		l.report(x.at, CodeWrongAccount, "", remedy, "%s has the name of the platform's role, but is in account %s instead of %s", quote(x.Value), x.arn.Account, l.platform.account)
	case x.covers(l.platform) == notNamed && (x.form == formRole || x.form == formUser || x.form == formSession):
		l.report(x.at, CodeOtherPrincipal, "", "", "%s may come in too", quote(x.Value))
	}
}

// sameRole compares names only, without path.
func sameRole(x Principal, c *Caller) bool {
	a, _ := roleName(x.arn.Resource)
	b, _ := roleName(c.role.Resource)
	return strings.EqualFold(a, b)
}

// confined reports whether conditions say who the star is.
func (s *Statement) confined() bool {
	for _, c := range s.Conditions {
		switch c.key {
		case "aws:principalarn", "aws:principalaccount", "aws:principalorgid", "aws:principalorgpaths", "aws:sourceaccount":
			if !c.op.negated && !c.op.ifExists && c.op.set != forAll && c.op.family != familyNull && len(c.Values) > 0 &&
				!slices.ContainsFunc(c.Values, func(v Value) bool { return strings.Trim(v.Text, "*?:") == "" }) {
				return true
			}
		}
	}
	return false
}

// externalID looks at the conditions on the external ID of a statement that lets the platform in.
func (l *linter) externalID(s *Statement, conditions []*Condition) {
	if len(conditions) == 0 {
		l.report(s.at, CodeMissingExternalID, "", l.assumeStatement(), "the statement asks for no sts:ExternalId: whoever makes the platform use this role's ARN gets in")
		return
	}
	// What lets nobody in by mistake, thanks to another condition, is only a warning.
	severity := Error
	if !l.leaks(s) {
		severity = Warning
	}
	for _, c := range conditions {
		o := c.op
		switch {
		case !o.known():
		case o.family == familyNull:
			if len(conditions) == 1 {
				l.report(c.at, CodeExternalIDAny, "", l.idCondition(), "Null looks at the presence of an external ID, not at its value")
			}
		case o.set == forAll:
			l.report(c.at, CodeExternalIDForAll, severity, l.idCondition(), "%s holds when the request has no external ID", c.Operator)
		case o.ifExists:
			l.report(c.at, CodeExternalIDOptional, severity, l.idCondition(), "%s holds when the request has no external ID", c.Operator)
		case o.negated:
			l.report(c.at, CodeExternalIDNegated, severity, l.idCondition(), "%s accepts every external ID that is not named, and none at all", c.Operator)
		default:
			l.values(c)
		}
	}
}

// leaks reports whether the statement's conditions hold without the external ID, or with one that nobody agreed on.
func (l *linter) leaks(s *Statement) bool {
	r := Request{Action: "sts:AssumeRole", Resource: l.e.CustomerRole, SessionName: "rolebridge"}
	if l.platform != nil {
		r.Caller = *l.platform
	}
	for _, id := range []string{"", strangeID} {
		r.ExternalID = id
		if l.judge(s, r.context(), &l.tried) == yes {
			return true
		}
	}
	return l.tried.effort.tooMuch() // then it is not known
}

// strangeID is an external ID that no policy names on purpose.
const strangeID = "rolebridge-lint/0d9c1f6a-not-agreed-on"

// values looks at a positive comparison with the external ID.
func (l *linter) values(c *Condition) {
	if c.op.set == forAny {
		l.report(c.at, CodeSetOperatorOnSingle, "", l.idCondition(), "the external ID has one value; %s is for keys with several", c.Operator)
	}
	if c.op.family == familyFold {
		l.report(c.at, CodeExternalIDFold, "", l.idCondition(), "%s takes the external ID in any case", c.Operator)
	}
	want := l.e.ExternalIDs
	if len(c.Values) > max(1, len(want)) {
		l.report(c.at, CodeSeveralExternalIDs, "", l.idCondition(), "%d external IDs are accepted, %d expected: each further one is a further way in", len(c.Values), max(1, len(want)))
	}
	matched := map[string]bool{}
	for i := range c.Values {
		v := &c.Values[i]
		switch {
		case v.variable:
			l.report(v.at, CodeExternalIDVariable, "", l.idCondition(), "%s is filled in from the request: the caller chooses its own external ID", quote(v.Text))
			return
		case c.op.family == familyLike && strings.ContainsAny(v.Text, "*?"):
			severity, how := Error, "anything"
			if strings.Trim(v.Text, "*?") != "" {
				severity, how = Warning, "everything of that shape"
			}
			l.report(v.at, CodeExternalIDWildcard, severity, l.idCondition(), "%s takes %s for the external ID", quote(v.Text), how)
		}
		for _, id := range want {
			if v.Text == id || c.op.family == familyFold && strings.EqualFold(v.Text, id) || c.op.family == familyLike && v.wild.matchWithin(id, false, &l.tried.effort) {
				matched[id] = true
			}
		}
	}
	switch {
	case len(want) == 0:
		for _, v := range c.Values {
			if isPlaceholder(v.Text) {
				l.report(v.at, CodeExternalIDPlace, "", l.idCondition(), "%s is a placeholder", quote(v.Text))
			}
		}
	case len(matched) == 0:
		for i := range c.Values {
			l.mismatch(&c.Values[i])
		}
	case len(matched) < len(want):
		for _, id := range want {
			if !matched[id] {
				l.report(c.at, CodeExternalIDMissing, "", l.idCondition(), "external ID %s is not accepted", quote(id))
			}
		}
	}
}

// mismatch says in which way a value is not the external ID.
func (l *linter) mismatch(v *Value) {
	id := l.e.ExternalIDs[0]
	switch trimmed := strings.Join(strings.Fields(v.Text), ""); {
	case isPlaceholder(v.Text):
		l.report(v.at, CodeExternalIDPlace, "", l.idCondition(), "%s is a placeholder; the external ID is %s", quote(v.Text), quote(id))
	case trimmed == id:
		l.report(v.at, CodeExternalIDSpace, "", l.idCondition(), "%s has white space that the external ID %s has not", quote(v.Text), quote(id))
	case strings.EqualFold(trimmed, id):
		l.report(v.at, CodeExternalIDCase, "", l.idCondition(), "%s differs in case from the external ID %s; values have a case", quote(v.Text), quote(id))
	default:
		l.report(v.at, CodeExternalIDWrong, "", l.idCondition(), "%s is not the external ID %s", quote(v.Text), quote(id))
	}
}

// isPlaceholder recognises what tutorials leave to fill in.
func isPlaceholder(s string) bool {
	low := strings.ToLower(s)
	if strings.ContainsAny(s, "<>[]{}") && !strings.Contains(s, "${") {
		return true
	}
	low = strings.NewReplacer("_", "", "-", "", " ", "").Replace(low)
	return low == "" || low == "externalid" || strings.HasPrefix(low, "your") || strings.HasPrefix(low, "myexternalid") || strings.Trim(low, "x") == "" && len(low) > 2
}
