package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Line is one question of a batch: one JSON object per line. Names are exact and stand once; other ones are ignored, and
// null is as if the name did not stand there.
type Line struct {
	// TrustPolicy is the policy as an object, or as a string that holds its text.
	TrustPolicy json.RawMessage // trustPolicy
	// PrincipalARN is the caller; a role's ARN means a session of that role.
	PrincipalARN string  // principalArn
	ExternalID   *string // externalId
	// Tags, when present and not null, ask for sts:TagSession too, also when they are empty.
	Tags        map[string]string // tags
	Action      string            // action; default sts:AssumeRole
	SessionName string            // sessionName
	RoleARN     string            // roleArn
	// Context has further condition keys: a string, number, boolean or a list of those each.
	Context map[string]json.RawMessage // context
}

// Answer is one line of a batch's output.
type Answer struct {
	Decision Decision `json:"decision"`
	// Statement is the index of the statement that decided, null when none did.
	Statement *int      `json:"statement"`
	Findings  []Finding `json:"findings"`
}

// LongestLine bounds a question of a batch, in bytes: a policy of the most that IAM takes, escaped, and the rest of a
// request. What is longer is answered as invalid.
const LongestLine = 512 << 10

// EvaluateLine answers one line of `rolebridge policy evaluate --batch`. The caller's own policies allow. A line that is
// not a question gets the decision invalid and a finding. Safe for concurrent use.
func EvaluateLine(line []byte) Answer {
	if len(line) > LongestLine {
		return invalidAnswer(fmt.Sprintf("the line has more than %d bytes", LongestLine))
	}
	in, err := readLine(line)
	if err != nil {
		return invalidAnswer(fmt.Sprintf("the line is not a question: %v", err))
	}
	return in.Answer()
}

// Answer evaluates the question.
func (in Line) Answer() Answer {
	text := []byte(in.TrustPolicy)
	var inner string
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte(`"`)) && json.Unmarshal(text, &inner) == nil {
		text = []byte(inner)
	}
	caller, err := NewCaller(in.PrincipalARN)
	if err != nil {
		return invalidAnswer("principalArn: " + err.Error())
	}
	r := Request{Caller: caller, Action: in.Action, Resource: in.RoleARN, SessionName: in.SessionName, Tags: in.Tags}
	if r.Action == "" {
		r.Action = "sts:AssumeRole"
	}
	if in.ExternalID != nil {
		r.ExternalID = *in.ExternalID
	}
	if r.Context, err = in.context(); err != nil {
		return invalidAnswer("context: " + err.Error())
	}
	p := Parse(Trust, text)
	result := p.Assume(r)
	if in.Tags != nil && len(in.Tags) == 0 {
		r.Action = "sts:TagSession"
		result = Intersect(result, p.Evaluate(r))
	}
	out := Answer{Decision: result.Decision, Findings: result.Findings}
	if result.Statement >= 0 {
		out.Statement = &result.Statement
	}
	if out.Findings == nil {
		out.Findings = []Finding{}
	}
	return out
}

func (in Line) context() (map[string][]string, error) {
	ctx := make(map[string][]string, len(in.Context))
	for key, raw := range in.Context {
		if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
			continue
		}
		root, _, fault := scan(raw)
		if fault != nil {
			return nil, fmt.Errorf("%s: %s", quote(key), fault.message)
		}
		items := root.items
		if root.kind != kindList {
			items = []*node{root}
		}
		values := make([]string, 0, len(items))
		for _, item := range items {
			if item.kind != kindText && item.kind != kindNumber && item.kind != kindBool {
				return nil, fmt.Errorf("%s is %s; want a string, number, boolean or a list of those", quote(key), item.kind)
			}
			values = append(values, item.text)
		}
		ctx[key] = values
	}
	return ctx, nil
}

func invalidAnswer(message string) Answer {
	var f findings
	f.add(Finding{Code: CodeBadRequest, Message: message})
	return Answer{Decision: Invalid, Findings: f.list}
}
