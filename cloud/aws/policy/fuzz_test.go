package policy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

// seeds are the lint cases and what each reader must survive.
func seeds(f *testing.F, add func(text []byte)) {
	f.Helper()
	paths, err := filepath.Glob("testdata/lint/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no lint cases: %v", err)
	}
	for _, path := range paths {
		add([]byte(readLintCase(f, path).policy))
	}
	for _, text := range []string{"", "{}", "[]", "null", `"\ud800"`, "\xff", `{"Statement":[[]]}`, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringNotEquals":{"acme:x":"y"}}}}`, `{"Version":1e999,"Statement":{"Condition":{"Null":{"a:b":[]}}}}`} {
		add([]byte(text))
	}
}

// Invariants of the reader: no panic; printing is stable; what it prints means the same; findings have places inside
// of the text; what encoding/json refuses is not valid.
func FuzzParse(f *testing.F) {
	seeds(f, func(text []byte) { f.Add(text, byte(0)) })
	f.Fuzz(func(t *testing.T, text []byte, kind byte) {
		k := policy.Kind(kind % 3)
		p := policy.Parse(k, text)
		lines := bytes.Count(text, []byte("\n")) + 1
		for _, finding := range p.Findings() {
			if finding.Line < 0 || finding.Line > lines || finding.Column < 0 || finding.Column > utf8.RuneCount(text)+1 {
				t.Errorf("%s at %d:%d, outside of the text", finding.Code, finding.Line, finding.Column)
			}
			if finding.Code == "" || finding.Severity == "" || finding.Message == "" {
				t.Errorf("finding %+v is not complete", finding)
			}
		}
		p.Lint(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole})
		printed := p.JSON()
		if p.Valid() && !json.Valid(text) {
			t.Errorf("valid, but encoding/json refuses it: %q", text)
		}
		if printed == nil {
			return
		}
		again := policy.Parse(k, printed)
		if len(printed) < 100_000 && !bytes.Equal(again.JSON(), printed) {
			t.Errorf("printing is not stable:\n%s\n%s", printed, again.JSON())
		}
		if len(printed) < 100_000 && again.Valid() != p.Valid() {
			t.Errorf("valid %t, printed %t: %s", p.Valid(), again.Valid(), printed)
		}
	})
}

// Invariants of the evaluator: no panic; an invalid policy admits nobody and says why; an allow that rests on an unknown
// operator, key or value has a finding; a mended policy admits us, and nobody without the external ID.
func FuzzEvaluate(f *testing.F) {
	seeds(f, func(text []byte) {
		f.Add(text, platformRole, externalID, "k", "v", "aws:SourceIp", "192.0.2.1")
	})
	f.Fuzz(func(t *testing.T, text []byte, principal, id, tag, value, key, contextValue string) {
		r := policy.Request{
			Caller: policy.Caller{ARN: principal}, Resource: customerRole, SessionName: "s", ExternalID: id,
			Tags: map[string]string{tag: value}, Context: map[string][]string{key: {contextValue}},
		}
		p := policy.Parse(policy.Trust, text)
		got := p.Assume(r)
		switch got.Decision {
		case policy.Allowed:
			if !p.Valid() || got.Statement < 0 {
				t.Errorf("allowed by statement %d of a policy that is valid: %t", got.Statement, p.Valid())
			}
			for _, c := range p.Statements[max(got.Statement, 0)].Conditions {
				if strange(c.Key) && !strings.EqualFold(c.Key, key) && len(got.Findings) == 0 {
					t.Errorf("allowed on unknown key %q without a finding", c.Key)
				}
			}
		case policy.Invalid:
			if len(got.Findings) == 0 {
				t.Error("invalid without a finding")
			}
		}
		identity := policy.Parse(policy.Identity, text)
		r.Action = "s3:GetObject"
		r.Resource = "arn:aws:s3:::b/" + value
		identity.Evaluate(r)
		policy.EvaluateLine(text)
		if _, err := p.Mend(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole}); err != nil {
			t.Errorf("not mended: %v", err)
		}
	})
}

// strange reports whether a key belongs to no service that the package knows keys of.
func strange(key string) bool {
	vendor, _, _ := strings.Cut(strings.ToLower(key), ":")
	switch vendor {
	case "aws", "sts", "iam", "s3", "dynamodb", "ec2", "kms", "lambda", "glue", "codebuild", "saml":
		return false
	}
	return !strings.Contains(vendor, ".")
}

func BenchmarkParse(b *testing.B) {
	for name, text := range benchmarkPolicies(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if !policy.Parse(policy.Trust, text).Valid() {
					b.Fatal("not valid")
				}
			}
		})
	}
}

func BenchmarkAssume(b *testing.B) {
	for name, text := range benchmarkPolicies(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			p := policy.Parse(policy.Trust, text)
			r := request(b)
			r.Tags = map[string]string{"connector": "c-1", "organization": "o-1"}
			for b.Loop() {
				if got := p.Assume(r); got.Decision != policy.Allowed {
					b.Fatalf("got %s, want allow", got.Decision)
				}
			}
		})
	}
}

// A report of the validator lints once per run; the API's offline lint does the same.
func BenchmarkLint(b *testing.B) {
	expect := policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole}
	for name, text := range benchmarkPolicies(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			p := policy.Parse(policy.Trust, text)
			for b.Loop() {
				if worst := policy.Worst(p.Lint(expect)); worst == policy.Error {
					b.Fatal("errors in a good policy")
				}
			}
		})
	}
}

// benchmarkPolicies are the one that we hand out, and a role shared with a dozen services and people.
func benchmarkPolicies(b *testing.B) map[string][]byte {
	b.Helper()
	final, err := policy.FinalTrust(platformRole, externalID)
	if err != nil {
		b.Fatal(err)
	}
	shared := []byte(`{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","lambda.amazonaws.com","glue.amazonaws.com"]},"Action":"sts:AssumeRole"},` +
		`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::444455556666:role/a","arn:aws:iam::444455556666:role/b","arn:aws:iam::444455556666:user/c"]},"Action":"sts:AssumeRole"},` +
		`{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringLike":{"sts:RoleSessionName":["test-*","*-debug"]}}},` +
		`{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/platform/*"}}},` +
		`{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:TagSession"}]}`)
	return map[string][]byte{"final": final.JSON(), "shared": shared}
}

func TestTheFolderHasNoLeftovers(t *testing.T) {
	if _, err := os.Stat("testdata/rapid"); err == nil {
		t.Error("testdata/rapid holds a failure that nobody looked at")
	}
}

// FuzzAnARN: what is taken for an ARN is printed as it was.
func FuzzAnARN(f *testing.F) {
	for _, seed := range []string{"", "arn:aws:iam::000000000000:role/r", "arn:::::", "arn:aws:s3:::b/k:x", "arn:aws:iam:::", "ARN:aws:iam::1:x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if arn, err := policy.ParseARN(text); err == nil && arn.String() != text {
			t.Fatalf("%q is printed as %q", text, arn)
		}
	})
}

// FuzzALine: what is no JSON object is no question; a question has one answer, which can be written; and only a policy that is
// valid by itself allows.
func FuzzALine(f *testing.F) {
	seeds(f, func(text []byte) {
		line, err := json.Marshal(map[string]any{
			"trustPolicy": string(text), "principalArn": platformRole, "externalId": externalID, "tags": map[string]string{"k": "v"}, "context": map[string]any{"aws:SourceIp": []any{"192.0.2.1", 5, true}},
		})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	})
	final, err := policy.FinalTrust(platformRole, externalID)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"trustPolicy":` + string(final.JSON()) + `,"principalArn":"` + platformRole + `","externalId":"` + externalID + `"}`))
	for _, text := range []string{"", "null", "[]", `{"principalArn":"x"}`, `{"externalId":"a","externalId":"b"}`, `{"tags":{"K":"a","k":"b"}}`, `{"context":{"a":{}}}`, `{"trustPolicy":"\ud800"}`, "{} {}", "{\"a\":\"\xff\"}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got := policy.EvaluateLine(line)
		if text, err := json.Marshal(got); err != nil || got.Findings == nil || len(text) > 64<<10+20*len(line) {
			t.Fatalf("%q: the answer %+v has %d bytes: %v", line, got, len(text), err)
		}
		var said map[string]json.RawMessage
		switch object := json.Unmarshal(line, &said) == nil && said != nil; {
		case !object && got.Decision != policy.Invalid:
			t.Fatalf("%q is no question, and the answer is %s", line, got.Decision)
		case got.Decision == policy.Invalid && len(got.Findings) == 0:
			t.Fatalf("%q is invalid without a finding", line)
		case got.Decision == policy.Allowed && got.Statement == nil:
			t.Fatalf("%q is allowed by no statement", line)
		}
	})
}
