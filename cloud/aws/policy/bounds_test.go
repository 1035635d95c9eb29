package policy_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// most is what one text may cost in memory, all that was allocated on the way included.
const most = 16 << 20

// hostile are texts that cost much, or that readers have stumbled over.
func hostile() map[string][]byte {
	const million = 1 << 20
	full := func(piece string) []byte { return []byte(strings.Repeat(piece, 131_072/len(piece))) }
	statement := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/r"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"sts:ExternalId":"*a*a*a*a*b"}}}`
	in := func(s string) []byte { return []byte(`{"Version":"2012-10-17","Statement":[` + s + `]}`) }
	condition := func(s string) []byte {
		return in(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":` + s + `}`)
	}
	list := func(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	return map[string][]byte{
		"1 MB of spaces":               []byte(strings.Repeat(" ", million)),
		"1 MB of brackets":             []byte(strings.Repeat("[", million)),
		"1 MB of text":                 in(`"` + strings.Repeat("x", million) + `"`),
		"the most that is read: lists": full("[],"),
		"the most: open objects":       full(`{"a":`),
		"the most: empty keys":         []byte("{" + list(`"":0`, 26_000) + "}"),
		"the most: keys that repeat":   []byte("{" + list(`"Statement":{}`, 8_700) + "}"),
		"the most: escapes":            in(`"` + strings.Repeat(`\u00e9`, 21_000) + `"`),
		"the most: invalid UTF-8":      []byte(strings.Repeat("\xff", 131_072)),
		"the most: half surrogates":    in(`"` + strings.Repeat(`\ud800`, 21_000) + `"`),
		"the most: unknown elements":   in(list(`{"x":1}`, 16_000)),
		"10,240 characters of faults":  in(list(`{"Effect":1}`, 780)),
		"statements":                   in(list(statement, 60)),
		"principals":                   in(`{"Effect":"Allow","Principal":{"AWS":[` + list(`"*"`, 2_500) + `]},"Action":"sts:*"}`),
		"stars":                        condition(`{"StringLike":{"sts:ExternalId":["` + strings.Repeat("*a", 4_900) + `"]}}`),
		"stars in many values":         condition(`{"StringLike":{"sts:ExternalId":[` + list(`"`+strings.Repeat("*a", 40)+`b"`, 118) + `]}}`),
		"question marks":               condition(`{"StringLike":{"sts:ExternalId":["` + strings.Repeat("?*", 4_900) + `z"]}}`),
		"ARN wildcards":                condition(`{"ArnLike":{"aws:PrincipalArn":[` + list(`"arn:*:*:*:*:`+strings.Repeat("*a", 40)+`"`, 100) + `]}}`),
		"variables":                    condition(`{"StringEquals":{"sts:ExternalId":["` + strings.Repeat("${sts:ExternalId}", 590) + `"]}}`),
		"variables in variables":       condition(`{"StringEquals":{"sts:ExternalId":["` + strings.Repeat("${", 4_900) + `"]}}`),
		"a number of 10,000 digits":    condition(`{"NumericEquals":{"aws:EpochTime":` + strings.Repeat("9", 10_000) + `}}`),
		"an exponent":                  condition(`{"NumericLessThan":{"aws:EpochTime":[1e999999999,"1e999999999"]}}`),
		"2,048 characters and one":     in(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Sid":"` + strings.Repeat("x", 1_975) + `"}`),
		"a null byte":                  []byte("{\"Version\":\"2012-10-17\x00\"}"),
		"a byte order mark":            []byte("\xef\xbb\xbf{}"),
		"UTF-16":                       []byte("\xff\xfe{\x00}\x00"),
		"two documents":                []byte(`{}{}`),
		"a key of 100,000 characters":  []byte(`{"` + strings.Repeat("k", 100_000) + `":1}`),
		"nothing":                      {},
	}
}

// judge does with a text all that somebody may ask for.
func judge(text []byte) (valid bool, findings int) {
	expect := policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole}
	id := strings.Repeat("a", 1_224) // the longest that STS takes
	for _, kind := range []policy.Kind{policy.Trust, policy.Identity, policy.Session} {
		p := policy.Parse(kind, text)
		found := p.Lint(expect)
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
	for name, text := range hostile() {
		valid, findings := true, 0
		cost := allocated(func() { valid, findings = judge(text) })
		if cost > 3*most {
			t.Errorf("%s: three kinds allocate %d bytes, want %d each at most", name, cost, most)
		}
		one := allocated(func() {
			policy.Parse(policy.Trust, text).Lint(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}})
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
	for name, text := range hostile() {
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

// BenchmarkHostile: no text may take longer than 100 ms. Reading, linting and two evaluations, as each of three kinds.
func BenchmarkHostile(b *testing.B) {
	for name, text := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				judge(text)
			}
		})
	}
}
