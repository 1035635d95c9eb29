package policy

import "strings"

// Kind says where a policy hangs, which decides its grammar and its size.
type Kind int

// The kinds that are understood.
const (
	// Trust is a role's trust policy (AssumeRolePolicyDocument): Principal, no Resource, sts actions only.
	Trust Kind = iota
	// Identity is a permission policy of a role or user: Resource, no Principal.
	Identity
	// Session is the policy passed to AssumeRole. It narrows, and grants nothing by itself: see Intersect.
	Session
)

func (k Kind) String() string { return [...]string{"trust", "identity", "session"}[k] }

// quota is the default size in characters, white space not counted (IAM quotas): trust policies 2,048, raisable; a role's
// inline policies 10,240 together; a session policy 2,048.
func (k Kind) quota() int {
	if k == Identity {
		return hardQuota
	}
	return 2_048
}

// hardQuota is the longest policy, in characters without white space, that any kind can have; past it nothing is
// evaluated.
const hardQuota = 10_240

// Versions of the policy language. Without a Version element AWS assumes the older one, which has no variables.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// Effect is what a matching statement does.
type Effect string

// The two effects, case-sensitive as in AWS.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Policy is a parsed policy. It is immutable: any number of goroutines may evaluate, lint and print it.
type Policy struct {
	Kind       Kind
	Version    string // "" when the document names none
	ID         string
	Statements []Statement

	root      *node
	lines     lineIndex
	strangers int // unknown condition keys, for which a known one was looked for
	found     findings
}

// Statement is one statement. Exactly one of each pair (Actions or their negation, …) holds.
type Statement struct {
	Sid          string
	Effect       Effect
	Principals   []Principal
	NotPrincipal bool // Principals are those that are excepted
	Actions      []Value
	NotAction    bool
	Resources    []Value
	NotResource  bool
	Conditions   []Condition

	at *node
}

// Value is a string of the document.
type Value struct {
	Text string

	at       *node
	wild     pattern // Text with its wildcards, variables not replaced
	variable bool    // Text has ${…} and the version knows variables
	parsed   parsed  // Text as its operator reads it
}

// Condition is one key under one operator: all conditions of a statement must hold, and one of the values suffices.
type Condition struct {
	Operator string // as written
	Key      string // as written
	Values   []Value

	op   operator
	key  string // lower case
	near string // the known key that was probably meant, of an unknown one
	at   *node
}

// Place is where an element of the document stands.
type Place struct {
	Pointer      string
	Line, Column int // from 1; columns in code points
}

// Findings are what the reader and the grammar have to say, worst first. The slice is the caller's own.
func (p *Policy) Findings() []Finding {
	list := append([]Finding(nil), p.found.list...)
	Sort(list)
	return list
}

// Valid reports whether every element is understood, so that Evaluate decides. A valid policy may still be one that IAM
// refuses: see Validate.
func (p *Policy) Valid() bool { return !p.found.invalid }

// Locate returns the place of the element under an RFC 6901 pointer.
func (p *Policy) Locate(pointer string) (Place, bool) {
	n := p.root
	if n == nil || pointer != "" && !strings.HasPrefix(pointer, "/") {
		return Place{}, false
	}
	for _, step := range strings.Split(pointer, "/")[1:] {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		if n = n.child(step); n == nil {
			return Place{}, false
		}
	}
	return p.place(n), true
}

func (p *Policy) place(n *node) Place {
	if n == nil {
		return Place{}
	}
	line, column := p.lines.place(n.off)
	return Place{Pointer: n.pointer(), Line: line, Column: column}
}

// say adds a finding at n.
func (p *Policy) say(into *findings, n *node, code Code, message string) {
	p.sayRemedy(into, n, code, message, "")
}

func (p *Policy) sayRemedy(into *findings, n *node, code Code, message, remedy string) {
	if len(into.list) >= maxFindings {
		into.add(Finding{Code: code}) // for its flags; the place of what nobody reads is not worth computing
		return
	}
	at := p.place(n)
	into.add(Finding{Code: code, Message: message, Pointer: at.Pointer, Line: at.Line, Column: at.Column, Remedy: remedy})
}
