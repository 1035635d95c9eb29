package policy

import (
	"cmp"
	"slices"
)

// Severity says how bad a finding is, in SARIF's words.
type Severity string

// The three levels. Error: AWS refuses the policy, or we cannot get in, or somebody else can. Warning: it works, but is
// wider or more brittle than it should be. Note: worth knowing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

func (s Severity) rank() int {
	switch s {
	case Error:
		return 0
	case Warning:
		return 1
	}
	return 2
}

// Finding is one thing to say about a policy. Its JSON form is part of the API and of `rolebridge policy lint`.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Pointer is the RFC 6901 JSON pointer of the element, "" for the whole document.
	Pointer string `json:"pointer"`
	// Line and Column count from 1, columns in Unicode code points; both are 0 when the text has no place for it.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Remedy is what to do; where a statement helps it is that statement, ready to paste.
	Remedy string `json:"remedy,omitempty"`
}

// maxFindings bounds what one document can cause: the 101st fault teaches nobody anything.
const maxFindings = 100

// findings collects, without duplicates and within bounds.
type findings struct {
	list []Finding
	// severe is true once an element could not be understood; it holds also for findings past the bound.
	invalid bool
	refused bool
	effort  effort
}

func (f *findings) add(x Finding) {
	r := x.Code.rule()
	if x.Severity == "" {
		x.Severity = r.severity
	}
	if x.Remedy == "" {
		x.Remedy = r.remedy
	}
	f.invalid = f.invalid || r.invalid
	f.refused = f.refused || r.refused
	if len(f.list) >= maxFindings {
		return
	}
	for _, have := range f.list {
		if have.Code == x.Code && have.Pointer == x.Pointer && have.Line == x.Line && have.Column == x.Column {
			return
		}
	}
	f.list = append(f.list, x)
}

// Sort orders findings by severity, then place, then code: what blocks comes first. It changes list in place.
func Sort(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Severity.rank(), b.Severity.rank()),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Code, b.Code))
	})
}

// Worst is the highest severity in list, "" for an empty one.
func Worst(list []Finding) Severity {
	worst := Severity("")
	for _, f := range list {
		if worst == "" || f.Severity.rank() < worst.rank() {
			worst = f.Severity
		}
	}
	return worst
}
