package policy_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/cloud/aws/policy/policytest"
)

// most is what one text may cost in memory, all that was allocated on the way included.
const most = 16 << 20

// judge does with a text all that somebody may ask for.
func judge(text []byte) (valid bool, findings int) {
	id := policytest.LongestID
	expect := policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{id, id[1:]}, CustomerRole: customerRole}
	for _, kind := range []policy.Kind{policy.Trust, policy.Identity, policy.Session} {
		p := policy.Parse(kind, text)
		found := p.Lint(expect)
		_, _ = p.Mend(expect) // only a trust policy can be
		r := policy.Request{Caller: policy.Caller{ARN: platformRole}, Resource: customerRole, SessionName: "s", ExternalID: id, Tags: map[string]string{"k": "v"}}
		p.Assume(r)
		if kind == policy.Trust {
			valid, findings = p.Valid(), len(found)
		}
	}
	return valid, findings
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestABadTextIsAFindingAndCostsLittle(t *testing.T) {
	for name, text := range policytest.Hostile() {
		valid, findings := true, 0
		cost := allocated(func() { valid, findings = judge(text) })
		if cost > 3*most {
			t.Errorf("%s: three kinds allocate %d bytes, want %d each at most", name, cost, most)
		}
		one := allocated(func() {
			policy.Parse(policy.Trust, text).Lint(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{policytest.LongestID}})
		})
		if one > most {
			t.Errorf("%s: reading and linting allocate %d bytes, want %d at most", name, one, most)
		}
		if findings == 0 {
			t.Errorf("%s: valid %t, without a finding", name, valid)
		}
		for _, f := range policy.Parse(policy.Trust, text).Findings() {
			if len(f.Message) > 2_000 || len(f.Pointer) > 200_000 {
				t.Errorf("%s: %s has a message of %d and a pointer of %d bytes", name, f.Code, len(f.Message), len(f.Pointer))
			}
		}
	}
}

// The lines of a batch come from anywhere, too.
func TestABadLineIsAnAnswerAndCostsLittle(t *testing.T) {
	lines := map[string][]byte{
		"tags without end":       []byte(`{"principalArn":"` + platformRole + `","tags":{` + strings.Repeat(`"a":"",`, 1<<16) + `"z":""},"trustPolicy":{}}`),
		"many tags":              []byte(`{"principalArn":"` + platformRole + `","trustPolicy":{},"tags":{` + numbered(30_000) + `}}`),
		"many keys":              []byte(`{"principalArn":"` + platformRole + `","trustPolicy":{},"context":{` + numbered(30_000) + `}}`),
		"a context that is deep": []byte(`{"principalArn":"` + platformRole + `","trustPolicy":{},"context":{"a":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}}`),
		"nesting":                []byte(strings.Repeat("[", 500_000)),
	}
	for name, text := range policytest.Hostile() {
		quoted, err := json.Marshal(string(text))
		if err != nil {
			t.Fatal(err)
		}
		lines["a policy of "+name] = []byte(`{"principalArn":"` + platformRole + `","externalId":"a","tags":{},"trustPolicy":` + string(quoted) + `}`)
	}
	for name, line := range lines {
		var a policy.Answer
		if cost := allocated(func() { a = policy.EvaluateLine(line) }); cost > most {
			t.Errorf("%s: it allocates %d bytes, want %d at most", name, cost, most)
		}
		if a.Decision == policy.Allowed && len(a.Findings) == 0 {
			t.Errorf("%s: allowed without a finding", name)
		}
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":"v",`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// What takes too long is not known: nobody is let in on it, and nobody past a refusal.
func TestWhatIsTooCostlyToCompareIsNotKnown(t *testing.T) {
	t.Parallel()
	policyOf := func(effect string) *policy.Policy {
		return policy.Parse(policy.Trust, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:TagSession"},`+
			`{"Effect":"`+effect+`","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringNotLike":{"sts:ExternalId":["*`+strings.Repeat("a?", 305)+`b*","*`+strings.Repeat("a", 600)+`b"]}}}]}`))
	}
	r := policy.Request{Caller: policy.Caller{ARN: platformRole}, Resource: customerRole, SessionName: "s", Action: "sts:TagSession", ExternalID: policytest.LongestID}
	for effect, want := range map[string]policy.Decision{"Allow": policy.ImplicitDeny, "Deny": policy.ExplicitDeny} {
		p := policyOf(effect)
		q := r
		if effect == "Allow" {
			q.Action = "sts:AssumeRole"
		}
		got := p.Evaluate(q)
		if got.Decision != want || !slices.ContainsFunc(got.Findings, func(f policy.Finding) bool { return f.Code == policy.CodeTooCostly }) {
			t.Errorf("%s: got %s, %+v; want %s with %s", effect, got.Decision, got.Findings, want, policy.CodeTooCostly)
		}
		q.ExternalID = "a"
		if got := p.Evaluate(q); len(got.Findings) != 0 {
			t.Errorf("%s with a short ID: got %+v, want no finding", effect, got)
		}
	}
}
