package policy

import (
	"fmt"
	"strings"
)

// verdict is the answer of a condition, or of a part of one.
type verdict byte

const (
	no verdict = iota
	// unknown: an Allow must not rest on it, and a Deny applies.
	unknown
	yes
)

func boolVerdict(b bool) verdict {
	if b {
		return yes
	}
	return no
}

func (v verdict) not() verdict { return yes - v }

// judge evaluates the statement's conditions. All are looked at, so that the findings do not depend on their order.
func (p *Policy) judge(s *Statement, ctx map[string][]string, into *findings) verdict {
	all := yes
	for i := range s.Conditions {
		all = min(all, p.holds(&s.Conditions[i], ctx, into))
	}
	return all
}

func (p *Policy) holds(c *Condition, ctx map[string][]string, into *findings) verdict {
	values, present := ctx[c.key]
	// A key of empty strings counts as absent for the set operators (IAM User Guide, multivalued context keys).
	present = present && len(values) > 0
	if !present {
		p.sayAbsent(c, into)
	}
	o := c.op
	if o.family == familyNull {
		return c.null(present)
	}
	if len(c.Values) == 0 {
		return unknown
	}
	switch o.set {
	case forAll:
		result := yes
		for _, v := range values {
			if v == "" && len(values) == 1 {
				break
			}
			result = min(result, p.compare(c, v, ctx, into))
		}
		return result
	case forAny:
		if !present {
			return boolVerdict(o.ifExists)
		}
		result := no
		for _, v := range values {
			result = max(result, p.compare(c, v, ctx, into))
		}
		return result
	}
	switch {
	case !present:
		return boolVerdict(o.ifExists || o.negated)
	case len(values) > 1:
		p.say(into, c.at, CodeSetOperatorNeeded, fmt.Sprintf("the request has %d values for %s, and %s compares one", len(values), c.Key, c.Operator))
		return unknown
	}
	return p.compare(c, values[0], ctx, into)
}

// sayAbsent says what the outcome rests on when a key is absent for another reason than that the request says so.
func (p *Policy) sayAbsent(c *Condition, into *findings) {
	switch t := trait(c.key); {
	case t == 0:
		remedy := ""
		if c.near != "" {
			remedy = fmt.Sprintf("Write %q, if that is meant.", c.near)
		}
		p.sayRemedy(into, c.at, CodeUnknownKey, fmt.Sprintf("no request is known to carry %s; it counts as absent", quote(c.Key)), remedy)
	case t&derived == 0:
		p.say(into, c.at, CodeKeyNotGiven, fmt.Sprintf("the request does not say what %s is; it counts as absent", c.Key))
	}
}

func (c *Condition) null(present bool) verdict {
	result := no
	for _, v := range c.Values {
		if !v.parsed.ok {
			return unknown
		}
		result = max(result, boolVerdict(v.parsed.truth != present))
	}
	if len(c.Values) == 0 {
		return unknown
	}
	return result
}

// compare holds one value of the request against all values of the policy: any match suffices, and a negated operator
// wants none.
func (p *Policy) compare(c *Condition, got string, ctx map[string][]string, into *findings) verdict {
	result := no
	for i := range c.Values {
		result = max(result, p.compareOne(c, &c.Values[i], got, ctx, into))
	}
	if c.op.negated {
		return result.not()
	}
	return result
}

func (p *Policy) compareOne(c *Condition, want *Value, got string, ctx map[string][]string, into *findings) verdict {
	result := p.compareText(c, want, got, ctx, into)
	if into.effort.tooMuch() {
		p.say(into, c.at, CodeTooCostly, "comparing the request with the policy's patterns and variables takes more than a policy in good faith would; it was given up")
		return unknown
	}
	return result
}

// effort is what comparing with patterns and variables has cost, in characters that were looked at. Some ten thousand
// characters of policy could otherwise take a second and a hundred megabytes.
type effort int

const (
	mostEffort     = 1 << 18 // in one evaluation
	expansionCosts = 32      // for a character that is copied
)

func (e effort) tooMuch() bool { return e > mostEffort }

func (p *Policy) compareText(c *Condition, want *Value, got string, ctx map[string][]string, into *findings) verdict {
	o := c.op
	if want.variable {
		return p.compareVariable(c, want, got, ctx, into)
	}
	switch o.family {
	case familyString:
		return boolVerdict(want.Text == got)
	case familyFold:
		return boolVerdict(strings.EqualFold(want.Text, got))
	case familyLike:
		return boolVerdict(want.wild.matchWithin(got, false, &into.effort))
	case familyARN:
		match, ok := want.wild.matchARN(got, &into.effort)
		if !ok {
			return unknown
		}
		return boolVerdict(match)
	}
	have := o.family.read(got)
	if !want.parsed.ok || !have.ok {
		if !want.parsed.ok {
			p.say(into, want.at, CodeBadValue, fmt.Sprintf("%s cannot compare with %s", c.Operator, quote(want.Text)))
		} else {
			p.say(into, c.at, CodeBadValue, fmt.Sprintf("the request's %s is %s, which %s cannot compare", c.Key, quote(got), c.Operator))
		}
		return unknown
	}
	switch o.family {
	case familyNumber:
		return boolVerdict(o.relation.holds(have.number.Cmp(want.parsed.number)))
	case familyDate:
		return boolVerdict(o.relation.holds(have.date.Compare(want.parsed.date)))
	case familyBool:
		return boolVerdict(have.truth == want.parsed.truth)
	case familyIP:
		return boolVerdict(want.parsed.prefix.Bits() <= have.prefix.Bits() && want.parsed.prefix.Contains(have.prefix.Addr()))
	case familyBinary:
		return boolVerdict(have.bytes == want.parsed.bytes)
	}
	return unknown
}

// compareVariable compares with a value that has policy variables. Only strings and ARNs may have them.
func (p *Policy) compareVariable(c *Condition, want *Value, got string, ctx map[string][]string, into *findings) verdict {
	expanded, fault := expand(want.Text, ctx, &into.effort)
	if fault != "" {
		p.say(into, want.at, CodeVariableUnresolved, fault)
		return unknown
	}
	switch c.op.family {
	case familyString:
		// Without wildcards a star is a star.
		return boolVerdict(expanded.text() == got)
	case familyFold:
		return boolVerdict(strings.EqualFold(expanded.text(), got))
	case familyLike:
		return boolVerdict(expanded.matchWithin(got, false, &into.effort))
	case familyARN:
		match, ok := expanded.matchARN(got, &into.effort)
		if !ok {
			return unknown
		}
		return boolVerdict(match)
	}
	return unknown
}
