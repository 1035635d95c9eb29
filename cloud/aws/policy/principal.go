package policy

import (
	"fmt"
	"strings"
)

// Principal is one entry of a Principal element.
type Principal struct {
	Type  string // AWS, Service, Federated, CanonicalUser
	Value string // as written

	form form
	arn  ARN
	at   *node
}

// form is what a principal's value names.
type form byte

const (
	formUnknown   form = iota
	formEveryone       // *
	formAccount        // 123456789012 or arn:…:root: whoever the account lets
	formRole           // arn:…:role/…: the role and its sessions
	formUser           // arn:…:user/…
	formSession        // arn:…:assumed-role/role/session
	formFederated      // arn:…:federated-user/name
	formUniqueID       // AROA…, what is left of a deleted role
	formService        // s3.amazonaws.com
	formProvider       // an identity provider
)

// Everyone reports whether the entry is the star.
func (x Principal) Everyone() bool { return x.form == formEveryone }

// Account is the account that the entry names as a whole, "" when it names somebody in particular.
func (x Principal) Account() string {
	switch {
	case x.form != formAccount:
		return ""
	case isAccount(x.Value):
		return x.Value
	}
	return x.arn.Account
}

// principals reads "*", or {type: value or values}.
func (p *Policy) principals(s *Statement, n *node, name string) {
	switch n.kind {
	case kindText:
		if n.text == "*" {
			if p.Kind == Trust {
				p.say(&p.found, n, CodePrincipalStar, `IAM refuses "Principal": "*" in a trust policy; where it is not refused it admits everybody`)
			}
			s.Principals = append(s.Principals, Principal{Type: "AWS", Value: "*", form: formEveryone, at: n})
			return
		}
		p.sayRemedy(&p.found, n, CodeWrongType, fmt.Sprintf("%s is the string %s; want an object", name, quote(n.text)), fmt.Sprintf(`"Principal": {"AWS": %s}`, quote(n.text)))
		return
	case kindObject:
	default:
		p.say(&p.found, n, CodeWrongType, fmt.Sprintf("%s is %s; want an object", name, n.kind))
		return
	}
	if len(n.members) == 0 {
		p.say(&p.found, n, CodeEmptyElement, name+" names nobody")
	}
	for _, m := range n.members {
		switch m.name {
		case "AWS", "Service", "Federated", "CanonicalUser":
		default:
			p.unknown(m.value, m.name, "AWS", "Service", "Federated")
			continue
		}
		items := m.value.items
		if m.value.kind != kindList {
			items = []*node{m.value}
		} else if len(items) == 0 {
			p.say(&p.found, m.value, CodeEmptyElement, name+"."+m.name+" is an empty list")
		}
		for _, item := range items {
			if text, ok := p.text(item, name+"."+m.name); ok {
				x := p.principal(m.name, text, item)
				s.Principals = append(s.Principals, x)
			}
		}
	}
}

func (p *Policy) principal(kind, value string, n *node) Principal {
	x := Principal{Type: kind, Value: value, at: n}
	bad := func(format string, args ...any) Principal {
		p.say(&p.found, n, CodeBadPrincipal, fmt.Sprintf(format, args...))
		return x
	}
	switch kind {
	case "Service":
		if strings.ContainsAny(value, "*? ") || !strings.Contains(value, ".") {
			return bad("%s is not a service: want a name like ec2.amazonaws.com", quote(value))
		}
		x.form = formService
		return x
	case "Federated":
		if strings.ContainsAny(value, "*? ") || value == "" {
			return bad("%s is not an identity provider", quote(value))
		}
		x.form = formProvider
		return x
	case "CanonicalUser":
		return bad("a trust policy names no canonical user; that is an id of S3")
	}
	switch {
	case value == "*":
		x.form = formEveryone
		return x
	case isAccount(value):
		x.form = formAccount
		return x
	case strings.ContainsAny(value, "*?"):
		p.say(&p.found, n, CodePrincipalWildcard, fmt.Sprintf("%s has a wildcard; AWS takes only the star that stands alone", quote(value)))
		return x
	case len(value) >= 16 && len(value) <= 128 && (strings.HasPrefix(value, "AROA") || strings.HasPrefix(value, "AIDA")) && isAlphanumeric(value):
		p.say(&p.found, n, CodePrincipalUniqueID, fmt.Sprintf("%s is what AWS shows for a role or user that was deleted; one of the same name does not get in", quote(value)))
		x.form = formUniqueID
		return x
	}
	a, err := ParseARN(value)
	switch {
	case err != nil:
		return bad("%s is neither an ARN, nor an account id of twelve digits, nor a star", quote(value))
	case !partitions[a.Partition]:
		return bad("%s names partition %s, which does not exist", quote(value), quote(a.Partition))
	case !isAccount(a.Account):
		return bad("%s names account %s; want twelve digits", quote(value), quote(a.Account))
	case a.Region != "" || a.Service != "iam" && a.Service != "sts":
		return bad("%s is not an identity of IAM or STS", quote(value))
	}
	x.arn = a
	head, rest, _ := strings.Cut(a.Resource, "/")
	switch {
	case strings.ContainsAny(value, " \t\r\n"):
		return bad("%s has white space", quote(value))
	case a.Service == "iam" && a.Resource == "root":
		x.form = formAccount
	case a.Service == "iam" && head == "role" && rest != "" && !strings.HasSuffix(rest, "/"):
		x.form = formRole
	case a.Service == "iam" && head == "user" && rest != "" && !strings.HasSuffix(rest, "/"):
		x.form = formUser
	case a.Service == "sts" && head == "assumed-role" && strings.Count(rest, "/") == 1 && !strings.HasPrefix(rest, "/") && !strings.HasSuffix(rest, "/"):
		x.form = formSession
	case a.Service == "sts" && head == "federated-user" && rest != "":
		x.form = formFederated
	default:
		return bad("%s is not a role, user, session or account; groups and instance profiles cannot be principals", quote(value))
	}
	return x
}

func isAlphanumeric(s string) bool {
	for _, r := range s {
		if (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// admission is how a principal entry covers a caller.
type admission byte

const (
	notNamed  admission = iota
	delegated           // through the account: its own policies must allow it too
	named               // in person, or as everybody
)

// covers compares one entry with the caller.
func (x Principal) covers(c *Caller) admission {
	switch x.form {
	case formEveryone:
		return named
	case formAccount:
		if x.Account() == c.account && (x.arn.Partition == "" || x.arn.Partition == c.partition) {
			return delegated
		}
	case formRole:
		if c.role.Account == x.arn.Account && c.role.Partition == x.arn.Partition && c.isRole(x.arn.Resource) {
			return named
		}
	case formUser, formSession, formFederated:
		if c.ARN == x.Value {
			return named
		}
	case formUniqueID:
		if c.UniqueID != "" && c.UniqueID == x.Value {
			return named
		}
	case formService:
		if c.Service != "" && strings.EqualFold(c.Service, x.Value) {
			return named
		}
	case formProvider:
		if c.Federated != "" && c.Federated == x.Value {
			return named
		}
	}
	return notNamed
}

// admits is the best that any entry of the statement gives the caller.
func (s *Statement) admits(c *Caller) admission {
	best := notNamed
	for i := range s.Principals {
		best = max(best, s.Principals[i].covers(c))
	}
	if !s.NotPrincipal {
		return best
	}
	if best == notNamed {
		return named
	}
	return notNamed
}
