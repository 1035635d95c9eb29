package policy

import (
	"fmt"
	"strings"
)

// Codes of the linter.
const (
	CodeFirstPolicy         Code = "first-policy"
	CodeDenyHitsUs          Code = "deny-hits-us"
	CodeWrongPrincipal      Code = "wrong-principal"
	CodeWrongAccount        Code = "wrong-account"
	CodeWrongAction         Code = "wrong-action"
	CodeConditionExcludesUs Code = "condition-excludes-us"
	CodeConditionNotKnown   Code = "condition-not-known"
	CodeRefused             Code = "refused"

	CodeWildcardPrincipal Code = "wildcard-principal"
	CodeAccountPrincipal  Code = "account-principal"
	CodeOtherPrincipal    Code = "other-principal"
	CodeWideAction        Code = "wide-action"
	CodeWideResource      Code = "wide-resource"
	CodeNotAction         Code = "not-action"
	CodeNotResource       Code = "not-resource"

	CodeMissingExternalID    Code = "missing-external-id"
	CodeExternalIDWildcard   Code = "external-id-wildcard"
	CodeExternalIDOptional   Code = "external-id-if-exists"
	CodeExternalIDForAll     Code = "external-id-for-all-values"
	CodeExternalIDNegated    Code = "external-id-negated"
	CodeExternalIDAny        Code = "external-id-any"
	CodeExternalIDFold       Code = "external-id-ignores-case"
	CodeExternalIDVariable   Code = "external-id-variable"
	CodeExternalIDSpace      Code = "external-id-white-space"
	CodeExternalIDCase       Code = "external-id-case"
	CodeExternalIDWrong      Code = "external-id-wrong"
	CodeExternalIDMissing    Code = "external-id-missing-one"
	CodeExternalIDPlace      Code = "external-id-placeholder"
	CodeSeveralExternalIDs   Code = "several-external-ids"
	CodeAdmitsWithout        Code = "admits-without-external-id"
	CodeAdmitsWrong          Code = "admits-wrong-external-id"
	CodeNoTagSession         Code = "no-tag-session"
	CodeTagSessionWithID     Code = "tag-session-under-external-id"
	CodeIfExists             Code = "if-exists"
	CodeForAllValues         Code = "for-all-values"
	CodeExpectationNotUsable Code = "bad-expectation"
)

var lintRules = map[Code]rule{
	CodeFirstPolicy:         {Error, false, false, "The role still has its first policy, which denies everybody", ""},
	CodeDenyHitsUs:          {Error, false, false, "A Deny statement refuses the platform", "Remove the statement, or except the platform's role from it."},
	CodeWrongPrincipal:      {Error, false, false, "The platform's role is not named", ""},
	CodeWrongAccount:        {Error, false, false, "The role is named in a wrong account", ""},
	CodeWrongAction:         {Error, false, false, "The action is not AssumeRole", `"Action": "sts:AssumeRole"`},
	CodeConditionExcludesUs: {Error, false, false, "A further condition refuses the platform", "Remove the condition."},
	CodeConditionNotKnown:   {Warning, false, false, "A further condition that cannot be judged here", "Remove the condition, or make sure that the platform's requests meet it."},
	CodeRefused:             {Error, false, false, "The platform is refused", ""},

	CodeWildcardPrincipal: {Error, false, false, "Everybody in every account is named", ""},
	CodeAccountPrincipal:  {Warning, false, false, "A whole account is named instead of a role", ""},
	CodeOtherPrincipal:    {Note, false, false, "Somebody else may assume the role too", "Remove the principal if it is not known to you."},
	CodeWideAction:        {Warning, false, false, "An action with wildcards", "Name the actions one by one."},
	CodeWideResource:      {Warning, false, false, "A resource that is everything", "Name the resource by its ARN."},
	CodeNotAction:         {Warning, false, false, "NotAction with Allow allows all that is not named, also what is invented later", "Name the actions with Action."},
	CodeNotResource:       {Warning, false, false, "NotResource with Allow allows all that is not named", "Name the resources with Resource."},

	CodeMissingExternalID:    {Error, false, false, "No external ID is asked for: a confused deputy can get in", ""},
	CodeExternalIDWildcard:   {Error, false, false, "The external ID may be anything", ""},
	CodeExternalIDOptional:   {Error, false, false, "The external ID is checked only if there is one", ""},
	CodeExternalIDForAll:     {Error, false, false, "ForAllValues holds when there is no external ID", ""},
	CodeExternalIDNegated:    {Error, false, false, "Every external ID but one is accepted", ""},
	CodeExternalIDAny:        {Error, false, false, "Only the presence of an external ID is checked", ""},
	CodeExternalIDFold:       {Warning, false, false, "The external ID is compared without case", ""},
	CodeExternalIDVariable:   {Error, false, false, "The external ID comes from the request itself", ""},
	CodeExternalIDSpace:      {Error, false, false, "White space around the external ID", ""},
	CodeExternalIDCase:       {Error, false, false, "The external ID differs in case", ""},
	CodeExternalIDWrong:      {Error, false, false, "Another external ID", ""},
	CodeExternalIDMissing:    {Warning, false, false, "One of the two external IDs of a rotation is missing", ""},
	CodeExternalIDPlace:      {Error, false, false, "A placeholder stands where the external ID belongs", ""},
	CodeSeveralExternalIDs:   {Warning, false, false, "More external IDs than expected", ""},
	CodeAdmitsWithout:        {Error, false, false, "The platform's role gets in without an external ID", ""},
	CodeAdmitsWrong:          {Error, false, false, "The platform's role gets in with a wrong external ID", ""},
	CodeNoTagSession:         {Warning, false, false, "Sessions cannot be tagged", ""},
	CodeTagSessionWithID:     {Warning, false, false, "TagSession under an external ID condition: what AWS does with tags is not documented", ""},
	CodeIfExists:             {Warning, false, false, "An IfExists operator allows requests without the key", "Use the operator without IfExists."},
	CodeForAllValues:         {Warning, false, false, "ForAllValues allows requests without the key", `Add "Null": {"KEY": "false"}, or use ForAnyValue.`},
	CodeExpectationNotUsable: {Error, false, false, "What the linter was told to expect cannot be", ""},
}

// Expect is what a trust policy should be like. All fields are optional: without PlatformRole and ExternalIDs the linter
// looks for what is unsafe for anybody.
type Expect struct {
	// PlatformRole is the ARN of the role that will come in, its path included.
	PlatformRole string
	// ExternalIDs are those that must be accepted: one, or two during a rotation, the lasting one first.
	ExternalIDs []string
	// CustomerRole is the ARN of the role that the policy belongs to.
	CustomerRole string
}

// linter is one run.
type linter struct {
	*Policy
	tried    findings // what trying single statements costs, all of them together
	e        Expect
	platform *Caller // nil when not expected
	customer ARN
	found    findings
}

// Lint says what is wrong with the policy, worst first, each with its place and a remedy. It includes Findings.
//
// For a trust policy with an expectation it is complete in this sense: without a finding of severity Error, and without
// condition-not-known, the evaluator lets the platform's role in with the right external ID, and refuses it without one
// and with one that the policy does not name. Safe for concurrent use.
func (p *Policy) Lint(e Expect) []Finding {
	l := linter{Policy: p, e: e}
	for _, f := range p.found.list {
		l.found.add(f)
	}
	l.customer, _ = ParseARN(e.CustomerRole)
	for _, id := range e.ExternalIDs {
		if len(id) > longestExternalID {
			l.found.add(Finding{Code: CodeExpectationNotUsable, Message: fmt.Sprintf("external ID: has %d characters", len(id)), Remedy: "Give an external ID of at most 1,224 characters."})
			l.e.ExternalIDs = nil
		}
	}
	if e.PlatformRole != "" {
		if c, err := SessionCaller(e.PlatformRole, "rolebridge"); err != nil {
			l.found.add(Finding{Code: CodeExpectationNotUsable, Message: "platform role: " + err.Error(), Remedy: "Give the ARN of the platform's role."})
		} else {
			l.platform = &c
		}
	}
	for i := range p.Statements {
		s := &p.Statements[i]
		l.conditions(s)
		if s.Effect == Allow && p.Kind == Trust {
			l.allow(s)
		} else if s.Effect == Allow {
			l.permit(s)
		}
	}
	if p.Kind == Trust && p.Valid() {
		if l.platform != nil {
			l.outcome()
		} else {
			l.tagging()
		}
	}
	if l.tried.effort.tooMuch() {
		l.report(l.root, CodeTooCostly, "", "", "the policy's patterns and variables take too long to compare with; not all of it was looked at")
	}
	return sorted(l.found.list)
}

// Evaluate is the policy's. That it was too costly is a finding of the linter: nothing is certain then.
func (l *linter) Evaluate(r Request) Result {
	got := l.Policy.Evaluate(r)
	for _, f := range got.Findings {
		if f.Code == CodeTooCostly {
			l.found.add(f)
		}
	}
	return got
}

// report adds a finding at n.
func (l *linter) report(n *node, code Code, severity Severity, remedy, format string, args ...any) {
	at := l.place(n)
	l.found.add(Finding{
		Code: code, Severity: severity, Message: fmt.Sprintf(format, args...),
		Pointer: at.Pointer, Line: at.Line, Column: at.Column, Remedy: remedy,
	})
}

// conditions looks at every condition of a statement, whatever it allows.
func (l *linter) conditions(s *Statement) {
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if !c.op.known() {
			continue
		}
		t := trait(c.key)
		if t == 0 {
			l.sayAbsent(c, &l.found)
		}
		switch {
		case t&many != 0 && c.op.set == single && c.op.family != familyNull:
			l.report(c.at, CodeSetOperatorNeeded, "", "", "%s may have several values; %s compares one", c.Key, c.Operator)
		case t != 0 && t&many == 0 && c.op.set != single && c.key != "sts:externalid":
			l.report(c.at, CodeSetOperatorOnSingle, "", "", "%s has one value; %s is for keys with several", c.Key, c.Operator)
		}
		if s.Effect == Allow && c.key != "sts:externalid" {
			if c.op.ifExists {
				l.report(c.at, CodeIfExists, "", "", "%s holds for every request without %s", c.Operator, c.Key)
			}
			if c.op.set == forAll && !s.wantsKey(c.key) {
				l.report(c.at, CodeForAllValues, "", fmt.Sprintf(`Add "Null": {%q: "false"}, or use ForAnyValue.`, c.Key), "%s holds for every request without %s", c.Operator, c.Key)
			}
		}
		for _, v := range c.Values {
			if v.variable {
				if _, fault := expand(v.Text, nil, &l.tried.effort); strings.Contains(fault, "not closed") || strings.Contains(fault, "is not") {
					l.report(v.at, CodeVariable, "", "Write ${service:Key}, or ${$} for a dollar sign.", "%s", fault)
				}
			}
		}
	}
}

// wantsKey reports whether the statement asks for the key's presence.
func (s *Statement) wantsKey(key string) bool {
	for _, c := range s.Conditions {
		if c.key == key && c.op.family == familyNull && len(c.Values) == 1 && c.Values[0].Text == "false" {
			return true
		}
	}
	return false
}

// unlisted are actions without resources of their own; "*" is the only thing to write for them.
var unlisted = map[string]bool{
	"s3:listallmybuckets": true, "dynamodb:listtables": true, "dynamodb:liststreams": true, "sts:getcalleridentity": true,
	"dynamodb:describelimits": true,
}

// permit looks at an Allow of a permission policy.
func (l *linter) permit(s *Statement) {
	l.actions(s)
	if s.NotResource {
		l.report(s.at.get("NotResource"), CodeNotResource, "", "", "NotResource with Allow reaches everything that is not named")
		return
	}
	for _, v := range s.Resources {
		if v.Text != "*" {
			continue
		}
		for _, a := range s.Actions {
			if !unlisted[strings.ToLower(a.Text)] {
				l.report(v.at, CodeWideResource, "", "", "%s is allowed on everything", quote(a.Text))
			}
		}
	}
}

func (l *linter) actions(s *Statement) {
	if s.NotAction {
		l.report(s.at.get("NotAction"), CodeNotAction, "", "", "NotAction with Allow allows every action that is not named")
		return
	}
	for _, v := range s.Actions {
		if strings.ContainsAny(v.Text, "*?") {
			l.report(v.at, CodeWideAction, "", "", "%s covers more than is needed", quote(v.Text))
		}
	}
}

// statement shows what to paste.
func (g Grant) statement() string { return g.tree().compact() }

// assumeStatement and tagStatement are the remedies that name us; capitals stand for what is not known.
func (l *linter) assumeStatement() string { return l.pasted()[0].statement() }

func (l *linter) tagStatement() string { return l.pasted()[1].statement() }

func (l *linter) pasted() []Grant {
	role, ids := l.e.PlatformRole, l.e.ExternalIDs
	if role == "" {
		role = "PLATFORM_ROLE_ARN"
	}
	if len(ids) == 0 {
		ids = []string{"EXTERNAL_ID"}
	}
	return finalStatements(role, ids)
}

// idCondition is the remedy for what is wrong with a condition on the external ID.
func (l *linter) idCondition() string {
	return `"Condition": ` + l.pasted()[0].tree().get("Condition").compact()
}
