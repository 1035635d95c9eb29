package policy

import (
	"fmt"
	"strings"
)

// Parse reads a policy of that kind. It never fails and never returns nil: what it could not read is in Findings, with
// its place, and Valid says whether the rest can be evaluated.
//
// It is as tolerant as AWS: a single object or string may stand for a list, Version may be missing. It is stricter where
// AWS's own answer is not documented: a key that stands twice makes the policy invalid.
//
// A text over 131,072 bytes is not read; within that, time and memory are bounded by the length whatever the text says.
// The policy keeps a reference to text, which must not change afterwards. Safe for concurrent use.
func Parse(kind Kind, text []byte) *Policy {
	p := &Policy{Kind: kind}
	if len(text) > maxBytes {
		p.found.add(Finding{
			Code: CodeTooLarge, Line: 1, Column: 1,
			Message: fmt.Sprintf("the document has %d bytes; IAM reads at most %d", len(text), maxBytes),
		})
		return p
	}
	p.lines = newLineIndex(text)
	root, duplicates, fault := scan(text)
	if fault != nil {
		line, column := p.lines.place(fault.off)
		p.found.add(Finding{Code: fault.code, Message: fault.message, Line: line, Column: column})
		return p
	}
	p.root = root
	for _, d := range duplicates[:min(len(duplicates), maxFindings)] {
		line, column := p.lines.place(d.off)
		p.found.add(Finding{
			Code: CodeDuplicate, Pointer: d.object.pointer() + "/" + escapePointer(d.name), Line: line, Column: column,
			Message: fmt.Sprintf("key %s stands twice", quote(d.name)),
		})
	}
	if p.size(text) {
		p.document(root)
	}
	return p
}

// size compares the length with the quotas, and reports whether the rest is worth reading. White space between elements
// is free.
func (p *Policy) size(text []byte) bool {
	length, inText, escaped, strange := 0, false, false, false
	for _, r := range string(text) {
		switch {
		case escaped:
			escaped = false
		case inText && r == '\\':
			escaped = true
		case r == '"':
			inText = !inText
		case !inText && strings.ContainsRune(" \t\r\n", r):
			continue
		}
		length++
		if r > 0xFF && !strange {
			strange = true
			p.say(&p.found, p.root, CodeCharacter, fmt.Sprintf("character %U is outside of what IAM accepts", r))
		}
	}
	switch {
	case length > hardQuota:
		p.say(&p.found, p.root, CodeTooLarge, fmt.Sprintf("%d characters without white space; no policy may have more than %d", length, hardQuota))
	case length > p.Kind.quota():
		p.say(&p.found, p.root, CodeQuota, fmt.Sprintf("%d characters without white space; the default quota of a %s policy is %d", length, p.Kind, p.Kind.quota()))
	}
	return length <= hardQuota
}

func (p *Policy) document(root *node) {
	if root.kind != kindObject {
		p.say(&p.found, root, CodeWrongType, fmt.Sprintf("a policy is an object, this is %s", root.kind))
		return
	}
	for _, m := range root.members {
		switch m.name {
		case "Version":
			p.version(m.value)
		case "Id":
			p.ID, _ = p.text(m.value, "Id")
		case "Statement":
		default:
			p.unknown(m.value, m.name, "Version", "Id", "Statement")
		}
	}
	if root.get("Version") == nil {
		p.say(&p.found, root, CodeNoVersion, "without Version AWS reads the policy as "+Version2008+", which has no policy variables")
	}
	list := root.get("Statement")
	switch {
	case list == nil:
		p.say(&p.found, root, CodeMissingElement, "the policy has no Statement")
	case list.kind == kindObject:
		p.statement(list)
	case list.kind != kindList:
		p.say(&p.found, list, CodeWrongType, fmt.Sprintf("Statement is %s; want an object or a list of objects", list.kind))
	case len(list.items) == 0:
		p.say(&p.found, list, CodeEmptyElement, "Statement is an empty list")
	default:
		for _, item := range list.items {
			p.statement(item)
		}
	}
	p.sids()
}

func (p *Policy) version(n *node) {
	v, ok := p.text(n, "Version")
	switch {
	case !ok:
	case v == Version2008:
		p.say(&p.found, n, CodeOldVersion, "version "+Version2008+" has no policy variables")
	case v != Version2012:
		p.say(&p.found, n, CodeBadVersion, fmt.Sprintf("version %s does not exist", quote(v)))
	}
	p.Version = v
}

// unknown reports an element that the language does not have, and the one that was probably meant.
func (p *Policy) unknown(n *node, name string, known ...string) {
	message := fmt.Sprintf("the policy language has no element %s here", quote(name))
	for _, k := range known {
		if strings.EqualFold(k, name) || editDistance(strings.ToLower(k), strings.ToLower(name)) <= 2 {
			p.sayRemedy(&p.found, n, CodeUnknownElement, message, fmt.Sprintf("Write %q; element names are case-sensitive.", k))
			return
		}
	}
	p.say(&p.found, n, CodeUnknownElement, message)
}

func (p *Policy) text(n *node, name string) (string, bool) {
	if n.kind != kindText {
		p.say(&p.found, n, CodeWrongType, fmt.Sprintf("%s is %s; want a string", name, n.kind))
		return "", false
	}
	return n.text, true
}

func (p *Policy) statement(n *node) {
	if n.kind != kindObject {
		p.say(&p.found, n, CodeWrongType, fmt.Sprintf("a statement is an object, this is %s", n.kind))
		return
	}
	s := Statement{at: n}
	for _, m := range n.members {
		switch m.name {
		case "Sid":
			s.Sid, _ = p.text(m.value, "Sid")
		case "Effect":
			p.effect(&s, m.value)
		case "Principal", "NotPrincipal":
			s.NotPrincipal = m.name == "NotPrincipal"
			p.principals(&s, m.value, m.name)
		case "Action", "NotAction":
			s.NotAction = m.name == "NotAction"
			s.Actions = p.values(m.value, m.name)
			p.actions(s.Actions)
		case "Resource", "NotResource":
			s.NotResource = m.name == "NotResource"
			s.Resources = p.values(m.value, m.name)
			p.resources(s.Resources)
		case "Condition":
			p.conditions(&s, m.value)
		default:
			p.unknown(m.value, m.name, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
		}
	}
	if not := n.get("NotPrincipal"); not != nil && p.Kind == Trust {
		if s.Effect == Deny {
			p.say(&p.found, not, CodeNotPrincipalDeny, "IAM takes no NotPrincipal in a role's trust policy any more; where one is left, it refuses everybody who is not named")
		} else {
			p.say(&p.found, not, CodeNotPrincipal, "IAM takes no NotPrincipal in a role's trust policy, and AWS supports none with Allow: who it would admit is not certain")
		}
	}
	p.shape(n)
	p.Statements = append(p.Statements, s)
}

// shape looks at which elements a statement has.
func (p *Policy) shape(n *node) {
	pair := func(a, b string, required, allowed bool) {
		has := n.get(a)
		if has == nil {
			has = n.get(b)
		}
		switch {
		case n.get(a) != nil && n.get(b) != nil:
			p.say(&p.found, n, CodeBothElements, fmt.Sprintf("a statement has %s or %s, not both", a, b))
		case has == nil && required:
			p.say(&p.found, n, CodeMissingElement, "the statement has no "+a)
		case has != nil && !allowed:
			p.say(&p.found, has, CodeProhibited, fmt.Sprintf("a %s policy has no %s", p.Kind, has.name))
		}
	}
	if n.get("Effect") == nil {
		p.say(&p.found, n, CodeMissingElement, "the statement has no Effect")
	}
	pair("Principal", "NotPrincipal", p.Kind == Trust, p.Kind == Trust)
	pair("Action", "NotAction", true, true)
	pair("Resource", "NotResource", p.Kind != Trust, p.Kind != Trust)
}

func (p *Policy) effect(s *Statement, n *node) {
	text, ok := p.text(n, "Effect")
	if s.Effect = Effect(text); ok && s.Effect != Allow && s.Effect != Deny {
		p.say(&p.found, n, CodeBadEffect, fmt.Sprintf("effect %s does not exist; it is Allow or Deny, case-sensitive", quote(text)))
	}
}

// values reads a string or a list of strings.
func (p *Policy) values(n *node, name string) []Value {
	items := n.items
	if n.kind != kindList {
		items = []*node{n}
	} else if len(items) == 0 {
		p.say(&p.found, n, CodeEmptyElement, name+" is an empty list")
	}
	list := make([]Value, 0, len(items))
	for _, item := range items {
		if text, ok := p.text(item, name); ok {
			list = append(list, p.value(text, item))
		}
	}
	return list
}

func (p *Policy) value(text string, n *node) Value {
	v := Value{Text: text, at: n, wild: wild(text)}
	if strings.Contains(text, "${") {
		if v.variable = p.Version == Version2012; !v.variable {
			p.say(&p.found, n, CodeVariable, fmt.Sprintf("%s looks like a policy variable, but only version %s has them: it is compared as it stands", quote(text), Version2012))
		}
	}
	return v
}

func (p *Policy) actions(list []Value) {
	for _, v := range list {
		service, name, ok := strings.Cut(v.Text, ":")
		switch {
		case v.Text == "*":
		case !ok || service == "" || name == "" || strings.ContainsAny(service, "*?") || strings.ContainsAny(v.Text, " \t\r\n") || strings.Contains(name, ":"):
			p.say(&p.found, v.at, CodeBadAction, fmt.Sprintf("%s is not an action: want service:Action", quote(v.Text)))
		}
		if p.Kind == Trust && (v.Text == "*" || ok && !strings.EqualFold(service, "sts")) {
			p.say(&p.found, v.at, CodeNotSTSAction, fmt.Sprintf("a trust policy grants actions of sts only, not %s", quote(v.Text)))
		}
	}
}

func (p *Policy) resources(list []Value) {
	for _, v := range list {
		if v.Text == "*" {
			continue
		}
		part := strings.SplitN(v.Text, ":", 6)
		// A partition may be left open with a star or a variable; one that is written out must exist.
		if len(part) < 2 || part[0] != "arn" || len(part) < 6 && !strings.HasSuffix(v.Text, "*") ||
			!partitions[part[1]] && !strings.ContainsAny(part[1], "*?$") {
			p.say(&p.found, v.at, CodeBadResource, fmt.Sprintf("%s is not a resource: want an ARN or %q", quote(v.Text), "*"))
		}
	}
}

// sids must be unique within a policy. AWS's grammar allows letters and digits.
func (p *Policy) sids() {
	seen := map[string]bool{}
	for _, s := range p.Statements {
		if s.Sid == "" {
			continue
		}
		n := s.at.get("Sid")
		if seen[s.Sid] {
			p.say(&p.found, n, CodeDuplicateSid, fmt.Sprintf("statement id %s stands twice", quote(s.Sid)))
		}
		seen[s.Sid] = true
		for _, r := range s.Sid {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
				p.say(&p.found, n, CodeBadSid, fmt.Sprintf("statement id %s has %q; letters and digits only", quote(s.Sid), r))
				break
			}
		}
	}
}

// conditions reads {operator: {key: value or values}}.
func (p *Policy) conditions(s *Statement, n *node) {
	if n.kind != kindObject {
		p.say(&p.found, n, CodeWrongType, fmt.Sprintf("Condition is %s; want an object of operators", n.kind))
		return
	}
	for _, m := range n.members {
		op := parseOperator(m.name)
		switch {
		case !op.known():
			remedy := ""
			if near := suggestOperator(m.name); near != "" {
				remedy = fmt.Sprintf("Write %q.", near)
			}
			p.sayRemedy(&p.found, m.value, CodeUnknownOperator, fmt.Sprintf("AWS has no condition operator %s", quote(m.name)), remedy)
		case op.name != m.name:
			p.sayRemedy(&p.found, m.value, CodeOperatorCase, fmt.Sprintf("operator %s is documented as %s", quote(m.name), op.name), fmt.Sprintf("Write %q.", op.name))
		}
		if m.value.kind != kindObject {
			p.say(&p.found, m.value, CodeWrongType, fmt.Sprintf("operator %s holds %s; want an object of condition keys", quote(m.name), m.value.kind))
			continue
		}
		seen := map[string]string{}
		for _, k := range m.value.members {
			folded := strings.ToLower(k.name)
			if other, ok := seen[folded]; ok && other != k.name {
				p.say(&p.found, k.value, CodeDuplicate, fmt.Sprintf("keys %s and %s are one key: names of condition keys have no case", quote(other), quote(k.name)))
			}
			seen[folded] = k.name
			s.Conditions = append(s.Conditions, p.condition(op, m.name, k))
		}
	}
}

func (p *Policy) condition(op operator, operatorName string, k member) Condition {
	c := Condition{Operator: operatorName, Key: k.name, op: op, key: strings.ToLower(k.name), at: k.value}
	if vendor, name, ok := strings.Cut(k.name, ":"); !ok || vendor == "" || name == "" || strings.ContainsAny(vendor, " *?\t\r\n") {
		p.say(&p.found, k.value, CodeBadKey, fmt.Sprintf("%s is not a condition key: want service:Key", quote(k.name)))
	}
	if trait(c.key) == 0 && p.strangers < maxFindings {
		p.strangers++
		c.near = suggestKey(c.Key)
	}
	items := k.value.items
	if k.value.kind != kindList {
		items = []*node{k.value}
	} else if len(items) == 0 {
		p.say(&p.found, k.value, CodeBadValue, fmt.Sprintf("key %s has no value to compare with", quote(k.name)))
	}
	for _, item := range items {
		switch item.kind {
		case kindText, kindNumber, kindBool:
		default:
			p.say(&p.found, item, CodeWrongType, fmt.Sprintf("a condition value is %s; want a string, a number or a boolean", item.kind))
			continue
		}
		v := p.value(item.text, item)
		v.parsed = op.family.read(item.text)
		if op.known() && !v.parsed.ok {
			p.say(&p.found, item, CodeBadValue, fmt.Sprintf("%s cannot compare with %s", op.name, quote(item.text)))
		}
		if op.family == familyARN && !v.variable && len(v.wild.split()) != 6 {
			p.say(&p.found, item, CodeBadValue, fmt.Sprintf("%s compares the six parts of an ARN, and %s has no six", op.name, quote(item.text)))
		}
		c.Values = append(c.Values, v)
	}
	return c
}
