package policy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rolebridge/rolebridge/cloud/aws/policy"
)

var update = flag.Bool("update", false, "write golden files")

// golden compares with a file under testdata, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: got\n%s\nwant\n%s", path, got, want)
	}
}

// lintCase is a file of testdata/lint: a policy, what is found, and the mended policy, parted by lines "-- name --".
type lintCase struct {
	expect                   policy.Expect
	head                     string
	policy, findings, mended string
}

func readLintCase(t testing.TB, path string) lintCase {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := lintCase{expect: policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole}}
	head, rest, ok1 := strings.Cut(string(raw), "-- policy --\n")
	text, rest, ok2 := strings.Cut(rest, "\n-- findings --\n")
	found, mended, ok3 := strings.Cut(rest, "-- mended --\n")
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("%s: not a lint case", path)
	}
	if ids, ok := strings.CutPrefix(head, "external-ids: "); ok {
		c.expect.ExternalIDs = strings.Fields(ids)
	}
	c.head, c.policy, c.findings, c.mended = head, text, found, mended
	return c
}

func lintCases(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/lint/*.txt")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d lint cases (%v), want at least 60", len(paths), err)
	}
	return paths
}

func TestEachBadPolicyIsFoundAndMended(t *testing.T) {
	for _, path := range lintCases(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			c := readLintCase(t, path)
			p := policy.Parse(policy.Trust, []byte(c.policy))
			var found strings.Builder
			for _, f := range p.Lint(c.expect) {
				fmt.Fprintf(&found, "%s %s %d:%d %s: %s\n", f.Severity, f.Code, f.Line, f.Column, f.Pointer, f.Message)
				if f.Remedy == "" && f.Severity != policy.Note {
					t.Errorf("%s has no remedy", f.Code)
				}
			}
			mended, err := p.Mend(c.expect)
			if err != nil {
				t.Fatalf("Mend: %v", err)
			}
			golden(t, "lint/"+filepath.Base(path), []byte(c.head+"-- policy --\n"+c.policy+"\n-- findings --\n"+found.String()+"-- mended --\n"+string(mended)))

			q := policy.Parse(policy.Trust, mended)
			if refused := q.Validate(nil); len(refused) > 0 {
				t.Errorf("IAM refuses the mended policy: %v", refused)
			}
			if worst := policy.Worst(q.Lint(c.expect)); worst == policy.Error {
				t.Errorf("the mended policy has errors: %v", q.Lint(c.expect))
			}
			r := request(t)
			r.Tags = map[string]string{"connector": "c-1"}
			for _, id := range c.expect.ExternalIDs {
				r.ExternalID = id
				if got := q.Assume(r); got.Decision != policy.Allowed {
					t.Errorf("the mended policy answers %s to external ID %s, want allow: %s", got.Decision, id, mended)
				}
			}
			for _, id := range []string{"", "wrong", strings.ToUpper(externalID), externalID + " ", "*"} {
				if r.ExternalID = id; q.Assume(r).Decision == policy.Allowed {
					t.Errorf("the mended policy lets external ID %q in: %s", id, mended)
				}
			}
			stranger := request(t)
			stranger.Caller = session(t, "arn:aws:iam::123412341234:role/stranger")
			if q.Assume(stranger).Decision == policy.Allowed {
				t.Errorf("the mended policy lets a stranger in: %s", mended)
			}
		})
	}
}

// The linter promises: without an error, and without a condition that it cannot judge, the right request gets in and the
// negative ones do not. Policies are put together from pieces at random.
func TestAPolicyWithoutErrorsIsSafe(t *testing.T) {
	expect := policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole}
	principals := []string{`"` + platformRole + `"`, `"*"`, `"111122223333"`, `"arn:aws:iam::444455556666:root"`, `"arn:aws:iam::111122223333:role/other"`}
	operators := []string{"StringEquals", "StringLike", "StringNotEquals", "StringEqualsIfExists", "ForAllValues:StringEquals", "ForAnyValue:StringLike", "StringEqualsIgnoreCase", "StringNotLikeIfExists", "Null", "ArnLike", "ForAnyValue:StringNotEquals"}
	keys := []string{"sts:ExternalId", "sts:externalid", "aws:PrincipalArn", "sts:RoleSessionName", "aws:TagKeys", "aws:SourceIp", "sts:Nonsense"}
	values := []string{externalID, "*", "rb-*", "wrong", platformRole, "rolebridge", "true", "false", "${sts:ExternalId}", "${aws:PrincipalTag/x, '" + externalID + "'}"}
	safe := 0
	rapid.Check(t, func(t *rapid.T) {
		var statements []string
		if rapid.Bool().Draw(t, "begins well") {
			// Otherwise hardly one policy in three hundred has no error.
			statements = append(statements, `{"Effect":"Allow","Principal":{"AWS":"`+platformRole+`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"`+externalID+`"}}}`)
		}
		for range rapid.IntRange(1, 3).Draw(t, "statements") {
			effect := rapid.SampledFrom([]string{"Allow", "Allow", "Allow", "Deny"}).Draw(t, "effect")
			action := rapid.SampledFrom([]string{"sts:AssumeRole", "sts:TagSession", "sts:*"}).Draw(t, "action")
			principal := rapid.SampledFrom(principals).Draw(t, "principal")
			var conditions []string
			used := map[string]bool{}
			for range rapid.IntRange(0, 2).Draw(t, "conditions") {
				op := rapid.SampledFrom(operators).Draw(t, "operator")
				if used[op] {
					continue
				}
				used[op] = true
				list := rapid.SliceOfN(rapid.SampledFrom(values), 1, 2).Draw(t, "values")
				text, _ := json.Marshal(list)
				conditions = append(conditions, fmt.Sprintf(`%q:{%q:%s}`, op, rapid.SampledFrom(keys).Draw(t, "key"), text))
			}
			statements = append(statements, fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":%s},"Action":%q,"Condition":{%s}}`, effect, principal, action, strings.Join(conditions, ",")))
		}
		text := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
		p := policy.Parse(policy.Trust, []byte(text))
		found := p.Lint(expect)
		clean := !slices.ContainsFunc(found, func(f policy.Finding) bool {
			return f.Severity == policy.Error || f.Code == "condition-not-known"
		})
		r := policy.Request{Action: "sts:AssumeRole", Resource: customerRole, SessionName: "rolebridge"}
		r.Caller, _ = policy.SessionCaller(platformRole, "rolebridge")
		decide := func(id string) policy.Decision {
			r.ExternalID = id
			return p.Evaluate(r).Decision
		}
		if clean {
			safe++
			if got := decide(externalID); got != policy.Allowed {
				t.Fatalf("%s: no error, but the platform gets %s: %v", text, got, found)
			}
			for _, id := range []string{"", externalID + "x", "another"} {
				if decide(id) == policy.Allowed {
					t.Fatalf("%s: no error, but external ID %q gets in: %v", text, id, found)
				}
			}
		}
		if _, err := p.Mend(expect); err != nil {
			t.Fatalf("%s: Mend: %v", text, err)
		}
		if again := p.Lint(expect); len(again) != len(found) {
			t.Fatalf("%s: linted twice, %d and %d findings", text, len(found), len(again))
		}
	})
	if safe == 0 && !testing.Short() { // rapid makes too few of them then for one to be sure
		t.Error("no policy was without an error; the property was not tried")
	}
}

func TestWithoutAnExpectationOnlyWhatIsUnsafeForAnybodyIsFound(t *testing.T) {
	for _, test := range []struct {
		name, text string
		expect     policy.Expect
		want       []policy.Code
	}{
		{"the final policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x1"}}},{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:TagSession"}]}`, policy.Expect{}, nil},
		{"the first policy", trust(`"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`), policy.Expect{}, nil},
		{"a service's role", trust(`"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"`), policy.Expect{}, nil},
		{"no external ID", trust(`"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":["sts:AssumeRole","sts:TagSession"]`), policy.Expect{}, []policy.Code{policy.CodeMissingExternalID}},
		{"no external ID within an account", trust(`"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":["sts:AssumeRole","sts:TagSession"]`), policy.Expect{CustomerRole: "arn:aws:iam::111122223333:role/x"}, nil},
		{"a platform role that is none", allow(`{"StringEquals":{"sts:ExternalId":"x1"}}`), policy.Expect{PlatformRole: "cspi"}, []policy.Code{policy.CodeExpectationNotUsable, policy.CodeNoTagSession}},
		{"no external ID known", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x1"}}},{"Effect":"Allow","Principal":{"AWS":"` + platformRole + `"},"Action":"sts:TagSession"}]}`, policy.Expect{PlatformRole: platformRole}, nil},
	} {
		if got := codes(policy.Parse(policy.Trust, []byte(test.text)).Lint(test.expect)); !slices.Equal(got, append([]policy.Code{}, test.want...)) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestAPermissionPolicyIsLinted(t *testing.T) {
	for _, test := range []struct {
		name, statement string
		want            []policy.Code
	}{
		{"least privilege", `"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"`, nil},
		{"a list call", `"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"`, nil},
		{"everything", `"Effect":"Allow","Action":"*","Resource":"*"`, []policy.Code{policy.CodeWideAction, policy.CodeWideResource}},
		{"all but", `"Effect":"Allow","NotAction":"iam:*","NotResource":"arn:aws:s3:::b"`, []policy.Code{policy.CodeNotAction, policy.CodeNotResource}},
		{"a key with a typo", `"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b","Condition":{"StringLike":{"s3:prefixx":"a/*"}}`, []policy.Code{policy.CodeUnknownKey}},
		{"one value of many", `"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"arn:aws:dynamodb:eu-west-1:111122223333:table/t","Condition":{"StringEquals":{"dynamodb:LeadingKeys":"a"}}`, []policy.Code{policy.CodeSetOperatorNeeded}},
		{"many that may be missing", `"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"arn:aws:dynamodb:eu-west-1:111122223333:table/t","Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":"a"}}`, []policy.Code{policy.CodeForAllValues}},
	} {
		if got := codes(policy.Parse(policy.Identity, []byte(trust(test.statement))).Lint(policy.Expect{})); !slices.Equal(got, append([]policy.Code{}, test.want...)) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestMendingKeepsWhatDoesNotConcernThePlatform(t *testing.T) {
	text := `{"Version":"2012-10-17","Id":"mine","Statement":[
		{"Sid":"Ec2","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com","AWS":["*","arn:aws:iam::444455556666:role/admin"]},"Action":"sts:AssumeRole"},
		{"Sid":"Guard","Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"stolen"}}},
		{"Sid":"All","Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:*"}]}`
	mended, err := policy.Parse(policy.Trust, []byte(text)).Mend(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}, CustomerRole: customerRole})
	if err != nil {
		t.Fatal(err)
	}
	p := policy.Parse(policy.Trust, mended)
	var sids []string
	for _, s := range p.Statements {
		sids = append(sids, s.Sid)
	}
	if want := []string{"AssumeWithExternalId", "TagSession", "Ec2", "Guard"}; !slices.Equal(sids, want) || p.ID != "mine" {
		t.Errorf("statements %v of %q, want %v of mine: %s", sids, p.ID, want, mended)
	}
	if got := p.Evaluate(policy.Request{Caller: policy.ServiceCaller("ec2.amazonaws.com"), Action: "sts:AssumeRole", Resource: customerRole}); got.Decision != policy.Allowed {
		t.Errorf("the service gets %s, want allow", got.Decision)
	}
	admin := request(t)
	admin.Caller = session(t, "arn:aws:iam::444455556666:role/admin")
	if got := p.Evaluate(admin); got.Decision != policy.Allowed {
		t.Errorf("the customer's admin gets %s, want allow", got.Decision)
	}
	if _, err := policy.Parse(policy.Identity, []byte(text)).Mend(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}}); err == nil {
		t.Error("an identity policy was mended, want an error")
	}
	if _, err := p.Mend(policy.Expect{PlatformRole: platformRole}); err == nil {
		t.Error("mended without an external ID, want an error")
	}
}

func TestFindingsAreEncodedForMachines(t *testing.T) {
	p := policy.Parse(policy.Trust, []byte("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\"Effect\": \"Allow\", \"Principal\": {\"AWS\": \"*\"}, \"Action\": \"sts:AssumeRole\"}\n}"))
	reports := []policy.Report{
		{URI: "roles/trust.json", Findings: p.Lint(policy.Expect{PlatformRole: platformRole, ExternalIDs: []string{externalID}})},
		{Findings: policy.Parse(policy.Trust, []byte(strings.Repeat(" ", 200_000))).Findings()},
		{URI: "clean.json"},
	}
	asJSON, err := policy.EncodeJSON(reports...)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "encode/findings.json", asJSON)
	asSARIF, err := policy.EncodeSARIF("1.2.3", reports...)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "encode/findings.sarif", asSARIF)
	empty, err := policy.EncodeSARIF("")
	if err != nil || !bytes.Contains(empty, []byte(`"results": []`)) || !bytes.Contains(empty, []byte(`"rules": []`)) {
		t.Errorf("no reports: %s %v, want empty lists of results and rules", empty, err)
	}
}
