package trust_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolebridge/rolebridge/cloud/aws/awstest"
	"github.com/rolebridge/rolebridge/cloud/aws/policy"
	"github.com/rolebridge/rolebridge/events"
	"github.com/rolebridge/rolebridge/integration"
	"github.com/rolebridge/rolebridge/workers/trust"
)

// permit gives the customer's role a permission policy.
func permit(t *testing.T, w *awstest.World, document string) {
	t.Helper()
	role, name := "customer", "more"
	if _, err := w.IAM(t, w.Customer).PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{
		RoleName: &role, PolicyName: &name, PolicyDocument: &document,
	}); err != nil {
		t.Fatal(err)
	}
}

func readable(t *testing.T, w *awstest.World) {
	t.Helper()
	document, err := policy.ReadRole(customer)
	if err != nil {
		t.Fatal(err)
	}
	permit(t, w, string(document.JSON()))
}

// pasted is the document in a remedy.
func pasted(t *testing.T, remedy string) string {
	t.Helper()
	_, document, ok := strings.Cut(remedy, ":\n")
	if !ok || !json.Valid([]byte(document)) {
		t.Fatalf("no document to paste in %q", remedy)
	}
	return document
}

func found(r *integration.Reading) []string {
	var codes []string
	for _, f := range r.Findings {
		codes = append(codes, f.Severity+" "+f.Code)
	}
	return codes
}

func TestTheLintersFindingsAreAddedWhereTheRoleMayBeRead(t *testing.T) {
	t.Parallel()
	w := world(t)
	const people = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"sts:AssumeRole"}`
	for name, c := range map[string]struct {
		trust    string
		findings []string
		verdict  integration.Verdict
	}{
		"a right one":         {statements(assumeWithID, tagFreely, people), nil, integration.VerdictClean},
		"one that is brittle": {statements(assumeWithID), []string{"warning no-tag-session"}, integration.VerdictClean},
		"one that is insecure": {
			statements(assumeFreely, tagFreely, people), []string{"error missing-external-id"}, integration.VerdictInsecure,
		},
	} {
		w.Role(t, w.Customer, "customer", c.trust)
		readable(t, w)
		p := newProver(t, w.Client(t), prometheus.NewRegistry())
		report := prove(t, p, claim())
		got := report.Policy
		if got == nil || !got.Read || report.Verdict() != c.verdict {
			t.Fatalf("%s: got %+v, verdict %s, want it read, %s", name, got, report.Verdict(), c.verdict)
		}
		for _, want := range c.findings {
			if !slices.Contains(found(got), want) {
				t.Errorf("%s: the findings %v lack %q", name, found(got), want)
			}
		}
		if len(c.findings) == 0 && len(got.Findings) > 0 {
			t.Errorf("%s: got %v, want nothing", name, found(got))
		}
		if c.verdict != integration.VerdictInsecure {
			if got.Remedy != "" {
				t.Errorf("%s: got the remedy %q, want none", name, got.Remedy)
			}
			continue
		}
		// The remedy is the customer's own policy, mended: it keeps what does not concern the platform.
		mended := pasted(t, got.Remedy)
		if !strings.Contains(mended, ":root") {
			t.Errorf("%s: the customer's own statement is not in %s", name, mended)
		}
		w.Role(t, w.Customer, "customer", mended)
		after := prove(t, p, claim())
		if after.Verdict() != integration.VerdictClean || len(after.Policy.Findings) > 0 {
			t.Errorf("%s: once mended, got %s, %v", name, after.Verdict(), found(after.Policy))
		}
	}
}

func TestAReportSaysThatThePolicyWasNotReadAndHowItCouldBe(t *testing.T) {
	t.Parallel()
	w := world(t)
	w.Role(t, w.Customer, "customer", statements(assumeWithID, tagFreely))
	p := newProver(t, w.Client(t), prometheus.NewRegistry())
	report := prove(t, p, claim())
	got := report.Policy
	if got.Read || got.Reason != trust.ReasonNotAllowed || !strings.Contains(got.Detail, "has not seen") || len(got.Findings) > 0 {
		t.Errorf("got %+v, want it not read, %s", got, trust.ReasonNotAllowed)
	}
	if report.Verdict() != integration.VerdictClean {
		t.Errorf("verdict %s, want clean: reading is optional", report.Verdict())
	}
	permit(t, w, pasted(t, got.Remedy))
	if got := prove(t, p, claim()).Policy; !got.Read || got.Remedy != "" {
		t.Errorf("after the remedy was taken, got %+v", got)
	}

	w.Role(t, w.Customer, "customer", string(policy.FirstTrust().JSON()))
	if got := prove(t, p, claim()).Policy; got.Read || got.Reason != trust.ReasonNoSession {
		t.Errorf("a role that lets nobody in: got %+v, want %s", got, trust.ReasonNoSession)
	}
}

func TestNobodyReadsWhenItIsSwitchedOff(t *testing.T) {
	t.Parallel()
	w := world(t)
	w.Role(t, w.Customer, "customer", statements(assumeWithID, tagFreely))
	readable(t, w)
	before := w.Calls("GetRole")
	report := prove(t, newProver(t, w.Client(t), prometheus.NewRegistry(), func(c *trust.ProverConfig) { c.ReadPolicy = false }), claim())
	if report.Policy.Read || report.Policy.Reason != trust.ReasonNotWanted || w.Calls("GetRole") != before {
		t.Errorf("got %+v and %d calls, want none", report.Policy, w.Calls("GetRole")-before)
	}
}

// The text of a policy is the customer's: whatever it is, the report fits its schema and its size.
func TestAHostilePolicyMakesASmallReport(t *testing.T) {
	t.Parallel()
	codec, err := events.NewCodec(events.Topics{Prefix: "t.", Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	statement := `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","` + strings.Repeat("\u2028<é", 60) + `":1}`
	for name, text := range map[string]string{
		"many faults":      `{"Version":"2012-10-17","Statement":[` + strings.Repeat(statement+",", 30) + statement + `]}`,
		"130,000 bytes":    strings.Repeat(`{"Statement":`, 10_000),
		"200,000 bytes":    strings.Repeat("x", 200_000),
		"not UTF-8":        "\xff\xfe{",
		"nothing":          "",
		"a long principal": statements(strings.Replace(assumeWithID, "PLATFORM", "arn:aws:iam::1:role/"+strings.Repeat("<", 4000), 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := 0
			server := newSTS(t, func(form url.Values) (int, string) {
				if form.Get("Action") == "GetRole" {
					read++
					return 200, fmt.Sprintf("<GetRoleResponse><GetRoleResult><Role><Path>/</Path><RoleName>customer</RoleName><RoleId>A</RoleId><Arn>%s</Arn>"+
						"<CreateDate>2026-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>%s</AssumeRolePolicyDocument></Role></GetRoleResult></GetRoleResponse>",
						customer, strings.ReplaceAll(url.QueryEscape(text), "+", "%20"))
				}
				return right(form)
			})
			report := prove(t, newProver(t, server.client(t), prometheus.NewRegistry()), claim())
			if name != "nothing" && (read != 1 || !report.Policy.Read || len(report.Policy.Findings) == 0) {
				t.Fatalf("read %d times, got %+v", read, report.Policy)
			}
			for _, f := range report.Policy.Findings {
				if utf8.RuneCountInString(f.Message) > integration.MaxFindingMessage || utf8.RuneCountInString(f.Pointer) > integration.MaxFindingPointer {
					t.Errorf("%s is too long: %d, %d", f.Code, len(f.Message), len(f.Pointer))
				}
			}
			if n := len(report.Policy.Findings); n > integration.MaxFindings || name == "many faults" && (n != integration.MaxFindings || report.Policy.LeftOut == 0) {
				t.Errorf("%d findings, %d left out", n, report.Policy.LeftOut)
			}
			record, err := codec.ResultRecord(events.SourceTrust, integration.Result{
				Organization: "o-1", Integration: "cspi-abc12", Attempt: 1, Finding: integration.TrustWasProbed{Report: report},
			})
			if err != nil {
				t.Fatalf("the result does not fit its schema: %v", err)
			}
			if len(record.Value) > 64<<10 {
				t.Errorf("the record has %d bytes, want 64 KiB at most", len(record.Value))
			}
			if report.Verdict() != integration.VerdictClean {
				t.Errorf("verdict %s, want clean: the text does not count", report.Verdict())
			}
			t.Logf("%d bytes", len(record.Value))
		})
	}
}
