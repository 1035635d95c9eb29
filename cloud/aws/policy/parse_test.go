package policy_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

func TestWhatCannotBeReadIsReportedWithItsPlace(t *testing.T) {
	for _, test := range []struct {
		name, text   string
		code         policy.Code
		pointer      string
		line, column int
	}{
		{"nothing", "", policy.CodeSyntax, "", 1, 1},
		{"cut off", `{"Version":`, policy.CodeSyntax, "", 1, 12},
		{"a comma too many", "{\n  \"Version\": \"2012-10-17\",\n}", policy.CodeSyntax, "", 3, 1},
		{"a comma too few", "{\n  \"Id\": \"é\" \"Version\": 1}", policy.CodeSyntax, "", 2, 13},
		{"text after the end", "{} x", policy.CodeSyntax, "", 1, 4},
		{"single quotes", "{'a':1}", policy.CodeSyntax, "", 1, 2},
		{"a comment", "// hi\n{}", policy.CodeSyntax, "", 1, 1},
		{"a number JSON lacks", `{"Version": 01}`, policy.CodeSyntax, "", 1, 13},
		{"an open string", `{"Version": "2012`, policy.CodeSyntax, "", 1, 13},
		{"a line break in a string", "{\"Version\": \"a\nb\"}", policy.CodeSyntax, "", 1, 15},
		{"a bad escape", `{"Version": "\x"}`, policy.CodeSyntax, "", 1, 14},
		{"bytes that are not UTF-8", "{\"Version\": \"ab\xff\"}", policy.CodeUTF8, "", 1, 16},
		{"half a surrogate pair", `{"Version": "\ud800"}`, policy.CodeUTF8, "", 1, 14},
		{"deep nesting", strings.Repeat("[", 100), policy.CodeDepth, "", 1, 34},
		{"a list", `[]`, policy.CodeWrongType, "", 1, 1},
		{"a key twice", "{\"Version\":\"2012-10-17\",\n \"Version\":\"2012-10-17\"}", policy.CodeDuplicate, "/Version", 2, 2},
		{"no statement", `{}`, policy.CodeMissingElement, "", 1, 1},
		{"no statements", `{"Statement": []}`, policy.CodeEmptyElement, "/Statement", 1, 15},
		{"a statement that is a string", `{"Statement": ["x"]}`, policy.CodeWrongType, "/Statement/0", 1, 16},
		{"an unknown element", `{"Statement": {}, "Comment": 1}`, policy.CodeUnknownElement, "/Comment", 1, 30},
		{"an effect in lower case", trust(`"Effect":"allow"`), policy.CodeBadEffect, "/Statement/0/Effect", 1, 48},
		{"a resource in a trust policy", trust(`"Resource":"*"`), policy.CodeProhibited, "/Statement/0/Resource", 1, 50},
		{"Action and NotAction", trust(`"Action":"sts:AssumeRole","NotAction":"sts:TagSession"`), policy.CodeBothElements, "/Statement/0", 1, 38},
		{"an empty action list", trust(`"Action":[]`), policy.CodeEmptyElement, "/Statement/0/Action", 1, 48},
		{"an action without a service", trust(`"Action":"AssumeRole"`), policy.CodeBadAction, "/Statement/0/Action", 1, 48},
		{"a condition that is a list", trust(`"Condition":[]`), policy.CodeWrongType, "/Statement/0/Condition", 1, 51},
		{"a pointer with slashes", allow(`{"StringEquals":{"aws:RequestTag/a~b":null}}`), policy.CodeWrongType, "/Statement/0/Condition/StringEquals/aws:RequestTag~1a~0b", 1, 205},
		{"one key in two cases", allow(`{"StringEquals":{"sts:ExternalId":"a","sts:externalid":"b"}}`), policy.CodeDuplicate, "/Statement/0/Condition/StringEquals/sts:externalid", 1, 222},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policy.Parse(policy.Trust, []byte(test.text))
			list := p.Findings()
			i := slices.IndexFunc(list, func(f policy.Finding) bool { return f.Code == test.code && f.Pointer == test.pointer })
			if i < 0 {
				t.Fatalf("%s: findings %+v, want %s at %q", test.text, list, test.code, test.pointer)
			}
			if f := list[i]; f.Line != test.line || f.Column != test.column {
				t.Errorf("%s: %s at %d:%d, want %d:%d", test.text, f.Code, f.Line, f.Column, test.line, test.column)
			}
			if p.Valid() {
				t.Errorf("%s: valid, want invalid", test.text)
			}
			if got := p.Evaluate(request(t)); got.Decision != policy.Invalid || len(got.Findings) == 0 {
				t.Errorf("%s: evaluated to %s with %d findings, want invalid with its findings", test.text, got.Decision, len(got.Findings))
			}
		})
	}
}

func TestEveryElementHasAPlace(t *testing.T) {
	p := policy.Parse(policy.Trust, []byte("{\n  \"Statement\": [\n    {\"Sid\": \"é\", \"Action\": [\"a:b\",\n \"c:d\"]}\n  ]\n}"))
	for pointer, want := range map[string]policy.Place{
		"":                      {Pointer: "", Line: 1, Column: 1},
		"/Statement":            {Pointer: "/Statement", Line: 2, Column: 16},
		"/Statement/0/Sid":      {Pointer: "/Statement/0/Sid", Line: 3, Column: 13},
		"/Statement/0/Action":   {Pointer: "/Statement/0/Action", Line: 3, Column: 28},
		"/Statement/0/Action/1": {Pointer: "/Statement/0/Action/1", Line: 4, Column: 2},
	} {
		if got, ok := p.Locate(pointer); !ok || got != want {
			t.Errorf("%q: got %+v %t, want %+v", pointer, got, ok, want)
		}
	}
	for _, pointer := range []string{"/Statement/1", "/Statement/00", "/Statement/-1", "/x", "x", "/Statement/0/Sid/0"} {
		if got, ok := p.Locate(pointer); ok {
			t.Errorf("%q: got %+v, want nothing", pointer, got)
		}
	}
}

func TestQuotasCountCharactersWithoutWhiteSpace(t *testing.T) {
	document := func(n int) string {
		text := allow(`{"StringEquals":{"sts:ExternalId":"ID"}}`)
		return strings.Replace(text, `"ID"`, `"`+strings.Repeat("x", n-len(text)+2)+`"`, 1)
	}
	for _, test := range []struct {
		name, text string
		kind       policy.Kind
		code       policy.Code
		valid      bool
	}{
		{"at the quota", document(2048), policy.Trust, "", true},
		{"past the quota", document(2049), policy.Trust, policy.CodeQuota, true},
		{"white space is free", document(2048) + strings.Repeat(" \n\t", 5000), policy.Trust, "", true},
		{"past what any policy can have", document(10_241), policy.Trust, policy.CodeTooLarge, false},
		{"larger than the API's parameter", strings.Repeat(" ", 131_073), policy.Trust, policy.CodeTooLarge, false},
	} {
		p := policy.Parse(test.kind, []byte(test.text))
		if got := codes(p.Findings()); test.code == "" && len(got) > 0 || test.code != "" && !slices.Contains(got, test.code) || p.Valid() != test.valid {
			t.Errorf("%s: findings %v, valid %t; want %q, %t", test.name, got, p.Valid(), test.code, test.valid)
		}
	}
}

// The bound is that of the issue: 100 ms and 16 MB for any body. The test allows the race detector ten times the time.
func TestAHostileBodyCostsBoundedTimeAndMemory(t *testing.T) {
	fill := func(head, piece, tail string, size int) string {
		return head + strings.Repeat(piece, (size-len(head)-len(tail))/len(piece)) + tail
	}
	bodies := map[string]string{
		"a megabyte of zeros":        strings.Repeat("0", 1<<20),
		"a megabyte of brackets":     strings.Repeat("[", 1<<20),
		"a megabyte of statements":   fill(`{"Statement":[`, `{},`, `{}]}`, 1<<20),
		"brackets":                   strings.Repeat("[", 131_000),
		"numbers":                    fill("[", "1,", "1]", 131_000),
		"empty statements":           fill(`{"Statement":[`, `{},`, `{}]}`, 131_000),
		"few empty statements":       fill(`{"Statement":[`, `{},`, `{}]}`, 10_000),
		"equal keys":                 fill(`{"Statement":{`, `"a":1,`, `"a":1}}`, 131_000),
		"line breaks":                fill(`{`, "\n", `}`, 131_000),
		"escapes":                    fill(`{"Id":"`, `\u0041`, `"}`, 131_000),
		"unknown operators":          fill(`{"Statement":{"Condition":{`, `"StringEqualz":{},`, `"x":{}}}}`, 10_000),
		"unknown operators, spaced":  fill(`{"Statement":{"Condition":{`, `"S":{},            `, `"x":{}}}}`, 131_000),
		"bad actions":                fill(`{"Statement":{"Action":[`, `"",`, `""]}}`, 10_000),
		"wildcards":                  allow(`{"StringLike":{"sts:ExternalId":"` + strings.Repeat("*a", 4500) + `b"}}`),
		"strange characters":         fill(`{"Id":"`, "日", `"}`, 130_000),
		"a list in a list in a list": fill("[", "[[[[]]]],", "[]]", 131_000),
	}
	caller := request(t)
	caller.ExternalID = strings.Repeat("a", 1224)
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			p := policy.Parse(policy.Trust, []byte(body))
			result := p.Evaluate(caller)
			p.Validate(nil)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("%d bytes allocated, want at most 16 MB", used)
			}
			if took > 20*time.Second {
				t.Errorf("took %v, want some 100 ms on an idle core", took)
			}
			t.Logf("%v, %d kB", took, (after.TotalAlloc-before.TotalAlloc)/1024)
			if result.Decision == policy.Allowed {
				t.Error("allowed")
			}
			if len(p.Findings()) > 100 {
				t.Errorf("%d findings, want at most 100", len(p.Findings()))
			}
		})
	}
}

func TestIAMRefusesWhatItsDocumentationRefuses(t *testing.T) {
	statement := `"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole"`
	identity := `"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`
	for _, test := range []struct {
		name string
		kind policy.Kind
		text string
		code policy.Code // "" for accepted
		api  string
	}{
		{"a good trust policy", policy.Trust, trust(statement), "", ""},
		{"a good identity policy", policy.Identity, trust(identity), "", ""},
		{"no version", policy.Trust, `{"Statement":{` + statement + `}}`, "", ""},
		{"an unknown key", policy.Trust, allow(`{"StringEquals":{"sts:Nonsense":"x"}}`), "", ""},
		{"an unknown operator", policy.Trust, allow(`{"StringIs":{"sts:ExternalId":"x"}}`), policy.CodeUnknownOperator, "MalformedPolicyDocument"},
		{"a key without a service", policy.Trust, allow(`{"StringEquals":{"ExternalId":"x"}}`), policy.CodeBadKey, "MalformedPolicyDocument"},
		{"a wildcard in a principal", policy.Trust, strings.Replace(trust(statement), "cspi-ab12c", "cspi-*", 1), policy.CodePrincipalWildcard, "MalformedPolicyDocument"},
		{"a bare star", policy.Trust, trust(`"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"`), policy.CodePrincipalStar, "MalformedPolicyDocument"},
		{"NotPrincipal", policy.Trust, trust(`"Effect":"Deny","NotPrincipal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"`), policy.CodeNotPrincipalDeny, "MalformedPolicyDocument"},
		{"NotPrincipal with Allow", policy.Trust, trust(`"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"`), policy.CodeNotPrincipal, "MalformedPolicyDocument"},
		{"a short account id", policy.Trust, trust(`"Effect":"Allow","Principal":{"AWS":"1234567"},"Action":"sts:AssumeRole"`), policy.CodeBadPrincipal, "MalformedPolicyDocument"},
		{"a group as principal", policy.Trust, trust(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:group/g"},"Action":"sts:AssumeRole"`), policy.CodeBadPrincipal, "MalformedPolicyDocument"},
		{"a deleted principal", policy.Trust, trust(`"Effect":"Allow","Principal":{"AWS":"AROAEXAMPLEID1234567"},"Action":"sts:AssumeRole"`), policy.CodePrincipalUniqueID, "MalformedPolicyDocument"},
		{"a resource in a trust policy", policy.Trust, trust(statement + `,"Resource":"*"`), policy.CodeProhibited, "MalformedPolicyDocument"},
		{"a principal in an identity policy", policy.Identity, trust(identity + `,"Principal":{"AWS":"*"}`), policy.CodeProhibited, "MalformedPolicyDocument"},
		{"no resource in an identity policy", policy.Identity, trust(`"Effect":"Allow","Action":"s3:GetObject"`), policy.CodeMissingElement, "MalformedPolicyDocument"},
		{"an action of another service", policy.Trust, trust(strings.Replace(statement, "sts:AssumeRole", "s3:GetObject", 1)), policy.CodeNotSTSAction, "MalformedPolicyDocument"},
		{"two statements with one id", policy.Trust, `{"Statement":[{"Sid":"A",` + statement + `},{"Sid":"A",` + statement + `}]}`, policy.CodeDuplicateSid, "MalformedPolicyDocument"},
		{"an id with a space", policy.Trust, trust(`"Sid":"a b",` + statement), policy.CodeBadSid, "MalformedPolicyDocument"},
		{"a version of tomorrow", policy.Trust, strings.Replace(trust(statement), "2012-10-17", "2027-01-01", 1), policy.CodeBadVersion, "MalformedPolicyDocument"},
		{"a resource that is no ARN", policy.Identity, trust(`"Effect":"Allow","Action":"s3:GetObject","Resource":"bucket/*"`), policy.CodeBadResource, "MalformedPolicyDocument"},
		{"too long for the quota", policy.Trust, allow(`{"StringEquals":{"sts:ExternalId":"` + strings.Repeat("x", 2048) + `"}}`), policy.CodeQuota, "LimitExceeded"},
		{"not JSON", policy.Trust, "nope", policy.CodeSyntax, "MalformedPolicyDocument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := policy.Parse(test.kind, []byte(test.text)).Validate(nil)
			if test.code == "" {
				if len(list) > 0 {
					t.Errorf("%s: refused with %v, want accepted", test.text, list)
				}
				return
			}
			i := slices.IndexFunc(list, func(f policy.Finding) bool { return f.Code == test.code })
			if i < 0 {
				t.Fatalf("%s: refused with %v, want %s", test.text, codes(list), test.code)
			}
			if got := list[i].Code.APIError(); got != test.api {
				t.Errorf("API error %q, want %q", got, test.api)
			}
		})
	}
}

func TestAPrincipalThatDoesNotExistIsRefused(t *testing.T) {
	text := trust(`"Effect":"Allow","Principal":{"AWS":["` + platformRole + `","arn:aws:iam::111122223333:role/gone","*","arn:aws:sts::111122223333:assumed-role/x/y"],"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"`)
	var asked []string
	list := policy.Parse(policy.Trust, []byte(text)).Validate(func(principal string) bool {
		asked = append(asked, principal)
		return principal == platformRole
	})
	if len(list) != 1 || list[0].Code != policy.CodePrincipalMissing || list[0].Pointer != "/Statement/0/Principal/AWS/1" {
		t.Errorf("got %+v, want principal-missing at /Statement/0/Principal/AWS/1", list)
	}
	if want := []string{platformRole, "arn:aws:iam::111122223333:role/gone"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

func TestABatchLineIsAnswered(t *testing.T) {
	good := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x1"}}}]}`
	line := func(rest string) string {
		return fmt.Sprintf(`{"trustPolicy":%s,"principalArn":%q,"roleArn":%q,"note":1,%s}`, good, platformRole, customerRole, rest)
	}
	zero := 0
	for _, test := range []struct {
		name, line string
		want       policy.Decision
		statement  *int
	}{
		{"allowed", line(`"externalId":"x1","tags":null`), policy.Allowed, &zero},
		{"no external ID", line(`"externalId":null`), policy.ImplicitDeny, nil},
		{"tags without TagSession", line(`"externalId":"x1","tags":{"a":"b"}`), policy.ImplicitDeny, nil},
		{"empty tags are tags", line(`"externalId":"x1","tags":{}`), policy.ImplicitDeny, nil},
		{"another action", line(`"externalId":"x1","action":"sts:TagSession"`), policy.ImplicitDeny, nil},
		{"a context key", line(`"context":{"sts:ExternalId":["x1"],"aws:SecureTransport":true,"aws:SourceIp":null}`), policy.Allowed, &zero},
		{"a context that is an object", line(`"context":{"sts:ExternalId":{}}`), policy.Invalid, nil},
		{"a policy in a string", fmt.Sprintf(`{"trustPolicy":%q,"principalArn":%q,"externalId":"x1"}`, good, platformRole), policy.Allowed, &zero},
		{"no policy", fmt.Sprintf(`{"principalArn":%q}`, platformRole), policy.Invalid, nil},
		{"no caller", `{"trustPolicy":{}}`, policy.Invalid, nil},
		{"not a line", `[`, policy.Invalid, nil},
		{"a name in another case is another field", line(`"ExternalId":"x1","externalID":"x1","EXTERNALID":"x1"`), policy.ImplicitDeny, nil},
		{"a name in another case does not overwrite", line(`"externalId":"x1","externalid":"wrong"`), policy.Allowed, &zero},
		{"a name that stands twice", line(`"externalId":"wrong","externalId":"x1"`), policy.Invalid, nil},
		{"a name that stands twice and means the same", line(`"externalId":"x1","note":2`), policy.Invalid, nil},
		{"an escaped name that stands twice", line(`"externalId":"wrong","external\u0049d":"x1"`), policy.Invalid, nil},
		{"a tag that stands twice", line(`"externalId":"x1","tags":{"a":"b","a":"c"}`), policy.Invalid, nil},
		{"a tag that stands twice in another case", line(`"externalId":"x1","tags":{"a":"b","A":"c"}`), policy.Invalid, nil},
		{"a context key that stands twice", line(`"context":{"sts:ExternalId":"wrong","sts:ExternalId":"x1"}`), policy.Invalid, nil},
		{"a context key that stands twice in another case", line(`"context":{"sts:ExternalId":"x1","STS:externalid":"wrong"}`), policy.Invalid, nil},
		{"names within what is ignored may repeat", strings.Replace(line(`"externalId":"x1"`), `"note":1`, `"note":{"a":1,"a":2}`, 1), policy.Allowed, &zero},
		{"an external ID that is a number", line(`"externalId":1`), policy.Invalid, nil},
		{"half of a character", line(`"externalId":"\ud800"`), policy.Invalid, nil},
		{"text after the end", line(`"externalId":"x1"`) + "{}", policy.Invalid, nil},
		{"an end that is missing", strings.TrimSuffix(line(`"externalId":"x1"`), "}"), policy.Invalid, nil},
		{"a list", `[]`, policy.Invalid, nil},
		{"an external ID without end", line(`"externalId":"` + strings.Repeat("x", 70_000) + `"`), policy.Invalid, nil},
	} {
		got := policy.EvaluateLine([]byte(test.line))
		if got.Decision != test.want || (got.Statement == nil) != (test.statement == nil) || got.Statement != nil && *got.Statement != *test.statement {
			t.Errorf("%s: got %s %v %v, want %s", test.name, got.Decision, got.Statement, got.Findings, test.want)
		}
		if got.Findings == nil || got.Decision == policy.Invalid && len(got.Findings) == 0 {
			t.Errorf("%s: findings %v, want a list, not empty when invalid", test.name, got.Findings)
		}
	}
}
