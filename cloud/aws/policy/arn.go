package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ARN is a resource name in its six parts: arn:partition:service:region:account:resource. The resource may hold
// further colons and slashes.
type ARN struct{ Partition, Service, Region, Account, Resource string }

// ParseARN splits an ARN. It refuses what has fewer than six parts, another prefix than "arn", or an empty partition,
// service or resource; it does not judge whether the thing named could exist.
func ParseARN(s string) (ARN, error) {
	part := strings.SplitN(s, ":", 6)
	if len(part) < 6 || part[0] != "arn" {
		return ARN{}, fmt.Errorf("%s is not an ARN: want arn:partition:service:region:account:resource", quote(s))
	}
	a := ARN{part[1], part[2], part[3], part[4], part[5]}
	if a.Partition == "" || a.Service == "" || a.Resource == "" {
		return ARN{}, fmt.Errorf("%s is not an ARN: partition, service or resource is empty", quote(s))
	}
	return a, nil
}

func (a ARN) String() string {
	return strings.Join([]string{"arn", a.Partition, a.Service, a.Region, a.Account, a.Resource}, ":")
}

// partitions that AWS documents for public use, and those of the isolated regions. A principal never crosses one.
var partitions = map[string]bool{
	"aws": true, "aws-cn": true, "aws-us-gov": true, "aws-iso": true, "aws-iso-b": true, "aws-iso-e": true, "aws-iso-f": true,
	"aws-eusc": true,
}

// isAccount reports whether s is an account id: twelve digits.
func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}

// roleName returns the role's name, without its path, of a role's resource part ("role/path/name").
func roleName(resource string) (string, bool) {
	rest, ok := strings.CutPrefix(resource, "role/")
	if !ok {
		return "", false
	}
	name := rest[strings.LastIndexByte(rest, '/')+1:]
	return name, name != ""
}

// A pattern is text with wildcards: anyRun stands for "*", anyOne for "?". They are negative, so no text in a policy or
// a request can be mistaken for a wildcard, and ${*} can stand for a star.
type pattern []rune

const (
	anyRun rune = -1
	anyOne rune = -2
)

// wild reads "*" and "?" in s as wildcards.
func wild(s string) pattern {
	p := make(pattern, 0, len(s))
	for _, r := range s {
		switch r {
		case '*':
			r = anyRun
		case '?':
			r = anyOne
		}
		p = append(p, r)
	}
	return p
}

// literal reads every character of s as itself.
func literal(s string) pattern { return pattern([]rune(s)) }

// text prints the pattern for a message.
func (p pattern) text() string {
	var b strings.Builder
	for _, r := range p {
		switch r {
		case anyRun:
			r = '*'
		case anyOne:
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// match reports whether all of s matches. It goes back to the last star only, so the worst case is len(p)*len(s); for what
// may be that long there is matchWithin.
func (p pattern) match(s string, foldCase bool) bool {
	return p.matchWithin(s, foldCase, new(effort))
}

// matchWithin is match, which counts its steps, and is false once they are too many.
func (p pattern) matchWithin(s string, foldCase bool, e *effort) bool {
	var pi, si int
	star, resume := -1, 0
	for si < len(s) {
		if *e++; e.tooMuch() {
			return false
		}
		r, size := utf8.DecodeRuneInString(s[si:])
		switch {
		case pi < len(p) && p[pi] == anyRun:
			star, resume = pi, si
			pi++
			continue
		case pi < len(p) && (p[pi] == anyOne || p[pi] == r || foldCase && p[pi] >= 0 && unicode.ToLower(p[pi]) == unicode.ToLower(r)):
			pi++
			si += size
			continue
		case star < 0:
			return false
		}
		_, size = utf8.DecodeRuneInString(s[resume:])
		resume += size
		pi, si = star+1, resume
	}
	for pi < len(p) && p[pi] == anyRun {
		pi++
	}
	return pi == len(p)
}

// split cuts a pattern at its first five colons, as an ARN is cut.
func (p pattern) split() []pattern {
	var parts []pattern
	from := 0
	for i, r := range p {
		if r == ':' && len(parts) < 5 {
			parts = append(parts, p[from:i])
			from = i + 1
		}
	}
	return append(parts, p[from:])
}

// matchARN compares each of the six parts on its own: a star never reaches over a colon into the next part (IAM User
// Guide, condition operators, ArnLike). ok is false when the pattern has no six parts and says nothing certain.
func (p pattern) matchARN(s string, e *effort) (match, ok bool) {
	want, got := p.split(), strings.SplitN(s, ":", 6)
	if len(want) != 6 || want[0].text() != "arn" {
		return false, false
	}
	if len(got) != 6 {
		return false, true
	}
	for i := range want {
		if !want[i].matchWithin(got[i], false, e) {
			return false, true
		}
	}
	return true, true
}

// matchResource is matchARN for a Resource element, where "*" alone means everything and missing last parts are
// filled up with stars.
func (p pattern) matchResource(s string) bool {
	if len(p) == 1 && p[0] == anyRun {
		return true
	}
	if parts := p.split(); len(parts) < 6 && len(parts) > 0 && parts[len(parts)-1].text() == "*" {
		for range 6 - len(parts) {
			p = append(slices.Clip(p), ':', anyRun)
		}
	}
	match, _ := p.matchARN(s, new(effort))
	return match
}
